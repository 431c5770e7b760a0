"""State of subscriptions as of any instant: live, MRR, plan, renewal, paused.

The only module that knows which kinds of the subscription log make a subscription live. Snapshots
use it at cutoffs, features at cutoffs and earlier ones, lifetimes and the overview after every
event, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.asof import NOTHING, AsOf, customer_numbers, taken
from data.visibility import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from data.asof import Flags, Integers, Parts
    from data.engine import Engine

ACTIVATIONS = ("activated", "reactivated")
# After one of these kinds a subscription is live, after a stop it is not. A trial is not
# yet a subscription; the other kinds change the terms, not whether it is live.
LIVE_KINDS = (*ACTIVATIONS, "cancel_revoked")
STOP_KINDS = ("cancel_scheduled", "cancelled", "ended")
# Of events at the same instant, the one that sets the final state comes last: a customer who signs
# up and cancels on the same day has left; one who cancels and comes back has not.
KINDS = (
    "trial_started", "renewed", "plan_changed", "interval_changed", "price_changed",
    "paused", "resumed", "activated", *STOP_KINDS, "reactivated", "cancel_revoked",
)  # fmt: skip


def is_kind(kind: Integers, *kinds: str) -> Flags:
    """Return whether each row, by its position in ``KINDS``, is of one of the given kinds."""
    return np.asarray(np.isin(kind, [KINDS.index(name) for name in kinds]), dtype=np.bool_)


class Subscriptions:
    """State of a subscription in each cell, by the rows that the cell sees.

    The last row in event order counts. Money, plan and terms on a stop row describe what has ended
    and are ignored.

    Parameters
    ----------
    rows
        Columns of the log, each int64 of shape (rows,), in (subscription, event) order: ``kind`` (a
        position in ``KINDS``), ``mrr`` (minor units) and any others; ``NOTHING`` where not given.
    seen
        The rows as the cells see them; groups are subscriptions.
    """

    def __init__(self, rows: Mapping[str, Integers], seen: AsOf) -> None:
        self.rows, self.seen = rows, seen

    def is_kind(self, *kinds: str) -> Flags:
        """Return whether each row is of one of the given kinds; shape (rows,)."""
        return is_kind(self.rows["kind"], *kinds)

    def given(self, name: str) -> Integers:
        """Return the values of a column, ``NOTHING`` also on stop rows; shape (rows,)."""
        return np.where(self._stops, NOTHING, self.rows[name])

    def known(self, name: str) -> Integers:
        """Return the last value given; ``NOTHING`` if there is none. Shape (cells,)."""
        is_given = ~self._stops & (self.rows[name] != NOTHING)
        return taken(self.rows[name], self.seen.last(is_given))

    def planned(self, name: str, at_us: Integers) -> Integers:
        """Return the last instant given if it is at or after ``at_us`` (cells,), else ``NOTHING``.

        What is planned for that very instant is still ahead.
        """
        instant = self.known(name)
        return np.where(instant >= at_us, instant, NOTHING)

    @cached_property
    def live(self) -> Flags:
        """Activated, and neither ended, cancelled nor scheduled to be; shape (cells,).

        A revocation counts only once an activation is visible.
        """
        activation = self.seen.last(self.is_kind(*ACTIVATIONS))
        starts = self.is_kind(*LIVE_KINDS)
        return taken(starts, self._status, empty=False) & (activation >= 0)

    @cached_property
    def leaving(self) -> Flags:
        """Scheduled to be cancelled, and not yet cancelled; shape (cells,)."""
        return taken(self.is_kind("cancel_scheduled"), self._status, empty=False)

    @cached_property
    def mrr(self) -> Integers:
        """Monthly recurring revenue last given, minor units; 0 if there is none. Shape (cells,)."""
        return np.maximum(self.known("mrr"), 0)

    @cached_property
    def paused(self) -> Flags:
        """Paused, and not resumed or activated again since; shape (cells,)."""
        last = self.seen.last(self.is_kind("paused", "resumed", *ACTIVATIONS))
        return taken(self.is_kind("paused"), last, empty=False)

    @cached_property
    def _stops(self) -> Flags:
        return self.is_kind(*STOP_KINDS)

    @cached_property
    def _status(self) -> Integers:
        return self.seen.last(self.is_kind(*LIVE_KINDS) | self._stops)


class Accounts:
    """Customers by their live subscriptions; arrays of shape (accounts,).

    Plan and interval are those of the main subscription: the live one with the largest MRR, of
    ties the first by its id.

    Parameters
    ----------
    state
        The subscriptions.
    parts
        Account of each cell of ``state``; cells are in the order of subscriptions.
    at_us
        Instant of each cell of ``state``, microseconds.
    """

    def __init__(self, state: Subscriptions, parts: Parts, at_us: Integers) -> None:
        self.state, self.parts, self._at_us = state, parts, at_us

    @cached_property
    def live(self) -> Integers:
        """Count the live subscriptions."""
        return self.parts.count(self.state.live).astype(np.int64)

    @cached_property
    def main(self) -> Integers:
        """Cell of ``state`` that is the main subscription; -1 if none is live."""
        return self.parts.main(self.state.mrr, self.state.live)

    @cached_property
    def mrr(self) -> Integers:
        """Monthly recurring revenue, minor units."""
        return self.parts.total(self.state.mrr, self.state.live).astype(np.int64)

    @cached_property
    def paused(self) -> Flags:
        """Whether all live subscriptions are paused; False if none is live."""
        running = self.parts.count(self.state.live & ~self.state.paused)
        return np.asarray((running == 0) & (self.live > 0), dtype=np.bool_)

    @cached_property
    def renews_us(self) -> Integers:
        """Next renewal of any live subscription, microseconds; ``NOTHING`` if there is none."""
        renews = self.state.planned("renews_us", self._at_us)
        return self.parts.smallest(renews, self.state.live & (renews != NOTHING))

    def of_main(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the main subscription's value, given those of all cells, or ``NOTHING``."""
        return taken(values, self.main)


@dataclass(frozen=True)
class SubscriptionEvents:
    """The subscription log as integer arrays of shape (n,), in (subscription, event) order.

    Parameters
    ----------
    customer
        Number of the customer, ascending: position in the sorted customer ids.
    subscription
        Number of the subscription, ascending.
    event_us, available_us
        When the event happened and when it could first be known, microseconds.
    involuntary
        Whether the row names an involuntary cause.
    rows
        ``kind`` (position in ``KINDS``), ``mrr`` (minor units), ``renews_us`` (microseconds),
        ``plan`` and ``interval`` (positions in ``plans`` and ``intervals``); ``NOTHING`` where not
        given.
    plans, intervals
        Names, sorted.
    """

    customer: Integers
    subscription: Integers
    event_us: Integers
    available_us: Integers
    involuntary: Flags
    rows: Mapping[str, Integers]
    plans: NDArray[np.object_]
    intervals: NDArray[np.object_]

    def at(self, seen_from: Integers, subscription: Integers, instant: Integers) -> Subscriptions:
        """Return the state of subscriptions at instants, of the same kind as ``seen_from``."""
        return Subscriptions(
            self.rows, AsOf.of(self.subscription, seen_from, subscription, instant)
        )

    def after_each(self) -> Subscriptions:
        """Return the state of its subscription after each row, whenever the row became known."""
        position = np.arange(self.subscription.size)
        return self.at(position, self.subscription, position)

    def before(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the previous row's value in the same subscription, 0 at its first; shape (n,)."""
        result = np.zeros_like(values)
        same = self.subscription[1:] == self.subscription[:-1]
        result[1:][same] = values[:-1][same]
        return result


def read_subscriptions(
    log: Any, customers: NDArray[np.object_], until_us: int, engine: Engine
) -> SubscriptionEvents:
    """Read the subscription log, sorted, as arrays.

    Parameters
    ----------
    log
        Clean subscriptions as a lazy Ibis table.
    customers
        Sorted ids of all customers.
    until_us
        Rows that became available after this instant are not read.
    engine
        Runs the query.
    """
    log = visible(log, until_us, engine)
    log = log.mutate(
        event_us=engine.microseconds(log.event_at),
        available_us=engine.microseconds(log.available_at),
        kind=log.kind.cases(*((kind, code) for code, kind in enumerate(KINDS)), else_=NOTHING),
        involuntary=log.cause.fill_null("") == "involuntary",
        mrr=log.mrr.fill_null(NOTHING),
        renews_us=engine.microseconds(log.renews_at).fill_null(NOTHING),
    )
    order = ["customer_id", "subscription_id", "event_us", "kind", "event_id"]
    chosen = [*order, "available_us", "involuntary", "mrr", "renews_us", "plan", "billing_interval"]
    frame = engine.to_arrow(log.select(chosen).order_by(order)).to_pandas()
    customer, subscription = frame["customer_id"], frame["subscription_id"]
    new = (customer != customer.shift()) | (subscription != subscription.shift())
    plan, plans = pd.factorize(frame["plan"], sort=True)
    interval, intervals = pd.factorize(frame["billing_interval"], sort=True)
    rows = {name: frame[name].to_numpy(dtype=np.int64) for name in ("kind", "mrr", "renews_us")}
    for name, code in (("plan", plan), ("interval", interval)):
        rows[name] = np.where(code < 0, NOTHING, code).astype(np.int64)
    return SubscriptionEvents(
        customer=customer_numbers(customer, customers),
        subscription=np.cumsum(new.to_numpy(dtype=np.int64)) - 1,
        event_us=frame["event_us"].to_numpy(dtype=np.int64),
        available_us=frame["available_us"].to_numpy(dtype=np.int64),
        involuntary=frame["involuntary"].to_numpy(dtype=bool),
        rows=rows,
        plans=np.asarray(plans, dtype=object),
        intervals=np.asarray(intervals, dtype=object),
    )
