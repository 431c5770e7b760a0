"""The list as files for other programs: CSV that starts no formula, and Parquet."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

import pandas as pd
import pyarrow as pa

from data.contracts import INSTANT
from data.files import write_table, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A formula starts a text, or follows what another locale takes for the start of a cell. Spaces,
# quotes and invisible characters before it do not disarm it: importers strip them.
_BLANK: Final = (
    " \"'\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff"
)
_FORMULA: Final = re.compile(f"(^|[;,|\t\r\n])([{_BLANK}]*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")
_CELL_BREAK: Final = re.compile(r"^[\t\r\n]")


def harmless(text: str) -> str:
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
        Columns in the reader's order. Instants in UTC are written as ISO 8601, nulls as nothing.
    money
        Columns in integer minor units: written in major units with two decimals, and named with
        the currency.
    currency
        ISO 4217 code.
    """
    money = frozenset(money)
    buffer = io.StringIO()
    buffer.write("\ufeff")  # or Excel takes UTF-8 for the code page of its country
    writer = csv.writer(buffer, lineterminator="\r\n")
    suffix = f"_{currency.lower()}" if currency else ""
    writer.writerow(
        harmless(f"{name}{suffix}" if name in money else str(name)) for name in frame.columns
    )
    columns = [
        [_cell(value, money=name in money) for value in frame[name]] for name in frame.columns
    ]
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _cell(value: object, *, money: bool) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, str):
        return harmless(value)
    if money:
        cents = int(value)  # type: ignore[call-overload]
        return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
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


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as Parquet, atomically; equal frames give equal bytes."""
    # Instants go by way of Arrow's own type: pandas' array of them drops the time zone.
    instants = frame.select_dtypes("datetimetz").columns
    frame = frame.astype(dict.fromkeys(instants, pd.ArrowDtype(INSTANT)))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    # pandas' own metadata names library versions; the columns speak for themselves.
    write_table(table.replace_schema_metadata(None), path)
