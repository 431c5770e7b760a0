"""Spark gives what DuckDB gives: measures, snapshots and features, to the last bit."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from data.atomic import write_table
from data.clock import Clock
from data.contracts import INSTANT, TABLES
from data.engine import Engine
from data.open_engine import open_engine
from data.population import observe_population
from data.quality import validate
from features import phrases
from features.build import SIZES, BlockSizes, build_features
from features.measures import (
    EVENT_ORDER,
    EVENTS,
    KEY,
    MEASURES,
    Manifest,
    event_table,
    first_seen,
    period_table,
)
from features.periods import FORMAT
from pipelines.engines import WORKER_PACKAGES
from reading.by_hand import assert_counted_by_hand, worlds
from reading.leakage import ANY_SHARE, CUTOFF, FEATURES, POPULATION, differing, until
from worlds.on_spark import MARKS
from worlds.random_logs import random_logs, tampered, write_raw

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = MARKS
CLOCK = Clock()
MANIFEST = Manifest(("report", "login"), ("login", "export"))
EXTREMES = pa.array([-62_135_596_800_000_000, -1, 0, 253_402_300_799_999_999]).cast(INSTANT)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # Workers start where Spark started: in a project's folder, whose data/ holds no code.
    project = tmp_path_factory.mktemp("project")
    (project / "data" / "raw").mkdir(parents=True)
    with contextlib.chdir(project):
        opened = open_engine("spark", 2, "1GB", packages=WORKER_PACKAGES)
    with opened:
        yield opened


@pytest.fixture(scope="module")
def world() -> dict[str, pa.Table]:
    return random_logs(seed=1)


@pytest.fixture(scope="module")
def raw(world: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the random logs, their texts and instants made as difficult as possible."""
    tables = dict(world)
    for name in MEASURES:
        table = tables[name]
        for field in table.schema:
            if field.type == INSTANT and not TABLES[name].column(field.name).required:
                kept = table[field.name].slice(len(EXTREMES))
                table = _with(table, field.name, pa.chunked_array([EXTREMES, *kept.chunks]))
        tables[name] = table
    tables["tickets"] = _written(tables["tickets"])
    folder = tmp_path_factory.mktemp("raw")
    write_raw(tables, folder)
    return folder


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), values)


def _written(tickets: pa.Table) -> pa.Table:
    """Tickets whose texts try every edge of a word, end of a line and odd letter."""
    hits = ("cancelling", "I LEAVE YOU", "arg", "zat", "zeg het abonnement op", "stufi", "SÄGA UPP")
    edges = ("", " ", "-", "é", "İ", "Σ", "\N{KELVIN SIGN}", "ő", "_", "7", "\n", "\r", "\u2028",
             "\N{COMBINING ACUTE ACCENT}", "\N{NO-BREAK SPACE}", "\\b", "'", "😀")  # fmt: skip
    texts = [left + hit + right for hit in hits for left in edges for right in edges]
    texts += [f"zeg{gap}op" for gap in (" ", "\n", " x\ny ", " x\ry ", " x\u0085y ")]
    texts += ["CANCELLİNG", "BİLL", "STİLL WAİTİNG", "\N{KELVIN SIGN}ONKURRENT"]
    rows = tickets.take(pa.array(np.arange(len(texts)) % len(tickets)))
    rows = _with(rows, "event_id", pa.array([f"text-{i}" for i in range(len(texts))]))
    rows = _with(rows, "text", pa.array(texts))
    rows = _with(rows, "author", pa.array(["customer"] * len(texts)))
    return pa.concat_tables([tickets, _with(rows, "category", pa.array(texts))])


def both(raw: Path, name: str, engines: tuple[Engine, Engine], make: Any, order: Any) -> None:
    """The expression has the same rows and types on both engines, and there are rows."""
    one, other = (
        engine.to_arrow(make(engine.read(raw / f"{name}.parquet"), engine).order_by(list(order)))
        for engine in engines
    )
    assert len(one) > 0
    assert one.schema == other.schema
    assert differing(one, other) == []


@pytest.mark.parametrize("clock", [CLOCK, Clock(3, 5)], ids=["weeks", "five days"])
@pytest.mark.parametrize("name", list(MEASURES))
def test_periods_are_the_same(
    name: str, clock: Clock, raw: Path, engine: Engine, spark: Engine
) -> None:
    def make(table: Any, engine: Engine) -> Any:
        return period_table(name, table, engine, clock, MANIFEST)

    both(raw, name, (engine, spark), make, KEY)


def test_the_clock_is_exact_at_every_cutoff(tmp_path: Path, spark: Engine) -> None:
    edges = CLOCK.cutoff_us(np.arange(-14_000, 12_000))  # of the years 1701 to 2199
    instants = np.concatenate([edges - 1, edges, edges + 1])
    write_table(pa.table({"us": instants}), tmp_path / "us.parquet")
    table = spark.read(tmp_path / "us.parquet")
    asked = table.select("us", period=CLOCK.period_column(table.us), day=CLOCK.day_column(table.us))
    rows = spark.to_arrow(asked.order_by("us"))
    instants = rows["us"].to_numpy()
    assert np.array_equal(rows["period"].to_numpy(), CLOCK.period_of(instants))
    days = Clock(CLOCK.anchor_weekday, 1)
    first_day = 7 - days.period_of(CLOCK.cutoff_us(0) + 1)
    assert np.array_equal(rows["day"].to_numpy(), days.period_of(instants) + first_day)


@pytest.mark.parametrize("name", list(EVENTS))
def test_events_are_the_same(name: str, raw: Path, engine: Engine, spark: Engine) -> None:
    def make(table: Any, engine: Engine) -> Any:
        return event_table(name, table, engine, CLOCK)

    both(raw, name, (engine, spark), make, EVENT_ORDER)


@pytest.mark.parametrize("column", ["category", "text"])
def test_categories_are_the_same(column: str, raw: Path, engine: Engine, spark: Engine) -> None:
    one, other = (first_seen(e.read(raw / "tickets.parquet"), column, e) for e in (engine, spark))
    assert len(one) > 4
    assert list(one.items()) == list(other.items())


def test_the_texts_hold_some_phrases_and_not_too_many(raw: Path, engine: Engine) -> None:
    table = engine.read(raw / "tickets.parquet")
    rows = engine.to_arrow(period_table("tickets", table, engine, CLOCK, MANIFEST))
    texts = len(pq.read_table(raw / "tickets.parquet"))
    assert 0 < sum(rows["leaving"].to_pylist()) < texts / 2
    assert 0 < sum(rows["frustrated"].to_pylist()) < texts / 2
    assert phrases.LEAVING != phrases.FRUSTRATION


def test_a_sum_beyond_64_bits_stops_on_both(tmp_path: Path, engine: Engine, spark: Engine) -> None:
    rows = random_logs(1)["usage"].slice(0, 1).take(pa.array([0, 0]))
    huge = _with(rows, "count", pa.array([2**62 + 2**61] * 2))
    write_table(huge, tmp_path / "usage.parquet")
    for each in (engine, spark):
        table = each.read(tmp_path / "usage.parquet")
        expression = period_table("usage", table, each, CLOCK, MANIFEST)
        with pytest.raises(Exception, match=r"(?i)overflow|out of range"):
            each.to_arrow(expression)


def test_integers_with_nulls_stay_integers(tmp_path: Path, spark: Engine) -> None:
    table = pa.table({"n": pa.array([2**62 + 1, None])})
    write_table(table, tmp_path / "n.parquet")
    assert spark.to_arrow(spark.read(tmp_path / "n.parquet").order_by("n")).equals(table)


def test_a_file_is_written_whole_and_in_order(raw: Path, spark: Engine, tmp_path: Path) -> None:
    log = pq.read_table(raw / "usage.parquet")
    shuffled = log.take(pa.array(np.random.default_rng(1).permutation(len(log))))
    write_table(shuffled, tmp_path / "in.parquet")
    order = ["customer_id", "event_id"]
    spark.write(spark.read(tmp_path / "in.parquet"), tmp_path / "out" / "usage.parquet", order)
    written = pq.read_table(tmp_path / "out" / "usage.parquet")
    assert written.cast(log.schema).equals(log.sort_by([(name, "ascending") for name in order]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["usage.parquet"]


def test_blocks_come_back_in_their_order_from_the_zipped_packages(spark: Engine) -> None:
    def block_and_code(block: int) -> pa.Table:
        import features  # noqa: PLC0415 - of the worker

        return pa.table({"block": [block] * block, "code": [str(features.__file__)] * block})

    blocks = [5, 0, 3, 9, 1, 2, 7]
    tables = list(spark.map_blocks(block_and_code, blocks))
    assert [table["block"].to_pylist() for table in tables] == [[n] * n for n in blocks]
    assert all("churn_risk.zip" in code for table in tables for code in table["code"].to_pylist())
    assert list(spark.map_blocks(block_and_code, [])) == []


@pytest.mark.parametrize("rule", ["contract", "inactivity"])
def test_snapshots_outcomes_and_lifetimes_are_the_same(
    rule: Any, world: dict[str, pa.Table], engine: Engine, spark: Engine, tmp_path: Path
) -> None:
    write_raw(world, tmp_path / "raw")
    clean = tmp_path / "clean"
    validate(tmp_path / "raw", clean, tmp_path / "quarantine", engine, CLOCK, ANY_SHARE)
    settings = dataclasses.replace(POPULATION, rule=rule, silent_periods=1)
    one, other = (
        observe_population(
            {name: e.read(clean / f"{name}.parquet") for name in world}, CLOCK, settings, e
        )
        for e in (engine, spark)
    )
    assert one.cutoffs == other.cutoffs
    assert one.coverage == other.coverage
    for name in ("snapshots", "outcomes", "lifetimes"):
        assert getattr(one, name).schema == getattr(other, name).schema
        assert differing(getattr(one, name), getattr(other, name)) == []


def featurized(
    folder: Path, tables: dict[str, pa.Table], engine: Engine, sizes: BlockSizes = SIZES
) -> tuple[Path, pa.Table]:
    """Snapshots and features of logs, all by one engine: the feature table and its file."""
    write_raw(tables, folder)
    clean = {name: folder / f"{name}.parquet" for name in tables}
    read = {name: engine.read(path) for name, path in clean.items()}
    write_table(
        observe_population(read, CLOCK, POPULATION, engine).snapshots, folder / "snapshots.parquet"
    )
    target = folder / "features"
    build_features(
        clean,
        folder / "snapshots.parquet",
        target,
        folder / "periods",
        engine,
        CLOCK,
        FEATURES,
        sizes=sizes,
    )
    return target, pq.read_table(target / "features.parquet")


def clean(tables: dict[str, pa.Table], folder: Path, engine: Engine) -> dict[str, pa.Table]:
    """The rows that the quality stage, which is DuckDB's, lets pass."""
    write_raw(tables, folder / "raw")
    validate(folder / "raw", folder / "clean", folder / "bad", engine, CLOCK, ANY_SHARE)
    return {name: pq.read_table(folder / "clean" / f"{name}.parquet") for name in tables}


def test_feature_table_and_catalog_are_the_same_bytes_and_know_no_future(
    world: dict[str, pa.Table], engine: Engine, spark: Engine, tmp_path: Path
) -> None:
    small = BlockSizes(customers=7)
    one, _ = featurized(tmp_path / "duckdb", world, engine, small)
    other, _ = featurized(tmp_path / "spark", world, spark, small)
    assert pq.read_metadata(one / "features.parquet").num_row_groups > 3
    for name in ("features.parquet", "catalog.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    files = sorted((tmp_path / "duckdb" / "periods").rglob(f"*.{FORMAT}"))
    assert len(files) > 3 * 8  # of eight tables
    for path in files:
        same = tmp_path / "spark" / path.relative_to(tmp_path / "duckdb")
        assert path.read_bytes() == same.read_bytes(), path
    _, honest = featurized(tmp_path / "honest", clean(world, tmp_path / "0", engine), spark, small)
    # All logs at once, except that some log must reach the newest cutoff.
    most = [name for name in TABLES if name != "subscriptions"]
    tries = (("corrupt", TABLES), ("add", TABLES), ("delete", most), ("delete", ["subscriptions"]))
    for number, (how, names) in enumerate(tries, start=1):
        changed = world
        for name in names:
            random = np.random.default_rng([len(name), len(how)])
            changed = tampered(changed, name, how, CLOCK.cutoff_us(CUTOFF), random)
        changed = clean(changed, tmp_path / str(number), engine)
        _, knowing = featurized(tmp_path / how / str(number), changed, spark, small)
        assert differing(honest, knowing) != []
        assert differing(until(honest, CUTOFF), until(knowing, CUTOFF)) == [], how


@given(worlds)
@settings(max_examples=3)
def test_features_equal_those_counted_by_hand(spark: Engine, logs: dict[str, Any]) -> None:
    assert_counted_by_hand(spark, logs)
