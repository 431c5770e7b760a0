"""The source `oulad`: a small hand-made course, and the real data if they are available."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from data.clock import Clock
from data.contracts import TABLES
from data.errors import BadInputError
from data.quality import QualitySettings, validate
from data.sources.oulad import read_oulad

if TYPE_CHECKING:
    from data.engine import Engine

MONDAY = dt.datetime(2013, 9, 30, tzinfo=dt.UTC)
P = "AAA,2013J"
# Students: 1 stays, 2 leaves on day 30, 3 left before the course, 4 joins on day 12, 5 on day ?,
# 6 leaves on the very day on which the course begins.
COURSE = {
    "courses": "code_module,code_presentation,module_presentation_length\nAAA,2013J,100\n",
    "studentRegistration": (
        "code_module,code_presentation,id_student,date_registration,date_unregistration\n"
        f"{P},1,-50.0,\n{P},2,-20.0,30.0\n{P},3,-20.0,-5.0\n{P},4,12.0,\n{P},5,,\n{P},6,-9.0,0.0\n"
    ),
    "studentVle": (
        "code_module,code_presentation,id_student,id_site,date,sum_click\n"
        f"{P},1,10,-3,4\n{P},1,11,5,1\n{P},1,11,5,1\n{P},2,10,40,2\n{P},3,10,-8,1\n"
    ),
    "vle": (
        "id_site,code_module,code_presentation,activity_type,week_from,week_to\n"
        f"10,{P},homepage,,\n11,{P},forumng,,\n"
    ),
    "assessments": (
        "code_module,code_presentation,id_assessment,assessment_type,date,weight\n"
        f"{P},100,TMA,10.0,12.5\n{P},101,TMA,30.0,20.0\n{P},102,CMA,50.0,1.0\n{P},103,Exam,,100.0\n"
        f"{P},104,TMA,29.0,5.0\n"
    ),
    "studentAssessment": (
        "id_assessment,id_student,date_submitted,is_banked,score\n"
        "100,1,10,False,78.0\n101,1,33,False,70.0\n102,1,56,False,60.0\n"
        "101,2,25,False,50.0\n100,2,-1,True,50.0\n"
    ),
}


def write_course(folder: Path, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (COURSE | changes).items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def day(number: int) -> dt.datetime:
    return MONDAY + dt.timedelta(days=number)


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    counts = read_oulad(write_course(tmp_path / "oulad"), tmp_path / "raw", Clock())
    tables = {path.stem: pq.read_table(path) for path in (tmp_path / "raw").iterdir()}
    assert counts == {name: len(table) for name, table in tables.items()}
    for name, table in tables.items():
        assert table.schema.equals(TABLES[name].schema)
    return {name: table.to_pylist() for name, table in tables.items()}


def of(rows: list[dict[str, Any]], student: int, *columns: str) -> list[tuple[Any, ...]]:
    who = f"AAA-2013J-{student}"
    return [tuple(row[name] for name in columns) for row in rows if row["customer_id"] == who]


def test_enrolments_that_began_are_customers(raw: dict[str, list[dict[str, Any]]]) -> None:
    signed_up = {row["customer_id"][-1]: row["signed_up_at"] for row in raw["customers"]}
    assert signed_up == {"1": day(-50), "2": day(-20), "4": day(12), "5": None}
    for rows in raw.values():
        assert {row["customer_id"][-1] for row in rows} <= set("1245")


def test_subscriptions_begin_and_end(raw: dict[str, list[dict[str, Any]]]) -> None:
    events = {s: of(raw["subscriptions"], s, "kind", "event_at", "cause") for s in (1, 2, 4, 5)}
    assert events == {
        1: [("activated", day(0), None), ("ended", day(100), None)],
        2: [("activated", day(0), None), ("cancelled", day(30), "voluntary")],
        4: [("activated", day(12), None), ("ended", day(100), None)],
        5: [("activated", day(0), None), ("ended", day(100), None)],
    }
    assert {row["renews_at"] for row in raw["subscriptions"]} == {day(100)}
    assert {row["mrr"] for row in raw["subscriptions"]} == {10_000}


def test_every_row_is_known_a_day_later(raw: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in raw.items():
        for row in rows if name != "customers" else []:
            assert row["available_at"] - row["event_at"] == dt.timedelta(days=1)


def test_every_click_row_is_use(raw: dict[str, list[dict[str, Any]]]) -> None:
    columns = ("event_id", "event_at", "feature", "count")
    assert of(raw["usage"], 1, *columns) == [
        ("click-1", day(-3), "homepage", 4),
        ("click-2", day(5), "forumng", 1),
        ("click-3", day(5), "forumng", 1),
    ]
    assert of(raw["usage"], 2, *columns) == [("click-4", day(40), "homepage", 2)]


def test_a_day_in_a_forum_is_one_contact(raw: dict[str, list[dict[str, Any]]]) -> None:
    assert of(raw["tickets"], 1, "kind", "event_at", "category") == [
        ("opened", day(5), "forumng"),
        ("solved", day(5), "forumng"),
    ]
    assert len({row["ticket_id"] for row in raw["tickets"]}) == 1
    assert len(raw["tickets"]) == 2


def test_assessments_are_invoices(raw: dict[str, list[dict[str, Any]]]) -> None:
    invoices: dict[str, list[tuple[Any, ...]]] = {}
    for row in raw["payments"]:
        who, assessment = row["invoice_id"].removeprefix("AAA-2013J-").split("-")
        invoices.setdefault(f"{who}/{assessment}", []).append(
            (row["kind"], row["event_at"], row["amount"])
        )
    # On the day itself is in time; late is failed, then succeeded; a computer-marked assessment is
    # due a week after its date; a student who has left owes nothing more, what was paid stays paid.
    assert sorted(invoices["1/100"]) == [("due", day(10), 1250), ("succeeded", day(10), 1250)]
    assert sorted(invoices["1/101"]) == [
        ("due", day(30), 2000),
        ("failed", day(30), 2000),
        ("succeeded", day(33), 2000),
    ]
    assert sorted(invoices["1/102"]) == [("due", day(57), 100), ("succeeded", day(56), 100)]
    assert invoices["2/101"] == [("succeeded", day(25), 2000)]
    assert sorted(invoices["2/104"]) == [("due", day(29), 500), ("failed", day(29), 500)]
    assert "2/100" not in invoices  # banked
    assert "4/100" not in invoices  # joined after it was due
    assert sorted(kind for kind, *_ in invoices["4/101"]) == ["due", "failed"]
    assert not any(name.endswith("/103") for name in invoices)  # an exam


def test_what_happens_later_changes_no_earlier_row(tmp_path: Path) -> None:
    """Neither an unregistration nor a missing submission shows before its day is over."""
    visible = []
    leaves_later = COURSE["studentRegistration"].replace("2,-20.0,30.0", "2,-20.0,")
    for name, registrations in (("leaves", COURSE["studentRegistration"]), ("stays", leaves_later)):
        folder = write_course(tmp_path / name, studentRegistration=registrations)
        read_oulad(folder, tmp_path / name / "raw", Clock())
        rows: list[dict[str, Any]] = []
        for table in ("subscriptions", "usage", "tickets", "payments"):
            path = tmp_path / name / "raw" / f"{table}.parquet"
            rows += [r for r in pq.read_table(path).to_pylist() if r["available_at"] <= day(30)]
        visible.append(rows)
    assert visible[0] == visible[1]


def test_day_zero_is_a_cutoff(tmp_path: Path) -> None:
    sunday = Clock(anchor_weekday=6)
    read_oulad(write_course(tmp_path / "oulad"), tmp_path / "raw", sunday)
    rows = pq.read_table(tmp_path / "raw" / "subscriptions.parquet").to_pylist()
    assert min(row["event_at"] for row in rows) == day(-1)


def test_the_final_result_is_never_read(tmp_path: Path) -> None:
    folder = write_course(tmp_path / "oulad")
    assert not (folder / "studentInfo.csv").exists()
    read_oulad(folder, tmp_path / "raw", Clock())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vle": None}, r"vle\.csv is missing"),
        ({"vle": ""}, r"vle\.csv cannot be read as CSV"),
        ({"vle": COURSE["vle"].partition("\n")[0]}, r"vle\.csv has no rows"),
        (
            {"vle": COURSE["vle"].replace("activity_type", "type")},
            r"vle\.csv lacks the column activity_type",
        ),
        (
            {"studentVle": COURSE["studentVle"].replace("10,40,2", "10,forty,2")},
            r"Column date of .*studentVle\.csv is not a number in 1 of 5 rows, e\.g\. 'forty'",
        ),
        (
            {"studentVle": COURSE["studentVle"].replace("10,40,2", "10,,2")},
            r"Column date of .*studentVle\.csv is not a number in 1 of 5 rows",
        ),
    ],
)
def test_bad_files_are_one_sentence_and_leave_the_target_alone(
    tmp_path: Path, change: dict[str, str | None], sentence: str
) -> None:
    folder = write_course(tmp_path / "oulad")
    read_oulad(folder, tmp_path / "raw", Clock())
    before = (tmp_path / "raw" / "usage.parquet").read_bytes()
    for name, text in change.items():
        path = folder / f"{name}.csv"
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    with pytest.raises(BadInputError, match=sentence):
        read_oulad(folder, tmp_path / "raw", Clock())
    assert (tmp_path / "raw" / "usage.parquet").read_bytes() == before


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere is not a folder: set ingest\.path"):
        read_oulad(tmp_path / "nowhere", tmp_path / "raw", Clock())


@pytest.fixture
def oulad(tmp_path: Path) -> Path:
    """Copy of the real data without ``studentInfo.csv``, which must not be needed."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("CHURN_RISK_SHARED_DATA", beside)) / "oulad"
    if not folder.is_dir():
        pytest.skip(f"OULAD is not at {folder}: set CHURN_RISK_SHARED_DATA to its parent.")
    ignored = shutil.ignore_patterns("studentInfo.csv")
    return Path(shutil.copytree(folder, tmp_path / "oulad", ignore=ignored))


def test_the_real_data_pass_the_quality_stage(tmp_path: Path, engine: Engine, oulad: Path) -> None:
    counts = read_oulad(oulad, tmp_path / "raw", Clock())
    assert counts["customers"] == 2150 - 130
    assert counts["usage"] == 584_079
    report = validate(
        tmp_path / "raw",
        tmp_path / "clean",
        tmp_path / "quarantine",
        engine,
        Clock(),
        QualitySettings(),
    )
    # The one enrolment without a registration date, with the rows that depend on it.
    assert {name: part["rules"] for name, part in report.items()} == {
        "customers": {"missing_signed_up_at": 1},
        "subscriptions": {"unknown_customer": 2},
        "usage": {},
        "tickets": {},
        "payments": {"unknown_customer": 22},
    }
