"""Cohorts: Kaplan-Meier by hand, and who counts in which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retention.cohorts import cohort_curves, cohort_picture, share_kept


def test_the_curve_by_hand() -> None:
    # Of four one leaves after 1 month; one is censored at 2; of the two left one leaves at 3.
    months, churned = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False])
    kept = share_kept(months, churned, np.array([0.0, 0.9, 1.0, 2.5, 3.0, 4.0, 5.0]))
    assert kept == pytest.approx([1, 1, 0.75, 0.75, 0.375, 0.375, np.nan], nan_ok=True)


def test_nobody_has_no_curve() -> None:
    assert np.isnan(share_kept(np.empty(0), np.empty(0, bool), np.array([0.0, 1.0]))).all()


def test_cohorts_go_by_half_year_and_an_end_without_churn_is_censored(tmp_path: Path) -> None:
    day = pd.Timestamp
    lifetimes = pd.DataFrame(
        {
            "started_at": [day("2023-01-01", tz="UTC"), day("2023-06-30", tz="UTC")] * 2
            + [day("2023-07-01", tz="UTC")],
            "stopped_at": [day("2023-03-15", tz="UTC"), pd.NaT, day("2023-02-10", tz="UTC"),
                           pd.NaT, day("2030-01-01", tz="UTC")],
            "cause": ["voluntary", None, "ended", None, "voluntary"],
        }
    )  # fmt: skip
    curves = cohort_curves(lifetimes, day("2024-01-01", tz="UTC"), months=12)
    assert list(curves) == ["2023 H1", "2023 H2"]
    assert curves["2023 H1"].loc[3] == pytest.approx(2 / 3)  # the ended one is out after a month
    # What happened after the newest cutoff is not known there.
    assert curves["2023 H2"].dropna().eq(1).all()
    assert curves["2023 H2"].last_valid_index() == 6
    cohort_picture(curves, tmp_path / "cohorts.png")
    assert (tmp_path / "cohorts.png").stat().st_size > 5000
