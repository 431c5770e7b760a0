"""Raw logs written by hand: rows of the contract, with what does not matter filled in."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.atomic import write_table
from data.contracts import TABLES

if TYPE_CHECKING:
    from pathlib import Path

MONDAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def at(weeks: float = 0, **more: float) -> dt.datetime:
    """An instant some weeks (and days, hours, microseconds) after Monday 2024-01-01."""
    return MONDAY + dt.timedelta(weeks=weeks, **more)


def contract_table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a table of the contract; missing ids and times are filled in."""
    filled = []
    for number, row in enumerate(rows):
        full = dict.fromkeys(TABLES[name].schema.names) | row
        if TABLES[name].is_log:
            full["event_id"] = full["event_id"] or f"{name}-{number:06d}"
            full["available_at"] = full["available_at"] or full["event_at"]
        filled.append(full)
    return pa.Table.from_pylist(filled, schema=TABLES[name].schema)


def write_logs(folder: Path, logs: dict[str, list[dict[str, Any]]]) -> dict[str, Path]:
    """Write tables of the contract as the pipeline stores them, sorted by key."""
    paths = {}
    for name, rows in logs.items():
        table = contract_table(name, rows)
        keys = ["customer_id", "event_at", "available_at", "event_id"]
        chosen = keys if TABLES[name].is_log else keys[:1]
        paths[name] = folder / f"{name}.parquet"
        write_table(table.sort_by([(key, "ascending") for key in chosen]), paths[name])
    return paths
