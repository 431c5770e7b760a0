"""As of: the last row, in the order of events, that a group can see at an instant.

Everything that asks "what was known then" asks here. Instants are integers of any kind, as long as
rows and cells have the same: microseconds, numbers of cutoffs, or places in a log.
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
"""An instant that never comes."""


def packed(*pairs: tuple[Integers, Integers]) -> list[Integers]:
    """Pack pairs (group, instant) into integers that sort as the pairs do.

    All keys that are to be compared are packed at once. Where groups times the span of the instants
    outgrow 64 bits (microseconds of many customers do), instants are replaced by their ranks.

    Parameters
    ----------
    pairs
        Two arrays of the same shape each.

    Returns
    -------
    One int64 array a pair.
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
    """Smallest and largest of all, as integers that do not overflow."""
    bounds = [(int(array.min()), int(array.max())) for array in arrays if array.size]
    return min((low for low, _ in bounds), default=0), max((high for _, high in bounds), default=0)


def last_before(
    group: Integers, instant: Integers, cell_group: Integers, cell_instant: Integers
) -> Integers:
    """Last row of each cell's group at or before the cell's instant.

    Parameters
    ----------
    group, instant
        Shape (rows,), sorted by both.
    cell_group, cell_instant
        Shape (cells,), in any order.

    Returns
    -------
    Shape (cells,): row numbers, -1 where there is none.
    """
    keys, cell_keys = packed((group, instant), (cell_group, cell_instant))
    row = np.searchsorted(keys, cell_keys, side="right") - 1
    return np.where(taken(group, row, NOTHING) == cell_group, row, -1)


def taken(values: NDArray[Any], rows: Integers, empty: Any = NOTHING) -> NDArray[Any]:
    """Value of each row, ``empty`` where its number is -1; shape and order of ``rows``."""
    if not values.size:
        return np.full(rows.shape, empty, dtype=values.dtype)
    return np.where(rows >= 0, values[rows], np.asarray(empty, dtype=values.dtype))


class AsOf:
    """Rows of groups, seen from cells (group, instant): a row counts once it can be seen.

    Parameters
    ----------
    row_key
        Shape (rows,): the row's group and the instant from which it is seen, packed. Rows are
        sorted by group and within it by the order of events.
    cell_key
        Shape (cells,): the cell's group and instant, packed alike.
    first
        Shape (cells,): first row of the cell's group.
    """

    def __init__(self, row_key: Integers, cell_key: Integers, first: Integers) -> None:
        self.first = first
        # Rows in the order in which they are seen, and how many of them each cell sees; those of
        # earlier groups are counted along.
        self.order = np.argsort(row_key, kind="stable")
        self.position = np.searchsorted(row_key[self.order], cell_key, side="right")

    @classmethod
    def of(
        cls, group: Integers, seen_from: Integers, cell_group: Integers, cell_instant: Integers
    ) -> Self:
        """Follow rows, given with groups ascending, from cells in any order."""
        row_key, cell_key = packed((group, seen_from), (cell_group, cell_instant))
        return cls(row_key, cell_key, np.searchsorted(group, cell_group))

    def last(self, where: Flags) -> Integers:
        """Last row in the order of events, of those marked (rows,) and seen; shape (cells,).

        An older event that is seen late never replaces a newer one. -1 where there is none.
        """
        # Row numbers ascend with the groups, so a plain running maximum never looks back past a
        # group's own first row unless the group has none: that is what the last line catches.
        newest = np.maximum.accumulate(np.where(where, np.arange(where.size), -1)[self.order])
        row = np.concatenate(([-1], newest))[self.position]
        return np.where(row >= self.first, row, -1)


def stretches(
    group: Integers, seen_from: Integers, end: int
) -> tuple[Integers, Integers, Integers]:
    """Stretches of instants within which what a group sees stays the same.

    Parameters
    ----------
    group, seen_from
        Shape (rows,), in any order.
    end
        Where the last stretch of each group ends, not included; none reaches further.

    Returns
    -------
    Group, first instant and one past the last of each, sorted by the first two.
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
    """Parts of wholes, such as the subscriptions that a snapshot sees; money and counts add up.

    Parameters
    ----------
    cell
        Shape (parts,): number of each part's whole.
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
        return total.astype(np.float64)  # of no parts at all, bincount makes integers

    def largest(self, values: Integers, where: Flags) -> Integers:
        """Largest value over the marked parts of each whole; ``NOTHING`` if there are none."""
        result = np.full(self.cells, NOTHING, dtype=np.int64)
        np.maximum.at(result, self.cell[where], values[where])
        return result

    def smallest(self, values: Integers, where: Flags) -> Integers:
        """Smallest value over the marked parts of each whole; ``NOTHING`` if there are none."""
        largest = self.largest(-values, where)
        return np.where(largest == NOTHING, NOTHING, -largest)

    def main(self, value: Integers, where: Flags) -> Integers:
        """Marked part of each whole with the largest value, the first of equals; -1 if none."""
        best = self.largest(value, where)
        chosen = np.flatnonzero(where & (value == best[self.cell]))[::-1]
        result = np.full(self.cells, -1, dtype=np.int64)
        result[self.cell[chosen]] = chosen  # of several assignments to one place the last one stays
        return result
