"""Random raw logs that use every kind and column of the contract, and ways to tamper with them.

Nothing here is realistic; it only has to reach every branch of the code with rows on time and late.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.clock import EPOCH, MICROSECONDS_PER_DAY
from data.contracts import ARROW_TYPES, BILLING_INTERVALS, CAUSES, PRIORITIES, TABLES
from worlds.handmade import MONDAY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.random import Generator

WEEKS = 40
START_US = int((MONDAY - EPOCH) / dt.timedelta(microseconds=1))
# What turns up late may be older than the log itself.
OLDER_US = 8 * 7 * MICROSECONDS_PER_DAY
END_US = START_US + WEEKS * 7 * MICROSECONDS_PER_DAY
ROWS = {
    "subscriptions": 900, "usage": 3000, "tickets": 700, "payments": 900, "surveys": 100,
    "interventions": 60,
}  # fmt: skip
VALUES: dict[str, tuple[Any, ...]] = {
    "plan": ("basic", "plus", "pro"),
    "billing_interval": BILLING_INTERVALS,
    "cause": CAUSES,
    "currency": ("EUR",),
    "feature": ("login", "report", "export", "integration", "dashboard"),
    "author": ("customer", "agent"),
    "category": ("billing", "bug", "question", "cancellation"),
    "priority": PRIORITIES,
    "channel": ("email", "phone"),
    "text": ("I want to cancel", "this is frustrating", "ik wil opzeggen", "thank you"),
    "decline_code": ("insufficient_funds", "expired_card", "do_not_honor", "account_closed"),
    "method": ("card", "direct_debit", "invoice"),
    "arm": ("treated", "control"),
    "ticket_id": tuple(f"ticket-{n}" for n in range(120)),
    "invoice_id": tuple(f"invoice-{n}" for n in range(200)),
    "subscription_id": ("subscription-1", "subscription-2"),
}


def random_logs(
    seed: int, customers: int = 30, rows: Mapping[str, int] = ROWS
) -> dict[str, pa.Table]:
    """All tables of the contract, or logs of as many ``rows``, two in ten late by up to a week."""
    random = np.random.default_rng(seed)
    names = [f"C{number:03d}" for number in range(customers)]
    # Two in three sign up early enough for a history, the others at any time.
    span = np.where(np.arange(customers) % 3 > 0, 1, 3) * ((END_US - START_US) // 4)
    signed_up = random.integers(START_US, START_US + span)
    tables = {"customers": _customers(names, signed_up, random)}
    for name, size in rows.items():
        owner = random.integers(customers, size=size)
        event = random.integers(signed_up[owner], END_US)
        tables[name] = _rows(name, np.array(names)[owner], event, random, "first")
    return tables


def _customers(names: list[str], signed_up: Any, random: Generator) -> pa.Table:
    columns = {
        "customer_id": names,
        "signed_up_at": pa.array(signed_up).cast(ARROW_TYPES["instant"]),
        "country": random.choice(["NL", "SE"], len(names)),
        "segment": random.choice(["smb", "self-serve"], len(names)),
        "channel": random.choice(["ads", "partner"], len(names)),
        "owner": random.choice(["Ann", "Bo"], len(names)),
    }
    return pa.table(columns).cast(TABLES["customers"].schema)


def _rows(name: str, owner: Any, event: Any, random: Generator, label: str) -> pa.Table:
    size = len(owner)
    late = np.where(
        random.random(size) < 0.2, random.integers(0, 7 * MICROSECONDS_PER_DAY, size), 0
    )
    columns: dict[str, Any] = {}
    for column in TABLES[name].columns:
        empty = not column.required and random.random(size) < 0.1
        if column.name == "event_id":
            values: Any = [f"{name}-{label}-{number:05d}" for number in range(size)]
        elif column.name == "customer_id":
            values = owner
        elif column.name == "event_at":
            values = event
        elif column.name == "available_at":
            values = event + late
        elif column.name == "kind":
            values = random.choice(TABLES[name].kinds, size)
        elif column.type == "instant":
            values = event + random.integers(-30, 60, size) * MICROSECONDS_PER_DAY
        elif column.type == "string":
            values = random.choice(VALUES[column.name], size)
        else:
            values = random.integers(0, 10_000 if column.type == "money" else 5, size)
        array = pa.array(values, mask=np.broadcast_to(empty, size).copy())
        columns[column.name] = array.cast(ARROW_TYPES[column.type])
    return _keep_entities_with_their_customer(pa.table(columns), name)


def _keep_entities_with_their_customer(table: pa.Table, name: str) -> pa.Table:
    """A ticket, an invoice or a subscription belongs to one customer."""
    for column in ("ticket_id", "invoice_id", "subscription_id"):
        if column in table.column_names and column in {c.name for c in TABLES[name].columns}:
            joined = [
                None if entity is None else f"{owner}-{entity[-1]}"
                for owner, entity in zip(
                    table["customer_id"].to_pylist(), table[column].to_pylist(), strict=True
                )
            ]
            position = table.column_names.index(column)
            table = table.set_column(position, column, pa.array(joined, pa.string()))
    return table


def write_raw(tables: dict[str, pa.Table], folder: Path) -> None:
    """Write the tables as the stage ``ingest`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")


def tampered(
    tables: dict[str, pa.Table], name: str, how: str, after_us: int, random: Generator
) -> dict[str, pa.Table]:
    """Change what became available after an instant in one table: corrupt, add or delete rows.

    A customer becomes known at sign-up. New values are of the column's type but may break any other
    rule; ``event_at`` may move to any time, ``available_at`` stays after the instant.
    """
    table = tables[name]
    known = table["signed_up_at" if name == "customers" else "available_at"].cast(pa.int64())
    later = known.to_numpy() > after_us
    early, late = table.filter(pa.array(~later)), table.filter(pa.array(later))
    if how == "delete":
        return tables | {name: early}
    source = late if how == "corrupt" else table.take(random.integers(len(table), size=300))
    changed = _corrupted(source, name, after_us, random)
    kept = [early] if how == "corrupt" else [early, late]
    return tables | {name: pa.concat_tables([*kept, changed])}


def _corrupted(table: pa.Table, name: str, after_us: int, random: Generator) -> pa.Table:
    size = len(table)
    moment = "signed_up_at" if name == "customers" else "available_at"
    columns = {}
    for column in TABLES[name].columns:
        values = table[column.name].to_pylist()
        random.shuffle(values)
        if column.name == moment:
            numbers = random.integers(after_us + 1, END_US + 1, size)
            numbers[:3] = after_us + 1
            columns[column.name] = pa.array(numbers).cast(ARROW_TYPES["instant"])
            continue
        if name == "customers" and column.name == "customer_id":
            values = [f"new-{number}" for number in range(size)]
        elif column.name == "event_at":
            numbers = random.integers(START_US - OLDER_US, END_US + 1, size)
            values = pa.array(numbers).cast(ARROW_TYPES["instant"]).to_pylist()
        elif column.type in {"integer", "money"}:
            values = [int(v) for v in random.integers(0, 1_000_000, size)]
        elif column.name not in {"event_id", "customer_id", "kind"} and column.type == "string":
            values = [v if keep else f"new {n}" for n, (v, keep) in
                      enumerate(zip(values, random.random(size) < 0.5, strict=True))]  # fmt: skip
        columns[column.name] = pa.array(values, ARROW_TYPES[column.type])
    return pa.table(columns)
