"""When a customer is live: spans as visible at cutoffs, and true lifetimes.

Both apply the same rule. *Visible* spans give the cutoffs at which a customer was eligible, by the
rows visible there; snapshots use them. *True* spells use every row of the log, with churn undone by
a return within ``undo_days``; outcomes use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.asof import NEVER, NOTHING, AsOf, customer_numbers, last_before, stretches
from data.subscriptions import is_kind
from data.visibility import uses, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from data.subscriptions import SubscriptionEvents

STAYED, VOLUNTARY, INVOLUNTARY, ENDED = 0, 1, 2, 3


@dataclass(frozen=True)
class LiveSpans:
    """Ranges of cutoffs at which an entity was live, as visible there.

    Parameters
    ----------
    entity
        Number of the subscription (contract rule) or customer (inactivity rule), shape (n,).
    customer
        Number of the customer, shape (n,).
    first
        First live cutoff number, shape (n,).
    past
        One past the last live cutoff number, shape (n,).
    """

    entity: NDArray[np.int64]
    customer: NDArray[np.int64]
    first: NDArray[np.int64]
    past: NDArray[np.int64]


def contract_spans(events: SubscriptionEvents, clock: Clock, as_of: int) -> LiveSpans:
    """Find the cutoffs at which subscriptions were live (``Subscriptions.live``).

    Each cutoff reads the rows available by then; the last status in event order counts.
    """
    seen_from = clock.period_of(events.available_us)
    subscription, first, past = stretches(events.subscription, seen_from, as_of + 1)
    live = events.at(seen_from, subscription, first).live & (first < past)
    owner = events.customer[np.searchsorted(events.subscription, subscription[live])]
    return LiveSpans(subscription[live], owner, first[live], past[live])


def decided_customers(events: SubscriptionEvents, clock: Clock, as_of: int) -> NDArray[np.int64]:
    """Return the numbers of the customers with a cancellation that is scheduled, not carried out.

    Sorted; by the rows visible at ``as_of``. Some have another live subscription.
    """
    subscription, first = np.unique(events.subscription, return_index=True)
    seen_from = clock.period_of(events.available_us)
    state = events.at(seen_from, subscription, np.full_like(subscription, as_of))
    return np.unique(events.customer[first[state.leaving]])


def last_plans(events: SubscriptionEvents, customers: int) -> NDArray[np.object_]:
    """Return the newest plan of each customer number, shape (customers,); None if unknown."""
    plan = events.rows["plan"]  # on stop rows too: the plan that has ended
    rows = np.flatnonzero(plan != NOTHING)
    rows = rows[np.argsort(events.event_us[rows], kind="stable")]
    plans = np.full(customers, None, dtype=object)
    # The last of several assignments stays.
    plans[events.customer[rows]] = events.plans[plan[rows]]
    return plans


@dataclass(frozen=True)
class UsePeriods:
    """Periods with use: one row per (customer, period of the use, first cutoff that sees it).

    Sorted by (customer, period); all three arrays have shape (n,).
    """

    customer: NDArray[np.int64]
    period: NDArray[np.int64]
    first_visible: NDArray[np.int64]


def read_use_periods(
    usage: Any, customers: NDArray[np.object_], clock: Clock, until_us: int, engine: Engine
) -> UsePeriods:
    """Reduce the usage log to its periods with use, by rows available up to ``until_us``."""
    seen = uses(visible(usage, until_us, engine))
    periods = seen.group_by(
        "customer_id",
        period=clock.period_column(engine.microseconds(seen.event_at)),
        first_visible=clock.period_column(engine.microseconds(seen.available_at)),
    ).agg(rows=seen.count())
    ordered = periods.order_by(["customer_id", "period", "first_visible"])
    frame = engine.to_arrow(ordered).to_pandas()
    return UsePeriods(
        customer_numbers(frame["customer_id"], customers),
        frame["period"].to_numpy(dtype=np.int64),
        frame["first_visible"].to_numpy(dtype=np.int64),
    )


def inactivity_spans(use: UsePeriods, silent_periods: int, as_of: int) -> LiveSpans:
    """Find the cutoffs with fewer than ``silent_periods`` periods since the last visible use."""
    customer, first, past = stretches(use.customer, use.first_visible, as_of + 1)
    seen = AsOf.of(use.customer, use.first_visible, customer, first)
    last = seen.last(np.ones(use.customer.size, dtype=bool))
    past = np.minimum(past, use.period[last] + silent_periods)
    live = first < past
    return LiveSpans(customer[live], customer[live], first[live], past[live])


@dataclass(frozen=True)
class Spells:
    """True lifetimes of customers: ``[start, stop)`` and why they stopped.

    Parameters
    ----------
    customer
        Number of the customer, ascending, shape (n,).
    start_us
        When the customer became live, ascending within a customer, shape (n,).
    stop_us
        When the customer stopped being live; NEVER while still live, shape (n,).
    cause
        VOLUNTARY, INVOLUNTARY, ENDED (a contract that ran out), or STAYED while live, shape (n,).
    """

    customer: NDArray[np.int64]
    start_us: NDArray[np.int64]
    stop_us: NDArray[np.int64]
    cause: NDArray[np.int64]

    def at(self, customer: NDArray[np.int64], instant_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the newest spell started at or before an instant, or -1; it may have stopped."""
        return last_before(self.customer, self.start_us, customer, instant_us)


def contract_spells(
    events: SubscriptionEvents, undo_us: int, contact_us: NDArray[np.int64] | None = None
) -> Spells:
    """Compute lifetimes by the contract rule, from every row given.

    A subscription stops at the first of ``cancel_scheduled``, ``cancelled`` and ``ended``: a
    voluntary churn is dated by the decision. A customer stops when the last live subscription does.
    A return within ``undo_us`` of the stop (a revocation, a reactivation, another subscription)
    undoes it; a later one starts a new spell. So does a return after the customer was contacted
    (``contact_us``, first contact of each customer number): the decision had been made, and
    whether it would have been undone without the contact is not known.
    """
    live = events.after_each().live
    before = events.before(live)
    # A start opens a live span, a stop closes one; repetitions change nothing.
    rows = np.flatnonzero(live != before)
    step = np.where(live[rows], 1, -1)
    # At the same instant starts come before stops: moving to another plan is not churn.
    order = np.lexsort((-step, events.event_us[rows], events.customer[rows]))
    rows, step = rows[order], step[order]
    customer = events.customer[rows]
    total = np.concatenate([[0], np.cumsum(step)])
    before_customer = total[np.searchsorted(customer, customer)]
    stopped = np.where(events.involuntary[rows], INVOLUNTARY, VOLUNTARY)
    cause = np.where(is_kind(events.rows["kind"][rows], "ended"), ENDED, stopped)
    count = total[1:] - before_customer
    return _spells(customer, events.event_us[rows], count, cause, undo_us, contact_us)


def _spells(
    customer: NDArray[np.int64],
    instant: NDArray[np.int64],
    count: NDArray[np.int64],
    cause: NDArray[np.int64],
    undo_us: int,
    contact_us: NDArray[np.int64] | None,
) -> Spells:
    """Turn running counts of live subscriptions into spells, joined over short gaps."""
    previous = np.zeros(len(count), dtype=np.int64)
    same = customer[1:] == customer[:-1]
    previous[1:][same] = count[:-1][same]
    starts = np.flatnonzero((previous == 0) & (count > 0))
    stops = np.flatnonzero((previous > 0) & (count == 0))
    owner, start = customer[starts], instant[starts]
    stop = np.full(len(starts), NEVER)
    stop_cause = np.full(len(starts), STAYED)
    # Starts and stops alternate within a customer; the last start may have no stop.
    matched = np.searchsorted(starts, stops, side="right") - 1
    stop[matched], stop_cause[matched] = instant[stops], cause[stops]
    undone = np.zeros(len(starts), dtype=bool)
    undone[1:] = (owner[1:] == owner[:-1]) & (start[1:] - stop[:-1] <= undo_us)
    if contact_us is not None:
        contact = contact_us[owner[1:]]
        undone[1:] &= ~((stop[:-1] <= contact) & (contact <= start[1:]))
    kept = np.flatnonzero(~undone)
    last = np.append(kept, len(starts))[1:] - 1
    return Spells(owner[kept], start[kept], stop[last], stop_cause[last])


def inactivity_spells(use: UsePeriods, silent_periods: int, as_of: int, clock: Clock) -> Spells:
    """Compute lifetimes by the inactivity rule: n silent periods are churn, dated at their end.

    A spell starts at the end of its first period with use.
    """
    pairs = np.unique(np.stack([use.customer, use.period], axis=1), axis=0)
    customer, period = pairs[:, 0], pairs[:, 1]
    new = np.ones(len(customer), dtype=bool)
    same = customer[1:] == customer[:-1]
    new[1:] = ~same | (period[1:] - period[:-1] > silent_periods)
    starts = np.flatnonzero(new)
    finals = np.append(starts, len(customer))[1:] - 1
    completion = period[finals] + silent_periods
    silent = completion <= as_of
    return Spells(
        customer[starts],
        clock.cutoff_us(period[starts]),
        np.where(silent, clock.cutoff_us(completion), NEVER),
        np.where(silent, VOLUNTARY, STAYED),
    )
