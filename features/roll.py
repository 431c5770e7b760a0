"""Roll: windows over periods in NumPy, exact in int64, at a cost linear in rows and output cells.

A row is placed in period ``event`` and first visible at cutoff ``visible >= event``. It counts in
the window of w periods at cutoff k, ``(k - w, k]``, if ``k - w < event`` and ``visible <= k``: at
the cutoffs ``[visible, event + w)``. The algorithm treats two kinds of rows separately:

- On-time rows (``visible == event``) that count at a cell are contiguous: the range of rows between
  two keys (group, period). A sum is the difference of two prefix sums; a maximum or a bitwise or
  comes from a sparse table, as two overlapping runs of ``2**l`` rows cover any range.
- Late rows (``visible > event``) are scattered among them, but the cells at which one counts are
  contiguous. It is added at each of its cells if these are few in all; else sums use a difference
  array: the value is added at its first cell and subtracted after the last.

Only the cells asked for are evaluated, never all cutoffs. ``_Split`` separates the two kinds of
rows once for all windows, and ``_CountUpTo`` finds the ends of ranges in it. ``_Window`` holds the
rows and cells of one window, and ``_RowRanges`` its places in a sparse table, once for all columns.
``_SparseTable`` holds one column, once for all windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING, AsOf, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from data.asof import Flags, Integers

# Up to this many possible keys per row, a table of counts is faster than a binary search.
DENSE = 8


class Rolled:
    """Rows of groups (customers, tickets, invoices, ...), rolled up at cells (group, cutoff).

    Parameters
    ----------
    group, event, visible
        Shape (rows,): group number, event period and period first visible, with
        ``visible >= event``. Rows are sorted by group and within a group by event period; for
        ``last``, in event order.
    columns
        int64 arrays of shape (rows,) by name.
    cell_group, cell_cutoff
        Shape (cells,): the group and the cutoff number of each cell, sorted by both.
    """

    def __init__(
        self,
        group: Integers,
        event: Integers,
        visible: Integers,
        columns: Mapping[str, Integers],
        cell_group: Integers,
        cell_cutoff: Integers,
    ) -> None:
        self.group, self.event, self.visible = group, event, visible
        self.columns = dict(columns)
        self.cell_group, self.cell_cutoff = cell_group, cell_cutoff
        newest = int(cell_cutoff.max(initial=0))
        self._base = min(int(event.min(initial=newest)), int(cell_cutoff.min(initial=newest))) - 1
        # Keys per group, one per period; all periods after the newest cutoff share the last key.
        self._stride = newest - self._base + 2
        self._cell_key = self._key(cell_group, cell_cutoff)
        self._span = (int(max(group.max(initial=0), cell_group.max(initial=0))) + 1) * self._stride
        # Row ranges are computed once per window, and tables of values once per column.
        self._as_of: dict[int, AsOf] = {}
        self._splits: dict[int, _Split] = {}
        self._windows: dict[tuple[int, int | None], _Window] = {}
        self._prefixes: dict[str, tuple[Integers, Integers]] = {}
        self._sparse_tables: dict[tuple[np.ufunc, str, int], _SparseTable] = {}

    def __getitem__(self, name: str) -> Integers:
        """Return the column of that name, shape (rows,)."""
        return self.columns[name]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.cell_group.size

    def sum(self, values: str | Integers, window: int | None = None) -> Integers:
        """Sum over the rows visible at the cutoff and placed in its window.

        Parameters
        ----------
        values
            Name of a column, or an int64 array of shape (rows,).
        window
            Periods: reads ``(cutoff - window, cutoff]``; None reads all that is visible.

        Returns
        -------
        Shape (cells,), int64; 0 where no row counts.
        """
        counted, (prefix, up_to_cutoff) = self._window(0, window), self._prefix(values)
        result = prefix.take(counted.on_time.first)
        np.subtract(up_to_cutoff, result, out=result)
        late = self._column(values)[self._split(0).late]
        if counted.late_cells <= self.cells:
            cells, rows = counted.late
            np.add.at(result, cells, late[rows])
        else:
            changes = np.zeros(self.cells + 1, dtype=np.int64)
            np.add.at(changes, counted.joins, late)
            np.subtract.at(changes, counted.leaves, late)
            result += np.cumsum(changes[:-1])
        return result

    def max(self, values: str | Integers, window: int | None = None) -> Integers:
        """Return the largest value of the rows that ``sum`` adds; ``NOTHING`` if none counts."""
        return self._fold(np.maximum, values, window, 0, NOTHING)

    def bits(self, values: str | Integers, window: int | None = None, ago: int = 0) -> Integers:
        """Return the bitwise or of masks over the rows that ``sum`` adds; 0 if none counts.

        With ``ago`` it reads ``(cutoff - ago - window, cutoff - ago]``, as known at the cutoff.
        """
        return self._fold(np.bitwise_or, values, window, ago, 0)

    def last(self, where: Flags, ago: int = 0) -> Integers:
        """Return the last row in event order among the marked rows that are visible.

        An older event that becomes visible late never replaces a newer event.

        Parameters
        ----------
        where
            Shape (rows,): rows that may be chosen.
        ago
            Periods: reads events up to ``cutoff - ago``, as known at the cutoff.

        Returns
        -------
        Shape (cells,), int64: row numbers, -1 where there is none.
        """
        return self.as_of(ago).last(where)

    def at(self, rows: Integers, values: str | Integers, empty: int = NOTHING) -> Integers:
        """Return the value of each cell's row (a result of ``last``), ``empty`` where it is -1."""
        return taken(self._column(values), rows, empty)

    def known(self, name: str, where: Flags | None = None, ago: int = 0) -> Integers:
        """Return the last value of a column other than ``NOTHING``; ``NOTHING`` if none is."""
        present = self.columns[name] != NOTHING
        return self.at(self.last(present if where is None else present & where, ago), name)

    def gains(
        self, values: str | Integers, fold: np.ufunc, size: Callable[[Integers], Integers]
    ) -> Integers:
        """Return what each row adds to a quantity that does not add up over rows of one period.

        With late rows a period has several rows, and the distinct days of all are fewer than the
        sum of the distinct days of each. The gain of a row is what it adds to ``size`` of the
        running ``fold`` over its (group, period), in the order in which rows become visible.

        Parameters
        ----------
        values
            Column or array; rows sorted by (group, event, visible).
        fold
            ``np.add``, ``np.maximum`` or ``np.bitwise_or``.
        size
            The quantity to sum over periods, e.g. the number of bits set; 0 at 0.

        Returns
        -------
        Shape (rows,), int64.
        """
        running = self._column(values).copy()
        if not running.size:
            return running
        new = np.ones(running.size, dtype=bool)
        new[1:] = (self.group[1:] != self.group[:-1]) | (self.event[1:] != self.event[:-1])
        starts = np.flatnonzero(new)
        place = np.arange(running.size) - starts[np.cumsum(new) - 1]
        for step in range(1, int(place.max()) + 1):
            rows = np.flatnonzero(place == step)
            running[rows] = fold(running[rows - 1], running[rows])
        total = size(running).astype(np.int64)
        before = np.concatenate(([0], total[:-1]))
        return total - np.where(new, 0, before)

    def as_of(self, ago: int = 0) -> AsOf:
        """Return the rows visible from each cell, of events up to ``cutoff - ago`` periods."""
        if ago not in self._as_of:
            key = self._key(self.group, np.maximum(self.visible, self.event + ago))
            self._as_of[ago] = AsOf(key, self._cell_key, self._first)
        return self._as_of[ago]

    @cached_property
    def _first(self) -> Integers:
        """First row of each cell's group, shape (cells,)."""
        return np.searchsorted(self.group, self.cell_group, side="left")

    def _column(self, values: str | Integers) -> Integers:
        return self.columns[values] if isinstance(values, str) else values

    def _key(self, group: Integers, period: Integers) -> Integers:
        offset = np.clip(period - self._base, 0, self._stride - 1)
        return np.asarray(group * self._stride + offset, dtype=np.int64)

    def _prefix(self, values: str | Integers) -> tuple[Integers, Integers]:
        """Return the prefix sums of the on-time rows, and the prefix sum at each cell's cutoff.

        Shapes (on-time rows + 1,) and (cells,). Cached for columns given by name.
        """
        if isinstance(values, str) and values in self._prefixes:
            return self._prefixes[values]
        split = self._split(0)
        sums = np.zeros(split.on_time.size + 1, dtype=np.int64)
        np.cumsum(self._column(values)[split.on_time], out=sums[1:])
        prefix = sums, sums.take(split.up_to_cutoff)
        if isinstance(values, str):
            self._prefixes[values] = prefix
        return prefix

    def _fold(
        self, fold: np.ufunc, values: str | Integers, window: int | None, ago: int, empty: int
    ) -> Integers:
        """Fold an idempotent operation: ranges of on-time rows, then late rows at their cells."""
        column = self._column(values)
        if window is None:
            seen = self.as_of(ago)  # without a window, all rows seen are contiguous in that order
            ranges = _RowRanges(seen.first, seen.position, column.size)
            return _SparseTable(fold, column[seen.order], empty).fold(ranges)
        counted = self._window(ago, window)
        result = self._sparse_table(fold, values, ago, empty).fold(counted.on_time)
        cells, rows = counted.late
        fold.at(result, cells, column[self._split(ago).late][rows])
        return result

    def _sparse_table(
        self, fold: np.ufunc, values: str | Integers, ago: int, empty: int
    ) -> _SparseTable:
        """Return the sparse table of the on-time rows; cached for columns given by name."""
        if not isinstance(values, str):
            return _SparseTable(fold, values[self._split(ago).on_time], empty)
        key = (fold, values, ago)
        if key not in self._sparse_tables:
            column = self.columns[values][self._split(ago).on_time]
            self._sparse_tables[key] = _SparseTable(fold, column, empty)
        return self._sparse_tables[key]

    def _split(self, ago: int) -> _Split:
        """Separate on-time rows from late rows; once for each ``ago``."""
        if ago not in self._splits:
            event = self.event + ago
            is_late = self.visible > event
            on_time = np.flatnonzero(~is_late)
            keys = self._key(self.group[on_time], event[on_time])
            count_up_to = _CountUpTo(keys, self._span)
            late, up_to_cutoff = np.flatnonzero(is_late), count_up_to(self._cell_key)
            self._splits[ago] = _Split(on_time, late, count_up_to, up_to_cutoff)
        return self._splits[ago]

    def _window(self, ago: int, window: int | None) -> _Window:
        """Return which on-time rows count at each cell, and at which cells late rows count."""
        if (ago, window) not in self._windows:
            split = self._split(ago)
            group, event = self.group[split.late], self.event[split.late] + ago
            joins = self._key(group, self.visible[split.late])
            if window is None:
                before, leaves = self.cell_group * self._stride, (group + 1) * self._stride
            else:
                oldest = np.maximum(self.cell_cutoff - window, self._base)
                before = self._key(self.cell_group, oldest)
                leaves = np.maximum(joins, self._key(group, event + window))
            self._windows[ago, window] = _Window(
                _RowRanges(split.count_up_to(before), split.up_to_cutoff, split.on_time.size),
                np.searchsorted(self._cell_key, joins),
                np.searchsorted(self._cell_key, leaves),
            )
        return self._windows[ago, window]


class _CountUpTo:
    """Number of sorted keys, each in ``[0, span)``, that are at most a given key.

    If keys are dense, the counts are looked up in a table, which saves a binary search per cell.
    """

    def __init__(self, keys: Integers, span: int) -> None:
        self._keys = keys
        dense = span <= DENSE * keys.size
        self._table = np.cumsum(np.bincount(keys, minlength=span)) if dense else None

    def __call__(self, others: Integers) -> Integers:
        if self._table is None:
            return np.searchsorted(self._keys, others, side="right")
        return self._table.take(others)


@dataclass(frozen=True)
class _Split:
    """Row numbers of on-time and late rows; number of on-time rows up to a key or a cell."""

    on_time: Integers
    late: Integers
    count_up_to: _CountUpTo
    up_to_cutoff: Integers


@dataclass(frozen=True)
class _RowRanges:
    """Row range ``[first, stop)`` of each cell, out of ``rows``; shared by all columns."""

    first: Integers
    stop: Integers
    rows: int

    @cached_property
    def depth(self) -> int:
        """Number of levels of a sparse table needed to fold the longest range."""
        return max(int((self.stop - self.first).max(initial=0)).bit_length(), 1)

    @cached_property
    def runs(self) -> tuple[Integers, Integers]:
        """Places in a sparse table of the two runs that cover each range; 0 if it is empty."""
        length = self.stop - self.first
        level_of = np.zeros(1 << self.depth, dtype=np.int64)
        for step in range(1, self.depth):
            level_of[1 << step :] = step
        level = level_of.take(length)
        offset = 1 + level * self.rows
        runs = offset + self.first, offset + self.stop - (1 << level)
        for run in runs:
            run[length == 0] = 0
        return runs


@dataclass(frozen=True)
class _Window:
    """On-time rows that count at each cell; late row ``i`` counts at ``[joins[i], leaves[i])``."""

    on_time: _RowRanges
    joins: Integers
    leaves: Integers

    @cached_property
    def late_cells(self) -> int:
        """Number of pairs (cell, late row) where the row counts at the cell."""
        return int(np.maximum(self.leaves - self.joins, 0).sum())

    @cached_property
    def late(self) -> tuple[Integers, Integers]:
        """Cell and late row of each of these pairs."""
        return spread(self.joins, self.leaves)


class _SparseTable:
    """A column folded over all runs of ``2**l`` rows, for each level ``l``.

    Two lookups then fold a range of any length, with no loop over its rows. The levels are stored
    one after the other, behind the value of an empty range; they are added when first needed.
    """

    def __init__(self, fold: np.ufunc, column: Integers, empty: int) -> None:
        self._fold, self._rows, self._depth = fold, column.size, 1
        self._runs = np.concatenate(([empty], column))

    def fold(self, ranges: _RowRanges) -> Integers:
        """Fold the column over each range."""
        if ranges.depth > self._depth:
            self._grow(ranges.depth)
        first, last = ranges.runs
        result = self._runs.take(first)
        return np.asarray(self._fold(result, self._runs.take(last), out=result))

    def _grow(self, depth: int) -> None:
        """Add levels; the places of runs that would reach beyond the last row stay unset."""
        rows, runs = self._rows, np.empty(1 + depth * self._rows, dtype=np.int64)
        runs[: self._runs.size] = self._runs
        for level in range(self._depth, depth):
            step, end = 1 << (level - 1), 1 + level * rows
            below = runs[end - rows : end]
            runs[end : end + rows - step] = self._fold(below[:-step], below[step:])
        self._runs, self._depth = runs, depth


def spread(first: Integers, stop: Integers) -> tuple[Integers, Integers]:
    """List the integers of each range ``[first, stop)``, and the range that each comes from.

    Returns
    -------
    Two arrays of shape (sum of lengths,): the integers, and the index of their range.
    """
    length = np.maximum(stop - first, 0)
    source = np.repeat(np.arange(length.size), length)
    ends = np.cumsum(length)
    numbers = np.arange(source.size) - np.repeat(ends - length, length) + first[source]
    return numbers.astype(np.int64), source.astype(np.int64)
