"""From raw tables to features by the code of the stages, and how two results differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.atomic import write_table
from data.clock import Clock
from data.outcomes import OutcomeSettings
from data.population import PopulationSettings, observe_population
from data.quality import QualitySettings, validate
from features.build import build_features
from features.feature_settings import FeatureSettings
from worlds.random_logs import END_US, START_US, write_raw

if TYPE_CHECKING:
    from pathlib import Path

    from data.engine import Engine

CLOCK = Clock()
AS_OF = CLOCK.last_cutoff(END_US)
CUTOFF = CLOCK.period_of(START_US) + 25
FEATURES = FeatureSettings((1, 2, 4, 8), ("login", "report"))
POPULATION = PopulationSettings(
    rule="contract",
    silent_periods=4,
    as_of=AS_OF,
    history_periods=8,
    thin_every=2,
    salt="test",
    outcome=OutcomeSettings((2, 4), 7, 7),
)
ANY_SHARE = QualitySettings(share_limit=1.0)


def run(tables: dict[str, pa.Table], folder: Path, engine: Engine) -> tuple[pa.Table, pa.Table]:
    """Snapshots and features of raw tables, by the code that the stages run."""
    write_raw(tables, folder / "raw")
    clean = folder / "clean"
    validate(folder / "raw", clean, folder / "quarantine", engine, CLOCK, ANY_SHARE)
    paths = {path.stem: path for path in sorted(clean.glob("*.parquet"))}
    read = {name: engine.read(path) for name, path in paths.items()}
    snapshots = observe_population(read, CLOCK, POPULATION, engine).snapshots
    write_table(snapshots, folder / "snapshots.parquet")
    build_features(
        paths,
        folder / "snapshots.parquet",
        folder / "features",
        folder / "periods",
        engine,
        CLOCK,
        FEATURES,
    )
    return snapshots, pq.read_table(folder / "features" / "features.parquet")


def until(table: pa.Table, cutoff: int) -> pa.Table:
    """Rows at cutoffs up to one, without the owner, who is today's."""
    microseconds = table["cutoff"].cast(pa.int64())
    kept = table.filter(pc.less_equal(microseconds, CLOCK.cutoff_us(cutoff)))
    return kept.drop_columns([name for name in ("owner", "newest") if name in kept.column_names])


def differing(one: pa.Table, other: pa.Table) -> list[str]:
    """Columns that are not the same to the byte."""
    assert one.column_names == other.column_names
    return [
        name
        for name in one.column_names
        if len(one) != len(other) or _bytes(one[name]) != _bytes(other[name])
    ]


def _bytes(column: pa.ChunkedArray) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([column.combine_chunks()], names=["x"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
