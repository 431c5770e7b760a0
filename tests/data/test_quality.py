"""The quality stage: each rule, which copy is kept, what stops the run, and that nothing leaks."""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.atomic import write_table
from data.clock import Clock
from data.contracts import TABLES
from data.engine import Engine
from data.errors import BadInputError
from data.open_engine import open_engine
from data.quality import QualitySettings, rules, validate
from data.sources.folder import read_files

if TYPE_CHECKING:
    from collections.abc import Iterable

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
LENIENT = QualitySettings(share_limit=1.0)
CUSTOMER = {"customer_id": "c1", "signed_up_at": START}
LOG_ROW = {
    "event_id": "e1",
    "customer_id": "c1",
    "event_at": START + DAY,
    "available_at": START + DAY,
}
ROWS: dict[str, dict[str, Any]] = {
    "customers": CUSTOMER,
    "subscriptions": LOG_ROW | {"subscription_id": "s1", "kind": "activated", "mrr": 5000},
    "usage": LOG_ROW | {"feature": "login", "count": 1},
    "tickets": LOG_ROW | {"ticket_id": "t1", "kind": "opened"},
    "payments": LOG_ROW | {"kind": "method_updated"},
    "surveys": LOG_ROW | {"kind": "nps", "score": 9},
    "interventions": LOG_ROW | {"kind": "contacted"},
}
PAID = {"invoice_id": "i1", "amount": 100, "due_at": START + DAY}
FAR = dt.datetime(3000, 1, 1, tzinfo=dt.UTC)

# One row broken in one way for each rule; rules that hold for every log are shown on usage.
BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("customers", "missing_customer_id", {"customer_id": None}),
    ("customers", "missing_signed_up_at", {"signed_up_at": None}),
    ("customers", "implausible_signed_up_at", {"signed_up_at": FAR}),
    ("usage", "missing_event_id", {"event_id": None}),
    ("usage", "missing_customer_id", {"customer_id": None}),
    ("usage", "missing_event_at", {"event_at": None}),
    ("usage", "missing_available_at", {"available_at": None}),
    ("usage", "missing_feature", {"feature": None}),
    ("usage", "missing_count", {"count": None}),
    ("usage", "count_below_0", {"count": -1}),
    ("usage", "duration_s_below_0", {"duration_s": -1}),
    ("usage", "implausible_event_at", {"event_at": FAR, "available_at": FAR}),
    ("usage", "implausible_available_at", {"available_at": FAR}),
    ("usage", "unknown_customer", {"customer_id": "nobody"}),
    ("usage", "before_sign_up", {"event_at": START - dt.timedelta(microseconds=1)}),
    ("usage", "available_before_event", {"event_at": START + DAY + dt.timedelta(microseconds=1)}),
    ("usage", "too_late", {"available_at": START + 8 * DAY + dt.timedelta(microseconds=1)}),
    ("subscriptions", "missing_subscription_id", {"subscription_id": None}),
    ("subscriptions", "missing_kind", {"kind": None}),
    ("subscriptions", "unknown_kind", {"kind": "begun"}),
    ("subscriptions", "unknown_billing_interval", {"billing_interval": "monthly"}),
    ("subscriptions", "unknown_cause", {"cause": "bored"}),
    ("subscriptions", "activated_without_mrr", {"mrr": None}),
    ("subscriptions", "cancelled_without_cause", {"kind": "cancelled"}),
    ("subscriptions", "seats_below_0", {"seats": -1}),
    ("subscriptions", "mrr_below_0", {"mrr": -1}),
    ("tickets", "missing_ticket_id", {"ticket_id": None}),
    ("tickets", "missing_kind", {"kind": None}),
    ("tickets", "unknown_kind", {"kind": "closed"}),
    ("tickets", "unknown_priority", {"priority": "P1"}),
    ("tickets", "rated_without_score", {"kind": "rated"}),
    ("tickets", "score_below_0", {"score": -1}),
    ("payments", "missing_kind", {"kind": None}),
    ("payments", "unknown_kind", {"kind": "paid"}),
    ("payments", "due_without_invoice_id", PAID | {"kind": "due", "invoice_id": None}),
    ("payments", "due_without_amount", PAID | {"kind": "due", "amount": None}),
    ("payments", "due_without_due_at", PAID | {"kind": "due", "due_at": None}),
    ("payments", "succeeded_without_invoice_id", PAID | {"kind": "succeeded", "invoice_id": None}),
    ("payments", "succeeded_without_amount", PAID | {"kind": "succeeded", "amount": None}),
    ("payments", "failed_without_invoice_id", {"kind": "failed"}),
    ("payments", "amount_below_0", {"amount": -1}),
    ("payments", "attempt_below_0", {"attempt": -1}),
    ("surveys", "missing_kind", {"kind": None}),
    ("surveys", "unknown_kind", {"kind": "ces"}),
    ("surveys", "missing_score", {"score": None}),
    ("surveys", "score_below_0", {"score": -1}),
    ("interventions", "missing_kind", {"kind": None}),
    ("interventions", "unknown_kind", {"kind": "called"}),
    ("interventions", "assigned_without_arm", {"kind": "assigned"}),
]


def write_raw(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in tables.items():
        write_table(pa.Table.from_pylist(rows, TABLES[name].schema), folder / f"{name}.parquet")


def run(
    folder: Path,
    engine: Engine,
    tables: dict[str, list[dict[str, Any]]],
    limits: QualitySettings = LENIENT,
) -> dict[str, Any]:
    """Validate hand-written rows; a usage log is added where no source of outcomes is given."""
    defaults = {"customers": [CUSTOMER], "usage": [ROWS["usage"]]}
    write_raw(folder / "raw", defaults | tables)
    return validate(
        folder / "raw", folder / "clean", folder / "quarantine", engine, Clock(), limits
    )


def rows_of(folder: Path, part: str, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / part / f"{name}.parquet").to_pylist()


def rule_counts(folder: Path, name: str) -> Counter[str]:
    return Counter(row["rule"] for row in rows_of(folder, "quarantine", name))


@pytest.mark.parametrize(("table", "rule", "change"), BROKEN)
def test_a_broken_row_is_quarantined_with_its_rule(
    tmp_path: Path, engine: Engine, table: str, rule: str, change: dict[str, Any]
) -> None:
    good = ROWS[table]
    other = {"customer_id": "c2"} if table == "customers" else {"event_id": "e2"}
    report = run(tmp_path, engine, {table: [good, good | other | change]})
    (broken,) = rows_of(tmp_path, "quarantine", table)
    assert broken["rule"] == rule
    assert [broken[name] for name in change] == list(change.values())
    assert len(rows_of(tmp_path, "clean", table)) == 1
    assert report[table]["rules"] == {rule: 1}


def test_every_rule_has_a_broken_row() -> None:
    shared = {rule.name for rule in rules(TABLES["usage"], 7)}
    shown = {(table, rule) for table, rule, _ in BROKEN}
    for table in TABLES.values():
        for rule in rules(table, 7):
            covered = (table.name, rule.name) in shown or (table.is_log and rule.name in shared)
            assert covered or rule.name.startswith("duplicate_"), (table.name, rule.name)


def test_edges_are_clean(tmp_path: Path, engine: Engine) -> None:
    at_sign_up = ROWS["usage"] | {"event_at": START, "available_at": START + 7 * DAY, "count": 0}
    assert run(tmp_path, engine, {"usage": [at_sign_up]})["usage"]["quarantined"] == 0


def test_a_row_that_breaks_several_rules_counts_once_under_the_first(
    tmp_path: Path, engine: Engine
) -> None:
    worst = {"event_id": "e2", "feature": None, "count": -1, "customer_id": "nobody"}
    report = run(tmp_path, engine, {"usage": [ROWS["usage"], ROWS["usage"] | worst]})
    assert report["usage"]["rules"] == {"missing_feature": 1}


def test_of_copies_the_first_available_is_kept(tmp_path: Path, engine: Engine) -> None:
    good = ROWS["usage"]
    copies = [
        good | {"available_at": START + days * DAY, "count": count}
        for days, count in ((3, 1), (2, 5), (4, 0))
    ]
    run(tmp_path, engine, {"usage": copies})
    assert [row["count"] for row in rows_of(tmp_path, "clean", "usage")] == [5]
    assert rule_counts(tmp_path, "usage") == {"duplicate_event_id": 2}


def test_of_equal_rows_one_is_kept(tmp_path: Path, engine: Engine) -> None:
    report = run(tmp_path, engine, {"usage": [ROWS["usage"]] * 3})
    assert report["usage"]["clean"] == 1
    assert report["usage"]["rules"] == {"duplicate_event_id": 2}


def test_a_fixed_row_counts_from_its_own_arrival(tmp_path: Path, engine: Engine) -> None:
    broken = ROWS["usage"] | {"count": -1}
    fixed, again = (ROWS["usage"] | {"available_at": START + i * DAY} for i in (2, 3))
    run(tmp_path, engine, {"usage": [broken, again, fixed]})
    assert [r["available_at"] for r in rows_of(tmp_path, "clean", "usage")] == [START + 2 * DAY]
    assert rule_counts(tmp_path, "usage") == {"count_below_0": 1, "duplicate_event_id": 1}


def test_of_copies_of_a_customer_the_first_signed_up_is_kept(
    tmp_path: Path, engine: Engine
) -> None:
    later = CUSTOMER | {"signed_up_at": START + 5 * DAY}
    report = run(tmp_path, engine, {"customers": [later, CUSTOMER]})
    assert rows_of(tmp_path, "clean", "customers")[0]["signed_up_at"] == START
    assert report["customers"]["rules"] == {"duplicate_customer_id": 1}
    assert report["usage"]["clean"] == 1


def test_rows_of_a_quarantined_customer_count_as_those_of_an_unknown_one(
    tmp_path: Path, engine: Engine
) -> None:
    nameless = {"customer_id": "c2", "signed_up_at": None}
    orphan = ROWS["usage"] | {"event_id": "e2", "customer_id": "c2"}
    tables = {"customers": [CUSTOMER, nameless], "usage": [ROWS["usage"], orphan]}
    assert run(tmp_path, engine, tables)["usage"]["rules"] == {"unknown_customer": 1}


def test_clean_rows_are_sorted_and_in_the_schema(tmp_path: Path, engine: Engine) -> None:
    rows = [
        ROWS["usage"] | {"event_id": name, "customer_id": customer, "event_at": START + days * DAY}
        for name, customer, days in (("b", "c2", 0), ("z", "c1", 1), ("a", "c1", 1), ("c", "c1", 0))
    ]
    customers = [CUSTOMER | {"customer_id": name} for name in ("c2", "c1")]
    run(tmp_path, engine, {"customers": customers, "usage": rows})
    assert [row["event_id"] for row in rows_of(tmp_path, "clean", "usage")] == list("cazb")
    for name in ("customers", "usage"):
        clean = pq.read_schema(tmp_path / "clean" / f"{name}.parquet")
        assert (clean.names, clean.types) == (TABLES[name].schema.names, TABLES[name].schema.types)
        quarantined = pq.read_schema(tmp_path / "quarantine" / f"{name}.parquet")
        assert quarantined.names == [*clean.names, "rule"]
        assert quarantined.types == [*clean.types, pa.string()]


def test_the_report_gives_the_time_that_a_log_covers(tmp_path: Path, engine: Engine) -> None:
    last = ROWS["usage"] | {"event_id": "e2", "available_at": START + 7 * DAY}
    broken = ROWS["usage"] | {"event_id": "e3", "available_at": START + 30 * DAY}
    report = run(tmp_path, engine, {"usage": [ROWS["usage"], last, broken]})
    assert report["usage"] == {
        "rows": 3,
        "clean": 2,
        "quarantined": 1,
        "rules": {"too_late": 1},
        "first_event_at": "2024-01-02T00:00:00+00:00",
        "last_available_at": "2024-01-08T00:00:00+00:00",
        "newest_cutoff": "2024-01-08",
    }
    assert json.loads((tmp_path / "quarantine" / "report.json").read_text()) == report


def test_a_log_that_is_gone_leaves_no_old_clean_rows(tmp_path: Path, engine: Engine) -> None:
    run(tmp_path, engine, {"tickets": [ROWS["tickets"]]})
    (tmp_path / "raw" / "tickets.parquet").unlink()
    run(tmp_path, engine, {})
    assert not (tmp_path / "clean" / "tickets.parquet").exists()


# A row of usage, drawn from few values so that copies, strangers and impossible times are common.
hours = st.integers(0, 20)
usage_rows = st.builds(
    lambda name, customer, hour, delay, count: (
        ROWS["usage"]
        | {
            "event_id": name,
            "customer_id": customer,
            "event_at": START + (hour - 2) * dt.timedelta(hours=12),
            "available_at": START + (hour - 2 + delay) * dt.timedelta(hours=12),
            "count": count,
        }
    ),
    st.sampled_from("abcdef"),
    st.sampled_from(["c1", "c1", "c2", "nobody"]),
    hours,
    st.sampled_from([-1, 0, 0, 0, 1, 2, 14, 15]),
    st.sampled_from([-1, 0, 1, 2]),
)
TWO_CUSTOMERS = [CUSTOMER, CUSTOMER | {"customer_id": "c2", "signed_up_at": START + DAY}]


def first_broken_rule(row: dict[str, Any]) -> str | None:
    signed_up = {c["customer_id"]: c["signed_up_at"] for c in TWO_CUSTOMERS}
    if row["count"] < 0:
        return "count_below_0"
    if row["customer_id"] not in signed_up:
        return "unknown_customer"
    if row["event_at"] < signed_up[row["customer_id"]]:
        return "before_sign_up"
    if row["available_at"] < row["event_at"]:
        return "available_before_event"
    if row["available_at"] - row["event_at"] > 7 * DAY:
        return "too_late"
    return None


def in_plain_python(rows: Iterable[dict[str, Any]]) -> Counter[tuple[str, str | None]]:
    """Count (event_id, rule): the stage in a few slow lines."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for row in sorted(rows, key=lambda row: row["available_at"]):
        rule = first_broken_rule(row)
        if rule is None and counts[row["event_id"], None]:
            rule = "duplicate_event_id"
        counts[row["event_id"], rule] += 1
    return counts


@settings(max_examples=settings.default.max_examples // 5)
@given(rows=st.lists(usage_rows, min_size=1, max_size=40))
def test_the_stage_agrees_with_plain_python(engine: Engine, rows: list[dict[str, Any]]) -> None:
    # One sound row of its own, since a table without a clean row is an error.
    rows = [ROWS["usage"], *rows]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = run(folder, engine, {"customers": TWO_CUSTOMERS, "usage": rows})
        clean, broken = (rows_of(folder, part, "usage") for part in ("clean", "quarantine"))
    counts = Counter((row["event_id"], row.get("rule")) for row in clean + broken)
    assert counts == +in_plain_python(rows)
    assert report["usage"]["rows"] == len(rows) == len(clean) + len(broken)
    assert report["usage"]["clean"] == len(clean)


@settings(max_examples=settings.default.max_examples // 5)
@given(
    rows=st.lists(usage_rows, max_size=25),
    one_future=st.lists(usage_rows, max_size=15),
    other_future=st.lists(usage_rows, max_size=15),
    cutoff_hour=hours,
    seed=st.integers(0, 2**32 - 1),
)
def test_later_rows_do_not_change_what_was_clean_before(
    engine: Engine,
    rows: list[dict[str, Any]],
    one_future: list[dict[str, Any]],
    other_future: list[dict[str, Any]],
    cutoff_hour: int,
    seed: int,
) -> None:
    cutoff = START + cutoff_hour * dt.timedelta(hours=12)
    past = [ROWS["usage"] | {"event_at": START, "available_at": START}]
    past += [row for row in rows if row["available_at"] <= cutoff]

    def visible(future: list[dict[str, Any]]) -> list[dict[str, Any]]:
        later = [row for row in future if row["available_at"] > cutoff]
        mixed = past + later
        order = np.random.default_rng(seed).permutation(len(mixed))
        with tempfile.TemporaryDirectory() as name:
            usage = [mixed[i] for i in order]
            run(Path(name), engine, {"customers": TWO_CUSTOMERS, "usage": usage})
            clean = rows_of(Path(name), "clean", "usage")
        return [row for row in clean if row["available_at"] <= cutoff]

    assert visible(one_future) == visible(other_future)


def test_too_many_broken_rows_stop_the_run_and_can_be_inspected(
    tmp_path: Path, engine: Engine
) -> None:
    run(tmp_path, engine, {})
    before = (tmp_path / "clean" / "usage.parquet").read_bytes()
    rows = [ROWS["usage"] | {"event_id": f"e{i}", "count": i - 3} for i in range(100)]
    with pytest.raises(BadInputError) as error:
        run(tmp_path, engine, {"usage": rows}, QualitySettings(share_limit=0.02))
    assert str(error.value) == (
        "In 3 of the 100 rows of usage (3.0%, limit 2.0%) count is below 0 (rule count_below_0): "
        f"inspect them in {tmp_path}/quarantine/usage.parquet, then fix the source or raise "
        "validate.share_limits for usage.count_below_0."
    )
    assert (tmp_path / "clean" / "usage.parquet").read_bytes() == before
    assert rule_counts(tmp_path, "usage") == {"count_below_0": 3}
    report = json.loads((tmp_path / "quarantine" / "report.json").read_text())
    assert report["usage"]["rules"] == {"count_below_0": 3}


@pytest.mark.parametrize(
    "limits",
    [
        QualitySettings(share_limit=0.03),
        QualitySettings(share_limit=0.0, share_limits={"usage.count_below_0": 0.03}),
    ],
)
def test_a_share_at_the_limit_passes(
    tmp_path: Path, engine: Engine, limits: QualitySettings
) -> None:
    rows = [ROWS["usage"] | {"event_id": f"e{i}", "count": i - 3} for i in range(100)]
    assert run(tmp_path, engine, {"usage": rows}, limits)["usage"]["quarantined"] == 3


def test_a_table_without_a_clean_row_stops_the_run(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(BadInputError, match=r"All 1 rows of usage break a rule"):
        run(tmp_path, engine, {"usage": [ROWS["usage"] | {"count": -1}]})


def test_a_limit_for_an_unknown_rule_is_refused(tmp_path: Path, engine: Engine) -> None:
    typo = QualitySettings(share_limits={"usage.unknwon_customer": 0.5})
    with pytest.raises(BadInputError, match=r"share_limits has no rule 'usage\.unknwon_customer'"):
        run(tmp_path, engine, {}, typo)


def spoil(folder: Path, how: str) -> None:
    """Break the raw folder in one way."""
    path = folder / "usage.parquet"
    table = pq.read_table(path)
    count = table.schema.names.index("count")
    spoiled = {
        "empty": lambda: table.slice(0, 0),
        "column": lambda: table.drop_columns(["count"]),
        "type": lambda: table.set_column(count, "count", table["count"].cast(pa.float64())),
        "order": lambda: table.select(table.schema.names[::-1]),
    }
    if how in spoiled:
        write_table(spoiled[how](), path)
    elif how == "unreadable":
        path.write_text("not Parquet")
    else:
        (folder / f"{how}.parquet").unlink()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("empty", r"usage\.parquet has no rows"),
        ("column", r"usage\.parquet lacks the column count \(int64\)"),
        ("type", r"Column count of .*usage\.parquet is of type double in all 1 rows"),
        ("order", r"usage\.parquet has the columns duration_s, count"),
        ("unreadable", r"usage\.parquet cannot be read as Parquet"),
        ("customers", r"customers\.parquet is missing"),
        ("usage", r"has no source of outcomes"),
    ],
)
def test_bad_raw_folder_is_one_sentence(
    tmp_path: Path, engine: Engine, how: str, sentence: str
) -> None:
    run(tmp_path, engine, {})
    spoil(tmp_path / "raw", how)
    clean = (tmp_path / "clean" / "usage.parquet").read_bytes()
    with pytest.raises(BadInputError, match=sentence) as error:
        validate(tmp_path / "raw", tmp_path / "clean", tmp_path / "q", engine, Clock(), LENIENT)
    assert "\n" not in str(error.value)
    assert (tmp_path / "clean" / "usage.parquet").read_bytes() == clean


def test_threads_change_no_byte(tmp_path: Path) -> None:
    # More rows than a row group holds, with copies, broken rows, and equal rows.
    rng = np.random.default_rng(0)
    n = 300_000
    at = pa.array(rng.integers(0, 10**14, n) + int(START.timestamp()) * 10**6)
    usage = pa.table(
        {
            "event_id": pa.array([f"e{i}" for i in rng.integers(0, 2_000_000, n)]),
            "customer_id": pa.array([f"c{i}" for i in rng.integers(0, 105, n)]),
            "event_at": at.cast(pa.timestamp("us", tz="UTC")),
            "available_at": at.cast(pa.timestamp("us", tz="UTC")),
            "feature": pa.array(np.where(rng.random(n) < 0.5, "login", "export")),
            "count": pa.array(rng.integers(-1, 50, n)),
            "duration_s": pa.nulls(n, pa.int64()),
        },
        schema=TABLES["usage"].schema,
    )
    customers = [CUSTOMER | {"customer_id": f"c{i}"} for i in range(100)]
    write_raw(tmp_path / "raw", {"customers": customers})
    write_table(pa.concat_tables([usage, usage.slice(0, 1000)]), tmp_path / "raw" / "usage.parquet")
    contents = []
    for threads in (1, 2):
        out = tmp_path / str(threads)
        with open_engine(threads=threads) as engine:
            validate(tmp_path / "raw", out / "clean", out / "quarantine", engine, Clock(), LENIENT)
        contents.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.*"))})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 6


@pytest.fixture
def ravenstack() -> Path:
    """Folder of the RavenStack export, whose rows are impossible."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("CHURN_RISK_SHARED_DATA", beside)) / "ravenstack"
    if not folder.is_dir():
        pytest.skip(f"RavenStack is not at {folder}: set CHURN_RISK_SHARED_DATA to its parent.")
    return folder


def test_ravenstack_is_found_to_be_impossible(
    tmp_path: Path, engine: Engine, ravenstack: Path
) -> None:
    accounts, subscriptions, usage, tickets = (
        pd.read_csv(ravenstack / f"ravenstack_{name}.csv", dtype="str")
        for name in ("accounts", "subscriptions", "feature_usage", "support_tickets")
    )
    usage = usage.merge(subscriptions[["subscription_id", "account_id"]], on="subscription_id")
    tickets["kind"] = "opened"
    tickets["priority"] = tickets["priority"].replace("medium", "normal")
    source = tmp_path / "export"
    source.mkdir()
    for name, frame in {"customers": accounts, "usage": usage, "tickets": tickets}.items():
        frame.to_csv(source / f"{name}.csv", index=False)
    columns = {
        "customers": {"customer_id": "account_id", "signed_up_at": "signup_date"},
        "usage": {
            "event_id": "usage_id",
            "customer_id": "account_id",
            "event_at": "usage_date",
            "feature": "feature_name",
            "count": "usage_count",
            "duration_s": "usage_duration_secs",
        },
        "tickets": {
            "event_id": "ticket_id",
            "customer_id": "account_id",
            "event_at": "submitted_at",
        },
    }
    read_files(source, tmp_path / "raw", columns, "minor", "USD", engine)
    folders = (tmp_path / "raw", tmp_path / "clean", tmp_path / "quarantine")
    with pytest.raises(BadInputError, match=r"rows of usage .* before the customer signed up"):
        validate(*folders, engine, Clock(), QualitySettings())
    report = validate(*folders, engine, Clock(), LENIENT)
    early = {name: report[name]["rules"]["before_sign_up"] for name in ("usage", "tickets")}
    assert early["tickets"] / report["tickets"]["rows"] == pytest.approx(0.54, abs=0.01)
    assert early["usage"] / report["usage"]["rows"] > 0.4
    assert report["usage"]["rules"]["duplicate_event_id"] > 0
