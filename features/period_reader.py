"""Read periods tables for ranges of customers, in the row orders that rolling needs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.known import integers
from features.periods import EMPTY, EVENTS_SUFFIX, FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class Periods:
    """Periods tables of a folder, read for ranges of customers.

    Parameters
    ----------
    folder
        Folder that ``measure`` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.name: sorted(path.glob(f"*.{FORMAT}"), key=_period)
            for path in folder.iterdir()
            if path.is_dir()
        }

    def start(self, name: str) -> int:
        """Return the first period in which any row of the log was visible; 0 for an empty log."""
        return _period(self._files[name][0])

    def rows(self, name: str, customers: pa.Array) -> pa.Table:
        """Read the periods table of a log for the given customers, in the order of ``KEY``.

        ``customers`` are sorted. Column ``customer``, the position among them, replaces
        ``customer_id``.
        """
        table = self._of(name, customers)  # sorted by period first visible, the last key
        return table.take(_order([integers(table[key]) for key in ("customer", "event_period")]))

    def events(self, name: str, customers: pa.Array) -> pa.Table:
        """Read the event table of a log like ``rows``, in ``EVENT_ORDER``, without event IDs."""
        table = self._of(name + EVENTS_SUFFIX, customers)
        keys = [integers(table[key]) for key in ("customer", "event_us", "kind")]
        order = _order(keys)
        same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
        if same.any():  # the ID orders events of the same kind at the same instant
            tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
            rank = integers(pc.rank(table["event_id"].take(order[tied]), tiebreaker="dense"))
            order[tied] = order[tied][_order([*(key[order][tied] for key in keys), rank])]
        return table.drop_columns(["event_id"]).take(order)

    def _of(self, name: str, customers: pa.Array) -> pa.Table:
        """Return the rows of the customers, sorted by the period in which they became visible."""
        low, high = customers[0].as_py(), customers[-1].as_py()
        parts = [_between(file, low, high) for file in self._files[name]]
        table = pa.concat_tables(parts, promote_options="permissive")
        place = pc.index_in(table["customer_id"], value_set=customers)
        table = table.drop_columns(["customer_id"]).append_column("customer", place.cast("int64"))
        return (table.filter(place.is_valid()) if place.null_count else table).combine_chunks()


def _period(file: Path) -> int:
    """Return the period in which the rows of a file were first visible; 0 if it has none."""
    return 0 if file.stem == EMPTY else int(file.stem)


def _between(file: Path, low: str, high: str) -> pa.Table:
    """Return the rows of customers ``low`` to ``high`` from a file sorted by customer."""
    # Mapped only for this call: mapped pages count as memory, and would add up to the whole log.
    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    ids, text = table["customer_id"], methodcaller("as_py")
    start = bisect_left(ids, low, key=text)
    return table.slice(start, bisect_right(ids, high, key=text) - start)


def _order(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the stable order of rows by several keys, most significant first.

    Keys with a small range become 16-bit integers, which NumPy sorts in linear time.
    """
    if not keys[0].size:
        return np.empty(0, dtype=np.int64)
    columns: list[NDArray[Any]] = []
    for key in reversed(keys):
        fits = int(key.max()) - int(key.min()) <= np.iinfo(np.uint16).max
        columns.append((key - key.min()).astype(np.uint16) if fits else key)
    return np.lexsort(columns)
