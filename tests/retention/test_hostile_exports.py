"""Hostile text in every file that is handed out: it stays text, in its cell and on its line."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import re
import zipfile
from typing import TYPE_CHECKING

import openpyxl
import pandas as pd
import pytest

from data.errors import BadInputError
from retention.chat import chat_message, plain
from retention.exports import crm_frame, csv_text, write_xlsx
from retention.weekly_list import MONEY_COLUMNS, Scored, WeeklyList
from worlds.list_world import SETTINGS, earlier, make, nobody, world

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\u202eevil\u200f \u05d0\u05d1\u05d2",
    "Anna, of\n=Sales; x",
    "x" * 10_000,
    "=" * 40_000,
    "@channel **look** [here](http://evil.example) `x` <!here> www.evil.example",
    "# title\n- item\n```",
    "http://evil.example",
    "\x00\x07 a",
    '=HYPERLINK("http://evil.example","x")',
]


@pytest.fixture(scope="module")
def week() -> WeeklyList:
    """A list whose first rows are of customers with hostile ids, owners, segments and plans."""
    scored = world()
    settings = dataclasses.replace(SETTINGS, holdout_share=0.0)
    first = make(scored, settings).listed["customer_id"].iloc[: len(HOSTILE)]
    frame = scored.snapshots.copy()
    frame["customer_id"] = frame["customer_id"].replace(dict(zip(first, HOSTILE, strict=True)))
    chosen = frame["customer_id"].isin(HOSTILE)
    for column in ("owner", "segment", "plan"):
        frame.loc[chosen, column] = frame.loc[chosen, "customer_id"]
    made = make(dataclasses.replace(scored, snapshots=frame), settings)
    assert set(HOSTILE) <= set(made.listed["customer_id"])
    return made


def sheet(frame: pd.DataFrame, path: Path) -> openpyxl.worksheet.worksheet.Worksheet:
    write_xlsx(frame, path, MONEY_COLUMNS, "EUR")
    return openpyxl.load_workbook(path)["List"]


def test_xlsx_holds_text_as_text_and_numbers_as_numbers(week: WeeklyList, tmp_path: Path) -> None:
    cells = sheet(week.listed, tmp_path / "list.xlsx")
    header, *rows = cells.iter_rows()
    names = [cell.value for cell in header]
    assert names == [
        f"{name}_eur" if name in MONEY_COLUMNS else name for name in week.listed.columns
    ]
    assert len(rows) == len(week.listed)
    for cells_of_row, row in zip(rows, week.listed.to_dict("records"), strict=True):
        cell = dict(zip(names, cells_of_row, strict=True))
        assert {c.data_type for c in cells_of_row} <= {"s", "n", "d"}  # no formula
        assert cell["owner"].value is None or cell["owner"].quotePrefix
        assert cell["customer_id"].quotePrefix
        assert cell["mrr_eur"].value == row["mrr"] / 100
        assert cell["risk_4w"].value == pytest.approx(row["risk_4w"], rel=1e-14)
        assert cell["due_on"].value == dt.datetime.combine(row["due_on"], dt.time())
        assert cell["weeks_on_list"].value == row["weeks_on_list"]
    ids = [row[names.index("customer_id")].value for row in rows]
    assert {HOSTILE[0], HOSTILE[2], HOSTILE[4]} <= set(ids)
    assert max(map(len, ids)) == 32_767
    with zipfile.ZipFile(tmp_path / "list.xlsx") as book:
        inside = {name: book.read(name).decode() for name in book.namelist()}
    assert not [name for name in inside if "external" in name.lower()]
    for text in inside.values():
        assert not re.search(r"<f[ >]|<hyperlink|Target=\"http://evil", text)


def test_equal_lists_give_equal_sheets(week: WeeklyList, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_xlsx(week.listed, tmp_path / f"{name}.xlsx", MONEY_COLUMNS, "EUR")
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()


def test_an_empty_list_is_a_sheet_with_a_header(tmp_path: Path) -> None:
    assert sheet(nobody(world()).listed, tmp_path / "list.xlsx").max_row == 1


CRM = {"External_ID": "customer_id", "Owner": "owner", "MRR": "mrr", "Due": "due_on"}


def test_a_crm_file_has_one_row_per_customer_and_no_formula(week: WeeklyList) -> None:
    printable = week.listed[week.listed["customer_id"] != HOSTILE[9]]
    out = csv_text(crm_frame(printable, CRM, MONEY_COLUMNS))
    rows = list(csv.DictReader(io.StringIO(out.removeprefix("\ufeff"), newline="")))
    assert len(rows) == len(printable)
    assert list(rows[0]) == list(CRM)
    for row, customer in zip(rows, printable.to_dict("records"), strict=True):
        assert row["Due"] == customer["due_on"].isoformat()
        assert row["MRR"] == f"{customer['mrr'] / 100:.2f}"
        assert row["External_ID"].replace("'", "") == customer["customer_id"].replace("'", "")
        assert not re.match(r"[\s\"]*[=+@-]", row["External_ID"])
    assert len({row["External_ID"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Id": "customer_id", "Hope": "hope"}, "names hope, which is not a column of the list"),
        ({"Owner": "owner"}, "has no header for customer_id"),
    ],
)
def test_a_crm_map_that_cannot_be_followed_is_refused(
    week: WeeklyList, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        crm_frame(week.listed, columns)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_the_message(text: str) -> None:
    out = plain(text)
    assert "\n" not in out
    assert len(out) < 300
    assert not re.search(r"[\x00-\x1f\u202a-\u202e\u2066-\u2069]", out)
    assert not re.search(r"(?<!\\)[*_`\[\]#~|!]", out)
    assert not re.search(r"<|@\w|://|www\.", out)


def test_the_message_names_the_week_and_the_first_rows(week: WeeklyList) -> None:
    out = chat_message(week)
    out.encode()
    lines = out.splitlines()
    assert "30 Dec 2024" in lines[0]
    assert f"{len(week.listed)} customers" in lines[0]
    assert lines[1] == "This is the first list."
    assert sum(line.startswith("- ") for line in lines) == 12  # five and "more" per queue
    assert "<script" not in out
    assert len(out) < 8000


def test_the_message_compares_with_the_last_list() -> None:
    scored: Scored = world()
    first = make(scored)
    week = make(scored, past=earlier(first))
    assert f"{len(week.gone)} are gone" in chat_message(week)


def test_the_message_of_an_empty_list_says_so() -> None:
    assert chat_message(nobody(world())).count("Nobody to contact this week.") == 2
