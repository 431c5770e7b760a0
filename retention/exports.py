"""The list as files for other programs: CSV and XLSX without formulas, CRM, Parquet."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import xlsxwriter

from data.atomic import replaced, write_table, write_text
from data.contracts import INSTANT
from data.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# A formula starts a text, or follows a character that separates cells in another locale. Spaces,
# quotes and invisible characters before it do not neutralise it, as importers strip them.
_BLANK: Final = (
    " \"'\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff"
)
_FORMULA: Final = re.compile(f"(^|[;,|\t\r\n])([{_BLANK}]*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")
_LONGEST_CELL: Final = 32_767  # of an XLSX sheet
_CELL_BREAK: Final = re.compile(r"^[\t\r\n]")


def escape_formula(text: str) -> str:
    """Return text that no spreadsheet reads as a formula; ordinary text comes back unchanged.

    An apostrophe is put before a formula's first character (``= + - @`` and their full-width
    variants) and before a leading tab or line break, as OWASP advises; also behind a separator
    inside the text, where a spreadsheet of another locale would begin a new cell.
    """
    guarded = _FORMULA.sub(r"\1'\2\3", text)
    return f"'{guarded}" if _CELL_BREAK.match(guarded) else guarded


def csv_text(frame: pd.DataFrame, money: Iterable[str] = (), currency: str = "") -> str:
    """Return a frame as CSV for a spreadsheet (RFC 4180, UTF-8 with a byte order mark).

    Parameters
    ----------
    frame
        Columns in the reader's order. UTC instants are written as ISO 8601, nulls as empty cells.
    money
        Columns in integer minor units: written in major units with two decimals, and named with
        the currency.
    currency
        ISO 4217 code.
    """
    money = frozenset(money)
    buffer = io.StringIO()
    buffer.write("\ufeff")  # without it Excel reads UTF-8 as the local code page
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(escape_formula(_header(str(name), money, currency)) for name in frame.columns)
    columns = [
        [_cell(value, money=name in money) for value in frame[name]] for name in frame.columns
    ]
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _header(name: str, money: frozenset[str], currency: str) -> str:
    """Return the header of a column, with the currency if it is money."""
    return f"{name}_{currency.lower()}" if currency and name in money else name


def _major(cents: int) -> str:
    """Write minor units as major ones with two decimals."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _cell(value: object, *, money: bool) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, str):
        return escape_formula(value)
    if money:
        return _major(int(value))  # type: ignore[call-overload]
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def write_csv(
    frame: pd.DataFrame, path: Path, money: Iterable[str] = (), currency: str = ""
) -> None:
    """Write ``csv_text`` to a file, atomically."""
    write_text(csv_text(frame, money, currency), path)


def crm_frame(
    listed: pd.DataFrame, columns: Mapping[str, str], money: Iterable[str] = ()
) -> pd.DataFrame:
    """Return the list as a CRM imports it: a row per customer, chosen columns and headers.

    Parameters
    ----------
    listed
        The list.
    columns
        Header in the file -> column of the list, in the file's order.
    money
        Columns in integer minor units: they become text in major units with a decimal point.

    Raises
    ------
    BadInputError
        If the list has no such column, or no header stands for the customer's id.
    """
    fault = ""
    if absent := sorted(set(columns.values()) - set(listed.columns)):
        fault = f"names {absent[0]}, which is not a column of the list"
    elif "customer_id" not in columns.values():
        fault = "has no header for customer_id"
    if fault:
        raise BadInputError(
            f"params.yaml: a map under score.crm {fault}; its columns are "
            f"{', '.join(map(str, listed.columns))}."
        )
    money = frozenset(money)
    chosen = {
        header: listed[name].map(_major) if name in money else listed[name]
        for header, name in columns.items()
    }
    return pd.DataFrame(chosen)


def write_xlsx(
    frame: pd.DataFrame, path: Path, money: Iterable[str] = (), currency: str = ""
) -> None:
    """Write a frame as a sheet of Excel, atomically; equal frames give equal bytes.

    Text is stored as text, marked so that editing a cell does not make it a formula; no text
    becomes a link. Headers and money are those of ``csv_text``, as numbers.
    """
    money = frozenset(money)
    with replaced(path) as temporary:
        book = xlsxwriter.Workbook(
            str(temporary), {"strings_to_formulas": False, "strings_to_urls": False}
        )
        # Otherwise the file would contain the time of writing.
        book.set_properties(
            {"created": dt.datetime(2000, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)}
        )
        sheet = book.add_worksheet("List")
        text = book.add_format({"quote_prefix": True, "valign": "top"})
        formats = {
            "day": book.add_format({"num_format": "yyyy-mm-dd"}),
            "instant": book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
            "money": book.add_format({"num_format": "#,##0.00"}),
        }
        bold = book.add_format({"bold": True, "quote_prefix": True})
        for column, name in enumerate(frame.columns):
            sheet.write_string(0, column, _fits(_header(str(name), money, currency)), bold)
            for row, value in enumerate(frame[name], start=1):
                _write_cell(sheet, row, column, value, name in money, text, formats)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, len(frame), max(len(frame.columns) - 1, 0))
        book.close()


def _write_cell(
    sheet: Any,
    row: int,
    column: int,
    value: Any,
    is_money: bool,
    text: Any,
    formats: dict[str, Any],
) -> None:
    if pd.isna(value):
        return
    if isinstance(value, str):
        sheet.write_string(row, column, _fits(value), text)
    elif isinstance(value, pd.Timestamp):
        kind = "day" if value == value.normalize() else "instant"
        sheet.write_datetime(row, column, value.tz_localize(None).to_pydatetime(), formats[kind])
    elif isinstance(value, dt.date):
        sheet.write_datetime(row, column, value, formats["day"])
    elif is_money:
        sheet.write_number(row, column, int(value) / 100, formats["money"])
    else:
        sheet.write_number(row, column, value)


def _fits(text: str) -> str:
    """Shorten text to the length that a cell can hold."""
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as Parquet, atomically; equal frames give equal bytes."""
    # Instants are converted to Arrow's own type: pandas' array of them drops the time zone.
    instants = frame.select_dtypes("datetimetz").columns
    frame = frame.astype(dict.fromkeys(instants, pd.ArrowDtype(INSTANT)))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    # pandas' metadata names library versions; the columns need none.
    write_table(table.replace_schema_metadata(None), path)
