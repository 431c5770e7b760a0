"""Cohorts: of those who signed up together, how many are still there after so many months."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from retention.kaplan_meier import ages, kaplan_meier

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def share_kept(
    months: NDArray[np.float64], churned: NDArray[np.bool_], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Kaplan-Meier share (see ``kaplan_meier``) that is still there just after each of some ages.

    Parameters
    ----------
    months
        (n,) from start to churn or to the end of observation.
    churned
        (n,) whether it ended in churn; else it is censored.
    at
        (k,) ages in months.

    Returns
    -------
    ndarray
        float64 (k,); NaN beyond the longest observation.
    """
    curve = kaplan_meier(months, churned)
    observed = at <= curve.times.max(initial=-np.inf)
    return np.where(observed, [curve.at(age) for age in at], np.nan)


def cohort_curves(lifetimes: pd.DataFrame, as_of: pd.Timestamp, months: int = 24) -> pd.DataFrame:
    """Share kept by age, a column for each half-year of sign-ups.

    Parameters
    ----------
    lifetimes
        A row a lifetime: ``started_at``, ``stopped_at`` (null: still there) and ``cause``. An end
        without a cause of churn, such as a contract that ran out, is censored.
    as_of
        End of observation.
    months
        Oldest age.

    Returns
    -------
    DataFrame
        Index ``month`` from 0, columns such as ``2023 H1``; NaN where a cohort is not that old.
    """
    months_lived, churned = ages(lifetimes, as_of)
    start = lifetimes["started_at"].dt
    half = start.year.astype(str) + " H" + np.where(start.month <= 6, "1", "2")
    at = np.arange(months + 1, dtype=np.float64)
    curves = {
        name: share_kept(months_lived[rows].to_numpy(), churned[rows].to_numpy(dtype=bool), at)
        for name, rows in half.groupby(half).groups.items()
    }
    return pd.DataFrame(curves, index=pd.Index(at.astype(int), name="month"))


def cohort_picture(curves: pd.DataFrame, path: Path) -> None:
    """Draw the share kept by age, a line a cohort: the newer, the darker.

    Parameters
    ----------
    curves
        From ``cohort_curves``.
    path
        PNG file to write.
    """
    figure = Figure(figsize=(8, 4.2), dpi=100, layout="constrained")
    panel = figure.subplots()
    shades = mpl.colormaps["viridis_r"](np.linspace(0.1, 1, max(curves.shape[1], 1)))
    for shade, name in zip(shades, curves.columns, strict=True):
        panel.plot(curves.index, curves[name], color=shade, label=name)
    panel.set_xlabel("months since the customer started")
    panel.set_ylabel("share still there")
    panel.set_ylim(0, 1.02)
    panel.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    panel.legend(title="started in", frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Software": None})
