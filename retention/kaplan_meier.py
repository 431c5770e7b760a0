"""Kaplan-Meier curves, and the months that a kept customer stays, by plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from data.snapshots import DAYS_PER_MONTH

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

# With fewer customers at risk, a share is not reported.
MIN_AT_RISK: Final = 20


@dataclass(frozen=True)
class MonthsKept:
    """Months of revenue that a kept customer is expected to bring.

    Parameters
    ----------
    by_plan
        Months for each plan with enough customers for a curve of its own.
    pooled
        Months over all plans, used for other plans and for a null plan.
    """

    by_plan: Mapping[str, float]
    pooled: float

    def of(self, plan: pd.Series) -> NDArray[np.float64]:
        """Return the months for each plan of a column; float64 of the same length."""
        months = plan.map(dict(self.by_plan)).to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isnan(months), self.pooled, months)


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve: ``survival[i]`` from ``times[i]`` on, 1 before the first.

    Parameters
    ----------
    times
        Distinct durations, ascending, shape ``(t,)``.
    survival
        Share still live from each of them on, shape ``(t,)``.
    at_risk
        Customers observed for at least each of them, shape ``(t,)``.
    """

    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    at_risk: NDArray[np.int64]

    def at(self, time: float) -> float:
        """Return the share still live at a time; after the last duration, that of the last."""
        return float(np.append(1.0, self.survival)[np.searchsorted(self.times, time, "right")])

    def at_risk_at(self, time: float) -> int:
        """Return the number of customers observed for at least that long."""
        return int(np.append(self.at_risk, 0)[np.searchsorted(self.times, time, "left")])


def kaplan_meier(duration: NDArray[np.float64], event: NDArray[np.bool_]) -> Curve:
    """Estimate the share still live by time since the start: the product of 1 - churned / at risk.

    Parameters
    ----------
    duration
        Time from start to churn or to the end of observation, shape ``(n,)``, not negative.
    event
        Whether the duration ended in churn, shape ``(n,)``; else it is censored. A customer
        censored at ``t`` is still at risk at ``t``.

    References
    ----------
    Kaplan and Meier (1958).
    """
    times, position = np.unique(duration, return_inverse=True)
    leaving = np.bincount(position, minlength=times.size)
    churned = np.bincount(position, weights=event, minlength=times.size)
    at_risk = duration.size - (np.cumsum(leaving) - leaving)
    survival = np.asarray(np.cumprod(1.0 - churned / at_risk), dtype=np.float64)
    return Curve(times, survival, at_risk)


def ages(
    lifetimes: pd.DataFrame, as_of: dt.datetime
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the length of lifetimes, and whether they ended in churn.

    Parameters
    ----------
    lifetimes
        One row per lifetime: ``started_at``, ``stopped_at`` (null: still live) and ``cause``.
    as_of
        End of observation, UTC.

    Returns
    -------
    months
        float64 (n,) from the start to the stop or to the end of observation.
    churned
        bool (n,) whether it had stopped by then for a cause of churn; a contract that ran out is
        censored.
    """
    stopped = (lifetimes["stopped_at"] <= as_of).to_numpy(dtype=bool)
    until = lifetimes["stopped_at"].where(stopped, as_of)
    days = (until - lifetimes["started_at"]).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
    churned = stopped & lifetimes["cause"].isin(CAUSES).to_numpy(dtype=bool)
    return days / DAYS_PER_MONTH, churned


def restricted_mean(duration: NDArray[np.float64], event: NDArray[np.bool_], limit: float) -> float:
    """Compute the area under the Kaplan-Meier curve over ``[0, limit]``.

    Parameters
    ----------
    duration, event
        As in ``kaplan_meier``.
    limit
        End of the interval, in the unit of ``duration``. A curve that ends before
        ``limit`` keeps its last value up to it. Without customers the mean is ``limit``.

    References
    ----------
    Royston and Parmar (2013), for the restricted mean.
    """
    curve = kaplan_meier(duration, event)
    survival = np.concatenate(([1.0], curve.survival))
    edges = np.clip(np.concatenate(([0.0], curve.times, [limit])), 0.0, limit)
    return float(np.sum(survival * np.diff(np.append(edges[:-1], limit))))


def months_kept(
    plan: ArrayLike, duration: ArrayLike, event: ArrayLike, limit: float, min_customers: int = 50
) -> MonthsKept:
    """Estimate the months kept by plan, at most ``limit``.

    Parameters
    ----------
    plan, duration, event
        One entry per customer, shape ``(n,)``: plan (null: only in the pooled curve), months
        from activation to churn or to the cutoff, and whether it was churn.
    limit
        Maximum number of months counted.
    min_customers
        Plans with fewer customers use the pooled curve.
    """
    customers = pd.DataFrame(
        {
            "plan": plan,
            "duration": np.asarray(duration, dtype=np.float64),
            "event": np.asarray(event, dtype=bool),
        }
    )

    def mean(group: pd.DataFrame) -> float:
        return restricted_mean(group["duration"].to_numpy(), group["event"].to_numpy(), limit)

    by_plan = {
        str(name): mean(group)
        for name, group in customers.groupby("plan")
        if len(group) >= min_customers
    }
    return MonthsKept(by_plan, mean(customers))
