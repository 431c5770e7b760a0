"""Files for the desks: text that no spreadsheet runs as a formula, exact money and times."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.exports import csv_text, escape_formula, write_csv, write_parquet

FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"
HOSTILE = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "\tfine",
    "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", "  =1+1", "\ufeff=1", "\u200b=1", '"=1+1', "'=1+1",
    "\x00=1", "\x0b=1", "\u00a0=1", "\u202e=1", "fine;=1+1", "fine,=1+1", "fine\n=1+1",
    "fine\t=1+1", 'fine;"=1+1', "fine; =1+1", "a\r\n@x",
]  # fmt: skip


def cells(text: str, delimiter: str) -> list[str]:
    """Cells as a spreadsheet in a locale with that delimiter splits them, quoted or not."""
    parsed = [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]
    naive = re.split(f"[{delimiter}\r\n]", text)
    return parsed + naive


def starts_a_formula(cell: str) -> bool:
    invisible = "".join(map(chr, range(33))) + '"\u00a0\u200b\u200e\u200f\u202e\ufeff'
    return cell.lstrip(invisible)[:1] in tuple(FORMULA_STARTS)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_starts_a_formula_in_any_locale(text: str) -> None:
    assert escape_formula(text) != text
    out = csv_text(pd.DataFrame({"owner": pd.Series([text, "Anna"], dtype="str")}))
    for delimiter in ",;\t|":
        assert not [cell for cell in cells(out, delimiter) if starts_a_formula(cell)]


@given(
    st.text(alphabet=st.sampled_from(list("ab1;,|\t\r\n \"'=+-@\uff1d\ufeff\u200b")), max_size=12)
)
def test_no_text_starts_a_formula(text: str) -> None:
    out = csv_text(pd.DataFrame({"owner": pd.Series([text], dtype="str"), "x": [1]}))
    for delimiter in ",;\t|":
        assert not [cell for cell in cells(out, delimiter) if starts_a_formula(cell)]
    # A reader of proper CSV still gets one row of two cells, with nothing but apostrophes added.
    row = list(csv.reader(io.StringIO(out.removeprefix("\ufeff"), newline="")))[1]
    assert len(row) == 2
    assert row[0].replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Anna de Vries",
        "Müller, Sons & co",
        "two\nlines",
        "a-b",
        "a = b",
        "5 < 6",
        "\u22123 days",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escape_formula(text) == text


def test_long_text_is_handled_quickly() -> None:
    for text in ("\t" * 10_000, ";" * 10_000, " " * 10_000, "; " * 5_000, "=" * 10_000):
        assert len(escape_formula(text)) <= len(text) + 1


def test_cells_read_as_a_person_expects() -> None:
    frame = pd.DataFrame(
        {
            "customer_id": pd.Series(["a", "b,c"], dtype="str"),
            "mrr": [123_405, 7],
            "risk": [0.123456, float("nan")],
            "position": pd.Series([1, None], dtype="Int64"),
            "renews_on": pd.Series([dt.date(2025, 1, 2), None], dtype="date32[pyarrow]"),
            "cutoff": pd.Timestamp("2024-12-30", tz="UTC"),
            "data_until": pd.Timestamp("2024-12-29 23:59", tz="UTC"),
        }
    )
    text = csv_text(frame, money=["mrr"], currency="EUR")
    assert text.startswith("\ufeff")
    assert text.removeprefix("\ufeff").split("\r\n") == [
        "customer_id,mrr_eur,risk,position,renews_on,cutoff,data_until",
        "a,1234.05,0.1235,1,2025-01-02,2024-12-30,2024-12-29T23:59:00Z",
        '"b,c",0.07,,,,2024-12-30,2024-12-29T23:59:00Z',
        "",
    ]


def test_a_hostile_column_name_is_harmless_too() -> None:
    assert "'=1+1" in csv_text(pd.DataFrame({"=1+1": [1]}))


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"owner": pd.Series(HOSTILE, dtype="str"), "x": range(len(HOSTILE))})
    for name in ("one", "two"):
        write_csv(frame, tmp_path / f"{name}.csv")
        write_parquet(frame.copy(), tmp_path / f"{name}.parquet")
    for kind in ("csv", "parquet"):
        one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two
    # Parquet keeps the text exactly: it is read by programs.
    table = pq.read_table(tmp_path / "one.parquet")
    assert table["owner"].to_pylist() == HOSTILE
    assert not table.schema.metadata
