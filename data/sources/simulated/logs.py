"""From rows to files: IDs, delays, dirt, order and Parquet.

Rows are added, as integers only, in the week in which they are decided. At the end of each week,
rows that have become available are sorted, converted to the columns of the contract and written;
the others wait. So the files hold what an extract on that Monday would hold, and the files of a
longer history begin with the rows of a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.clock import MICROSECONDS_PER_DAY
from data.contracts import TABLES
from data.sources.simulated.draws import Draws, FloatArray, IntArray, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MISSING = np.iinfo(np.int64).min  # an absent value among integers
ROW_GROUP = 1 << 17
_HOUR = MICROSECONDS_PER_DAY // 24
_MINUTE = _HOUR // 60
_MOST_LATE = 6.9  # days: less than the longest delay that the pipeline accepts
_LATE_SHARE = 0.01
_DUPLICATE_SHARE = 0.002
_COMMON = ("customer", "event_us", "week", "slot")

Encoder = Callable[[IntArray], pa.Array]


def identifiers(prefix: str, *numbers: tuple[IntArray, int]) -> pa.Array:
    """Return strings such as ``U0000123-0045-07``: a prefix, then numbers of fixed width.

    Parameters
    ----------
    prefix
        First letter or letters.
    *numbers
        Pairs of an array of shape ``(n,)`` and its number of digits; joined by hyphens.
    """
    length = len(numbers[0][0])
    width = len(prefix) + sum(digits for _, digits in numbers) + len(numbers) - 1
    characters = np.full((length, width), ord("-"), dtype=np.uint8)
    characters[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    end = len(prefix) - 1
    for values, digits in numbers:
        end += digits + 1
        rest = values.astype(np.uint32)
        for position in range(end - 1, end - 1 - digits, -1):
            characters[:, position] = rest % 10 + ord("0")
            rest //= np.uint32(10)
    offsets = np.arange(length + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(length, pa.py_buffer(offsets), pa.py_buffer(characters))


def words(vocabulary: tuple[str, ...]) -> Encoder:
    """Return an encoder of codes into ``vocabulary``; ``MISSING`` and -1 become null."""
    pool = pa.array(vocabulary, pa.string())

    def encode(codes: IntArray) -> pa.Array:
        return pool.take(pa.array(np.maximum(codes, 0), mask=codes < 0))

    return encode


def joined(prefix: str, *widths: int) -> Encoder:
    """Return an encoder of IDs that ``pack`` packed into one integer."""

    def encode(packed: IntArray) -> pa.Array:
        rest = np.maximum(packed, 0)
        numbers: list[tuple[IntArray, int]] = []
        for width in reversed(widths):
            numbers.insert(0, (rest % 10**width, width))
            rest = rest // 10**width
        present = identifiers(prefix, *numbers)
        return pc.if_else(pa.array(packed >= 0), present, pa.scalar(None, pa.string()))

    return encode


def pack(customer: IntArray, *numbers: tuple[IntArray | int, int]) -> IntArray:
    """Pack a customer's number and further numbers, given with their widths, into one integer."""
    packed = customer
    for values, width in numbers:
        packed = packed * 10**width + values
    return packed


@dataclass
class Log:
    """Rows of one log that are not yet written.

    Parameters
    ----------
    name
        Table of the contract.
    letter
        First letter of the event IDs.
    encoders
        Column of strings to the encoder of its integers.
    """

    name: str
    letter: str
    encoders: Mapping[str, Encoder]
    _parts: list[dict[str, Any]] = field(default_factory=list)
    _waiting: list[dict[str, IntArray]] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns other than the four that every log has."""
        return tuple(TABLES[self.name].schema.names[4:])

    def add(
        self,
        customer: IntArray,
        week: int,
        slot: IntArray | int,
        event_us: IntArray,
        **columns: Any,
    ) -> None:
        """Add rows, shape ``(n,)``; scalars apply to all rows, columns not given are null.

        ``slot``, 0 to 999, distinguishes the rows of a customer and week.
        """
        if len(customer):
            self._parts.append(
                {"customer": customer, "event_us": event_us, "week": week, "slot": slot, **columns}
            )

    def close_block(self, draws: Draws, late: bool, dirt: bool) -> None:
        """Set when each row added since the last call becomes known, and add duplicates."""
        if not self._parts:
            return
        rows = {
            name: np.concatenate(
                [
                    np.broadcast_to(part.get(name, MISSING), len(part["customer"]))
                    for part in self._parts
                ]
            )
            for name in (*_COMMON, *self.columns)
        }
        self._parts.clear()
        # Drawn by the week and slot of the event, so that other rows cannot change its delay.
        u = draws.uniform(
            Topic.DELAYS * 100 + ord(self.letter), int(rows["week"][0]), rows["customer"], 4,
            rows["slot"],
        )  # fmt: skip
        delay = _MINUTE * (1.0 + 25.0 * u[0] ** 2)
        if late:
            is_late = u[1] < _LATE_SHARE
            delay[is_late] = MICROSECONDS_PER_DAY * (0.2 + (_MOST_LATE - 0.2) * u[0][is_late])
        rows["available_us"] = rows["event_us"] + delay.astype(np.int64)
        if dirt:
            rows = _with_duplicates(rows, u[2], u[3])
        self._waiting.append(rows)

    def table_until(self, end_us: int) -> pa.Table:
        """Return the rows available by ``end_us`` as a table of the contract, sorted."""
        table = TABLES[self.name]
        if not self._waiting:
            return table.schema.empty_table()
        waiting = _stacked(self._waiting)
        ready = waiting["available_us"] <= end_us
        rows = {name: values[ready] for name, values in waiting.items()}
        self._waiting = [{name: values[~ready] for name, values in waiting.items()}]
        # Ties are broken by the ID of the event; duplicates keep their order.
        identity = pack(rows["customer"], (rows["week"], 4), (rows["slot"], 3))
        order = np.lexsort((identity, rows["event_us"]))
        rows = {name: values[order] for name, values in rows.items()}
        arrays = [
            identifiers(self.letter, (rows["customer"], 7), (rows["week"], 4), (rows["slot"], 3)),
            identifiers("C", (rows["customer"], 7)),
            rows["event_us"],
            rows["available_us"],
        ]
        arrays += [
            self.encoders[name](rows[name])
            if name in self.encoders
            else pa.array(rows[name], mask=rows[name] == MISSING)
            for name in self.columns
        ]
        return pa.table(
            [
                pa.array(values).cast(kind) if kind != pa.string() else values
                for values, kind in zip(arrays, table.schema.types, strict=True)
            ],
            schema=table.schema,
        )


def _with_duplicates(
    rows: dict[str, IntArray], chosen: FloatArray, delay: FloatArray
) -> dict[str, IntArray]:
    """Repeat a few rows, delivered later."""
    twice = chosen < _DUPLICATE_SHARE
    again = {name: values[twice] for name, values in rows.items()}
    again["available_us"] = np.minimum(
        again["available_us"] + (_HOUR * (1.0 + 40.0 * delay[twice])).astype(np.int64),
        again["event_us"] + int(_MOST_LATE * MICROSECONDS_PER_DAY),
    )
    return _stacked([rows, again])


def _stacked(parts: list[dict[str, IntArray]]) -> dict[str, IntArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class TableFile:
    """A Parquet file, written in tables of any size and cut into equal row groups.

    Parameters
    ----------
    path
        Path of the file.
    schema
        Schema of the rows.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # Instants and IDs that never repeat gain nothing from a dictionary.
        repeating = [
            column.name
            for column in schema
            if column.type == pa.string() and column.name != "event_id"
        ]
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeating)
        self._buffer = schema.empty_table()
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self.rows += table.num_rows
        self._buffer = pa.concat_tables([self._buffer, table])
        full = self._buffer.num_rows // ROW_GROUP * ROW_GROUP
        if full:
            self._flush(full)

    def _flush(self, rows: int) -> None:
        # One chunk per column, so that the bytes do not depend on the sizes of the tables.
        ready = self._buffer.slice(0, rows).combine_chunks()
        self._writer.write_table(ready, row_group_size=ROW_GROUP)
        self._buffer = self._buffer.slice(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._buffer.num_rows:
            self._flush(self._buffer.num_rows)
        self._writer.close()
