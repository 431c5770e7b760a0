"""What became available when: the rows of a log by the period that first sees them.

Whatever is derived period by period compares these with those that it was derived from, and reads
only the periods that differ.
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
        How many.
    digest
        Of the rows as a set: it changes with any value of any row, not with their order.
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
        Runs the scan. Digests of two engines differ.
    clock
        Numbers the periods.

    Returns
    -------
    Period to its rows, rising; periods without rows are absent.
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
    found = engine.to_arrow(grouped.order_by("period")).to_pylist()
    return {row["period"]: Arrival(row["rows"], f"{row['low']:x}.{row['high']:x}") for row in found}


def write_arrivals(logs: Mapping[str, Arrivals], folder: Path) -> None:
    """Write the arrivals of each log beside the logs, where ``read_arrivals`` finds them."""
    write_text(json.dumps(to_json(logs), indent=1) + "\n", folder / ARRIVALS_FILE)


def to_json(logs: Mapping[str, Arrivals]) -> dict[str, dict[str, list[Any]]]:
    """Arrivals of logs as JSON holds them."""
    return {
        log: {str(period): [one.rows, one.digest] for period, one in sorted(periods.items())}
        for log, periods in logs.items()
    }


def from_json(stored: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, Arrivals]:
    """Read back what ``to_json`` gave."""
    return {
        log: {int(period): Arrival(*one) for period, one in periods.items()}
        for log, periods in stored.items()
    }


def read_arrivals(path: Path, engine: Engine, clock: Clock) -> Arrivals:
    """Arrivals of the log in a Parquet file: as written beside it, else by reading it once."""
    beside = path.with_name(ARRIVALS_FILE)
    stored = from_json(json.loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}
    known = stored.get(path.stem)
    return arrivals(engine.read(path), engine, clock) if known is None else known
