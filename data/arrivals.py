"""Arrivals: the rows of a log, counted and digested by the period in which they became available.

A table that is derived period by period compares the arrivals with those that it was derived from,
and reads only the periods that differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from data.atomic import write_text
from data.engine import total

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data.clock import Clock
    from data.engine import Engine

ARRIVALS_FILE = "arrivals.json"
# Halves of a 64-bit hash, so that their sums over a log stay in 64 bits.
_HALF = 1 << 32


@dataclass(frozen=True)
class Arrival:
    """Rows of a log that became available in one period.

    Parameters
    ----------
    rows
        Number of rows.
    digest
        Digest of the rows as a set: it changes with any value of any row, not with their order.
    """

    rows: int
    digest: str


Arrivals = dict[int, Arrival]


def arrivals(table: Any, engine: Engine, clock: Clock) -> Arrivals:
    """Count and digest the rows of a log by the period in which they became available.

    Parameters
    ----------
    table
        The log as a lazy Ibis table.
    engine
        Runs the scan. The digests of two engines differ.
    clock
        Numbers the periods.

    Returns
    -------
    Period to its arrival, in ascending order; periods without rows are absent.
    """
    hashed = table.select(
        period=clock.period_column(engine.microseconds(table.available_at)),
        hash=ibis.struct({name: table[name] for name in table.columns}).hash(),
    )
    low = hashed.hash & (_HALF - 1)
    halves = hashed.mutate(low=low, high=((hashed.hash - low) / _HALF).cast("int64"))
    grouped = halves.group_by("period").aggregate(
        rows=halves.count(), low=total(halves.low), high=total(halves.high)
    )
    rows = engine.to_arrow(grouped.order_by("period")).to_pylist()
    return {row["period"]: Arrival(row["rows"], f"{row['low']:x}.{row['high']:x}") for row in rows}


def write_arrivals(logs: Mapping[str, Arrivals], folder: Path) -> None:
    """Write the arrivals of each log beside the logs, where ``read_arrivals`` finds them."""
    write_text(json.dumps(to_json(logs), indent=1) + "\n", folder / ARRIVALS_FILE)


def to_json(logs: Mapping[str, Arrivals]) -> dict[str, dict[str, list[Any]]]:
    """Convert arrivals of logs to values that JSON can hold."""
    return {
        log: {
            str(period): [arrival.rows, arrival.digest]
            for period, arrival in sorted(periods.items())
        }
        for log, periods in logs.items()
    }


def from_json(stored: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, Arrivals]:
    """Convert the result of ``to_json`` back to arrivals."""
    return {
        log: {int(period): Arrival(*values) for period, values in periods.items()}
        for log, periods in stored.items()
    }


def read_arrivals(path: Path, engine: Engine, clock: Clock) -> Arrivals:
    """Return the arrivals of the log in a Parquet file, from the file beside it or by one scan."""
    beside = path.with_name(ARRIVALS_FILE)
    stored = from_json(json.loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}
    known = stored.get(path.stem)
    return arrivals(engine.read(path), engine, clock) if known is None else known
