"""Snapshots: which customers are looked at, at which cutoff, and who they visibly were there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.asof import AsOf, packed, taken
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import INSTANT
from data.errors import BadInputError
from data.hashing import stable_hash
from data.lifetimes import STOP_KINDS, UNKNOWN, customer_numbers, kind_codes
from data.visibility import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from data.lifetimes import LiveSpans, SubscriptionEvents

DAYS_PER_MONTH = 365.25 / 12
# Without a contract, revenue is read from the payments of this many periods.
REVENUE_PERIODS = 13


@dataclass(frozen=True)
class Coverage:
    """What stretch of time the logs cover.

    Parameters
    ----------
    first_event_us
        Oldest ``event_at`` of any log, microseconds.
    newest_us
        Newest ``available_at`` of each log, microseconds.
    """

    first_event_us: int
    newest_us: dict[str, int]

    def newest_cutoff(self, clock: Clock) -> int:
        """Newest cutoff that the logs cover.

        A period counts as covered when some log reaches into its last day: an export taken on
        Monday morning holds no row at exactly 00:00.
        """
        return clock.last_cutoff(max(self.newest_us.values()) + MICROSECONDS_PER_DAY)


def log_coverage(logs: Mapping[str, Any], engine: Engine, until_us: int | None = None) -> Coverage:
    """Measure the stretch of time that clean logs cover.

    Parameters
    ----------
    logs
        Name of each log and its lazy Ibis table.
    engine
        Runs the queries.
    until_us
        Rows that became available after this instant are left out.
    """
    first, newest = [], {}
    for name, table in sorted(logs.items()):
        log = table if until_us is None else visible(table, until_us, engine)
        bounds = log.agg(
            first=engine.microseconds(log.event_at).min(),
            newest=engine.microseconds(log.available_at).max(),
        )
        (found,) = engine.to_arrow(bounds).to_pylist()
        if found["newest"] is not None:
            first.append(found["first"])
            newest[name] = found["newest"]
    return Coverage(min(first, default=until_us or 0), newest)


@dataclass(frozen=True)
class CutoffRange:
    """Which cutoffs are looked at.

    Parameters
    ----------
    first, as_of
        First and newest cutoff number, both included.
    thin_every
        Before ``as_of`` a customer is looked at every so many cutoffs.
    """

    first: int
    as_of: int
    thin_every: int


def choose_as_of(
    coverage: Coverage, clock: Clock, as_of: int | None, teller: str, lateness_days: int
) -> int:
    """Choose the newest cutoff: the one asked for, else the newest that the logs cover.

    Parameters
    ----------
    coverage, clock
        What the logs cover, and the clock.
    as_of
        The cutoff asked for, or None.
    teller
        The log that tells who left. Where it ends long before or after the others, nobody can say
        who stayed in between.
    lateness_days
        Longest delay of a row; this and one period is how far the logs may end apart.

    Raises
    ------
    BadInputError
        If ``as_of`` lies after the last row, or the logs end too far apart to choose for the user.
    """
    newest = coverage.newest_cutoff(clock)
    if as_of is not None:
        if as_of > newest:
            raise BadInputError(
                f"snapshot.as_of is {clock.cutoff_at(as_of).date()}, but the logs reach only to "
                f"the cutoff of {clock.cutoff_at(newest).date()}: bring newer rows or choose that "
                "date."
            )
        return as_of
    latest = max(coverage.newest_us, key=lambda name: coverage.newest_us[name])
    there, ahead = coverage.newest_us[teller], coverage.newest_us[latest]
    if ahead - there > lateness_days * MICROSECONDS_PER_DAY + clock.period_us:
        raise BadInputError(
            f"The {teller} log, which tells who left, ends on {clock.instant(there).date()}, but "
            f"the {latest} log on {clock.instant(ahead).date()}: bring the missing rows, take out "
            "rows of the future, or set snapshot.as_of to the cutoff up to which both are "
            "complete."
        )
    return newest


def choose_cutoffs(
    coverage: Coverage,
    clock: Clock,
    as_of: int,
    history_periods: int,
    thin_every: int,
) -> CutoffRange:
    """Place the cutoffs between the start of the logs and ``as_of``.

    Raises
    ------
    BadInputError
        If the history is shorter than ``history_periods``.
    """
    begin = clock.period_of(coverage.first_event_us)
    first = begin + history_periods
    if first >= as_of:
        there = max(0, as_of - begin)
        raise BadInputError(
            f"The logs cover {there} periods up to {clock.cutoff_at(as_of).date()}, fewer "
            f"than the {history_periods + 1} that snapshot.history_periods = {history_periods} "
            "asks for: bring a longer history or lower it (and featurize.windows)."
        )
    return CutoffRange(first, as_of, thin_every)


def snapshot_cells(
    spans: LiveSpans, cutoffs: CutoffRange, phase: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Expand live spans to the (span, cutoff number) cells that are looked at.

    Parameters
    ----------
    spans
        Cutoffs at which entities are live.
    cutoffs
        Which cutoffs are looked at: all at ``as_of``, one in ``thin_every`` before.
    phase
        Of each customer number, in ``[0, thin_every)``.

    Returns
    -------
    tuple
        Position in ``spans`` and cutoff number, both of shape (cells,).
    """
    every = cutoffs.thin_every
    low = np.maximum(spans.first, cutoffs.first)
    start = low + (phase[spans.customer] - low) % every
    count = np.maximum(0, -((start - spans.past) // every))
    span = np.repeat(np.arange(len(low)), count)
    step = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
    cutoff = start[span] + every * step
    newest = np.flatnonzero((spans.first <= cutoffs.as_of) & (cutoffs.as_of < spans.past))
    newest = newest[(cutoffs.as_of - phase[spans.customer[newest]]) % every != 0]
    return (
        np.concatenate([span, newest]),
        np.concatenate([cutoff, np.full(len(newest), cutoffs.as_of)]),
    )


def thinning_phase(customers: NDArray[np.object_], thin_every: int, salt: str) -> NDArray[np.int64]:
    """Phase in ``[0, thin_every)`` of each customer, by hash: equal in every run."""
    return (stable_hash(f"{salt}/thin", customers) % np.uint64(thin_every)).astype(np.int64)


def contract_snapshots(
    events: SubscriptionEvents,
    spans: LiveSpans,
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    clock: Clock,
) -> pd.DataFrame:
    """Describe customers at cutoffs by their live subscriptions, as visible there.

    Parameters
    ----------
    events
        The subscription log.
    spans, cells
        Live spans of subscriptions and the cells to describe.
    clock
        Places rows in periods.

    Returns
    -------
    DataFrame
        One row per (customer, cutoff), sorted: ``mrr`` summed over live subscriptions (minor
        units), ``paused`` when all are, ``plan`` and ``billing_interval`` of the one with the
        largest MRR, ``renews_us`` the first to come, ``activated_us`` the customer's first one.
    """
    span, cutoff = cells
    subscription, customer = spans.entity[span], spans.customer[span]
    seen_from = clock.period_of(events.available_us)
    seen = AsOf.of(events.subscription, seen_from, subscription, cutoff)

    def last(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Newest visible chosen row of the subscription of each cell, or -1."""
        return seen.last(chosen)

    stops = np.isin(events.kind, kind_codes(*STOP_KINDS))

    def value(column: NDArray[np.int64]) -> NDArray[np.int64]:
        """Newest visible value; that of a stop row holds for what has ended."""
        return np.append(column, UNKNOWN)[last((column != UNKNOWN) & ~stops)]

    pause = last(np.isin(events.kind, kind_codes("paused", "resumed", "activated", "reactivated")))
    frame = pd.DataFrame(
        {
            "customer": customer,
            "cutoff": cutoff,
            "subscription": subscription,
            "mrr": np.maximum(value(events.mrr), 0),
            "paused": np.append(events.kind, UNKNOWN)[pause] == kind_codes("paused")[0],
            "plan": value(events.plan),
            "billing_interval": value(events.billing_interval),
            "renews_us": value(events.renews_us),
        }
    ).sort_values(
        ["customer", "cutoff", "mrr", "subscription"], ascending=[True, True, False, True]
    )
    # A term that is over says nothing of the next renewal; UNKNOWN is over as well.
    ahead = frame["renews_us"] > clock.cutoff_us(frame["cutoff"].to_numpy())
    frame["renews_us"] = frame["renews_us"].where(ahead)
    result = frame.groupby(["customer", "cutoff"], sort=True, as_index=False).agg(
        mrr=("mrr", "sum"),
        paused=("paused", "min"),
        plan=("plan", "first"),
        billing_interval=("billing_interval", "first"),
        renews_us=("renews_us", "min"),
    )
    result["renews_us"] = result["renews_us"].astype("Int64")
    result["plan"] = _or_none(events.plans)[result["plan"].to_numpy()]
    intervals = _or_none(events.billing_intervals)
    result["billing_interval"] = intervals[result["billing_interval"].to_numpy()]
    result["activated_us"] = _first_activation(events, result, clock)
    return result


def _or_none(names: NDArray[np.object_]) -> NDArray[np.object_]:
    """Names by position, with None at UNKNOWN, the last position."""
    return np.concatenate([names, np.array([None], dtype=object)])


def _first_activation(
    events: SubscriptionEvents, cells: pd.DataFrame, clock: Clock
) -> NDArray[np.int64]:
    """Oldest visible activation of each cell's customer, microseconds."""
    rows = np.flatnonzero(np.isin(events.kind, kind_codes("activated", "reactivated")))
    # The newest in reversed time is the oldest.
    rows = rows[np.lexsort((-events.event_us[rows], events.customer[rows]))]
    seen_from = clock.period_of(events.available_us[rows])
    customer, cutoff = cells["customer"].to_numpy(), cells["cutoff"].to_numpy()
    found = AsOf.of(events.customer[rows], seen_from, customer, cutoff).last(
        np.ones(rows.size, dtype=bool)
    )
    return taken(events.event_us[rows], found, UNKNOWN)


def later_mrr(
    events: SubscriptionEvents,
    spans: LiveSpans,
    cutoffs: CutoffRange,
    phase: NDArray[np.int64],
    periods: int,
    clock: Clock,
) -> pd.DataFrame:
    """MRR of customers some periods after each cutoff that is looked at, as visible then.

    Parameters
    ----------
    events, spans
        The subscription log and where subscriptions were live.
    cutoffs, phase
        Which cutoffs of which customers are looked at, as in ``snapshot_cells``.
    periods
        How much later; an outcome, to be read by no feature.
    clock
        Places rows in periods.

    Returns
    -------
    DataFrame
        ``customer``, ``cutoff`` (before) and ``mrr_later`` (minor units). Customers without a live
        subscription by then, and cutoffs whose later one lies after ``as_of``, have no row.
    """
    earlier = replace(spans, first=spans.first - periods, past=spans.past - periods)
    span, cutoff = snapshot_cells(earlier, cutoffs, phase)
    later = contract_snapshots(events, spans, (span, cutoff + periods), clock)
    return later[["customer"]].assign(cutoff=later["cutoff"] - periods, mrr_later=later["mrr"])


def usage_snapshots(
    spans: LiveSpans,
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    revenue: NDArray[np.int64],
    signed_up_us: NDArray[np.int64],
) -> pd.DataFrame:
    """Describe customers of a business without contracts; columns as ``contract_snapshots``.

    Parameters
    ----------
    spans, cells
        Live spans of customers and the cells to describe.
    revenue
        MRR of each cell, minor units.
    signed_up_us
        Sign-up of each customer number, microseconds.
    """
    span, cutoff = cells
    customer = spans.customer[span]
    frame = pd.DataFrame(
        {
            "customer": customer,
            "cutoff": cutoff,
            "mrr": revenue,
            "paused": False,
            "plan": None,
            "billing_interval": None,
            "renews_us": pd.array([pd.NA] * len(customer), dtype="Int64"),
            "activated_us": signed_up_us[customer],
        }
    )
    return frame.sort_values(["customer", "cutoff"], ignore_index=True)


def payment_revenue(
    payments: Any,
    customers: NDArray[np.object_],
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    clock: Clock,
    engine: Engine,
) -> NDArray[np.int64]:
    """Monthly revenue of customers at cutoffs, read from what they paid.

    Reads succeeded payments in the window of REVENUE_PERIODS periods that are visible at the
    cutoff; no payment gives 0.

    Parameters
    ----------
    payments
        Clean payments as a lazy Ibis table.
    customers
        Sorted customer ids.
    cells
        Customer number and cutoff number of each cell, shape (n,).
    clock, engine
        Place rows in periods and run the query.

    Returns
    -------
    ndarray
        Minor units a month, shape (n,).
    """
    paid = payments.filter(payments.kind == "succeeded").mutate(
        event_us=engine.microseconds(payments.event_at),
        available_us=engine.microseconds(payments.available_at),
    )
    rows = paid.select("customer_id", "event_us", "available_us", "amount")
    frame = engine.to_arrow(rows).to_pandas()
    customer = customer_numbers(frame["customer_id"], customers)
    amount = frame["amount"].to_numpy(dtype=np.int64)
    enters = clock.period_of(frame["available_us"].to_numpy(dtype=np.int64))
    leaves = clock.period_of(frame["event_us"].to_numpy(dtype=np.int64)) + REVENUE_PERIODS
    leaves = np.maximum(enters, leaves)

    def total_until(moment: NDArray[np.int64]) -> NDArray[np.int64]:
        keys, wanted = packed((customer, moment), cells)
        order = np.argsort(keys, kind="stable")
        sums = np.concatenate([[0], np.cumsum(amount[order])])
        return np.asarray(sums[np.searchsorted(keys[order], wanted, side="right")])

    # Sums over all earlier customers stand in both terms and cancel.
    window_sum = total_until(enters) - total_until(leaves)
    months = REVENUE_PERIODS * clock.period_days / DAYS_PER_MONTH
    return np.rint(window_sum / months).astype(np.int64)


def snapshot_table(
    cells: pd.DataFrame, customers: pd.DataFrame, clock: Clock, as_of: int
) -> pa.Table:
    """Put names to numbers: the snapshots as they are stored, sorted by (customer_id, cutoff).

    Parameters
    ----------
    cells
        Rows of ``contract_snapshots`` or ``usage_snapshots``.
    customers
        The dimension table, sorted by ``customer_id``.
    clock, as_of
        The clock and the newest cutoff number.
    """
    who = customers.iloc[cells["customer"].to_numpy()]
    columns: dict[str, Any] = {
        "customer_id": pa.array(who["customer_id"], pa.string()),
        "cutoff": pa.array(clock.cutoff_us(cells["cutoff"].to_numpy()), pa.int64()).cast(INSTANT),
        "mrr": pa.array(cells["mrr"], pa.int64()),
        "paused": pa.array(cells["paused"], pa.bool_()),
        "plan": pa.array(cells["plan"], pa.string(), from_pandas=True),
        "billing_interval": pa.array(cells["billing_interval"], pa.string(), from_pandas=True),
        "renews_at": pa.array(cells["renews_us"], pa.int64(), from_pandas=True).cast(INSTANT),
        "activated_at": pa.array(cells["activated_us"], pa.int64()).cast(INSTANT),
        "newest": pa.array(cells["cutoff"].to_numpy() == as_of, pa.bool_()),
    }
    for name in ("segment", "country", "channel", "owner"):
        columns[name] = pa.array(who[name], pa.string(), from_pandas=True)
    return pa.table(columns)
