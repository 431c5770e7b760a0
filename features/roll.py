"""Roll: windows over periods in NumPy, exact in int64, at a cost linear in rows and output cells.

A row lies in period ``event`` and is first seen at cutoff ``visible >= event``. It counts in the
window ``(cutoff k-w, cutoff k]`` if ``k-w < event`` and ``visible <= k``: a late row joins when it
becomes visible and leaves with its window, so it counts at the cutoffs ``[visible, event + w)``.

1. Rows are split into those on time (``visible == event``) and late ones (``_Split``).
2. The rows on time that count at a cell are contiguous (``_RowRanges``): a sum is the difference of
   two prefix sums, a maximum or bitwise or comes from a sparse table (``_SparseTable``).
3. Late rows are scattered: what they add is put at each of their cells where these are few, else
   into a difference array, a step up where a row joins and one down where it leaves.
4. Where a key's rows begin and end is looked up in a table if the keys are dense, else searched for
   (``_CountUpTo``).

So the cost is linear in rows and output cells, and nothing is evaluated for other cutoffs.
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

# Slots a key up to which a table of counts is quicker than a search.
DENSE = 8


class Rolled:
    """Rows of groups (customers, tickets, invoices, ...) seen from cells (group, cutoff).

    Parameters
    ----------
    group, event, visible
        Shape (rows,): group number, event period and period first visible, with
        ``visible >= event``. Rows are sorted by group; within a group by event period, and where
        ``last`` is used by the order in which things happened.
    columns
        Name to int64 array of shape (rows,).
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
        # One stride of keys a group; what happens after the newest cutoff shares its last key.
        self._stride = newest - self._base + 2
        self._cell_key = self._key(cell_group, cell_cutoff)
        self._span = (int(max(group.max(initial=0), cell_group.max(initial=0))) + 1) * self._stride
        # What cells need of the rows' places is worked out once, and of their values once a column.
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
        seen, (prefix, upto_cutoff) = self._window(0, window), self._prefix(values)
        result = prefix.take(seen.on_time.first)
        np.subtract(upto_cutoff, result, out=result)
        late = self._column(values)[self._split(0).late]
        if seen.late_cells <= self.cells:
            cells, rows = seen.late
            np.add.at(result, cells, late[rows])
        else:
            changes = np.zeros(self.cells + 1, dtype=np.int64)
            np.add.at(changes, seen.joins, late)
            np.subtract.at(changes, seen.leaves, late)
            result += np.cumsum(changes[:-1])
        return result

    def max(self, values: str | Integers, window: int | None = None) -> Integers:
        """Like ``sum``, the largest value; ``NOTHING`` where no row counts."""
        return self._fold(np.maximum, values, window, 0, NOTHING)

    def bits(self, values: str | Integers, window: int | None = None, ago: int = 0) -> Integers:
        """Like ``sum``, the bitwise or of masks; 0 where no row counts.

        With ``ago`` the window is ``(cutoff - ago - window, cutoff - ago]``, as known at cutoff.
        """
        return self._fold(np.bitwise_or, values, window, ago, 0)

    def last(self, where: Flags, ago: int = 0) -> Integers:
        """Last row by the order of events, of those marked and visible.

        An older event that becomes visible late never replaces a newer one.

        Parameters
        ----------
        where
            Shape (rows,): rows that may be chosen.
        ago
            Reads events up to ``cutoff - ago`` periods, as they are known at the cutoff.

        Returns
        -------
        Shape (cells,), int64: row numbers, -1 where there is none.
        """
        return self.as_of(ago).last(where)

    def at(self, rows: Integers, values: str | Integers, empty: int = NOTHING) -> Integers:
        """Value of each cell's row (as ``last`` gives them), ``empty`` where it is -1."""
        return taken(self._column(values), rows, empty)

    def known(self, name: str, where: Flags | None = None, ago: int = 0) -> Integers:
        """Last value of a column that is not ``NOTHING``; ``NOTHING`` where there is none."""
        there = self.columns[name] != NOTHING
        return self.at(self.last(there if where is None else there & where, ago), name)

    def gains(
        self, values: str | Integers, fold: np.ufunc, size: Callable[[Integers], Integers]
    ) -> Integers:
        """Turn a measure that does not add up over the rows of a period into one that does.

        Late rows split a period: its rows become visible one after the other, and the number of
        distinct days of both is not the sum of either. Each row is given what it adds to ``size``
        of the running ``fold`` of its (group, period), in order of becoming visible.

        Parameters
        ----------
        values
            Column or array; rows sorted by (group, event, visible).
        fold
            ``np.add``, ``np.maximum`` or ``np.bitwise_or``.
        size
            What is to be summed over periods, e.g. the number of bits; 0 at 0.

        Returns
        -------
        Shape (rows,), int64.
        """
        running = (self._column(values)).copy()
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
        """Rows as the cells see them, of events at least ``ago`` periods before the cutoff."""
        if ago not in self._as_of:
            key = self._key(self.group, np.maximum(self.visible, self.event + ago))
            self._as_of[ago] = AsOf(key, self._cell_key, self._first)
        return self._as_of[ago]

    @cached_property
    def _first(self) -> Integers:
        """First row of each cell's group."""
        return np.searchsorted(self.group, self.cell_group, side="left")

    def _column(self, values: str | Integers) -> Integers:
        return self.columns[values] if isinstance(values, str) else values

    def _key(self, group: Integers, period: Integers) -> Integers:
        offset = np.clip(period - self._base, 0, self._stride - 1)
        return np.asarray(group * self._stride + offset, dtype=np.int64)

    def _prefix(self, values: str | Integers) -> tuple[Integers, Integers]:
        """Running sum of the rows on time, shape (on_time + 1,), and that of each cell's cutoff.

        Kept for columns.
        """
        if isinstance(values, str) and values in self._prefixes:
            return self._prefixes[values]
        split = self._split(0)
        sums = np.zeros(split.on_time.size + 1, dtype=np.int64)
        np.cumsum(self._column(values)[split.on_time], out=sums[1:])
        found = sums, sums.take(split.upto_cutoff)
        if isinstance(values, str):
            self._prefixes[values] = found
        return found

    def _fold(
        self, fold: np.ufunc, values: str | Integers, window: int | None, ago: int, empty: int
    ) -> Integers:
        """Fold an idempotent operation: rows on time are contiguous, late ones are scattered."""
        column = self._column(values)
        if window is None:
            seen = self.as_of(ago)
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
        """Punctual rows made ready to be folded; kept for columns."""
        if not isinstance(values, str):
            return _SparseTable(fold, values[self._split(ago).on_time], empty)
        key = (fold, values, ago)
        if key not in self._sparse_tables:
            column = self.columns[values][self._split(ago).on_time]
            self._sparse_tables[key] = _SparseTable(fold, column, empty)
        return self._sparse_tables[key]

    def _split(self, ago: int) -> _Split:
        """Split the rows into those on time and late ones, once per ``ago``."""
        if ago not in self._splits:
            event = self.event + ago
            is_late = self.visible > event
            on_time = np.flatnonzero(~is_late)
            upto = _CountUpTo(self._key(self.group[on_time], event[on_time]), self._span)
            late = np.flatnonzero(is_late)
            self._splits[ago] = _Split(on_time, late, upto, upto(self._cell_key))
        return self._splits[ago]

    def _window(self, ago: int, window: int | None) -> _Window:
        """Rows that count at each cell, and cells at which each late row counts."""
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
                _RowRanges(split.upto(before), split.upto_cutoff, split.on_time.size),
                np.searchsorted(self._cell_key, joins),
                np.searchsorted(self._cell_key, leaves),
            )
        return self._windows[ago, window]


class _CountUpTo:
    """Counts how many of some sorted keys, each in ``[0, span)``, are at most as large as others.

    Looked up where the keys lie close together, else searched for.
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
    """Rows on time and late rows, by number; counts of the former up to a key or a cutoff."""

    on_time: Integers
    late: Integers
    upto: _CountUpTo
    upto_cutoff: Integers


@dataclass(frozen=True)
class _RowRanges:
    """Row range ``[first, stop)`` of each cell, out of ``rows``."""

    first: Integers
    stop: Integers
    rows: int

    @cached_property
    def depth(self) -> int:
        """Levels of a sparse table that folding the longest of them takes."""
        return max(int((self.stop - self.first).max(initial=0)).bit_length(), 1)

    @cached_property
    def runs(self) -> tuple[Integers, Integers]:
        """Places in a sparse table of the two runs that cover each range; 0 for an empty one."""
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
    """Punctual rows that count at each cell; late row ``i`` does at ``[joins[i], leaves[i])``."""

    on_time: _RowRanges
    joins: Integers
    leaves: Integers

    @cached_property
    def late_cells(self) -> int:
        """How many times a late row counts at a cell."""
        return int(np.maximum(self.leaves - self.joins, 0).sum())

    @cached_property
    def late(self) -> tuple[Integers, Integers]:
        """Cell and late row of each of these times."""
        return spread(self.joins, self.leaves)


class _SparseTable:
    """A column to be folded over row ranges by doubling: level ``l`` folds runs of ``2**l`` rows.

    The levels lie one behind the other, and before them what stands for nothing.
    """

    def __init__(self, fold: np.ufunc, column: Integers, empty: int) -> None:
        self._fold, self._rows, self._depth = fold, column.size, 1
        self._runs = np.concatenate(([empty], column))

    def fold(self, ranges: _RowRanges) -> Integers:
        """Fold each range."""
        if ranges.depth > self._depth:
            self._grow(ranges.depth)
        first, last = ranges.runs
        result = self._runs.take(first)
        return np.asarray(self._fold(result, self._runs.take(last), out=result))

    def _grow(self, depth: int) -> None:
        """Add levels; runs that would reach beyond the last row are in none of them."""
        rows, runs = self._rows, np.empty(1 + depth * self._rows, dtype=np.int64)
        runs[: self._runs.size] = self._runs
        for level in range(self._depth, depth):
            step, end = 1 << (level - 1), 1 + level * rows
            below = runs[end - rows : end]
            runs[end : end + rows - step] = self._fold(below[:-step], below[step:])
        self._runs, self._depth = runs, depth


def spread(first: Integers, stop: Integers) -> tuple[Integers, Integers]:
    """List the numbers of each range ``[first, stop)``, and which range each comes from.

    Returns
    -------
    Two arrays of shape (sum of lengths,): the numbers, and the index of their range.
    """
    length = np.maximum(stop - first, 0)
    source = np.repeat(np.arange(length.size), length)
    ends = np.cumsum(length)
    numbers = np.arange(source.size) - np.repeat(ends - length, length) + first[source]
    return numbers.astype(np.int64), source.astype(np.int64)
