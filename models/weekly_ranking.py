"""Weekly lists: rows ranked within their week, and how rows that tie share the last places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ties:
    """Sorted rows, in groups of equal keys.

    Parameters
    ----------
    order
        (n,) positions of the rows, sorted.
    starts
        (g,) where in ``order`` each group starts.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def by(cls, *keys: NDArray[Any]) -> Ties:
        """Sort by keys (n,), the first of which matters most."""
        order = np.lexsort(keys[::-1])
        new = np.ones(len(order), bool)
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        return cls(order, np.flatnonzero(new))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values (n,) over each group, (g,)."""
        return np.add.reduceat(values[self.order], self.starts)

    def per_row(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give every row the value of its group, (g,) to (n,)."""
        rows = np.empty(len(self.order))
        rows[self.order] = np.repeat(values, np.diff(self.starts, append=len(self.order)))
        return rows


@dataclass(frozen=True)
class WeeklyRanking:
    """Rows by descending score within their week.

    Parameters
    ----------
    ties
        The ranked rows; a group has one week and one score.
    week_of_group
        (g,) number of the week of each group.
    """

    ties: Ties
    week_of_group: NDArray[np.int64]

    @classmethod
    def of(cls, week: NDArray[Any], score: NDArray[np.float64]) -> WeeklyRanking:
        """Rank rows (n,) by descending score within their week (n,)."""
        number = np.unique(week, return_inverse=True)[1]
        ties = Ties.by(number, -score)
        return cls(ties, number[ties.order][ties.starts])

    def contacted(self, weight: NDArray[np.float64], capacity: float) -> NDArray[np.float64]:
        """Return the weight (n,) of each row on the lists: all, a part or none of its weight.

        Parameters
        ----------
        weight
            (n,) of each row.
        capacity
            Share of each week's rows that is contacted, those with the highest score. Rows that
            tie for the last places share them equally: each counts in the part that a random order
            would give it on average, and so does the last row if the capacity is not a whole
            number of rows.
        """
        mass = self.ties.sums(weight)
        in_week = np.bincount(self.week_of_group, weights=mass)
        before_week = np.concatenate([[0.0], np.cumsum(in_week)[:-1]])
        above = np.cumsum(mass) - mass - before_week[self.week_of_group]
        room = capacity * in_week[self.week_of_group] - above
        share = np.divide(room, mass, out=np.zeros_like(mass), where=mass > 0).clip(0, 1)
        return weight * self.ties.per_row(share)
