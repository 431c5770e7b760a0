"""As of: the last row of a group, in event order, that is visible at an instant.

All code that needs "what was known then" uses this module. Instants are integers of any kind, if
rows and cells have the same kind: microseconds, cutoff numbers, or positions in a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.float64]

NOTHING = -(1 << 62)
"""Stands for "no value" in integer columns: smaller than any instant, amount or count."""
NEVER = int(np.iinfo(np.int64).max)
"""Instant later than any other: what never happens."""


def packed(*pairs: tuple[Integers, Integers]) -> list[Integers]:
    """Pack pairs (group, instant) into integers that sort as the pairs do.

    Pack all keys that are to be compared in one call. If groups times the span of the instants
    exceed 64 bits (as do microseconds of many customers), instants are replaced by their ranks.

    Parameters
    ----------
    pairs
        Each has two arrays of the same shape.

    Returns
    -------
    One int64 array per pair.
    """
    groups, instants = zip(*pairs, strict=True)
    lowest_group, highest_group = _bounds(groups)
    low, high = _bounds(instants)
    if (highest_group - lowest_group + 1) * (high - low + 1) > NEVER:
        distinct = np.unique(np.concatenate(instants))
        instants = tuple(np.searchsorted(distinct, instant) for instant in instants)
        low, high = 0, distinct.size
    width = high - low + 1
    return [
        np.asarray((group - lowest_group) * width + (instant - low), dtype=np.int64)
        for group, instant in zip(groups, instants, strict=True)
    ]


def customer_numbers(names: Any, customers: NDArray[np.object_]) -> Integers:
    """Turn customer ids into groups: positions in the sorted ids, -1 for unknown ones."""
    return np.asarray(pd.Index(customers).get_indexer(pd.Index(names)), dtype=np.int64)


def _bounds(arrays: tuple[Integers, ...]) -> tuple[int, int]:
    """Return the smallest and largest value of all arrays, as Python integers (no overflow)."""
    bounds = [(int(array.min()), int(array.max())) for array in arrays if array.size]
    return min((low for low, _ in bounds), default=0), max((high for _, high in bounds), default=0)


def last_before(
    group: Integers, instant: Integers, cell_group: Integers, cell_instant: Integers
) -> Integers:
    """Find the last row of each cell's group at or before the cell's instant.

    Parameters
    ----------
    group, instant
        Shape (rows,), sorted by both.
    cell_group, cell_instant
        Shape (cells,), in any order.

    Returns
    -------
    Shape (cells,): row numbers, -1 if there is none.
    """
    keys, cell_keys = packed((group, instant), (cell_group, cell_instant))
    row = np.searchsorted(keys, cell_keys, side="right") - 1
    return np.where(taken(group, row, NOTHING) == cell_group, row, -1)


def taken(values: NDArray[Any], rows: Integers, empty: Any = NOTHING) -> NDArray[Any]:
    """Return the value of each row number, ``empty`` where it is -1; shape of ``rows``."""
    if not values.size:
        return np.full(rows.shape, empty, dtype=values.dtype)
    return np.where(rows >= 0, values[rows], np.asarray(empty, dtype=values.dtype))


class AsOf:
    """Rows of groups, seen from cells (group, instant): a row counts once it is visible.

    Parameters
    ----------
    row_key
        Shape (rows,): the row's group and the first instant that sees it, packed. Rows are sorted
        by group and, within it, in event order.
    cell_key
        Shape (cells,): the cell's group and instant, packed in the same call.
    first
        Shape (cells,): first row of the cell's group.
    """

    def __init__(self, row_key: Integers, cell_key: Integers, first: Integers) -> None:
        self.first = first
        # Rows in the order in which they become visible, and how many of them each cell sees; rows
        # of earlier groups are included in that number.
        self.order = np.argsort(row_key, kind="stable")
        self.position = np.searchsorted(row_key[self.order], cell_key, side="right")

    @classmethod
    def of(
        cls, group: Integers, seen_from: Integers, cell_group: Integers, cell_instant: Integers
    ) -> Self:
        """Pack rows, given with ascending groups, and cells, in any order."""
        row_key, cell_key = packed((group, seen_from), (cell_group, cell_instant))
        return cls(row_key, cell_key, np.searchsorted(group, cell_group))

    def last(self, where: Flags) -> Integers:
        """Find the last marked (rows,) and visible row, in event order; shape (cells,).

        An older event that becomes visible late never replaces a newer one. -1 if there is none.
        """
        # Row numbers ascend with the groups, so a running maximum returns a row of an earlier
        # group only if the cell's own group has none: the last line removes these.
        newest = np.maximum.accumulate(np.where(where, np.arange(where.size), -1)[self.order])
        row = np.concatenate(([-1], newest))[self.position]
        return np.where(row >= self.first, row, -1)


def stretches(
    group: Integers, seen_from: Integers, end: int
) -> tuple[Integers, Integers, Integers]:
    """Return the stretches of instants within which a group sees the same rows.

    Parameters
    ----------
    group, seen_from
        Shape (rows,), in any order.
    end
        End of the last stretch of each group, excluded.

    Returns
    -------
    Group, first instant, and one past the last instant of each stretch, sorted by the first two.
    """
    order = np.lexsort((seen_from, group))
    group, first = group[order], seen_from[order]
    new = np.ones(group.size, dtype=bool)
    new[1:] = (group[1:] != group[:-1]) | (first[1:] != first[:-1])
    group, first = group[new], first[new]
    past = np.full(group.size, end, dtype=np.int64)
    same = group[1:] == group[:-1]
    past[:-1][same] = first[1:][same]
    return group, first, np.minimum(past, end)


class Parts:
    """Parts of wholes, such as the subscriptions that a snapshot sees, and their sums.

    Parameters
    ----------
    cell
        Shape (parts,): number of the whole that each part belongs to.
    cells
        Number of wholes.
    """

    def __init__(self, cell: Integers, cells: int) -> None:
        self.cell, self.cells = cell, cells

    def count(self, where: Flags) -> Numbers:
        """Count the marked parts of each whole; shape (cells,)."""
        return np.bincount(self.cell[where], minlength=self.cells).astype(np.float64)

    def total(self, values: NDArray[Any], where: Flags | None = None) -> Numbers:
        """Sum over the marked parts of each whole, exact below 2**53; 0 if there are none."""
        marked = slice(None) if where is None else where
        weights = np.asarray(values, dtype=np.float64)[marked]
        total = np.bincount(self.cell[marked], weights=weights, minlength=self.cells)
        return total.astype(np.float64)  # without parts, bincount returns integers

    def largest(self, values: Integers, where: Flags) -> Integers:
        """Return the largest value of the marked parts of each whole; ``NOTHING`` without any."""
        result = np.full(self.cells, NOTHING, dtype=np.int64)
        np.maximum.at(result, self.cell[where], values[where])
        return result

    def smallest(self, values: Integers, where: Flags) -> Integers:
        """Return the smallest value of the marked parts of each whole; ``NOTHING`` without any."""
        largest = self.largest(-values, where)
        return np.where(largest == NOTHING, NOTHING, -largest)

    def main(self, value: Integers, where: Flags) -> Integers:
        """Find the marked part of each whole with the largest value (first of ties; -1 if none)."""
        best = self.largest(value, where)
        chosen = np.flatnonzero(where & (value == best[self.cell]))[::-1]
        result = np.full(self.cells, -1, dtype=np.int64)
        result[self.cell[chosen]] = chosen  # the last of several assignments stays
        return result
