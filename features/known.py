"""What is known of a block of customers at their cutoffs: the only input of a feature function.

It offers no way to read a row that is not visible at the cutoff, so no feature can leak one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.asof import NOTHING, Parts, packed
from data.clock import MICROSECONDS_PER_DAY
from features.roll import Rolled, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from data.asof import Flags, Integers
    from data.clock import Clock
    from features.declare import Numbers
    from features.feature_settings import FeatureSettings

Result = TypeVar("Result")


class Known:
    """The snapshots of a block of customers, and the logs as each of them sees them.

    Parameters
    ----------
    keys
        One row per cell, sorted by customer and cutoff: ``customer_id``, ``customer`` (number of
        the customer from 0, without gaps), ``cutoff_us`` and ``signed_up_us`` (``NOTHING`` where
        unknown).
    periods
        Periods table of each log: rows of these customers sorted by ``measures.KEY``, with
        ``customer`` in place of ``customer_id``.
    events
        Event table of each log, likewise, sorted by ``measures.EVENT_ORDER``.
    log_start
        First period of each log in which a row of any customer was visible.
    settings, clock
        Windows and core features; the rule for time.
    """

    def __init__(
        self,
        keys: pa.Table,
        periods: Mapping[str, pa.Table],
        events: Mapping[str, pa.Table],
        log_start: Mapping[str, int],
        settings: FeatureSettings,
        clock: Clock,
    ) -> None:
        self.settings, self.clock = settings, clock
        self.customer_id = keys["customer_id"]
        self.cell_customer = integers(keys["customer"])
        self.customers = int(self.cell_customer.max(initial=-1)) + 1
        self.cutoff_us = integers(keys["cutoff_us"])
        self.cutoff: Integers = np.asarray(clock.period_of(self.cutoff_us), dtype=np.int64)
        self.signed_up_us = integers(keys["signed_up_us"])
        self._periods, self._events, self._log_start = periods, events, log_start
        self._results: dict[Any, Any] = {}

    @property
    def cells(self) -> int:
        """Number of snapshots."""
        return self.cutoff.size

    def cached(self, function: Callable[[Known], Result]) -> Result:
        """Return the function's result for this block; computed at the first call only."""
        return self._cached(function, lambda: function(self))

    def periods(self, log: str) -> Rolled:
        """Periods table of a log, grouped by customer; cells are the snapshots."""
        return self._cached(("periods", log), lambda: self._by_customer(self._periods[log]))

    def events_by_customer(self, log: str) -> Rolled:
        """Event rows of a log, grouped by customer and in event order; cells are the snapshots."""
        return self._cached(("customer", log), lambda: self._by_customer(self._events[log]))

    def events_by_entity(self, log: str) -> Entities:
        """Event rows of a log, grouped by entity: its tickets, invoices or subscriptions."""
        return self._cached(("entity", log), lambda: self._by_entity(self._events[log]))

    def observed(self, log: str, window: int) -> Integers:
        """Count the periods of a window in which both customer and log existed, at least 1.

        The period of sign-up counts. Shape (cells,).
        """
        start = np.full(self.cells, self._log_start[log])
        dated = self.signed_up_us != NOTHING
        signed_up = self.clock.period_of(self.signed_up_us[dated])
        start[dated] = np.maximum(start[dated], signed_up)
        return np.asarray(np.clip(self.cutoff - start + 1, 1, window), dtype=np.int64)

    def joined_under_watch(self, log: str) -> Flags:
        """Whether the log had already begun when the customer signed up; shape (cells,)."""
        start = self._log_start[log]
        comparable = (self.signed_up_us != NOTHING) & (self.cutoff >= start)
        signed_up_us = np.where(comparable, self.signed_up_us, self.cutoff_us)
        period: Integers = self.clock.period_of(signed_up_us)
        return np.asarray(comparable & (period >= start), dtype=np.bool_)

    def days_since(self, instant_us: Integers) -> Numbers:
        """Days from instants (shape (cells,)) to the cutoff; NaN where ``NOTHING``."""
        days = (self.cutoff_us - instant_us) / MICROSECONDS_PER_DAY
        days[instant_us == NOTHING] = np.nan
        return days

    def days_until(self, instant_us: Integers) -> Numbers:
        """Days from the cutoff to instants; NaN where ``NOTHING``."""
        return 0.0 - self.days_since(instant_us)  # never -0.0

    def _cached(self, key: Any, compute: Callable[[], Result]) -> Result:
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result

    def _by_customer(self, table: pa.Table) -> Rolled:
        customer = integers(table["customer"])
        return _roll(table, customer, slice(None), self.cell_customer, self.cutoff)

    def _by_entity(self, table: pa.Table) -> Entities:
        customer = integers(table["customer"])
        return Entities(table, customer, self.cell_customer, self.cutoff)


class Entities(Parts):
    """Tickets, invoices or subscriptions, each paired with the cutoffs at which it is known.

    Parameters
    ----------
    table
        Event rows sorted by (customer, event).
    customer
        Shape (rows,): customer numbers.
    cell_customer, cell_cutoff
        Shape (cells,): the snapshots, sorted by both.

    Attributes
    ----------
    rows
        Rows grouped by entity and in event order; its cells are the pairs (entity, snapshot).
    cell
        Shape (pairs,): number of the snapshot of each pair.
    """

    def __init__(
        self,
        table: pa.Table,
        customer: Integers,
        cell_customer: Integers,
        cell_cutoff: Integers,
    ) -> None:
        entity = _ranks(table["entity"])
        (entity_key,) = packed((customer, entity))
        entities, group = np.unique(entity_key, return_inverse=True)
        order = np.argsort(group, kind="stable")
        group = group[order].astype(np.int64)
        starts = np.searchsorted(group, np.arange(entities.size))
        visible = integers(table["visible_period"])[order]
        first_seen = np.minimum.reduceat(visible, starts) if entities.size else visible
        # An entity is paired with a range of its customer's cells: from the first that sees it on.
        owner = customer[order][starts]
        cell_key, first_key = packed((cell_customer, cell_cutoff), (owner, first_seen))
        first = np.searchsorted(cell_key, first_key, side="left")
        stop = np.searchsorted(cell_customer, owner, side="right")
        cell, pair_group = spread(first, stop)
        super().__init__(cell, cell_cutoff.size)
        self.rows = _roll(table, group, order, pair_group, cell_cutoff[cell])

    @property
    def pairs(self) -> int:
        """Number of pairs (entity, snapshot)."""
        return self.cell.size


def _roll(
    table: pa.Table, group: Integers, order: Any, cell_group: Integers, cell_cutoff: Integers
) -> Rolled:
    columns = {
        name: integers(table[name])[order]
        for name in table.column_names
        if name != "customer" and pa.types.is_integer(table.schema.field(name).type)
    }
    return Rolled(
        group,
        columns.pop("event_period"),
        columns.pop("visible_period"),
        columns,
        cell_group,
        cell_cutoff,
    )


def _ranks(texts: pa.ChunkedArray) -> Integers:
    """Return the rank of each text among the distinct texts, in byte order."""
    distinct = pc.unique(texts)
    return integers(pc.index_in(texts, value_set=distinct.take(pc.sort_indices(distinct))))


def integers(column: Any) -> Integers:
    """Turn an Arrow column into int64, ``NOTHING`` for nulls."""
    filled = pc.fill_null(column.cast(pa.int64()), NOTHING) if column.null_count else column
    return np.asarray(filled.to_numpy(), dtype=np.int64)
