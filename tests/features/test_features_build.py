"""The feature table as a whole: same bytes on any number of threads, any log absent."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.asof import NOTHING
from data.clock import Clock
from data.contracts import INSTANT
from data.open_engine import open_engine
from features.build import SIZES, BlockFeatures, BlockSizes, build_features
from features.catalog import Feature, catalog
from features.declare import from_json
from features.feature_settings import FeatureSettings
from features.known import integers
from features.measures import MEASURES
from worlds.handmade_features import write_snapshots
from worlds.random_logs import START_US, random_logs

CLOCK = Clock()
SETTINGS = FeatureSettings((1, 2, 4, 8), ("login", "report"))
FIRST = CLOCK.period_of(START_US)
CUTOFF = FIRST + 30


def build_in(
    folder: Path,
    world: dict[str, pa.Table],
    cutoffs: range = range(CUTOFF - 9, CUTOFF + 1),
    settings: FeatureSettings = SETTINGS,
    threads: int = 2,
    sizes: BlockSizes = SIZES,
) -> pa.Table:
    """Build the features of every customer at some cutoffs; returns the table."""
    folder.mkdir(parents=True)
    clean = {name: folder / f"{name}.parquet" for name in world}
    for name, table in world.items():
        pq.write_table(table, clean[name])
    customers = world["customers"]["customer_id"].to_pylist()
    snapshots = write_snapshots(folder, customers, map(CLOCK.cutoff_at, cutoffs))
    with open_engine(threads=threads) as engine:
        build_features(
            clean,
            snapshots,
            folder / "features",
            folder / "periods",
            engine,
            CLOCK,
            settings,
            sizes=sizes,
        )
    return pq.read_table(folder / "features" / "features.parquet")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def differing(honest: pa.Table, other: pa.Table) -> list[str]:
    """Names of the columns whose bytes differ."""
    keys = ["customer_id", "cutoff"]
    assert honest.select(keys).equals(other.select(keys))
    assert honest.column_names == other.column_names
    return [
        name
        for name in honest.column_names[2:]
        if honest[name].to_numpy().tobytes() != other[name].to_numpy().tobytes()
    ]


@pytest.fixture(scope="module")
def world() -> dict[str, pa.Table]:
    return random_logs(seed=1)


@pytest.fixture(scope="module")
def honest(world: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return build_in(tmp_path_factory.mktemp("honest") / "run", world)


def test_every_feature_that_can_be_missing_has_a_sentence_for_it(honest: pa.Table) -> None:
    for feature in catalog(SETTINGS.windows, SETTINGS.core_features, MEASURES):
        if np.isnan(honest[feature.name].to_numpy()).any():
            assert feature.missing != Feature.missing, feature.name


def test_features_are_finite_or_missing(honest: pa.Table) -> None:
    for name in honest.column_names[2:]:
        assert not np.isinf(honest[name].to_numpy()).any(), name


def test_bytes_depend_on_neither_threads_nor_blocks_nor_order_of_rows(
    world: dict[str, pa.Table], tmp_path: Path
) -> None:
    build_in(tmp_path / "two", world, threads=2)
    build_in(tmp_path / "one", world, threads=1)
    shuffled = {
        name: table.take(pa.array(np.random.default_rng(5).permutation(table.num_rows)))
        for name, table in world.items()
    }
    newest_first = range(CUTOFF, CUTOFF - 10, -1)
    build_in(tmp_path / "shuffled", shuffled, newest_first, threads=2)
    files = sorted(
        p.relative_to(tmp_path / "two") for p in (tmp_path / "two").glob("*s/**/*") if p.is_file()
    )
    assert len(files) > 8
    for file in files:
        expected = digest(tmp_path / "two" / file)
        assert digest(tmp_path / "one" / file) == expected, file
        assert digest(tmp_path / "shuffled" / file) == expected, file
    small = build_in(tmp_path / "small", world, sizes=BlockSizes(customers=5, part=7))
    assert differing(pq.read_table(tmp_path / "two/features/features.parquet"), small) == []


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"row_group_size": 7},
        {"row_group_size": 7, "write_statistics": False},
        {"use_dictionary": False},
        {"use_dictionary": False, "column_encoding": {"customer_id": "DELTA_LENGTH_BYTE_ARRAY"}},
        {"use_dictionary": False, "column_encoding": {"customer_id": "DELTA_BYTE_ARRAY"}},
    ],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_keys_of_a_block_are_those_of_its_customers_however_the_files_are_written(
    how: dict[str, Any], shuffled: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    cells = [(f"c{n:02}", CLOCK.cutoff_us(k)) for n in range(20) for k in range(n % 4 + 1)]
    signed_up = {f"c{n:02}": n if n != 8 else None for n in range(20) if n != 5}
    tables = {
        "snapshots": pa.table(
            {
                "customer_id": [customer for customer, _ in cells],
                "cutoff": pa.array([cutoff for _, cutoff in cells]).cast(INSTANT),
            }
        ),
        "customers": pa.table(
            {
                "customer_id": list(signed_up),
                "signed_up_at": pa.array(list(signed_up.values()), pa.int64()).cast(INSTANT),
            }
        ),
    }
    for name, table in tables.items():
        rows = rng.permutation(len(table)) if shuffled else np.arange(len(table))
        pq.write_table(table.take(rows), tmp_path / f"{name}.parquet", **how)
    read = BlockFeatures(
        tmp_path / "snapshots.parquet", tmp_path / "customers.parquet", tmp_path, {}, (),
        SETTINGS, CLOCK,
    )  # fmt: skip
    for low, high in (("c03", "c11"), ("c00", "c19"), ("c05", "c05")):
        keys = read.keys(low, high)
        inside = [cell for cell in cells if low <= cell[0] <= high]
        found = (keys["customer_id"].to_pylist(), keys["cutoff_us"].to_pylist())
        assert list(zip(*found, strict=True)) == inside
        names = sorted({customer for customer, _ in inside})
        assert keys["customer"].to_pylist() == [names.index(customer) for customer, _ in inside]
        joined = [signed_up.get(customer) for customer, _ in inside]
        expected = [NOTHING if instant is None else instant for instant in joined]
        assert keys["signed_up_us"].to_pylist() == expected


def test_a_cutoff_more_or_less_changes_no_other_snapshot(
    world: dict[str, pa.Table], honest: pa.Table, tmp_path: Path
) -> None:
    few = build_in(tmp_path / "few", world, cutoffs=range(CUTOFF - 3, CUTOFF + 1, 3))
    kept = pc.is_in(honest["cutoff"], value_set=pc.unique(few["cutoff"]))
    assert differing(honest.filter(kept), few) == []


@pytest.mark.parametrize("absent", list(MEASURES))
def test_features_of_an_absent_log_are_absent_and_the_log_is_named(
    absent: str, world: dict[str, pa.Table], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rest = {name: table for name, table in world.items() if name != absent}
    with caplog.at_level(logging.INFO):
        table = build_in(tmp_path / "run", rest)
    assert f"no log {absent}" in caplog.text
    expected = catalog(SETTINGS.windows, SETTINGS.core_features, rest)
    assert table.column_names[2:] == [feature.name for feature in expected]
    assert all(absent not in feature.sources for feature in expected)


def test_without_any_rows_every_feature_has_its_declared_empty_value(
    world: dict[str, pa.Table], tmp_path: Path
) -> None:
    empty = {name: t if name == "customers" else t.slice(0, 0) for name, t in world.items()}
    table = build_in(tmp_path / "run", empty)
    _assert_empty(table)


def test_a_customer_without_rows_has_every_feature_at_its_declared_empty_value(
    world: dict[str, pa.Table], tmp_path: Path
) -> None:
    quiet = {
        name: t if name == "customers" else t.filter(pc.not_equal(t["customer_id"], "C003"))
        for name, t in world.items()
    }
    long_ago = pa.array([CLOCK.cutoff_at(FIRST)] * len(world["customers"]), INSTANT)
    quiet["customers"] = _with(quiet["customers"], "signed_up_at", long_ago)
    table = build_in(tmp_path / "run", quiet, cutoffs=range(CUTOFF, CUTOFF + 1))
    _assert_empty(table.filter(pc.equal(table["customer_id"], "C003")))


def _assert_empty(table: pa.Table) -> None:
    for feature in catalog(SETTINGS.windows, SETTINGS.core_features, MEASURES):
        if feature.sources == ("customers",):
            continue
        values = table[feature.name].to_numpy()
        young = "_usual_" in feature.name or "_slope_" in feature.name
        unknown_norm = young or feature.name.startswith("first_")
        same = (
            np.isnan(values) if math.isnan(feature.empty) else values == np.float32(feature.empty)
        )
        assert (same | (np.isnan(values) & unknown_norm)).all(), feature.name


def test_no_snapshots_at_all_gives_an_empty_table(
    world: dict[str, pa.Table], tmp_path: Path
) -> None:
    assert build_in(tmp_path / "run", world, cutoffs=range(0)).num_rows == 0


def test_the_catalog_file_reads_back_with_what_the_data_say(
    honest: pa.Table, world: dict[str, pa.Table], tmp_path: Path
) -> None:
    build_in(tmp_path / "run", world)
    text = (tmp_path / "run/features/catalog.json").read_text(encoding="utf-8")
    expected = catalog(SETTINGS.windows, SETTINGS.core_features, MEASURES)
    assert [str(f) for f in from_json(text)] == [str(f) for f in expected]
    entries = {entry["name"]: entry for entry in json.loads(text)["features"]}
    values = honest["last_rating"].to_numpy()
    assert entries["last_rating"]["missing_share"] == round(float(np.isnan(values).mean()), 6)
    seen = honest.filter(pc.invert(pc.is_nan(honest["last_rating"])))["cutoff"]
    assert entries["last_rating"]["first_seen"] == pc.min(seen).as_py().date().isoformat()


@pytest.mark.parametrize("type_", [pa.int8(), pa.int64()])
def test_integers_without_a_value_become_the_empty_value(type_: Any) -> None:
    assert integers(pa.chunked_array([[1, None]], type_)).tolist() == [1, NOTHING]
