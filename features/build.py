"""Build: measure every log, roll and derive block by block, write the feature table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
from features.measures import EVENTS, MEASURES
from features.periods import Periods, measure

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
# Blocks whose rows are read at once: few enough to hold, many enough to open files rarely.
READ_BLOCKS = 4
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
    earlier: Path | None = None,
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
        Empty folder for the measures of each log.
    engine, clock, settings
        The engine that measures, the rule for time, windows and core features.
    earlier
        Folder with the measures of an earlier run, which are extended; None measures all anew.

    Returns
    -------
    The features in the order of their columns.
    """
    present = [name for name in MEASURES if name in clean]
    for name in MEASURES:
        if name not in clean:
            log.info("There is no log %s: the features that read it are absent.", name)
    measure(clean, periods, engine, clock, settings.core_features, earlier)
    planned = columns(settings, present, clock)
    keys = read_keys(snapshots, clean["customers"], engine)
    facts = Facts.of(planned)
    target.mkdir(parents=True, exist_ok=True)
    with replaced(target / FEATURES_FILE) as path:
        write_blocks(blocks(keys, Periods(periods), settings, clock), planned, facts, path)
    features = tuple(column.feature for column in planned)
    write_text(as_json(features, facts.as_dicts(clock), settings), target / CATALOG_FILE)
    log.info("%d features of %d snapshots.", len(features), keys.num_rows)
    return features


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
    keys: pa.Table, periods: Periods, settings: FeatureSettings, clock: Clock
) -> Iterator[tuple[pa.Table, Known]]:
    """Yield the keys of a block of whole customers, and what is known of them."""
    start = {name: periods.start(name) for name in periods.logs}
    customers = pc.unique(keys["customer_id"])
    counts = pc.value_counts(keys["customer_id"]).field("counts").to_numpy()
    ends = np.concatenate(([0], np.cumsum(counts)))
    firsts = range(0, len(customers), BLOCK_CUSTOMERS)
    for first in progress(firsts, "blocks of customers", log):
        place = first % (READ_BLOCKS * BLOCK_CUSTOMERS)
        if place == 0:
            read = _read(periods, customers.slice(first, READ_BLOCKS * BLOCK_CUSTOMERS))
        mine = customers.slice(first, BLOCK_CUSTOMERS)
        rows = keys.slice(ends[first], ends[first + len(mine)] - ends[first])
        tables, events = (
            {name: _between(table, place, place + len(mine)) for name, table in some.items()}
            for some in read
        )
        yield rows, Known(rows, tables, events, place, start, settings, clock)


def _read(periods: Periods, customers: pa.Array) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
    """Periods and event tables of a stretch of customers."""
    return (
        {name: periods.rows(name, customers) for name in periods.logs},
        {name: periods.events(name, customers) for name in periods.logs if name in EVENTS},
    )


def _between(table: pa.Table, first: int, stop: int) -> pa.Table:
    """Rows of the customers numbered from ``first`` up to ``stop``, of a table sorted by them."""
    start, end = np.searchsorted(table["customer"].to_numpy(), [first, stop])
    return table.slice(start, end - start)


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
