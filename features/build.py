"""Build: measure every log, roll and derive block by block, write the feature table."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.contracts import INSTANT
from data.files import replaced, write_text
from data.progress import progress
from features.catalog import as_json, columns
from features.known import Known
from features.measures import (
    EVENT_ORDER,
    EVENTS,
    KEY,
    MEASURES,
    Manifest,
    categories,
    event_table,
    period_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from features.catalog import Column, Feature
    from features.declare import FeatureSettings

log = logging.getLogger(__name__)

# Customers in a block: bounds memory, and as the size of a row group shapes the file's bytes.
BLOCK_CUSTOMERS = 4096
FEATURES_FILE = "features.parquet"
CATALOG_FILE = "catalog.json"


def build_features(
    clean: Mapping[str, Path],
    snapshots: Path,
    target: Path,
    periods: Path,
    engine: Engine,
    clock: Clock,
    settings: FeatureSettings,
) -> tuple[Feature, ...]:
    """Compute the features of every snapshot and write them with their catalog.

    Parameters
    ----------
    clean
        Table name to Parquet file in the contract; absent logs are missing from it.
    snapshots
        Parquet file of which ``customer_id`` and ``cutoff`` are read, and nothing else.
    target
        Folder for ``features.parquet`` (``customer_id``, ``cutoff``, one float32 column a feature,
        sorted by the first two) and ``catalog.json``.
    periods
        Folder for the measures of each log.
    engine, clock, settings
        The engine that measures, the rule for time, windows and core features.

    Returns
    -------
    The features in the order of their columns.
    """
    present = [name for name in MEASURES if name in clean]
    for name in MEASURES:
        if name not in clean:
            log.info("There is no log %s: the features that read it are absent.", name)
    measure(clean, periods, engine, clock, settings)
    planned = columns(settings, present, clock)
    keys = read_keys(snapshots, clean["customers"], engine)
    facts = Facts.of(planned)
    target.mkdir(parents=True, exist_ok=True)
    with replaced(target / FEATURES_FILE) as path:
        write_blocks(blocks(keys, present, periods, settings, clock), planned, facts, path)
    features = tuple(column.feature for column in planned)
    write_text(as_json(features, facts.as_dicts(clock), settings), target / CATALOG_FILE)
    log.info("%d features of %d snapshots.", len(features), keys.num_rows)
    return features


def measure(
    clean: Mapping[str, Path],
    periods: Path,
    engine: Engine,
    clock: Clock,
    settings: FeatureSettings,
) -> None:
    """Reduce each log to ``<log>.parquet`` (and small logs to ``<log>_events.parquet``)."""
    product: tuple[str, ...] = ()
    if "usage" in clean:
        product = categories(engine.read(clean["usage"]), "feature", engine)
    manifest = Manifest(product, settings.core_features)
    for name in MEASURES:
        if name not in clean:
            continue
        table = engine.read(clean[name])
        reduced = period_table(name, table, engine, clock, manifest)
        engine.write(reduced, periods / f"{name}.parquet", KEY)
        if name in EVENTS:
            rows = event_table(name, table, engine, clock)
            engine.write(rows, periods / f"{name}_events.parquet", EVENT_ORDER)
    write_text(json.dumps(asdict(manifest), indent=1) + "\n", periods / "manifest.json")


def read_keys(snapshots: Path, customers: Path, engine: Engine) -> pa.Table:
    """Read the snapshots' keys with the sign-up of their customers, sorted; instants as int64."""
    rows = engine.read(snapshots).select("customer_id", "cutoff")
    signed_up = engine.read(customers).select("customer_id", "signed_up_at")
    joined = rows.left_join(signed_up, "customer_id")
    keys = joined.select(
        "customer_id",
        cutoff_us=engine.microseconds(joined.cutoff),
        signed_up_us=engine.microseconds(joined.signed_up_at),
    )
    ordered = keys.order_by([ibis.asc("customer_id"), ibis.asc("cutoff_us")])
    return engine.to_arrow(ordered)


def blocks(
    keys: pa.Table,
    present: Sequence[str],
    periods: Path,
    settings: FeatureSettings,
    clock: Clock,
) -> Iterator[tuple[pa.Table, Known]]:
    """Yield the keys of a block of whole customers, and what is known of them."""
    start = {name: log_start(periods / f"{name}.parquet") for name in present}
    customers = pc.unique(keys["customer_id"])
    counts = pc.value_counts(keys["customer_id"]).field("counts").to_numpy()
    ends = np.concatenate(([0], np.cumsum(counts)))
    for first in progress(range(0, len(customers), BLOCK_CUSTOMERS), "blocks of customers", log):
        stop = min(first + BLOCK_CUSTOMERS, len(customers))
        mine = keys.slice(ends[first], ends[stop] - ends[first])
        low, high = customers[first].as_py(), customers[stop - 1].as_py()
        tables = {name: _between(periods / f"{name}.parquet", low, high, "") for name in present}
        events = {
            name: _between(periods / f"{name}_events.parquet", low, high, "event_id")
            for name in present
            if name in EVENTS
        }
        yield mine, Known(mine, tables, events, start, settings, clock)


def log_start(path: Path) -> int:
    """Return the first period in which a row of the log was visible; 0 for an empty log."""
    visible = pq.read_table(path, columns=["visible_period"])["visible_period"]
    return int(pc.min(visible).as_py() or 0)


def _between(path: Path, low: str, high: str, without: str) -> pa.Table:
    """Rows of a file sorted by customer, of the customers from ``low`` to ``high``, in order."""
    names = [name for name in pq.read_schema(path).names if name != without]
    inside = [("customer_id", ">=", low), ("customer_id", "<=", high)]
    return pq.read_table(path, columns=names, filters=inside)


def block_matrix(known: Known, planned: Sequence[Column]) -> NDArray[np.float32]:
    """Every planned feature of a block, shape (features, snapshots)."""
    matrix = np.empty((len(planned), known.cells), dtype=np.float32)
    for row, column in zip(matrix, planned, strict=True):
        row[:] = column.values(known)
    return matrix


@dataclass
class Facts:
    """What the data say of each feature, gathered block by block; arrays of shape (features,)."""

    empty: NDArray[np.float32]
    rows: int
    missing: NDArray[np.int64]
    first_seen_us: NDArray[np.int64]

    @classmethod
    def of(cls, planned: Sequence[Column]) -> Facts:
        """Start with nothing seen."""
        empty = np.array([column.feature.empty for column in planned], dtype=np.float32)
        never = np.full(len(planned), np.iinfo(np.int64).max)
        return cls(empty, 0, np.zeros(len(planned), dtype=np.int64), never)

    def add(self, matrix: NDArray[np.float32], cutoff_us: NDArray[np.int64]) -> None:
        """Take in a block: matrix of shape (features, snapshots), cutoffs of shape (snapshots,)."""
        missing = np.isnan(matrix)
        self.rows += matrix.shape[1]
        self.missing += missing.sum(axis=1)
        seen = ~missing & (matrix != self.empty[:, None])
        earliest = np.where(seen, cutoff_us, np.iinfo(np.int64).max).min(axis=1)
        self.first_seen_us = np.minimum(self.first_seen_us, earliest)

    def as_dicts(self, clock: Clock) -> list[dict[str, Any]]:
        """Share of the snapshots without a value, and the first cutoff with one not empty."""
        never = np.iinfo(np.int64).max
        return [
            {
                "missing_share": round(int(missing) / max(self.rows, 1), 6),
                "first_seen": None
                if first == never
                else clock.cutoff_at(clock.period_of(int(first))).date().isoformat(),
            }
            for missing, first in zip(self.missing, self.first_seen_us, strict=True)
        ]


def write_blocks(
    known_blocks: Iterator[tuple[pa.Table, Known]],
    planned: Sequence[Column],
    facts: Facts,
    path: Path,
) -> None:
    """Compute and write block after block, one row group each."""
    fields = [("customer_id", pa.string()), ("cutoff", INSTANT)]
    fields += [(column.feature.name, pa.float32()) for column in planned]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for keys, known in known_blocks:
            matrix = block_matrix(known, planned)
            facts.add(matrix, known.cutoff_us)
            cutoff = pa.array(known.cutoff_us, type=pa.int64()).cast(INSTANT)
            arrays = [keys["customer_id"].cast(pa.string()), cutoff, *map(pa.array, matrix)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
