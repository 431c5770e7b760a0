"""Cohorts: who counts in which, and where too few were observed."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from models.review_plots import cohort_picture
from retention.cohorts import AGES, cohorts, retention_table
from retention.kaplan_meier import ages

if TYPE_CHECKING:
    from pathlib import Path

AS_OF = dt.datetime(2024, 2, 14, tzinfo=dt.UTC)


def lifetimes(*rows: tuple[str, str, str | None, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["customer_id", "started_at", "stopped_at", "cause"])
    for column in ("started_at", "stopped_at"):
        frame[column] = pd.to_datetime(frame[column], utc=True).dt.as_unit("us")
    return frame


def test_cohorts_are_reported_only_where_enough_were_observed(tmp_path: Path) -> None:
    stayed = [(f"s{i}", "2023-01-10", None, None) for i in range(30)]
    left = [(f"l{i}", "2023-01-10", "2023-01-30", "voluntary") for i in range(10)]
    new = [("n", "2024-01-01", None, None)]
    later = [("z", "2024-03-01", None, None)]
    quarters = cohorts(lifetimes(*stayed, *left, *new, *later), AS_OF)
    assert [(cohort.quarter, cohort.customers) for cohort in quarters] == [
        (dt.date(2023, 1, 1), 40), (dt.date(2024, 1, 1), 1),
    ]  # fmt: skip
    assert quarters[0].retention[:6] == tuple([0.75] * 6)
    assert all(math.isnan(share) for share in quarters[0].retention[6:])
    assert quarters[0].early_churn == pytest.approx(0.25)
    assert math.isnan(quarters[1].early_churn)
    table = retention_table(quarters)
    assert list(table) == ["2023 Q1", "2024 Q1"]
    assert table.index.tolist() == list(AGES)
    assert np.array_equal(table["2023 Q1"], quarters[0].retention, equal_nan=True)
    assert table["2024 Q1"].isna().all()
    cohort_picture(table, tmp_path / "cohorts.png")
    assert (tmp_path / "cohorts.png").stat().st_size > 5000


def test_a_picture_without_cohorts_is_drawn(tmp_path: Path) -> None:
    cohort_picture(retention_table(()), tmp_path / "cohorts.png")
    assert (tmp_path / "cohorts.png").exists()


def test_only_the_first_lifetime_counts_and_the_future_is_not_known() -> None:
    returned = [(f"r{i}", "2023-06-01", "2023-07-01", "voluntary") for i in range(20)]
    again = [(f"r{i}", "2023-08-01", None, None) for i in range(20)]
    undecided = [(f"u{i}", "2023-06-01", "2030-01-01", "voluntary") for i in range(20)]
    (cohort,) = cohorts(lifetimes(*again, *returned, *undecided), AS_OF)
    assert (cohort.quarter, cohort.customers) == (dt.date(2023, 4, 1), 40)
    assert cohort.retention[0] == pytest.approx(0.5)
    assert cohort.retention[1] == pytest.approx(0.5)


def test_an_end_without_churn_and_one_that_lies_ahead_are_censored() -> None:
    months, churned = ages(
        lifetimes(
            ("a", "2024-01-14", "2024-02-13", "ended"),
            ("b", "2024-01-14", "2024-02-14", "involuntary"),
            ("c", "2024-01-14", "2024-02-15", "voluntary"),
            ("d", "2024-01-14", None, None),
        ),
        AS_OF,
    )
    assert churned.tolist() == [False, True, False, False]
    assert months == pytest.approx(np.array([30, 31, 31, 31]) * 12 / 365.25, rel=1e-3)
