"""The periods tables are extended week by week, and are then those of a rebuild to the byte."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.arrivals import ARRIVALS_FILE, arrivals, read_arrivals, write_arrivals
from data.clock import Clock
from data.contracts import INSTANT
from data.imports import reached, source_of
from features import periods
from features.measures import EVENT_ORDER, KEY, MEASURES, OTHER_BIT, first_seen
from features.period_reader import Periods
from features.periods import FORMAT, measure
from worlds.random_logs import END_US, START_US, random_logs

if TYPE_CHECKING:
    from data.engine import Engine

CLOCK = Clock()
CORE = ("login", "report")
LAST = CLOCK.last_cutoff(END_US)
FIRST = CLOCK.period_of(START_US)
LOGS = {name: table for name, table in random_logs(seed=3).items() if name in MEASURES}


def known_by(cutoff: int, logs: dict[str, pa.Table] = LOGS) -> dict[str, pa.Table]:
    """Rows of each log that were available at a cutoff."""
    edge = pa.scalar(CLOCK.cutoff_at(cutoff), INSTANT)
    return {n: t.filter(pc.less_equal(t["available_at"], edge)) for n, t in logs.items()}


def measured(
    logs: dict[str, pa.Table],
    folder: Path,
    engine: Engine,
    earlier: Path | None = None,
    core: tuple[str, ...] = CORE,
    **sizes: int,
) -> Path:
    """Write logs as clean ones, with their arrivals, and measure them."""
    clean = folder / "clean"
    clean.mkdir(parents=True)
    paths = {name: clean / f"{name}.parquet" for name in logs}
    for name, table in logs.items():
        pq.write_table(table, paths[name])
    arrived = {name: arrivals(engine.read(path), engine, CLOCK) for name, path in paths.items()}
    write_arrivals(arrived, clean)
    target = folder / "periods"
    target.mkdir()
    measure(paths, target, engine, CLOCK, core, earlier, **sizes)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kept(folder: Path, earlier: Path) -> set[str]:
    """Files that were taken over, not written again."""
    inodes = {path.stat().st_ino for path in earlier.rglob(f"*.{FORMAT}")}
    return {
        str(path.relative_to(folder))
        for path in folder.rglob(f"*.{FORMAT}")
        if path.stat().st_ino in inodes
    }


def read_file(path: Path) -> pa.Table:
    return pa.ipc.open_file(path).read_all()


def read_folder(folder: Path) -> pa.Table:
    """Rows of all periods, each with integers as wide as it needs."""
    files = map(read_file, folder.glob(f"*.{FORMAT}"))
    return pa.concat_tables(files, promote_options="permissive")


@pytest.fixture(scope="module")
def whole(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(LOGS, tmp_path_factory.mktemp("whole"), engine)


@pytest.mark.parametrize("seed", range(4))
def test_extended_over_any_split_into_weeks_it_is_the_rebuild_to_the_byte(
    seed: int, whole: Path, engine: Engine, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    chunk_rows = int(random.integers(1, 2000))
    splits = np.sort(random.choice(np.arange(FIRST + 1, LAST + 1), size=4, replace=False))
    earlier = None
    for step, cutoff in enumerate([*splits.tolist(), LAST + 2]):
        folder = tmp_path / str(step)
        earlier = measured(known_by(cutoff), folder, engine, earlier, chunk_rows=chunk_rows)
    assert earlier is not None
    assert contents(earlier) == contents(whole)


def test_a_new_week_reads_its_own_rows_and_writes_its_own_files(
    engine: Engine, tmp_path: Path
) -> None:
    before = measured(known_by(LAST - 1), tmp_path / "before", engine)
    now = known_by(LAST)
    edge = pa.scalar(CLOCK.cutoff_at(LAST - 1), INSTANT)
    rebuilt = measured(now, tmp_path / "rebuilt", engine)
    # The history itself cannot be read; only its arrivals are known.
    week = {n: t.filter(pc.greater(t["available_at"], edge)) for n, t in now.items()}
    (tmp_path / "week").mkdir()
    shutil.copy(tmp_path / "rebuilt" / "clean" / ARRIVALS_FILE, tmp_path / "week")
    paths = {name: tmp_path / "week" / f"{name}.parquet" for name in week}
    for name, table in week.items():
        pq.write_table(table, paths[name])
    extended = tmp_path / "extended"
    extended.mkdir()
    measure(paths, extended, engine, CLOCK, CORE, before)
    assert contents(extended) == contents(rebuilt)
    new = {name for name in contents(extended) if name not in kept(extended, before)}
    assert {name.rsplit("/")[-1] for name in new} == {f"{LAST}.{FORMAT}", "manifest.json"}


def test_where_files_cannot_be_linked_they_are_copied(
    whole: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(periods.os, "link", refused)
    copied = measured(LOGS, tmp_path / "copied", engine, whole)
    assert contents(copied) == contents(whole)
    assert not kept(copied, whole)


def test_a_late_row_belongs_to_the_week_in_which_it_became_available(whole: Path) -> None:
    table = read_file(whole / "usage" / f"{LAST - 3}.{FORMAT}")
    assert set(table["visible_period"].to_pylist()) == {LAST - 3}
    assert min(table["event_period"].to_pylist()) < LAST - 3


@pytest.mark.parametrize("change", ["added", "removed", "corrected"])
def test_rows_delivered_afterwards_for_a_closed_week_rebuild_that_one(
    change: str, whole: Path, engine: Engine, tmp_path: Path
) -> None:
    usage = LOGS["usage"]
    visible = CLOCK.period_of(usage["available_at"].cast(pa.int64()).to_numpy())
    row = int(np.flatnonzero(visible == LAST - 20)[0])
    others = pa.concat_tables([usage.slice(0, row), usage.slice(row + 1)])
    one = usage.slice(row, 1)
    if change == "removed":
        changed = others
    elif change == "added":
        copy = one.set_column(0, "event_id", pa.array(["another"]))
        changed = pa.concat_tables([usage, copy])
    else:
        place = usage.column_names.index("count")
        more = pc.add(one["count"], 1)
        changed = pa.concat_tables([others, one.set_column(place, usage.schema.field(place), more)])
    logs = LOGS | {"usage": changed}
    extended = measured(logs, tmp_path / "extended", engine, whole)
    assert contents(extended) == contents(measured(logs, tmp_path / "rebuilt", engine))
    assert contents(extended) != contents(whole)
    written = {p for p in contents(extended) if p.endswith(FORMAT)} - kept(extended, whole)
    assert written == {f"usage/{LAST - 20}.{FORMAT}"}


def test_a_feature_that_turns_out_older_renumbers_the_bits_of_all_weeks(
    whole: Path, engine: Engine, tmp_path: Path
) -> None:
    usage = LOGS["usage"]
    first = int(pc.min(usage["available_at"].cast(pa.int64())).as_py())
    place = usage.column_names.index("feature")
    early = usage.slice(0, 1)
    early = early.set_column(place, "feature", pa.array(["ancient"]))
    early = early.set_column(0, "event_id", pa.array(["another"]))
    for name in ("event_at", "available_at"):
        column = pa.array([first]).cast(INSTANT)
        early = early.set_column(early.column_names.index(name), name, column)
    logs = LOGS | {"usage": pa.concat_tables([usage, early.cast(usage.schema)])}
    extended = measured(logs, tmp_path / "extended", engine, whole)
    assert contents(extended) == contents(measured(logs, tmp_path / "rebuilt", engine))
    assert not {name for name in kept(extended, whole) if name.startswith("usage/")}


@pytest.mark.parametrize("features", [5, OTHER_BIT, 3 * OTHER_BIT])
def test_features_are_numbered_as_by_a_look_at_the_whole_log(
    features: int, engine: Engine, tmp_path: Path
) -> None:
    usage = LOGS["usage"].sort_by("available_at").slice(0, 1500)
    # New ones turn up all along, and old ones again.
    place, random = np.arange(1500), np.random.default_rng(features)
    name = [f"f{random.integers(0, 1 + row * features // 1500)}" for row in place]
    column = usage.column_names.index("feature")
    usage = usage.set_column(column, usage.schema.field(column), pa.array(name))
    folder = measured({"usage": usage}, tmp_path / "numbered", engine, chunk_rows=50)
    made = periods.PeriodsManifest.of(folder)
    assert made is not None
    table = engine.read(tmp_path / "numbered" / "clean" / "usage.parquet")
    assert list(made.first_seen.items()) == list(first_seen(table, "feature", engine).items())


def test_other_core_features_or_a_damaged_manifest_force_a_rebuild(
    whole: Path, engine: Engine, tmp_path: Path
) -> None:
    other = measured(LOGS, tmp_path / "other", engine, whole, core=("export",))
    assert not kept(other, whole)
    (other / periods.MANIFEST_FILE).write_text('{"key": "')
    again = measured(LOGS, tmp_path / "again", engine, other, core=("export",))
    assert not kept(again, other)
    assert (again / "usage" / f"{LAST}.{FORMAT}").read_bytes() == (
        other / "usage" / f"{LAST}.{FORMAT}"
    ).read_bytes()


@pytest.mark.parametrize("module", sorted(reached("features.periods", periods.ENGINES)))
def test_a_change_in_any_module_that_can_change_a_measure_changes_the_key(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = periods.cache_key(CLOCK, CORE)
    changed = source_of(module)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path == changed))
    assert periods.cache_key(CLOCK, CORE) != before


@pytest.mark.parametrize("library", periods.WRITERS)
def test_another_version_of_a_library_changes_the_key(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = periods.cache_key(CLOCK, CORE)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.0" if name == library else version(name)
    )
    assert periods.cache_key(CLOCK, CORE) != before


def test_a_changed_key_measures_every_period_again(
    whole: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0")
    again = measured(LOGS, tmp_path / "again", engine, whole)
    assert not kept(again, whole)


def test_what_decides_a_measure_is_among_the_modules_of_the_key() -> None:
    assert {
        "data.arrivals", "data.clock", "data.contracts", "data.engine", "data.spark",
        "features.measures", "features.periods", "features.phrases",
    } <= reached("features.periods", periods.ENGINES)  # fmt: skip


def test_customers_are_read_in_the_declared_orders(whole: Path) -> None:
    read = Periods(whole)
    for names in (["C003", "C004", "C017"], [f"C{n:03}" for n in range(30)], ["nobody"]):
        customers = pa.array(names)
        for log in LOGS:
            table = read.rows(log, customers)
            keys = [table[key].to_pylist() for key in ("customer", *KEY[1:])]
            assert list(zip(*keys, strict=True)) == sorted(zip(*keys, strict=True))
            files = read_folder(whole / log)
            expected = files.filter(pc.is_in(files["customer_id"], value_set=customers))
            assert table.num_rows == expected.num_rows


def test_events_at_the_same_instant_are_read_by_kind_then_by_id(
    engine: Engine, tmp_path: Path
) -> None:
    payments = LOGS["payments"].slice(0, 60)
    random = np.random.default_rng(4)
    start = CLOCK.cutoff_us(FIRST + 5)
    late = random.integers(0, 3, 60) * CLOCK.period_us  # the same instant, known weeks apart
    columns = {
        "event_id": pa.array([f"id-{n:02}" for n in random.permutation(60)]),
        "customer_id": pa.array([f"C{n % 2:03}" for n in range(60)]),
        "event_at": pa.array(start + random.integers(0, 3, 60)).cast(INSTANT),
        "available_at": pa.array(start + 10 + late).cast(INSTANT),
    }
    for name, column in columns.items():
        payments = payments.set_column(payments.column_names.index(name), name, column)
    folder = measured({"payments": payments}, tmp_path / "tied", engine)
    files = read_folder(folder / "payments_events")
    expected = files.sort_by([(key, "ascending") for key in EVENT_ORDER])
    table = Periods(folder).events("payments", pa.array(["C000", "C001"]))
    for name in ("event_us", "kind", "visible_period", "entity"):
        assert table[name].to_pylist() == expected[name].to_pylist()


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_integers_are_as_wide_as_they_need_and_read_as_they_were(bits: int, tmp_path: Path) -> None:
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    columns = {"within": [least, 0, most], "below": [least // 2 - 1, 0, 0], "above": [0, 0, most]}
    table = pa.table({name: pa.array(column, pa.int64()) for name, column in columns.items()})
    periods._write(table, tmp_path / "table.arrow")
    read_back = read_file(tmp_path / "table.arrow")
    assert read_back.to_pydict() == columns
    assert {field.type.bit_width for field in read_back.schema} == {bits}


def test_arrivals_count_every_row_and_notice_any_value(engine: Engine, tmp_path: Path) -> None:
    usage = LOGS["usage"]
    pq.write_table(usage, tmp_path / "usage.parquet")
    counted = read_arrivals(tmp_path / "usage.parquet", engine, CLOCK)
    assert sum(one.rows for one in counted.values()) == usage.num_rows
    shuffled = usage.take(np.random.default_rng(1).permutation(usage.num_rows))
    pq.write_table(shuffled, tmp_path / "usage.parquet")
    assert read_arrivals(tmp_path / "usage.parquet", engine, CLOCK) == counted
    later = usage["event_at"].to_pylist()
    later[0] -= dt.timedelta(microseconds=1)
    place = usage.column_names.index("event_at")
    moved = usage.set_column(place, usage.schema.field(place), pa.array(later, INSTANT))
    pq.write_table(moved, tmp_path / "usage.parquet")
    changed = read_arrivals(tmp_path / "usage.parquet", engine, CLOCK)
    assert sum(changed[period] != counted[period] for period in counted) == 1
    write_arrivals({"usage": changed}, tmp_path)
    assert read_arrivals(tmp_path / "usage.parquet", engine, CLOCK) == changed
    assert dataclasses.astuple(changed[LAST])[0] == changed[LAST].rows
