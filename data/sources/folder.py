"""The source `files`: a folder of Parquet or CSV files that hold tables of the contract.

The stem of a file is the name of its table: ``usage.parquet``, ``usage.csv`` or a folder ``usage/``
of part files of one of these formats with the same columns. CSV is UTF-8 (RFC 4180: commas, double
quotes) with a header; an empty cell is null. Types are converted exactly or refused:

- integers: digits, optionally with a fraction of zeros (``3.0``, as pandas writes an integer column
  with nulls);
- money: integers in minor units, or, for major units, at most two decimals, turned into cents;
- instants: ISO 8601, naive ones in UTC, kept to the microsecond. An event with only a date
  happened at 00:00 and could first be known at 00:00 the next day.

A log without ``event_id`` gets IDs from the content of its rows, numbered among equal rows. A row
keeps its ID whatever else the file holds, so that later rows do not change earlier ones. In such a
log, a row that was delivered twice cannot be recognised.
"""

from __future__ import annotations

import contextlib
import csv
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from data.atomic import replaced_folder
from data.contracts import TABLES, Column, Table
from data.errors import BadInputError
from data.sources import check_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from data.engine import Engine

logger = logging.getLogger(__name__)

DERIVED = ("event_id", "available_at")
LABELS = {"parquet": "Parquet", "csv": "CSV"}
IBIS_TYPES = {
    "string": "string",
    "integer": "int64",
    "money": "int64",
    "instant": "timestamp('UTC', 6)",
}
EXPECTED = {
    "string": "text",
    "integer": "a whole number",
    "money": "money: a whole number of minor units, or a number with at most two decimals if "
    "ingest.money_unit is major",
    "instant": "an instant in ISO 8601, e.g. 2024-03-31T12:00:00Z",
}
INTEGER_TEXT = r"^[+-]?\d{1,19}(\.0*)?$"
MAJOR_TEXT = r"^[+-]?\d{1,15}(\.\d{1,2}0*)?$"
DATE_TEXT = r"^\d{4}-\d{2}-\d{2}$"
INSTANT_TEXT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"


@dataclass(frozen=True)
class _Source:
    """Files of a table, all with the columns ``names``."""

    table: Table
    label: str
    format: str
    paths: tuple[Path, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Converted:
    """A column: converted to the contract, as given, and whether only a date was given."""

    value: Any
    given: Any
    is_date: Any


def read_files(
    folder: Path,
    target: Path,
    columns: Mapping[str, Mapping[str, str]],
    money_unit: str,
    currency: str,
    engine: Engine,
) -> dict[str, int]:
    """Convert a folder of files into raw tables of the contract.

    Parameters
    ----------
    folder
        Folder of ``<table>.parquet``, ``<table>.csv`` or ``<table>/`` with part files; other files
        and columns outside the contract are ignored, columns with a note in the log.
    target
        Folder replaced by ``<table>.parquet`` in the exact schema of the contract, sorted by
        customer and time; untouched if anything is wrong.
    columns
        Table to contract column to its name in the source; the contract's name by default.
    money_unit
        ``minor`` (4990) or ``major`` (49.90): the unit of money in the source.
    currency
        The reporting currency; null in the source means this one.
    engine
        Runs the conversion; memory is bounded by its limit.

    Returns
    -------
    dict
        Table to number of rows.

    Raises
    ------
    BadInputError
        If the folder, ``customers``, both sources of outcomes or a required column are missing, a
        file cannot be read or has no rows, a value cannot be converted exactly, a row has another
        currency, or ``columns`` names a table or column that does not exist.
    """
    check_folder(folder)
    for name in columns:
        if name not in TABLES:
            raise BadInputError(
                f"ingest.columns has no table {name!r}; its tables are {', '.join(TABLES)}."
            )
    candidates = [_find(folder, table) for table in TABLES.values()]
    sources = {source.table.name: source for source in candidates if source is not None}
    _check_tables(folder, sources)
    rows = {}
    with replaced_folder(target) as writing:
        for name, source in sources.items():
            table = _open(source, columns.get(name, {}), engine)
            converted = {c.name: _convert(c, table, money_unit) for c in source.table.columns}
            with _readable(source):
                rows[name] = _check_values(source, table, converted, currency)
                _write(source, table, converted, currency, writing, engine)
    return rows


def _check_tables(folder: Path, sources: Mapping[str, _Source]) -> None:
    if "customers" not in sources:
        raise BadInputError(
            f"{folder} has no customers.parquet, customers.csv or folder customers: add one."
        )
    if not sources.keys() & {"subscriptions", "usage"}:
        raise BadInputError(
            f"{folder} has no source of outcomes: add subscriptions (who cancelled) or usage "
            "(who fell silent), as .parquet or .csv."
        )


def _find(folder: Path, table: Table) -> _Source | None:
    """Return the files of a table; None if the folder has none."""
    candidates = {f: [p] for f in LABELS if (p := folder / f"{table.name}.{f}").is_file()}
    if (parts := folder / table.name).is_dir():
        candidates |= {f"parts {f}": g for f in LABELS if (g := sorted(parts.glob(f"*.{f}")))}
        if not any(name.startswith("parts") for name in candidates):
            raise BadInputError(f"{parts} has no .parquet or .csv files: add its part files.")
    if not candidates:
        return None
    if len(candidates) > 1:
        raise BadInputError(
            f"{folder} holds {table.name} more than once ({', '.join(sorted(candidates))}): keep "
            "one."
        )
    ((kind, paths),) = candidates.items()
    file_format = kind.removeprefix("parts ")
    names = [_column_names(path, file_format) for path in paths]
    for path, other in zip(paths, names, strict=True):
        if other != names[0]:
            raise BadInputError(
                f"{path} has the columns {', '.join(other)} where {paths[0].name} has "
                f"{', '.join(names[0])}: give all parts of {table.name} the same columns."
            )
    label = str(paths[0] if len(paths) == 1 else parts)
    return _Source(table, label, file_format, tuple(paths), names[0])


def _column_names(path: Path, file_format: str) -> tuple[str, ...]:
    try:
        if file_format == "parquet":
            names = tuple(pq.read_schema(path).names)
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                names = tuple(next(csv.reader(file), ()))
    except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
        raise BadInputError(
            f"{path} cannot be read as {LABELS[file_format]} ({_first_line(error)}): export it "
            "again."
        ) from error
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(f"{path} has more than one column {name!r}: rename all but one.")
    return names


def _open(source: _Source, renames: Mapping[str, str], engine: Engine) -> Any:
    """Return the source as a lazy table of those contract columns that it has."""
    chosen = _chosen_columns(source, renames)
    paths = [str(path) for path in source.paths]
    with _readable(source):
        if source.format == "parquet":
            return engine.connection.read_parquet(paths).select(**chosen)
        # Columns are read by position, so that names in the header cannot clash.
        positions = {name: f"c{i}" for i, name in enumerate(source.names)}
        table = engine.connection.read_csv(
            paths,
            columns=dict.fromkeys(positions.values(), "VARCHAR"),
            auto_detect=False,
            header=True,
            delim=",",
            quote='"',
            escape='"',
        )
        return table.select(**{column: positions[name] for column, name in chosen.items()})


def _chosen_columns(source: _Source, renames: Mapping[str, str]) -> dict[str, str]:
    """Return contract column to source column, for the columns that the source has."""
    table, label = source.table, source.label
    has = ", ".join(source.names)
    for column, name in renames.items():
        if column not in table.schema.names:
            raise BadInputError(
                f"ingest.columns has no column {column!r} of {table.name}; its columns are "
                f"{', '.join(table.schema.names)}."
            )
        if name not in source.names:
            raise BadInputError(
                f"{label} lacks the column {name!r} that ingest.columns gives for {column}; it "
                f"has {has}."
            )
    wanted = {c.name: renames.get(c.name, c.name) for c in table.columns}
    for c in table.columns:
        if c.required and c.name not in DERIVED and wanted[c.name] not in source.names:
            raise BadInputError(
                f"{label} lacks the required column {c.name} ({c.meaning}); it has {has}: add it, "
                f"or give its name in ingest.columns as {table.name}: {{{c.name}: <name>}}."
            )
    chosen = {column: name for column, name in wanted.items() if name in source.names}
    extra = sorted(set(source.names) - set(chosen.values()))
    if extra:
        logger.info("%s: ignored columns outside the contract: %s", label, ", ".join(extra))
    return chosen


def _convert(column: Column, table: Any, money_unit: str) -> _Converted:
    """Convert a column to its type in the contract; null if the source lacks it."""
    if column.name not in table.columns:
        absent = ibis.null(IBIS_TYPES[column.type])
        return _Converted(absent, absent, ibis.literal(False))
    given = table[column.name]
    if given.type().is_string():
        given = given.nullif("")
    elif given.type().is_floating():
        given = given.isnan().ifelse(ibis.null(given.type()), given)
    if column.type == "string":
        value = _string(given)
    elif column.type == "instant":
        value = _instant(given)
    else:
        value = _integer(given, major=column.type == "money" and money_unit == "major")
    is_text = given.type().is_string()
    is_date = given.re_search(DATE_TEXT) if is_text else ibis.literal(given.type().is_date())
    return _Converted(value, given, is_date)


def _string(given: Any) -> Any:
    kind = given.type()
    if kind.is_string() or kind.is_integer() or kind.is_uuid() or kind.is_boolean():
        return given.cast("string")
    return _of_unknown_type(given, "string")


def _instant(given: Any) -> Any:
    kind, target = given.type(), IBIS_TYPES["instant"]
    if kind.is_string():
        return given.re_search(INSTANT_TEXT).ifelse(given.try_cast(target), ibis.null(target))
    if kind.is_timestamp() or kind.is_date():
        return given.try_cast(target)
    return _of_unknown_type(given, target)


def _integer(given: Any, major: bool) -> Any:
    kind = given.type()
    if kind.is_integer() and not major:
        return given.try_cast("int64")
    if kind.is_integer() or kind.is_floating() or kind.is_decimal() or kind.is_string():
        # Converted from text, where 49.9 is 49.9 and not the nearest binary fraction.
        text = given.cast("string")
        fits = text.re_search(MAJOR_TEXT if major else INTEGER_TEXT)
        exact = (text.try_cast("decimal(38, 2)") * 100) if major else text
        return fits.ifelse(exact.try_cast("int64"), ibis.null("int64"))
    return _of_unknown_type(given, "int64")


def _of_unknown_type(given: Any, target: str) -> Any:
    """Convert types unknown to Ibis (all null, nanoseconds with a zone); null for others."""
    return given.try_cast(target) if given.type().is_unknown() else ibis.null(target)


def _check_values(
    source: _Source, table: Any, converted: Mapping[str, _Converted], currency: str
) -> int:
    """Check in one scan that every value converts; return the number of rows."""
    measures = {"rows": table.count()}
    for name in table.columns:
        cell = converted[name]
        wrong = cell.given.notnull() & cell.value.isnull()
        measures[f"{name} wrong"] = wrong.sum()
        measures[f"{name} example"] = cell.given.cast("string").min(where=wrong)
    if "currency" in table.columns:
        foreign = converted["currency"].value != currency
        measures["foreign"] = foreign.sum()
        measures["foreign example"] = converted["currency"].value.min(where=foreign)
    (counts,) = table.aggregate(**measures).to_pyarrow().to_pylist()
    label, rows = source.label, counts["rows"]
    if rows == 0:
        raise BadInputError(f"{label} has no rows: export it again, or remove it.")
    for name in table.columns:
        if wrong := counts[f"{name} wrong"]:
            raise BadInputError(
                f"Column {name} of {label} is not {EXPECTED[source.table.column(name).type]} in "
                f"{wrong:,} of {rows:,} rows, e.g. {counts[f'{name} example']!r}: fix the source."
            )
    if counts.get("foreign"):
        raise BadInputError(
            f"{label} has {counts['foreign']:,} of {rows:,} rows in a currency other than "
            f"{currency}, e.g. {counts['foreign example']!r}: convert them, or set ingest.currency."
        )
    return int(rows)


def _write(
    source: _Source,
    table: Any,
    converted: Mapping[str, _Converted],
    currency: str,
    folder: Path,
    engine: Engine,
) -> None:
    values = {name: column.value for name, column in converted.items()}
    if "currency" in values:
        values["currency"] = values["currency"].fill_null(currency)
    order = source.table.schema.names
    if source.table.is_log:
        known = "available_at" if "available_at" in table.columns else "event_at"
        # Of an event with only a date, it is known only that it had happened when the day ended.
        next_day = converted[known].value + ibis.interval(days=1)
        values["available_at"] = converted[known].is_date.ifelse(next_day, converted[known].value)
        order = ["customer_id", "event_at", "available_at", *order]
    rows = table.select(**values)
    if source.table.is_log and "event_id" not in table.columns:
        rows = rows.mutate(event_id=_content_id(rows, engine))
    engine.write(rows, folder / f"{source.table.name}.parquet", list(dict.fromkeys(order)))


def _content_id(rows: Any, engine: Engine) -> Any:
    """Return IDs of rows: a digest of the content, and a number among rows of equal digest."""
    texts = [
        (engine.microseconds(rows[name]) if kind.is_timestamp() else rows[name]).cast("string")
        for name, kind in rows.schema().items()
        if name != "event_id"
    ]
    content = ibis.literal("\x1f").join([text.fill_null("") for text in texts])
    digest = content.hexdigest("md5").left(16)
    # Ordered by availability: if two digests collide, the earlier row still keeps its ID.
    number = ibis.row_number().over(group_by=digest, order_by=rows.available_at)
    return digest + "-" + number.cast("string")


@contextlib.contextmanager
def _readable(source: _Source) -> Iterator[None]:
    """Turn the engine's error about a broken file into one sentence."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise BadInputError(
            f"{source.label} cannot be read as {LABELS[source.format]} ({_first_line(error)}): fix "
            "the file, or export it again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()
