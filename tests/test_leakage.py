"""The rule that everything hangs on: nothing that came later changes a snapshot's features.

From the raw rows through the quality stage to the feature table: for every table, rows that became
available after a cutoff are corrupted, added and deleted; the snapshots and the features up to that
cutoff stay the same to the byte.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from random_logs import END_US, START_US, random_logs, tampered, write_raw

from data.atomic import write_table
from data.clock import Clock
from data.contracts import TABLES
from data.outcomes import OutcomeSettings
from data.population import PopulationSettings, observe_population
from data.quality import QualitySettings, validate
from features import engagement
from features.build import build_features
from features.feature_settings import FeatureSettings

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
    """Rows at cutoffs up to one; who looks after an account now is not a matter of the past."""
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


@pytest.fixture(scope="module")
def world() -> dict[str, pa.Table]:
    return random_logs(seed=1)


@pytest.fixture(scope="module")
def untouched(world: Any, engine: Engine, tmp_path_factory: Any) -> tuple[pa.Table, pa.Table]:
    snapshots, table = run(world, tmp_path_factory.mktemp("untouched"), engine)
    return until(snapshots, CUTOFF), until(table, CUTOFF)


def test_the_logs_of_this_test_move_every_feature(untouched: Any) -> None:
    """A feature that is constant here would pass the tests below whatever it reads."""
    _, table = untouched
    assert len(table) > 100
    constant = [
        name
        for name in table.column_names[2:]
        if len(set(table[name].to_pylist())) < 2 and not np.isnan(table[name][0].as_py())
    ]
    assert not constant, ", ".join(constant)


@pytest.mark.parametrize("how", ["corrupt", "add", "delete"])
@pytest.mark.parametrize("name", list(TABLES))
def test_rows_that_came_later_change_no_feature_and_no_snapshot(
    world: Any, untouched: Any, name: str, how: str, engine: Engine, tmp_path: Path
) -> None:
    random = np.random.default_rng([len(name), len(how)])
    changed = tampered(world, name, how, CLOCK.cutoff_us(CUTOFF), random)
    assert not changed[name].equals(world[name])
    snapshots, table = run(changed, tmp_path, engine)
    assert differing(untouched[0], until(snapshots, CUTOFF)) == []
    assert differing(untouched[1], until(table, CUTOFF)) == []


def test_a_planted_leak_is_caught(
    world: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uses_whenever_known(known: Any) -> Any:
        """Places rows by their event alone, as a join that forgets ``available_at`` would."""
        usage = known.log("usage")
        cell = known.cell_customer * 10_000 + known.cutoff
        row = usage.group * 10_000 + usage.event
        return np.array([usage["uses"][row == key].sum() for key in cell], dtype=float)

    planted = dataclasses.replace(
        engagement.FAMILY.declarations[0],
        function=uses_whenever_known,
        name="planted",
        over=(),
        norm=None,
    )
    declared = [*engagement.FAMILY.declarations, planted]
    monkeypatch.setattr(engagement.FAMILY, "declarations", declared)
    _, honest = run(world, tmp_path / "honest", engine)
    random = np.random.default_rng(5)
    changed = tampered(world, "usage", "delete", CLOCK.cutoff_us(CUTOFF), random)
    _, table = run(changed, tmp_path / "changed", engine)
    assert differing(until(honest, CUTOFF), until(table, CUTOFF)) == ["planted"]
