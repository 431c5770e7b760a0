"""Cohorts: customers who started in the same quarter, and the share that stays, by age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data.snapshots import DAYS_PER_MONTH
from retention.kaplan_meier import MIN_AT_RISK, ages, kaplan_meier

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from retention.kaplan_meier import Curve

# A customer lost within this many days of the start is lost early.
EARLY_DAYS: Final = 90
# Ages in months at which the retention of a cohort is read.
AGES: Final = (1, 2, 3, 6, 9, 12, 18, 24, 30)


@dataclass(frozen=True)
class Cohort:
    """Customers who started in one quarter, and their retention.

    Parameters
    ----------
    quarter
        First day of the quarter.
    customers
        Number who started in it.
    retention
        Kaplan-Meier share still live at each of ``AGES``, months; NaN where fewer than
        ``MIN_AT_RISK`` were observed that long.
    early_churn
        Share lost within ``EARLY_DAYS``, 1 - Kaplan-Meier; NaN likewise.
    """

    quarter: dt.date
    customers: int
    retention: tuple[float, ...]
    early_churn: float


def cohorts(lifetimes: pd.DataFrame, as_of: dt.datetime) -> tuple[Cohort, ...]:
    """Estimate the retention of the customers of each quarter.

    Parameters
    ----------
    lifetimes
        One row per lifetime: ``customer_id, started_at, stopped_at`` (null: still live) and
        ``cause``. The first lifetime of a customer counts, if it had started by ``as_of``.
    as_of
        End of observation, UTC.

    Returns
    -------
    tuple of Cohort
        Oldest first. Retention is the Kaplan-Meier estimate (Kaplan and Meier, 1958); customers
        still live and contracts that ran out are censored.
    """
    begun = lifetimes[lifetimes["started_at"] <= as_of]
    first = begun.sort_values(["customer_id", "started_at"]).drop_duplicates("customer_id")
    quarter = first["started_at"].dt.tz_convert(None).dt.to_period("Q")
    by_quarter = []
    for name, members in first.groupby(quarter):
        curve = kaplan_meier(*ages(members, as_of))

        def kept(age: float, curve: Curve = curve) -> float:
            return curve.at(age) if curve.at_risk_at(age) >= MIN_AT_RISK else np.nan

        by_quarter.append(
            Cohort(
                quarter=name.start_time.date(),
                customers=len(members),
                retention=tuple(kept(age) for age in AGES),
                early_churn=1.0 - kept(EARLY_DAYS / DAYS_PER_MONTH),
            )
        )
    return tuple(by_quarter)


def retention_table(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Return the retention of cohorts as a table, one column per quarter.

    Returns
    -------
    DataFrame
        float64, index ``month`` (``AGES``), columns such as ``2023 Q1`` in the order of
        ``cohorts``; NaN as in ``Cohort.retention``.
    """
    return pd.DataFrame(
        {
            f"{cohort.quarter.year} Q{(cohort.quarter.month + 2) // 3}": cohort.retention
            for cohort in cohorts
        },
        index=pd.Index(AGES, name="month"),
        dtype=np.float64,
    )
