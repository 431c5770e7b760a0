"""What was known when: the latest row of an entity among the rows visible at a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cutoff numbers are packed under the entity number in one sortable integer.
_CUTOFFS = 1 << 20


@dataclass(frozen=True)
class VisibleState:
    """The latest visible row of each entity, as cutoffs pass.

    A row counts at cutoff ``k`` when it was available by then; among those that count the last in
    event order speaks. So an older event that arrives late never overwrites a newer one.

    Parameters
    ----------
    entity
        Entity of each change, ascending, shape (n,).
    since
        Cutoff number from which the change holds, ascending within an entity, shape (n,).
    row
        Input row that speaks from then on, shape (n,).
    """

    entity: NDArray[np.int64]
    since: NDArray[np.int64]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, entity: NDArray[np.int64], first_visible: NDArray[np.int64]) -> Self:
        """Follow rows that are given in (entity, event) order.

        Parameters
        ----------
        entity
            Number of the entity of each row, ascending, shape (n,).
        first_visible
            First cutoff number that sees the row, shape (n,).
        """
        position = np.arange(len(entity))
        arrival = np.lexsort((position, first_visible, entity))
        # Positions ascend with the entity, so a running maximum starts anew at each entity.
        latest = np.maximum.accumulate(arrival) if len(arrival) else arrival
        entity, first_visible = entity[arrival], first_visible[arrival]
        final = np.ones(len(entity), dtype=bool)
        final[:-1] = (entity[1:] != entity[:-1]) | (first_visible[1:] != first_visible[:-1])
        return cls(entity[final], first_visible[final], latest[final])

    def at(self, entity: NDArray[np.int64], cutoff: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row that speaks for each (entity, cutoff), or -1 where nothing is visible yet."""
        if not len(self.entity):
            return np.full(len(entity), -1, dtype=np.int64)
        floor = min(int(self.since.min()), int(cutoff.min()) if len(cutoff) else 0)
        keys = self.entity * _CUTOFFS + (self.since - floor)
        found = np.searchsorted(keys, entity * _CUTOFFS + (cutoff - floor), side="right") - 1
        clipped = np.maximum(found, 0)
        known = (found >= 0) & (self.entity[clipped] == entity)
        return np.where(known, self.row[clipped], -1)

    def spans(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and one-past-last cutoff at which each change speaks, none past ``end``."""
        until = np.full(len(self.since), end, dtype=np.int64)
        same = self.entity[1:] == self.entity[:-1]
        until[:-1][same] = self.since[1:][same]
        return self.since, np.minimum(until, end)
