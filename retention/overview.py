"""The churn overview: churn by month and cause, retention of cohorts, recovery of payments.

It is computed from true lifetimes as of the newest cutoff (without churn that was undone), from the
subscription log and from the payments log. Only complete calendar months (UTC) count.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.asof import last_before, taken
from data.clock import EPOCH
from data.contracts import CAUSES
from retention.cohorts import cohorts
from retention.kaplan_meier import MIN_AT_RISK, ages, kaplan_meier, restricted_mean
from retention.recovery import Recovery, recovery_by_month

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from data.subscriptions import SubscriptionEvents
    from retention.cohorts import Cohort
    from retention.kaplan_meier import Curve

# Number of complete months that recent figures are averaged over.
RECENT_MONTHS: Final = 12
# Lifetimes count up to this many months: few customers have been observed for longer.
LIFETIME_MONTHS: Final = 36
# Maximum number of segments and of plans shown, the largest first: more are too many to read.
MAX_GROUPS: Final = 20


@dataclass(frozen=True)
class Revenue:
    """MRR of customers as steps: each holds from ``at`` until the customer's next step.

    Parameters
    ----------
    customer
        Position in the sorted customer ids, ascending, shape ``(s,)``.
    at
        Start of the step, microseconds, ascending within a customer, shape ``(s,)``.
    mrr
        Minor units, shape ``(s,)``.
    """

    customer: NDArray[np.int64]
    at: NDArray[np.int64]
    mrr: NDArray[np.int64]

    def of(self, customer: NDArray[np.int64], instant_us: int) -> NDArray[np.int64]:
        """Return customers' MRR at an instant, shape of ``customer``; 0 before the first step."""
        instant = np.full(customer.shape, instant_us)
        return taken(self.mrr, last_before(self.customer, self.at, customer, instant), 0)


@dataclass(frozen=True)
class Group:
    """A segment, a plan, or all customers (``name`` None).

    Parameters
    ----------
    customers, mrr
        Current number, and their MRR in minor units (None without a subscription log).
    at_risk
        Customer-months of the last ``RECENT_MONTHS``: sum of the customers at the start of each.
    churned
        Those of ``at_risk`` lost in the month, by cause in the order of ``CAUSES``.
    lifetime
        Mean months from start to churn within ``LIFETIME_MONTHS`` (restricted mean of
        Kaplan-Meier); NaN for fewer than ``MIN_AT_RISK`` customers.
    margin
        Share of revenue that remains after its direct costs.
    """

    name: str | None
    customers: int
    mrr: int | None
    at_risk: int
    churned: tuple[int, int]
    lifetime: float
    margin: float

    @property
    def monthly_churn(self) -> tuple[float, float]:
        """Share of customers lost per month, by cause: churned / customer-months."""
        if not self.at_risk:
            return float("nan"), float("nan")
        return self.churned[0] / self.at_risk, self.churned[1] / self.at_risk

    @property
    def arpu(self) -> float:
        """Average monthly revenue per customer, minor units: MRR / customers."""
        return self.mrr / self.customers if self.mrr is not None and self.customers else np.nan

    @property
    def lifetime_value(self) -> float:
        """Expected gross profit of a new customer, minor units: ARPU x margin x lifetime."""
        return self.arpu * self.margin * self.lifetime


@dataclass(frozen=True)
class Records:
    """Inputs of the overview.

    Parameters
    ----------
    lifetimes
        As in ``data.population.Population``: ``customer_id, plan, started_at, stopped_at, cause``.
    customers
        ``customer_id, segment``, sorted by customer_id.
    revenue
        MRR of the customers by their position in ``customers``; None without a subscription log.
    failed_invoices
        See ``data.invoices.failed_invoices``; None without a payments log.
    """

    lifetimes: pd.DataFrame
    customers: pd.DataFrame
    revenue: Revenue | None = None
    failed_invoices: pd.DataFrame | None = None


@dataclass(frozen=True)
class Overview:
    """Contents of the second page.

    Parameters
    ----------
    as_of
        Newest cutoff, UTC.
    months
        See ``churn_by_month``.
    cohorts
        Cohorts by quarter of the start, oldest first.
    curves
        Kaplan-Meier curve by plan, months; only plans with at least ``MIN_AT_RISK`` customers.
    recovery
        (first day of the month of the first failure, its invoices), oldest first; empty without a
        payments log.
    everybody, segments, plans
        All customers, and the ``MAX_GROUPS`` largest segments and plans, by current number of
        customers.
    currency
        ISO 4217 code of all money.
    """

    as_of: dt.datetime
    months: pd.DataFrame
    cohorts: tuple[Cohort, ...]
    curves: dict[str, Curve]
    recovery: tuple[tuple[dt.date, Recovery], ...]
    everybody: Group
    segments: tuple[Group, ...]
    plans: tuple[Group, ...]
    currency: str

    @property
    def recent(self) -> pd.DataFrame:
        """The last ``RECENT_MONTHS`` of ``months``."""
        return self.months.tail(RECENT_MONTHS)

    @property
    def recent_recovery(self) -> Recovery:
        """Sum of the settled failed invoices of the last ``RECENT_MONTHS``."""
        recent = [item for _, item in self.recovery[-RECENT_MONTHS:]]
        return Recovery(
            sum(item.failed for item in recent),
            sum(item.recovered for item in recent),
            sum(item.amount for item in recent),
            sum(item.recovered_amount for item in recent),
        )


def overview(
    records: Records, as_of: dt.datetime, margin: float, currency: str, months: int = 24
) -> Overview:
    """Compute the overview.

    Parameters
    ----------
    records
        Inputs.
    as_of
        Newest cutoff, UTC.
    margin
        Share of revenue that remains after its direct costs.
    currency
        ISO 4217 code.
    months
        Maximum number of complete months.
    """
    revenue = records.revenue
    spells = _spells(records.lifetimes, records.customers, as_of)
    starts = month_starts(spells["started_at"].min(), as_of, months)
    now = spells[spells["cause"] == ""]
    first = spells.drop_duplicates("customer")
    mrr = None if revenue is None else revenue.of(now["customer"].to_numpy(), _us(as_of))

    def group(name: str | None, column: str = "segment") -> Group:
        def members(frame: pd.DataFrame) -> NDArray[np.bool_]:
            all_rows = np.ones(len(frame), dtype=bool)
            return all_rows if name is None else (frame[column] == name).to_numpy(dtype=bool)

        recent = churn_by_month(spells[members(spells)], None, starts[-RECENT_MONTHS - 1 :])
        known = first[members(first)]
        return Group(
            name=name,
            customers=int(members(now).sum()),
            mrr=None if mrr is None else int(mrr[members(now)].sum()),
            at_risk=int(recent["customers"].sum()),
            churned=(int(recent["voluntary"].sum()), int(recent["involuntary"].sum())),
            lifetime=restricted_mean(*ages(known, as_of), LIFETIME_MONTHS)
            if len(known) >= MIN_AT_RISK
            else np.nan,
            margin=margin,
        )

    def groups(column: str) -> tuple[Group, ...]:
        names = spells[column].value_counts().index[:MAX_GROUPS]
        by_name = [group(name, column) for name in sorted(names)]
        return tuple(sorted(by_name, key=lambda item: -item.customers))

    sizes = first["plan"].value_counts()
    return Overview(
        as_of=as_of,
        months=churn_by_month(spells, revenue, starts),
        cohorts=cohorts(records.lifetimes, as_of),
        curves={
            plan: kaplan_meier(*ages(first[first["plan"] == plan], as_of))
            for plan in sorted(sizes[sizes >= MIN_AT_RISK].index)
        },
        recovery=()
        if records.failed_invoices is None
        else recovery_by_month(records.failed_invoices, as_of, starts),
        everybody=group(None),
        segments=groups("segment"),
        plans=groups("plan"),
        currency=currency,
    )


def month_starts(first: dt.datetime, as_of: dt.datetime, months: int) -> list[dt.datetime]:
    """Return the bounds of the last complete calendar months, ascending: one more than the months.

    Parameters
    ----------
    first
        The first month is the first complete one after this instant.
    as_of
        Newest cutoff; its month is not complete.
    months
        Maximum number of months.
    """
    last = as_of.year * 12 + as_of.month - 1
    earliest = max(first.year * 12 + first.month, last - months)
    return [
        dt.datetime(number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)
        for number in range(earliest, last + 1)
    ]


def churn_by_month(
    spells: pd.DataFrame, revenue: Revenue | None, starts: Sequence[dt.datetime]
) -> pd.DataFrame:
    """Count the customers at the start of each month, and those lost in it by cause.

    Logo churn of a month = lost in it / customers at its start; gross MRR churn = MRR at its start
    of those lost / MRR at its start of all (expansion is not subtracted). A
    customer who starts and leaves within one month is counted in neither. A contract that ran out
    (``ended``) is not churn.

    Parameters
    ----------
    spells
        ``customer`` (number), ``started_at, stopped_at`` (UTC), ``cause``; empty while a customer.
    revenue
        MRR of customers; None if unknown.
    starts
        Bounds of the months, see ``month_starts``.

    Returns
    -------
    DataFrame
        One row per month: ``month, customers, voluntary, involuntary, ended`` (customers),
        ``mrr, voluntary_mrr, involuntary_mrr`` (minor units; 0 without revenue).
    """
    rows = []
    for begin, end in pairwise(starts):
        at_start = spells[(spells["started_at"] <= begin) & (spells["stopped_at"] > begin)]
        numbers = at_start["customer"].to_numpy(dtype=np.int64)
        zero = np.zeros(len(at_start), dtype=np.int64)
        mrr = zero if revenue is None else revenue.of(numbers, _us(begin))
        lost = {
            cause: ((at_start["stopped_at"] <= end) & (at_start["cause"] == cause)).to_numpy()
            for cause in (*CAUSES, "ended")
        }
        row: dict[str, Any] = {"month": begin.date(), "customers": len(at_start)}
        row |= {cause: int(mask.sum()) for cause, mask in lost.items()}
        row |= {"mrr": int(mrr.sum())}
        row |= {f"{cause}_mrr": int(mrr[lost[cause]].sum()) for cause in CAUSES}
        rows.append(row)
    money = ["mrr", *(f"{cause}_mrr" for cause in CAUSES)]
    return pd.DataFrame(rows, columns=["month", "customers", *CAUSES, "ended", *money])


def revenue_steps(events: SubscriptionEvents) -> Revenue:
    """Add up the MRR of each customer's live subscriptions, after every event.

    While a customer has no live subscription the last MRR is kept: the lifetimes decide whether
    that was churn, or was undone.
    """
    state = events.after_each()
    live = state.live.astype(np.int64)
    paid = state.mrr * live
    steps = pd.DataFrame(
        {
            "customer": events.customer,
            "at": events.event_us,
            "live": live - events.before(live),
            "mrr": paid - events.before(paid),
        }
    )
    steps = steps.groupby(["customer", "at"], as_index=False).sum()
    total = steps.groupby("customer")[["live", "mrr"]].cumsum()
    some_live = (total["live"] > 0).to_numpy()
    return Revenue(
        steps["customer"].to_numpy(dtype=np.int64)[some_live],
        steps["at"].to_numpy(dtype=np.int64)[some_live],
        total["mrr"].to_numpy(dtype=np.int64)[some_live],
    )


def _spells(lifetimes: pd.DataFrame, customers: pd.DataFrame, as_of: dt.datetime) -> pd.DataFrame:
    """Return lifetimes, with ``customer`` (number) and ``segment``, as they were at ``as_of``.

    The lifetime of a customer who was still live stops at ``as_of`` without a cause.
    """
    spells = lifetimes[lifetimes["started_at"] <= as_of].sort_values(["customer_id", "started_at"])
    left = (spells["stopped_at"] <= as_of).to_numpy(dtype=bool)
    number = pd.Index(customers["customer_id"]).get_indexer(spells["customer_id"])
    return pd.DataFrame(
        {
            "customer": number.astype(np.int64),
            "started_at": spells["started_at"].to_numpy(),
            "stopped_at": spells["stopped_at"].where(left, as_of).to_numpy(),
            "cause": spells["cause"].where(left, "").fillna("").to_numpy(dtype=object),
            "plan": spells["plan"].to_numpy(dtype=object),
            "segment": customers["segment"].to_numpy(dtype=object)[number],
        }
    )


def _us(instant: dt.datetime) -> int:
    return (instant - EPOCH) // dt.timedelta(microseconds=1)
