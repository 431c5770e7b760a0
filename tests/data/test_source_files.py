"""The source `files`: formats, names, exact types, the two times, ids, and what it refuses."""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contracts import TABLES
from data.errors import BadInputError
from data.open_engine import open_engine
from data.sources.folder import read_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.engine import Engine

CUSTOMERS = "customer_id,signed_up_at\nc1,2024-01-01\nc2,2024-01-02T08:30:00Z\n"
USAGE = "event_id,customer_id,event_at,feature,count\ne1,c1,2024-02-01T10:00:00Z,login,3\n"
PAYMENTS = "event_id,customer_id,event_at,invoice_id,kind,amount,currency\n"
DAY = dt.timedelta(days=1)


def instant(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


def read(
    folder: Path,
    engine: Engine,
    files: Mapping[str, str | pa.Table],
    columns: Mapping[str, Mapping[str, str]] | None = None,
    money_unit: str = "minor",
) -> dict[str, list[dict[str, Any]]]:
    """Write files (customers and usage are added), read them, and return the raw rows."""
    source, target = folder / "source", folder / "raw"
    for name, content in ({"customers.csv": CUSTOMERS, "usage.csv": USAGE} | files).items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            pq.write_table(content, path)
    counts = read_files(source, target, columns or {}, money_unit, "EUR", engine)
    tables = {path.stem: pq.read_table(path) for path in target.glob("*.parquet")}
    for name, table in tables.items():
        expected = TABLES[name].schema
        assert (table.schema.names, table.schema.types) == (expected.names, expected.types)
    assert counts == {name: len(table) for name, table in tables.items()}
    return {name: table.to_pylist() for name, table in tables.items()}


def usage_table(**columns: pa.Array) -> pa.Table:
    """One row of usage in Parquet, some of its columns given."""
    row = {
        "event_id": pa.array(["e1"]),
        "customer_id": pa.array(["c1"]),
        "event_at": pa.array([instant(2024, 2, 1)]),
        "feature": pa.array(["login"]),
        "count": pa.array([1]),
    }
    return pa.table(row | columns)


def only_usage(tmp_path: Path, engine: Engine, **columns: pa.Array) -> dict[str, Any]:
    """Read one row of usage from Parquet in place of the CSV."""
    source = tmp_path / "source"
    source.mkdir(parents=True)
    (source / "customers.csv").write_text(CUSTOMERS)
    pq.write_table(usage_table(**columns), source / "usage.parquet")
    read_files(source, tmp_path / "raw", {}, "minor", "EUR", engine)
    (row,) = pq.read_table(tmp_path / "raw" / "usage.parquet").to_pylist()
    return row


def test_csv_is_read_into_the_contract(tmp_path: Path, engine: Engine) -> None:
    raw = read(tmp_path, engine, {})
    assert raw["usage"] == [
        {
            "event_id": "e1",
            "customer_id": "c1",
            "event_at": instant(2024, 2, 1, 10),
            "available_at": instant(2024, 2, 1, 10),
            "feature": "login",
            "count": 3,
            "duration_s": None,
        }
    ]
    assert [row["signed_up_at"] for row in raw["customers"]] == [
        instant(2024, 1, 1),
        instant(2024, 1, 2, 8, 30),
    ]


def test_columns_are_renamed_and_others_left_out_with_a_note(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    # The contract's own name in the source loses against the mapping, whatever it holds.
    usage = "event_id,Who,event_at,feature,count,HITS,COUNT\ne1,c1,2024-02-01,login,many,3,x\n"
    mapping = {"usage": {"customer_id": "Who", "count": "HITS"}}
    with caplog.at_level(logging.INFO):
        raw = read(tmp_path, engine, {"usage.csv": usage}, mapping)
    assert raw["usage"][0]["customer_id"] == "c1"
    assert raw["usage"][0]["count"] == 3
    assert "ignored columns outside the contract: COUNT, count" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-01T10:00:00Z", instant(2024, 2, 1, 10)),
        ("2024-02-01 10:00", instant(2024, 2, 1, 10)),
        ("2024-02-01T10:00:00.123456", instant(2024, 2, 1, 10, 0, 0, 123456)),
        ("2024-02-01T10:00:00.123456789Z", instant(2024, 2, 1, 10, 0, 0, 123456)),
        ("2024-02-01T10:00:00+02:00", instant(2024, 2, 1, 8)),
        ("2024-02-01 23:30:00-0130", instant(2024, 2, 2, 1)),
    ],
)
def test_instants_in_text_are_iso_8601_in_utc(
    tmp_path: Path, engine: Engine, text: str, expected: dt.datetime
) -> None:
    usage = f"event_id,customer_id,event_at,feature,count\ne1,c1,{text},login,3\n"
    (row,) = read(tmp_path, engine, {"usage.csv": usage})["usage"]
    assert (row["event_at"], row["available_at"]) == (expected, expected)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([instant(2024, 2, 1, 10)]),
        pa.array([dt.datetime(2024, 2, 1, 10)], pa.timestamp("ms")),  # noqa: DTZ001
        pa.array([1_706_781_600_000_000_499], pa.timestamp("ns")),
        pa.array([1_706_781_600_000_000_499], pa.timestamp("ns", tz="UTC")),
        pa.array([1_706_781_600], pa.timestamp("s", tz="Europe/Berlin")),
        pa.array(["2024-02-01T10:00:00Z"]).dictionary_encode(),
    ],
)
def test_instants_in_parquet_become_microseconds_in_utc(
    tmp_path: Path, engine: Engine, values: pa.Array
) -> None:
    row = only_usage(tmp_path, engine, event_at=values)
    assert row["event_at"] == row["available_at"] == instant(2024, 2, 1, 10)


def test_a_date_is_known_when_its_day_is_over(tmp_path: Path, engine: Engine) -> None:
    header = "event_id,customer_id,event_at,available_at,feature,count\n"
    rows = "e1,c1,2024-02-01,2024-02-01,login,1\ne2,c1,2024-02-01,2024-02-03T07:00Z,login,1\n"
    raw = read(tmp_path, engine, {"usage.csv": header + rows})
    assert [row["event_at"] for row in raw["usage"]] == [instant(2024, 2, 1)] * 2
    assert [row["available_at"] for row in raw["usage"]] == [
        instant(2024, 2, 2),
        instant(2024, 2, 3, 7),
    ]
    for values in (pa.array([dt.date(2024, 2, 1)]), pa.array(["2024-02-01"])):
        row = only_usage(tmp_path / str(values.type), engine, event_at=values)
        assert row["event_at"] == instant(2024, 2, 1)
        assert row["available_at"] == instant(2024, 2, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["3.0"]), 3),
        (pa.array(["-12"]), -12),
        (pa.array(["9223372036854775807"]), 2**63 - 1),
        (pa.array([3.0]), 3),
        (pa.array([Decimal("3.00")]), 3),
        (pa.array([7], pa.uint64()), 7),
    ],
)
def test_whole_numbers_are_taken_exactly(
    tmp_path: Path, engine: Engine, values: pa.Array, expected: int
) -> None:
    assert only_usage(tmp_path, engine, count=values)["count"] == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["1.5"]),
        pa.array(["1e3"]),
        pa.array([" 1"]),
        pa.array(["9223372036854775808"]),
        pa.array([1.5]),
        pa.array([Decimal("1.5")]),
        pa.array([2**63], pa.uint64()),
        pa.array([True]),
        pa.array([dt.date(2024, 1, 1)]),
    ],
)
def test_values_that_are_not_whole_numbers_are_refused(
    tmp_path: Path, engine: Engine, values: pa.Array
) -> None:
    with pytest.raises(BadInputError, match=r"Column count of .* is not a whole number in 1 of 1"):
        only_usage(tmp_path, engine, count=values)


def test_null_cells_stay_null(tmp_path: Path, engine: Engine) -> None:
    nulls = [pa.array([None]), pa.array([None], pa.float64()), pa.array([float("nan")])]
    for i, values in enumerate(nulls):
        assert only_usage(tmp_path / str(i), engine, duration_s=values)["duration_s"] is None
    assert only_usage(tmp_path / "text", engine, feature=pa.array([""]))["feature"] is None


def test_numbers_serve_as_ids(tmp_path: Path, engine: Engine) -> None:
    assert only_usage(tmp_path, engine, customer_id=pa.array([17]))["customer_id"] == "17"


@pytest.mark.parametrize(
    ("unit", "text", "cents"),
    [
        ("minor", "4990", 4990),
        ("major", "49.90", 4990),
        ("major", "49.9", 4990),
        ("major", "49", 4900),
        ("major", "0.290", 29),
        ("major", "-1.15", -115),
        ("major", "999999999999999.99", 99_999_999_999_999_999),
    ],
)
def test_money_becomes_cents(
    tmp_path: Path, engine: Engine, unit: str, text: str, cents: int
) -> None:
    payments = PAYMENTS + f"p1,c1,2024-02-01,i1,succeeded,{text},\n"
    raw = read(tmp_path, engine, {"payments.csv": payments}, money_unit=unit)
    assert raw["payments"][0]["amount"] == cents
    assert raw["payments"][0]["currency"] == "EUR"


@settings(max_examples=settings.default.max_examples // 2)
@given(amounts=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=50))
def test_money_in_floats_is_exact(engine: Engine, amounts: list[int]) -> None:
    n = len(amounts)
    payments = pa.table(
        {
            "event_id": [f"p{i:03}" for i in range(n)],
            "customer_id": ["c1"] * n,
            "event_at": pa.array([instant(2024, 2, 1)] * n),
            "kind": ["succeeded"] * n,
            "amount": pa.array([amount / 100 for amount in amounts]),
        }
    )
    with tempfile.TemporaryDirectory() as name:
        raw = read(Path(name), engine, {"payments.parquet": payments}, money_unit="major")
    assert [row["amount"] for row in raw["payments"]] == amounts


@pytest.mark.parametrize(
    ("unit", "text"), [("minor", "49.90"), ("major", "49.905"), ("major", "49,90 EUR")]
)
def test_money_that_is_not_exact_is_refused(
    tmp_path: Path, engine: Engine, unit: str, text: str
) -> None:
    payments = PAYMENTS + f'p1,c1,2024-02-01,i1,succeeded,100,\np2,c1,2024-02-01,i2,due,"{text}",\n'
    with pytest.raises(BadInputError, match=r"amount of .* in 1 of 2 rows, e\.g\. ") as error:
        read(tmp_path, engine, {"payments.csv": payments}, money_unit=unit)
    assert repr(text) in str(error.value)


def test_part_files_are_one_table(tmp_path: Path, engine: Engine) -> None:
    header, row = USAGE.splitlines(keepends=True)
    source = tmp_path / "source" / "usage"
    source.mkdir(parents=True)
    (source / "2.csv").write_text(header + row.replace("e1", "e2"))
    (source / "1.csv").write_text(header + row)
    (tmp_path / "source" / "customers.csv").write_text(CUSTOMERS)
    counts = read_files(tmp_path / "source", tmp_path / "raw", {}, "minor", "EUR", engine)
    assert counts == {"customers": 2, "usage": 2}


def test_text_may_hold_commas_quotes_and_lines(tmp_path: Path, engine: Engine) -> None:
    surveys = (
        'event_id,customer_id,event_at,kind,score,text\ns1,c1,2024-02-01,nps,9,"a, ""b""\nc"\n'
    )
    (row,) = read(tmp_path, engine, {"surveys.csv": "\ufeff" + surveys})["surveys"]
    assert row["text"] == 'a, "b"\nc'
    assert row["event_id"] == "s1"


def without_ids(rows: list[str]) -> str:
    return "customer_id,event_at,feature,count\n" + "".join(f"{row}\n" for row in rows)


def test_derived_ids_depend_on_the_row_and_its_copies_alone(tmp_path: Path, engine: Engine) -> None:
    early = ["c1,2024-02-01T10:00Z,login,1"] * 2 + ["c2,2024-02-01T10:00Z,login,1"]
    late = ["c1,2024-02-01T10:00:01Z,login,1", "c1,2024-02-05T10:00Z,export,1"]
    alone = read(tmp_path / "1", engine, {"usage.csv": without_ids(early)})["usage"]
    mixed = read(tmp_path / "2", engine, {"usage.csv": without_ids(late + early[::-1])})["usage"]
    ids = [row["event_id"] for row in mixed]
    assert len(set(ids)) == len(ids) == 5
    assert [row for row in mixed if row["event_at"] <= instant(2024, 2, 1, 10)] == alone


rows_of_usage = st.tuples(
    st.sampled_from(["c1", "c2"]),
    st.integers(0, 3),
    st.sampled_from(["login", "export", ""]),
    st.integers(0, 2),
)


@settings(max_examples=settings.default.max_examples // 2)
@given(rows=st.lists(rows_of_usage, min_size=1, max_size=20))
def test_derived_ids_are_unique_and_lose_no_row(
    engine: Engine, rows: list[tuple[str, int, str, int]]
) -> None:
    lines = [f"{who},2024-02-0{day + 1},{feature},{n}" for who, day, feature, n in rows]
    with tempfile.TemporaryDirectory() as name:
        raw = read(Path(name), engine, {"usage.csv": without_ids(lines)})["usage"]
    assert len({row["event_id"] for row in raw}) == len(rows)
    counted = Counter(
        (row["customer_id"], row["event_at"].day - 1, row["feature"] or "", row["count"])
        for row in raw
    )
    assert counted == Counter(rows)


def test_another_currency_is_refused(tmp_path: Path, engine: Engine) -> None:
    rows = "p1,c1,2024-02-01,i1,due,1,EUR\np2,c1,2024-02-01,i2,due,1,USD\n"
    with pytest.raises(BadInputError, match=r"1 of 2 rows in a currency other than EUR, .*'USD'"):
        read(tmp_path, engine, {"payments.csv": PAYMENTS + rows})


HEADER = USAGE.partition("\n")[0]
ROW = USAGE.splitlines()[1]


@pytest.mark.parametrize(
    ("files", "columns", "sentence"),
    [
        ({"usage.csv": None}, {}, r"has no source of outcomes"),
        ({"customers.csv": None}, {}, r"has no customers\.parquet, customers\.csv or folder"),
        ({"usage.csv": f"{HEADER}\n"}, {}, r"usage\.csv has no rows"),
        ({"tickets.csv": ""}, {}, r"tickets\.csv lacks the required column customer_id"),
        (
            {"usage.csv": USAGE.replace("count", "hits")},
            {},
            r"usage\.csv lacks the required column count .*ingest\.columns as usage: \{count",
        ),
        ({}, {"usage": {"count": "hits"}}, r"usage\.csv lacks the column 'hits'"),
        ({}, {"usage": {"hits": "count"}}, r"has no column 'hits' of usage; its columns are"),
        ({}, {"clicks": {}}, r"has no table 'clicks'; its tables are customers, subscriptions"),
        (
            {"usage.csv": USAGE.replace("2024-02-01T10:00:00Z", "01.02.2024")},
            {},
            r"event_at of .*usage\.csv is not an instant .* in 1 of 1 rows, e\.g\. '01\.02\.2024'",
        ),
        ({"usage.csv": USAGE.replace("02-01", "02-30")}, {}, r"event_at of .* not an instant"),
        ({"usage.csv": f"{USAGE}e2,c1\n"}, {}, r"usage\.csv cannot be read as CSV"),
        ({"usage.csv": HEADER + ",count\n" + ROW + ",1\n"}, {}, r"more than one column 'count'"),
        (
            {"usage.csv": None, "usage.parquet": "x"},
            {},
            r"usage\.parquet cannot be read as",
        ),
        ({"usage/1.csv": USAGE}, {}, r"holds usage more than once \(csv, parts csv\)"),
        ({"tickets/notes.txt": "x"}, {}, r"tickets has no \.parquet or \.csv files"),
        (
            {"usage.csv": None, "usage/1.csv": USAGE, "usage/2.csv": "count\n1\n"},
            {},
            r"2\.csv has the columns count where 1\.csv has event_id",
        ),
    ],
)
def test_bad_files_are_one_sentence_and_leave_the_target_alone(
    tmp_path: Path,
    engine: Engine,
    files: dict[str, str | None],
    columns: dict[str, dict[str, str]],
    sentence: str,
) -> None:
    read(tmp_path, engine, {})
    before = {path: path.read_bytes() for path in (tmp_path / "raw").iterdir()}
    for name, content in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    with pytest.raises(BadInputError, match=sentence) as error:
        read_files(tmp_path / "source", tmp_path / "raw", columns, "minor", "EUR", engine)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in (tmp_path / "raw").iterdir()} == before


def test_a_missing_folder_is_one_sentence(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(BadInputError, match=r"nowhere is not a folder: set ingest\.path"):
        read_files(tmp_path / "nowhere", tmp_path / "raw", {}, "minor", "EUR", engine)


def test_threads_change_no_byte(tmp_path: Path) -> None:
    n = 200_000
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i * 7919 % 1009}" for i in range(n)],
            "event_at": pd.date_range("2024-01-01", periods=n, freq="min").astype("str"),
            "feature": ["login", "export"] * (n // 2),
            "count": [i % 5 for i in range(n)],
        }
    )
    source = tmp_path / "source"
    source.mkdir()
    (source / "customers.csv").write_text(CUSTOMERS)
    pa.csv.write_csv(pa.Table.from_pandas(frame), source / "usage.csv")
    contents = []
    for threads in (1, 2):
        target = tmp_path / str(threads)
        with open_engine(threads=threads) as engine:
            read_files(source, target, {}, "minor", "EUR", engine)
        contents.append((target / "usage.parquet").read_bytes())
    assert contents[0] == contents[1]
