"""Snapshots: customers observed at cutoffs, described as visible there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.asof import NOTHING, AsOf, Parts, customer_numbers, packed, taken
from data.contracts import INSTANT
from data.hashing import stable_hash
from data.subscriptions import ACTIVATIONS, Accounts, is_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.cutoffs import CutoffRange
    from data.engine import Engine
    from data.lifetimes import LiveSpans
    from data.subscriptions import SubscriptionEvents

DAYS_PER_MONTH = 365.25 / 12
# Without a contract, revenue is read from the payments of this many periods.
REVENUE_PERIODS = 13


def snapshot_cells(
    spans: LiveSpans, cutoffs: CutoffRange, phase: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Expand live spans to the (span, cutoff number) cells that are observed.

    Parameters
    ----------
    spans
        Cutoffs at which entities are live.
    cutoffs
        Cutoffs that are observed: of every customer at ``as_of``, one in ``thin_every`` before.
    phase
        Phase of each customer number, in ``[0, thin_every)``.

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
    """Return a phase in ``[0, thin_every)`` for each customer, by hash: equal in every run."""
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
        units), ``paused`` if all are, ``plan`` and ``billing_interval`` of the one with the
        largest MRR, ``renews_us`` the next renewal (one at the cutoff included),
        ``activated_us`` the customer's first activation.
    """
    keys, account = _accounts(events, spans, cells, clock)
    renews_us = account.renews_us
    return keys.assign(
        mrr=account.mrr,
        paused=account.paused,
        plan=_named(account.of_main(account.state.known("plan")), events.plans),
        billing_interval=_named(account.of_main(account.state.known("interval")), events.intervals),
        renews_us=pd.array(renews_us, dtype="Int64"),
        activated_us=_first_activation(events, keys, clock),
    ).assign(renews_us=lambda frame: frame["renews_us"].where(renews_us != NOTHING))


def _accounts(
    events: SubscriptionEvents,
    spans: LiveSpans,
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    clock: Clock,
) -> tuple[pd.DataFrame, Accounts]:
    """Return the distinct customers and cutoffs of cells, sorted, and the accounts there."""
    span, cutoff = cells
    order = np.lexsort((spans.entity[span], cutoff, spans.customer[span]))
    span, cutoff = span[order], cutoff[order]
    keys = pd.DataFrame({"customer": spans.customer[span], "cutoff": cutoff})
    new = ~keys.duplicated().to_numpy(dtype=bool)
    parts = Parts(np.cumsum(new) - 1, int(new.sum()))
    state = events.at(clock.period_of(events.available_us), spans.entity[span], cutoff)
    return keys[new].reset_index(drop=True), Accounts(state, parts, clock.cutoff_us(cutoff))


def _named(code: NDArray[np.int64], names: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return names by position, None for a negative one."""
    return taken(names, np.maximum(code, -1), None)


def _first_activation(
    events: SubscriptionEvents, cells: pd.DataFrame, clock: Clock
) -> NDArray[np.int64]:
    """Find the oldest visible activation of each cell's customer, microseconds."""
    rows = np.flatnonzero(is_kind(events.rows["kind"], *ACTIVATIONS))
    # With time reversed, the last row is the oldest.
    rows = rows[np.lexsort((-events.event_us[rows], events.customer[rows]))]
    seen_from = clock.period_of(events.available_us[rows])
    customer, cutoff = cells["customer"].to_numpy(), cells["cutoff"].to_numpy()
    seen = AsOf.of(events.customer[rows], seen_from, customer, cutoff)
    return taken(events.event_us[rows], seen.last(np.ones(rows.size, dtype=bool)))


def later_mrr(
    events: SubscriptionEvents,
    spans: LiveSpans,
    cutoffs: CutoffRange,
    phase: NDArray[np.int64],
    periods: int,
    clock: Clock,
) -> pd.DataFrame:
    """Compute the MRR of customers ``periods`` after each observed cutoff, as visible then.

    Parameters
    ----------
    events, spans
        The subscription log, and the cutoffs at which subscriptions were live.
    cutoffs, phase
        Cutoffs at which customers are observed, as in ``snapshot_cells``.
    periods
        How much later. The result is an outcome: no feature may read it.
    clock
        Places rows in periods.

    Returns
    -------
    DataFrame
        ``customer``, ``cutoff`` (the observed one) and ``mrr_later`` (minor units). There is no row
        for customers without a live subscription by then, nor if the later cutoff is after
        ``as_of``.
    """
    earlier = replace(spans, first=spans.first - periods, past=spans.past - periods)
    span, cutoff = snapshot_cells(earlier, cutoffs, phase)
    later, account = _accounts(events, spans, (span, cutoff + periods), clock)
    return later.assign(cutoff=later["cutoff"] - periods, mrr_later=account.mrr)


def usage_snapshots(
    spans: LiveSpans,
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    revenue: NDArray[np.int64],
    signed_up_us: NDArray[np.int64],
) -> pd.DataFrame:
    """Describe customers of a business without contracts; columns of ``contract_snapshots``.

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
    """Compute the monthly revenue of customers at cutoffs from their payments.

    Reads the succeeded payments in the ``REVENUE_PERIODS`` periods up to the cutoff that are
    visible there; 0 if there are none.

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
        Minor units per month, shape (n,).
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

    # Both terms include the sums of all earlier customers, which cancel.
    window_sum = total_until(enters) - total_until(leaves)
    months = REVENUE_PERIODS * clock.period_days / DAYS_PER_MONTH
    return np.rint(window_sum / months).astype(np.int64)


def snapshot_table(
    cells: pd.DataFrame, customers: pd.DataFrame, clock: Clock, as_of: int
) -> pa.Table:
    """Build the snapshots as they are stored, sorted by (customer_id, cutoff).

    Customer numbers become ids. The cutoff is stored as an instant (``cutoff``) and as its number
    (``cutoff_number``).

    Parameters
    ----------
    cells
        Rows of ``contract_snapshots`` or ``usage_snapshots``.
    customers
        The dimension table, sorted by ``customer_id``.
    clock, as_of
        The clock and the newest cutoff number.
    """
    attributes = customers.iloc[cells["customer"].to_numpy()]
    columns: dict[str, Any] = {
        "customer_id": pa.array(attributes["customer_id"], pa.string()),
        "cutoff": pa.array(clock.cutoff_us(cells["cutoff"].to_numpy()), pa.int64()).cast(INSTANT),
        "cutoff_number": pa.array(cells["cutoff"].to_numpy(), pa.int64()),
        "mrr": pa.array(cells["mrr"], pa.int64()),
        "paused": pa.array(cells["paused"], pa.bool_()),
        "plan": pa.array(cells["plan"], pa.string(), from_pandas=True),
        "billing_interval": pa.array(cells["billing_interval"], pa.string(), from_pandas=True),
        "renews_at": pa.array(cells["renews_us"], pa.int64(), from_pandas=True).cast(INSTANT),
        "activated_at": pa.array(cells["activated_us"], pa.int64()).cast(INSTANT),
        "newest": pa.array(cells["cutoff"].to_numpy() == as_of, pa.bool_()),
    }
    for name in ("segment", "country", "channel", "owner"):
        columns[name] = pa.array(attributes[name], pa.string(), from_pandas=True)
    return pa.table(columns)
