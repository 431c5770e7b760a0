"""The feature table as a whole: no leak, same bytes on any number of threads, any log absent."""

import dataclasses
import datetime as dt
import hashlib
import json
import logging
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.asof import NOTHING
from data.clock import Clock
from data.contracts import BILLING_INTERVALS, INSTANT, PRIORITIES, TABLES
from data.open_engine import open_engine
from features import build, engagement
from features.build import build_features
from features.catalog import Feature, catalog
from features.declare import from_json
from features.feature_settings import FeatureSettings
from features.known import integers
from features.measures import MEASURES

CLOCK = Clock()
SETTINGS = FeatureSettings((1, 2, 4, 8), ("login", "report"))
PERIODS, CUSTOMERS = 14, 12
FIRST = CLOCK.cutoff_on(dt.date(2024, 1, 1))
LAST = FIRST + PERIODS
CUTOFF = LAST - 4
DAY = 86_400_000_000
TEXTS = ("please help", "we want to cancel", "ik ben teleurgesteld", "vill säga upp", None)
WORDS = {
    "feature": ("login", "report", "export", "api"),
    "kind": None,
    "subscription_id": ("s1", "s2"),
    "ticket_id": ("t1", "t2", "t3", "t4"),
    "invoice_id": ("i1", "i2", "i3", "i4", "i5"),
    "plan": ("basic", "pro"),
    "billing_interval": BILLING_INTERVALS,
    "currency": ("EUR",),
    "cause": ("voluntary", "involuntary"),
    "author": ("customer", "agent", None),
    "category": ("billing", "technical", "cancellation", None),
    "priority": (*PRIORITIES, None),
    "channel": ("email", "phone"),
    "text": TEXTS,
    "decline_code": ("expired_card", "insufficient_funds", "try_again_later", "fraudulent", None),
    "method": ("card", "direct_debit", "invoice", None),
}


def random_log(name: str, rows: int, rng: np.random.Generator, since: int = FIRST) -> pa.Table:
    """Rows of a log: any time from cutoff ``since`` on, one in five late by up to two periods."""
    table = TABLES[name]
    start, stop = CLOCK.cutoff_us(since), CLOCK.cutoff_us(LAST)
    event = rng.integers(start, stop, rows)
    on_cutoff = rng.random(rows) < 0.1
    event[on_cutoff] = CLOCK.cutoff_us(rng.integers(since, LAST, on_cutoff.sum()))
    delay = np.where(rng.random(rows) < 0.2, rng.integers(0, 14 * DAY, rows), 0)
    columns = {}
    for column in table.columns:
        if column.name == "event_id":
            values = [f"{name}-{since}-{i:05}" for i in rng.permutation(rows)]
        elif column.name == "customer_id":
            # The last customers are rarely heard of.
            values = [f"c{i:02}" for i in rng.binomial(CUSTOMERS - 1, 0.4, rows)]
        elif column.name == "event_at":
            values = event
        elif column.name == "available_at":
            values = event + delay
        elif column.type == "instant":
            values = event + rng.integers(-30 * DAY, 60 * DAY, rows)
        elif column.type in ("integer", "money"):
            values = rng.integers(0, 6, rows)
        else:
            words = table.kinds if column.name == "kind" else WORDS[column.name]
            values = [words[i] for i in rng.integers(0, len(words), rows)]
        needed = column.required or column.type == "string"
        gone = None if needed else rng.random(rows) < 0.3
        columns[column.name] = pa.array(values, mask=gone).cast(
            table.schema.field(column.name).type
        )
    return pa.table(columns, schema=table.schema)


def random_world(seed: int) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    sizes = {"usage": 900, "subscriptions": 200, "tickets": 250, "payments": 300, "surveys": 40}
    world = {name: random_log(name, rows, rng) for name, rows in sizes.items()}
    signed_up = CLOCK.cutoff_us(FIRST) + rng.integers(-20 * DAY, 40 * DAY, CUSTOMERS)
    world["customers"] = pa.table(
        {
            "customer_id": [f"c{i:02}" for i in range(CUSTOMERS)],
            "signed_up_at": pa.array(signed_up).cast(INSTANT),
        }
        | dict.fromkeys(
            ("country", "segment", "channel", "owner"), pa.nulls(CUSTOMERS, pa.string())
        ),
        schema=TABLES["customers"].schema,
    )
    return world


def build_in(
    folder: Path,
    world: dict[str, pa.Table],
    cutoffs: range = range(FIRST + 1, CUTOFF + 1),
    settings: FeatureSettings = SETTINGS,
    threads: int = 2,
) -> pa.Table:
    """Build the features of every customer at some cutoffs; returns the table."""
    folder.mkdir(parents=True)
    clean = {name: folder / f"{name}.parquet" for name in world}
    for name, table in world.items():
        pq.write_table(table, clean[name])
    customers = world["customers"]["customer_id"].to_pylist()
    keys = [(customer, CLOCK.cutoff_at(k)) for customer in customers for k in cutoffs]
    snapshots = {
        "customer_id": pa.array([customer for customer, _ in keys], pa.string()),
        "cutoff": pa.array([cutoff for _, cutoff in keys], INSTANT),
    }
    pq.write_table(pa.table(snapshots), folder / "snapshots.parquet")
    with open_engine(threads=threads) as engine:
        build_features(
            clean,
            folder / "snapshots.parquet",
            folder / "features",
            folder / "periods",
            engine,
            CLOCK,
            settings,
        )
    return pq.read_table(folder / "features" / "features.parquet")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tampered(log: pa.Table, how: str, seed: int) -> pa.Table:
    """Corrupt, delete or add rows that become available after the cutoff; the rest stays."""
    rng = np.random.default_rng(seed)
    cutoff = pa.scalar(CLOCK.cutoff_us(CUTOFF)).cast(INSTANT)
    after = pc.greater(log["available_at"], cutoff)
    before = log.filter(pc.invert(after))
    later = log.filter(after)
    assert later.num_rows > 5, "nothing to tamper with"
    if how == "delete":
        return before
    name = next(name for name in TABLES if TABLES[name].schema.equals(log.schema))
    fresh = random_log(name, later.num_rows, rng, since=FIRST - 8)  # older than the log itself
    available = CLOCK.cutoff_us(CUTOFF) + 1 + rng.integers(0, 20 * DAY, later.num_rows)
    available[:3] = CLOCK.cutoff_us(CUTOFF) + 1
    fresh = _with(fresh, "available_at", pa.array(available).cast(INSTANT))
    if how == "add":  # rows of all ages, about entities that exist, and of unheard-of categories
        if name == "usage":
            words = pa.array([f"new{i}" for i in range(later.num_rows)])
            fresh = _with(fresh, "feature", words)
        return pa.concat_tables([log, fresh])
    return pa.concat_tables([before, _with(fresh, "event_id", later["event_id"])])


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def leaking_features(honest: pa.Table, other: pa.Table) -> list[str]:
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
    return random_world(1)


@pytest.fixture(scope="module")
def honest(world, tmp_path_factory) -> pa.Table:
    return build_in(tmp_path_factory.mktemp("honest") / "run", world)


@pytest.mark.parametrize("how", ["corrupt", "delete", "add"])
@pytest.mark.parametrize("log", list(MEASURES))
def test_no_feature_reads_rows_available_after_its_cutoff(log, how, world, honest, tmp_path):
    changed = world | {log: tampered(world[log], how, seed=len(log))}
    assert leaking_features(honest, build_in(tmp_path / "run", changed)) == []


def test_a_planted_leak_is_caught(world, tmp_path, monkeypatch):
    def uses_of_the_next_period(known):
        """Read the period after the cutoff, as a join on event time alone would."""
        usage = known.log("usage")
        key = known.cell_customer * 10_000 + known.cutoff + 1
        rows = usage.group * 10_000 + usage.event
        return np.array([usage["uses"][rows == k].sum() for k in key], dtype=float)

    planted = dataclasses.replace(
        engagement.FAMILY.declarations[0],
        function=uses_of_the_next_period,
        name="planted",
        over=(),
        norm=None,
    )
    declarations = [*engagement.FAMILY.declarations, planted]
    monkeypatch.setattr(engagement.FAMILY, "declarations", declarations)
    honest = build_in(tmp_path / "honest", world)
    changed = world | {"usage": tampered(world["usage"], "delete", seed=3)}
    assert leaking_features(honest, build_in(tmp_path / "changed", changed)) == ["planted"]


def test_every_feature_that_can_be_missing_says_what_is_missing(honest):
    for feature in catalog(SETTINGS.windows, SETTINGS.core_features, MEASURES):
        if np.isnan(honest[feature.name].to_numpy()).any():
            assert feature.missing != Feature.missing, feature.name


def test_every_feature_varies_somewhere_in_the_random_world(honest):
    # Else the leakage test says nothing about it.
    settled = {"onboarding_stage"}
    still = {
        name
        for name in honest.column_names[2:]
        if len(np.unique(np.nan_to_num(honest[name].to_numpy(), nan=-1.0))) < 2
    }
    assert still - settled == set()


def test_features_are_finite_or_missing(honest):
    for name in honest.column_names[2:]:
        assert not np.isinf(honest[name].to_numpy()).any(), name


def test_one_thread_or_two_blocks_of_any_size_order_of_rows_same_bytes(
    world, tmp_path, monkeypatch
):
    build_in(tmp_path / "two", world, threads=2)
    build_in(tmp_path / "one", world, threads=1)
    shuffled = {
        name: table.take(pa.array(np.random.default_rng(5).permutation(table.num_rows)))
        for name, table in world.items()
    }
    newest_first = range(CUTOFF, FIRST, -1)
    build_in(tmp_path / "shuffled", shuffled, newest_first, threads=2)
    files = sorted(
        p.relative_to(tmp_path / "two") for p in (tmp_path / "two").glob("*s/**/*") if p.is_file()
    )
    assert len(files) > 8
    for file in files:
        expected = digest(tmp_path / "two" / file)
        assert digest(tmp_path / "one" / file) == expected, file
        assert digest(tmp_path / "shuffled" / file) == expected, file
    monkeypatch.setattr(build, "BLOCK_CUSTOMERS", 5)
    monkeypatch.setattr(build, "PART_SNAPSHOTS", 7)
    small = build_in(tmp_path / "small", world)
    assert leaking_features(pq.read_table(tmp_path / "two/features/features.parquet"), small) == []


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
    how, shuffled, tmp_path
):
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
    read = build.BlockFeatures(
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


def test_a_cutoff_more_or_less_changes_no_other_snapshot(world, honest, tmp_path):
    few = build_in(tmp_path / "few", world, cutoffs=range(CUTOFF - 3, CUTOFF + 1, 3))
    kept = pc.is_in(honest["cutoff"], value_set=pc.unique(few["cutoff"]))
    assert leaking_features(honest.filter(kept), few) == []


@pytest.mark.parametrize("absent", list(MEASURES))
def test_features_of_an_absent_log_are_absent_and_it_is_said(absent, world, tmp_path, caplog):
    rest = {name: table for name, table in world.items() if name != absent}
    with caplog.at_level(logging.INFO):
        table = build_in(tmp_path / "run", rest)
    assert f"no log {absent}" in caplog.text
    expected = catalog(SETTINGS.windows, SETTINGS.core_features, rest)
    assert table.column_names[2:] == [feature.name for feature in expected]
    assert all(absent not in feature.sources for feature in expected)


def test_without_any_rows_every_feature_has_its_declared_empty_value(world, tmp_path):
    empty = {name: t if name == "customers" else t.slice(0, 0) for name, t in world.items()}
    table = build_in(tmp_path / "run", empty)
    _assert_empty(table)


def test_a_customer_without_rows_has_every_feature_at_its_declared_empty_value(world, tmp_path):
    quiet = {
        name: t if name == "customers" else t.filter(pc.not_equal(t["customer_id"], "c03"))
        for name, t in world.items()
    }
    long_ago = pa.array([CLOCK.cutoff_at(FIRST)] * CUSTOMERS, INSTANT)
    quiet["customers"] = _with(quiet["customers"], "signed_up_at", long_ago)
    table = build_in(tmp_path / "run", quiet, cutoffs=range(CUTOFF, CUTOFF + 1))
    _assert_empty(table.filter(pc.equal(table["customer_id"], "c03")))


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


def test_no_snapshots_at_all_gives_an_empty_table(world, tmp_path):
    assert build_in(tmp_path / "run", world, cutoffs=range(0)).num_rows == 0


def test_the_catalog_file_reads_back_with_what_the_data_say(honest, world, tmp_path):
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
def test_integers_without_a_value_are_nothing(type_):
    assert integers(pa.chunked_array([[1, None]], type_)).tolist() == [1, NOTHING]
