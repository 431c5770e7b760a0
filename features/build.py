"""Build: measure every log, roll and derive block by block, write the feature table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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
from features.declare import CATALOG_FILE, FEATURES_FILE
from features.known import Known, integers
from features.measures import EVENTS, MEASURES
from features.periods import Periods, measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.asof import Integers
    from data.clock import Clock
    from data.engine import Engine
    from features.catalog import Column, Feature
    from features.feature_settings import FeatureSettings

log = logging.getLogger(__name__)

# Customers in a block, and snapshots about as many: both bound memory, and as the size of a row
# group they shape the file's bytes. More customers at once read less of others' rows.
BLOCK_CUSTOMERS = 16_384
BLOCK_SNAPSHOTS = 250_000
# Snapshots of a block that are computed at a time, so that columns stay in the processor's cache
# and their memory is used again.
PART_SNAPSHOTS = 65_536


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
        """Read what is known of the customers of some keys; yield it for some after the other."""
        start, cell_customer = self.log_start, integers(keys["customer"])
        new = np.flatnonzero(np.diff(cell_customer, prepend=-1))
        customers = keys["customer_id"].take(new).combine_chunks()
        tables = {name: self._read.rows(name, customers) for name in start}
        events = {name: self._read.events(name, customers) for name in start if name in EVENTS}
        firsts = np.flatnonzero(np.diff(new // PART_SNAPSHOTS, prepend=-1))
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
        """Read the keys of a block's snapshots, as ``features.known.Known`` has them."""
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
    """Rows of the customers from one place to before another, whose places then begin at 0."""
    customer = integers(table["customer"])
    start, end = np.searchsorted(customer, [first, stop])
    place = table.column_names.index("customer")
    part = table.slice(start, end - start)
    return part.set_column(place, "customer", pa.array(customer[start:end] - first))


def _snapshots(path: Path, low: str, high: str) -> tuple[pa.Array, Integers, Integers]:
    """Read the snapshots of the customers from ``low`` to ``high``.

    Returns
    -------
    The customers in order; of each snapshot the place among them and the cutoff, sorted by both.
    """
    metadata = pq.read_metadata(path)
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=_coded(metadata)) as file:
        rows = _rows(file, low, high, "cutoff")
    coded = rows["customer_id"].dictionary_encode().unify_dictionaries().combine_chunks()
    ids, cutoff = coded.dictionary, integers(rows["cutoff"].cast(pa.int64()))
    inside = np.flatnonzero(pc.and_(pc.greater_equal(ids, low), pc.less_equal(ids, high)))
    inside = inside[pc.sort_indices(ids.take(inside))]
    place_of = np.full(len(ids), -1)
    place_of[inside] = np.arange(inside.size)
    place = place_of.take(integers(coded.indices))
    kept = place >= 0
    place, cutoff = place[kept], cutoff[kept]
    step = np.diff(place)
    if not np.all((step > 0) | ((step == 0) & (cutoff[1:] >= cutoff[:-1]))):
        order = np.lexsort((cutoff, place))
        place, cutoff = place[order], cutoff[order]
    return ids.take(inside), place, cutoff


def _signed_up(path: Path, customers: pa.Array) -> Integers:
    """Read when some customers, given in order, signed up; ``NOTHING`` where that is unknown."""
    with pq.ParquetFile(path) as file:
        rows = _rows(file, customers[0].as_py(), customers[-1].as_py(), "signed_up_at")
    place = pc.index_in(rows["customer_id"], value_set=customers)
    there = place.is_valid()
    signed_up = np.full(len(customers), NOTHING)
    signed_up[place.filter(there)] = integers(rows["signed_up_at"].cast(pa.int64()).filter(there))
    return signed_up


def _coded(metadata: pq.FileMetaData) -> list[str]:
    """Name the customers if they can be read as codes; Arrow makes none of delta encodings."""
    column = metadata.schema.to_arrow_schema().get_field_index("customer_id")
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    encodings = {encoding for group in groups for encoding in group.column(column).encodings}
    delta = any(encoding.startswith("DELTA") for encoding in encodings)
    return [] if delta else ["customer_id"]


def _rows(file: pq.ParquetFile, low: str, high: str, name: str) -> pa.Table:
    """Customers and an instant, of the row groups that may hold some from ``low`` to ``high``."""
    column = file.schema_arrow.get_field_index("customer_id")
    groups = []
    for group in range(file.num_row_groups):
        told = file.metadata.row_group(group).column(column).statistics
        if not (told and told.has_min_max) or (told.min <= high and told.max >= low):
            groups.append(group)
    return file.read_row_groups(groups, ["customer_id", name], use_threads=False)


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
        never = np.full(len(planned), NEVER)
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
        return [
            {
                "missing_share": round(int(missing) / max(self.rows, 1), 6),
                "first_seen": None
                if first == NEVER
                else clock.cutoff_at(clock.period_of(int(first))).date().isoformat(),
            }
            for missing, first in zip(self.missing, self.first_seen_us, strict=True)
        ]
