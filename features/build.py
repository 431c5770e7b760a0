"""Build the feature table: measure every log, then roll and derive block by block."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.asof import NEVER, NOTHING
from data.atomic import replaced, write_text
from data.contracts import INSTANT
from data.progress import progress
from features.catalog import as_json, columns
from features.declare import CATALOG_FILE, FEATURES_FILE, KEYS
from features.known import Known, integers
from features.measures import EVENTS, MEASURES
from features.period_reader import Periods
from features.periods import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.asof import Integers
    from data.clock import Clock
    from data.engine import Engine
    from features.catalog import Feature, PlannedColumn
    from features.feature_settings import FeatureSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockSizes:
    """How much is computed at a time: bounds memory and changes no value.

    Parameters
    ----------
    customers, snapshots
        Most customers of a block, and about the most snapshots. A block is a row group, so they
        also decide the bytes of the file. Larger blocks read fewer rows in vain.
    part
        Snapshots of a block computed at a time, about: their columns fit the processor's cache, and
        their memory is reused.
    """

    customers: int = 16_384
    snapshots: int = 250_000
    part: int = 65_536


SIZES = BlockSizes()


def build_features(
    clean: Mapping[str, Path],
    snapshots: Path,
    target: Path,
    periods: Path,
    engine: Engine,
    clock: Clock,
    settings: FeatureSettings,
    earlier: Path | None = None,
    sizes: BlockSizes = SIZES,
) -> tuple[Feature, ...]:
    """Compute the features of every snapshot and write them with their catalog.

    Parameters
    ----------
    clean
        Table name to Parquet file in the contract, without the logs that the business lacks.
    snapshots
        Parquet file; only ``customer_id`` and ``cutoff`` are read.
    target
        Folder for ``features.parquet`` (``customer_id``, ``cutoff``, one float32 column per
        feature, sorted by the first two) and ``catalog.json``.
    periods
        Empty folder for the measures of each log.
    engine, clock, settings
        The engine that measures; the rule for time; windows and core features.
    earlier
        Folder with the measures of an earlier run, which are extended; None to measure everything.
    sizes
        How much is computed at a time.

    Returns
    -------
    The features in the order of their columns.
    """
    present = [name for name in MEASURES if name in clean]
    for name in MEASURES:
        if name not in clean:
            logger.info("There is no log %s: its features are left out.", name)
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
        sizes.part,
    )
    blocks = customer_blocks(snapshots, engine, sizes)
    statistics = ColumnStatistics.of(planned)
    target.mkdir(parents=True, exist_ok=True)
    with (
        replaced(target / FEATURES_FILE) as path,
        pq.ParquetWriter(path, block_features.schema, compression="zstd") as writer,
    ):
        computed = engine.map_blocks(block_features, blocks)
        for _ in progress(blocks, "blocks of customers", logger):
            table = next(computed)
            statistics.add(table)
            writer.write_table(table)
    features = tuple(column.feature for column in planned)
    write_text(as_json(features, statistics.as_dicts(clock), settings), target / CATALOG_FILE)
    logger.info("%d features of %d snapshots.", len(features), statistics.rows)
    return features


def customer_blocks(
    snapshots: Path, engine: Engine, sizes: BlockSizes = SIZES
) -> list[tuple[str, str]]:
    """Return the first and last customer of each block of customers with snapshots, in order."""
    counted = engine.read(snapshots).group_by("customer_id").aggregate(count=ibis._.count())
    counts = engine.to_arrow(counted.order_by("customer_id"))
    customers, snapshot_count = counts["customer_id"], max(pc.sum(counts["count"]).as_py() or 0, 1)
    size = min(sizes.customers, -(-sizes.snapshots * len(customers) // snapshot_count))
    blocks = [customers.slice(start, size) for start in range(0, len(customers), size or 1)]
    return [(block[0].as_py(), block[-1].as_py()) for block in blocks]


@dataclass(frozen=True)
class BlockFeatures:
    """Computes the features of a block of customers from files, in any process.

    Parameters
    ----------
    snapshots, customers
        Parquet files of the snapshots and of the customers' sign-ups.
    periods
        Folder of the measures.
    log_start
        Log to the first period in which any of its rows was visible.
    planned
        Columns to compute.
    settings, clock
        Windows and core features; the rule for time.
    part
        Snapshots that are computed at a time, see ``BlockSizes``.
    """

    snapshots: Path
    customers: Path
    periods: Path
    log_start: dict[str, int]
    planned: tuple[PlannedColumn, ...]
    settings: FeatureSettings
    clock: Clock
    part: int = SIZES.part

    @property
    def schema(self) -> pa.Schema:
        """Schema of the feature table."""
        names = [column.feature.name for column in self.planned]
        keys = zip(KEYS, (pa.string(), INSTANT), strict=True)
        return pa.schema([*keys, *((name, pa.float32()) for name in names)])

    def __call__(self, block: tuple[str, str]) -> pa.Table:
        """Compute the feature table of a block, given as its first and last customer."""
        keys = self.keys(*block)
        matrix = np.empty((len(self.planned), keys.num_rows), dtype=np.float32)
        stop = 0
        for known in self.known(keys):
            start, stop = stop, stop + known.cells
            for row, column in zip(matrix, self.planned, strict=True):
                row[start:stop] = column.values(known)
        cutoff = keys["cutoff_us"].cast(INSTANT)
        columns = [keys["customer_id"], cutoff, *map(pa.array, matrix)]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def known(self, keys: pa.Table) -> Iterator[Known]:
        """Read the inputs of the features of ``keys``; yield them for some customers at a time."""
        start, cell_customer = self.log_start, integers(keys["customer"])
        new = np.flatnonzero(np.diff(cell_customer, prepend=-1))
        customers = keys["customer_id"].take(new).combine_chunks()
        tables = {name: self._read.rows(name, customers) for name in start}
        events = {name: self._read.events(name, customers) for name in start if name in EVENTS}
        firsts = np.flatnonzero(np.diff(new // self.part, prepend=-1))
        for first, stop in pairwise([*firsts, len(customers)]):
            part = partial(_of_customers, first=first, stop=stop)
            yield Known(
                part(keys),
                {name: part(table) for name, table in tables.items()},
                {name: part(table) for name, table in events.items()},
                start,
                self.settings,
                self.clock,
            )

    @cached_property
    def _read(self) -> Periods:
        return Periods(self.periods)

    def keys(self, low: str, high: str) -> pa.Table:
        """Read the keys of a block's snapshots, as ``features.known.Known`` takes them."""
        customers, place, cutoff_us = _snapshots(self.snapshots, low, high)
        signed_up_us = _signed_up(self.customers, customers)
        return pa.table(
            {
                "customer_id": customers.take(pa.array(place)),
                "customer": place,
                "cutoff_us": cutoff_us,
                "signed_up_us": signed_up_us[place],
            }
        )


def _of_customers(table: pa.Table, first: int, stop: int) -> pa.Table:
    """Return the rows of the customers at places ``[first, stop)``, renumbered from 0."""
    customer = integers(table["customer"])
    start, end = np.searchsorted(customer, [first, stop])
    place = table.column_names.index("customer")
    part = table.slice(start, end - start)
    return part.set_column(place, "customer", pa.array(customer[start:end] - first))


def _snapshots(path: Path, low: str, high: str) -> tuple[pa.Array, Integers, Integers]:
    """Read the snapshots of the customers from ``low`` to ``high``.

    Returns
    -------
    The customers, sorted; for each snapshot its customer's place among them, and its cutoff in
    microseconds, both sorted by (customer, cutoff).
    """
    rows = _rows(path, low, high, "cutoff")
    customers = pc.unique(rows["customer_id"])
    customers = customers.take(pc.sort_indices(customers))
    place = integers(pc.index_in(rows["customer_id"], value_set=customers))
    cutoff_us = integers(rows["cutoff"].cast(pa.int64()))
    order = np.lexsort((cutoff_us, place))
    return customers, place[order], cutoff_us[order]


def _signed_up(path: Path, customers: pa.Array) -> Integers:
    """Read the sign-ups of customers, given sorted, in microseconds; ``NOTHING`` if unknown."""
    rows = _rows(path, customers[0].as_py(), customers[-1].as_py(), "signed_up_at")
    place = pc.index_in(rows["customer_id"], value_set=customers)
    listed = place.is_valid()
    signed_up_us = integers(rows["signed_up_at"].cast(pa.int64()).filter(listed))
    result = np.full(len(customers), NOTHING)
    result[integers(place.filter(listed))] = signed_up_us
    return result


def _rows(path: Path, low: str, high: str, instant: str) -> pa.Table:
    """Read ``customer_id`` and an instant of the customers from ``low`` to ``high``.

    Row groups without such customers are skipped by their statistics.
    """
    customer = pc.field("customer_id")
    return pq.read_table(
        path,
        columns=["customer_id", instant],
        filters=(customer >= low) & (customer <= high),
        partitioning=None,  # else folders such as ``a=1`` in the path become columns
        use_threads=False,  # blocks already run in parallel
    )


@dataclass
class ColumnStatistics:
    """Statistics of each feature, collected block by block; arrays of shape (features,)."""

    empty: NDArray[np.float32]
    rows: int
    missing: NDArray[np.int64]
    first_seen_us: NDArray[np.int64]

    @classmethod
    def of(cls, planned: Sequence[PlannedColumn]) -> Self:
        """Return the statistics of no rows."""
        empty = np.array([column.feature.empty for column in planned], dtype=np.float32)
        never = np.full(len(planned), NEVER)
        return cls(empty, 0, np.zeros(len(planned), dtype=np.int64), never)

    def add(self, table: pa.Table) -> None:
        """Add the rows of a block."""
        cutoff_us = table["cutoff"].cast(pa.int64()).to_numpy()
        self.rows += table.num_rows
        for place, column in enumerate(table.drop_columns([*KEYS]).columns):
            values = column.to_numpy()
            missing = np.isnan(values)
            self.missing[place] += missing.sum()
            seen = cutoff_us[~missing & (values != self.empty[place])]
            self.first_seen_us[place] = seen.min(initial=self.first_seen_us[place])

    def as_dicts(self, clock: Clock) -> list[dict[str, Any]]:
        """Return, per feature, the share of missing values and the first cutoff with a value.

        A value that the feature has where there are no rows does not count.
        """
        return [
            {
                "missing_share": round(int(missing) / max(self.rows, 1), 6),
                "first_seen": None
                if first == NEVER
                else clock.cutoff_at(clock.period_of(int(first))).date().isoformat(),
            }
            for missing, first in zip(self.missing, self.first_seen_us, strict=True)
        ]
