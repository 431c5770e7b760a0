"""What is known of a block of customers at their cutoffs: the only input of a feature function.

Nothing in here, and so no feature, can be asked for a row that is not visible at its cutoff.
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

State = TypeVar("State")


class Known:
    """The snapshots of a block of customers, and the logs as each of them sees them.

    Parameters
    ----------
    keys
        One row a cell: ``customer_id``, ``customer`` (its place in order, each has a cell),
        ``cutoff_us`` and ``signed_up_us`` (``NOTHING`` where unknown), sorted by customer and
        cutoff.
    periods
        Log to its periods table, rows of these customers sorted by ``measures.KEY``; in place of
        ``customer_id`` stands ``customer``.
    events
        Log to its event table, likewise, sorted by ``measures.EVENT_ORDER``.
    log_start
        Log to the first period in which any of its rows was visible, to any customer.
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
        self._memo: dict[Any, Any] = {}

    @property
    def cells(self) -> int:
        """Number of snapshots."""
        return self.cutoff.size

    def once(self, state: Callable[[Known], State]) -> State:
        """Return what a function makes of this block, computed at the first call only."""
        if state not in self._memo:
            self._memo[state] = state(self)
        result: State = self._memo[state]
        return result

    def log(self, name: str) -> Rolled:
        """Periods table of a log by customer; cells are the snapshots."""
        key = ("log", name)
        if key not in self._memo:
            self._memo[key] = self._rolled(self._periods[name])
        rolled: Rolled = self._memo[key]
        return rolled

    def history(self, name: str) -> Rolled:
        """Event rows of a log by customer in the order of events; cells are the snapshots."""
        key = ("history", name)
        if key not in self._memo:
            self._memo[key] = self._rolled(self._events[name])
        rolled: Rolled = self._memo[key]
        return rolled

    def entities(self, name: str) -> Entities:
        """Event rows of a log by entity: its tickets, invoices or subscriptions."""
        key = ("entities", name)
        if key not in self._memo:
            table = self._events[name]
            customer = integers(table["customer"])
            self._memo[key] = Entities(table, customer, self.cell_customer, self.cutoff)
        entities: Entities = self._memo[key]
        return entities

    def observed(self, log: str, window: int) -> Integers:
        """Periods of a window that the customer and the log have existed for, at least 1.

        The period of sign-up counts. Shape (cells,).
        """
        start = np.full(self.cells, self._log_start[log])
        joined = self.signed_up_us != NOTHING
        signed_up = self.clock.period_of(self.signed_up_us[joined])
        start[joined] = np.maximum(start[joined], signed_up)
        return np.asarray(np.clip(self.cutoff - start + 1, 1, window), dtype=np.int64)

    def joined_under_watch(self, log: str) -> Flags:
        """Whether the log was there already when the customer signed up."""
        there = (self.signed_up_us != NOTHING) & (self.cutoff >= self._log_start[log])
        period: Integers = self.clock.period_of(np.where(there, self.signed_up_us, self.cutoff_us))
        return np.asarray(there & (period >= self._log_start[log]), dtype=np.bool_)

    def days_since(self, instant_us: Integers) -> Numbers:
        """Days from instants (shape (cells,)) to the cutoff; NaN where ``NOTHING``."""
        days = (self.cutoff_us - instant_us) / MICROSECONDS_PER_DAY
        days[instant_us == NOTHING] = np.nan
        return days

    def days_until(self, instant_us: Integers) -> Numbers:
        """Days from the cutoff to instants; NaN where ``NOTHING``."""
        return 0.0 - self.days_since(instant_us)  # never -0.0

    def _rolled(self, table: pa.Table) -> Rolled:
        customer = integers(table["customer"])
        return _roll(table, customer, slice(None), self.cell_customer, self.cutoff)


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
        The rows by entity in the order of events; its cells are the pairs (entity, snapshot).
    cell
        Shape (pairs,): the snapshot of each pair.
    """

    def __init__(
        self,
        table: pa.Table,
        customer: Integers,
        cell_customer: Integers,
        cell_cutoff: Integers,
    ) -> None:
        entity = _ranks(table["entity"])
        (named,) = packed((customer, entity))
        both, group = np.unique(named, return_inverse=True)
        order = np.argsort(group, kind="stable")
        group = group[order].astype(np.int64)
        starts = np.searchsorted(group, np.arange(both.size))
        visible = integers(table["visible_period"])[order]
        first_seen = np.minimum.reduceat(visible, starts) if both.size else visible
        # The pairs of an entity are a stretch of cells: from the first that sees it.
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
    """Rank of each text among the distinct ones, in the order of their bytes."""
    codes = pc.unique(texts)
    return integers(pc.index_in(texts, value_set=codes.take(pc.sort_indices(codes))))


def integers(column: Any) -> Integers:
    """Turn an Arrow column into int64, ``NOTHING`` for nulls."""
    filled = pc.fill_null(column.cast(pa.int64()), NOTHING) if column.null_count else column
    return np.asarray(filled.to_numpy(), dtype=np.int64)
