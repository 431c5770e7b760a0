"""Build: measure every log, roll and derive block by block, write the feature table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
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
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.clock import Clock
    from data.engine import Engine
    from features.catalog import Column, Feature
    from features.declare import FeatureSettings

log = logging.getLogger(__name__)

# Customers in a block, and snapshots about as many: both bound memory, and as the size of a row
# group they shape the file's bytes. More customers at once read less of others' rows.
BLOCK_CUSTOMERS = 16_384
BLOCK_SNAPSHOTS = 250_000
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
    block_features = BlockFeatures(
        snapshots.resolve(),
        clean["customers"].resolve(),
        periods.resolve(),
        {name: Periods(periods).start(name) for name in present},
        planned,
        settings,
        clock,
    )
    blocks = customer_blocks(snapshots, engine)
    facts = Facts.of(planned)
    target.mkdir(parents=True, exist_ok=True)
    with (
        replaced(target / FEATURES_FILE) as path,
        pq.ParquetWriter(path, block_features.schema, compression="zstd") as writer,
    ):
        computed = engine.map_blocks(block_features, blocks)
        for _ in progress(blocks, "blocks of customers", log):
            table = next(computed)
            facts.add(table)
            writer.write_table(table)
    features = tuple(column.feature for column in planned)
    write_text(as_json(features, facts.as_dicts(clock), settings), target / CATALOG_FILE)
    log.info("%d features of %d snapshots.", len(features), facts.rows)
    return features


def customer_blocks(snapshots: Path, engine: Engine) -> list[tuple[str, str]]:
    """First and last customer of each block of those that have snapshots, in their order."""
    counted = engine.read(snapshots).group_by("customer_id").aggregate(count=ibis._.count())
    found = engine.to_arrow(counted.order_by("customer_id"))
    customers, count = found["customer_id"], max(pc.sum(found["count"]).as_py() or 0, 1)
    size = min(BLOCK_CUSTOMERS, -(-BLOCK_SNAPSHOTS * len(customers) // count))
    blocks = [customers.slice(start, size) for start in range(0, len(customers), size or 1)]
    return [(block[0].as_py(), block[-1].as_py()) for block in blocks]


@dataclass(frozen=True)
class BlockFeatures:
    """Computes the features of a block of customers from files, in whichever process it is called.

    Parameters
    ----------
    snapshots, customers
        Parquet files of the keys and of the sign-ups.
    periods
        Folder of the measures.
    log_start
        Log to the first period in which any of its rows was visible.
    planned
        The columns to compute.
    settings, clock
        Windows and core features; the rule for time.
    """

    snapshots: Path
    customers: Path
    periods: Path
    log_start: dict[str, int]
    planned: tuple[Column, ...]
    settings: FeatureSettings
    clock: Clock

    @property
    def schema(self) -> pa.Schema:
        """Schema of the feature table."""
        names = [column.feature.name for column in self.planned]
        keys = [("customer_id", pa.string()), ("cutoff", INSTANT)]
        return pa.schema(keys + [(name, pa.float32()) for name in names])

    def __call__(self, block: tuple[str, str]) -> pa.Table:
        """Return the rows of the feature table from the first to the last customer of a block."""
        known = self.known(*block)
        matrix = block_matrix(known, self.planned)
        cutoff = pa.array(known.cutoff_us, type=pa.int64()).cast(INSTANT)
        columns = [known.customer_id, cutoff, *map(pa.array, matrix)]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def known(self, low: str, high: str) -> Known:
        """Read what is known of the customers from ``low`` to ``high``."""
        keys, start = self._keys(low, high), self.log_start
        customers = pc.unique(keys["customer_id"])
        tables = {name: self._read.rows(name, customers) for name in start}
        events = {name: self._read.events(name, customers) for name in start if name in EVENTS}
        return Known(keys, tables, events, start, self.settings, self.clock)

    @cached_property
    def _read(self) -> Periods:
        return Periods(self.periods)

    def _keys(self, low: str, high: str) -> pa.Table:
        """Read the snapshots' keys with the sign-up of their customers; instants as int64."""
        rows = _between(self.snapshots, low, high, ["customer_id", "cutoff"])
        if not _is_sorted(rows["customer_id"], rows["cutoff"].cast(pa.int64())):
            rows = rows.sort_by([("customer_id", "ascending"), ("cutoff", "ascending")])
        people = _between(self.customers, low, high, ["customer_id", "signed_up_at"])
        place = pc.index_in(rows["customer_id"], value_set=people["customer_id"])
        return pa.table(
            {
                "customer_id": rows["customer_id"],
                "cutoff_us": rows["cutoff"].cast(pa.int64()),
                "signed_up_us": people["signed_up_at"].cast(pa.int64()).take(place),
            }
        )


def _between(path: Path, low: str, high: str, names: Sequence[str]) -> pa.Table:
    """Some columns of a file, rows of the customers from ``low`` to ``high``."""
    inside = [("customer_id", ">=", low), ("customer_id", "<=", high)]
    return pq.read_table(path, columns=list(names), filters=inside)


def _is_sorted(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    """Whether rows are sorted by one column, and by another where that one is the same."""
    size = max(len(first) - 1, 0)
    follows = pc.greater(first.slice(1), first.slice(0, size))
    again = pc.equal(first.slice(1), first.slice(0, size))
    later = pc.greater_equal(second.slice(1), second.slice(0, size))
    return bool(pc.all(pc.or_(follows, pc.and_(again, later)), min_count=0).as_py())


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

    def add(self, table: pa.Table) -> None:
        """Take in the rows of a block."""
        cutoff_us = table["cutoff"].cast(pa.int64()).to_numpy()
        self.rows += table.num_rows
        for place, column in enumerate(table.columns[2:]):
            values = column.to_numpy()
            missing = np.isnan(values)
            self.missing[place] += missing.sum()
            seen = cutoff_us[~missing & (values != self.empty[place])]
            self.first_seen_us[place] = seen.min(initial=self.first_seen_us[place])

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
