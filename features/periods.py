"""Periods tables: each log is measured once per period, and its files are kept and extended.

A file holds the rows that became visible in one period, and rows of different ``visible_period``
never meet in a measure. So a new week is a new file, and a late row belongs to the file of the week
in which it became available. Rows delivered afterwards for a closed period change the digest of its
arrivals, so that period is measured again. Files that are kept are linked, not copied; their bytes
equal those of a rebuild.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.arrivals import from_json, read_arrivals, to_json
from data.atomic import replaced, write_text
from data.imports import code_digests
from data.progress import progress
from features import measures
from features.measures import EVENT_ORDER, EVENTS, KEY, MEASURES, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from data.arrivals import Arrivals
    from data.clock import Clock
    from data.engine import Engine

logger = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.json"
EVENTS_SUFFIX = "_events"
# Most rows of a log that one query measures, in whole periods: bounds memory, and saves queries.
CHUNK_ROWS = 4_000_000
# Arrow files, with integers no wider than each column needs: half as large again as Parquet, but
# written in a quarter of the time, and some customers are read without the others.
FORMAT = "arrow"
WIDTHS = (pa.int8(), pa.int16(), pa.int32())
EMPTY = "empty"


@dataclass(frozen=True)
class PeriodsManifest:
    """Inputs that a folder of periods tables was made from.

    Parameters
    ----------
    key
        Digest of everything but the rows that decides the bytes; see ``cache_key``.
    arrivals
        Log to the arrivals of each period that has a file.
    first_seen
        Value of ``usage.feature`` to the instant at which it could first be known, in microseconds;
        see ``measures.first_seen``.
    """

    key: str
    arrivals: dict[str, Arrivals]
    first_seen: dict[str, int]

    @classmethod
    def of(cls, folder: Path) -> PeriodsManifest | None:
        """Read the manifest of an earlier run; None if it is missing or invalid."""
        try:
            stored = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
            return cls(stored["key"], from_json(stored["arrivals"]), stored["first_seen"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write the manifest into the folder."""
        arrived = to_json(self.arrivals)
        stored = {"key": self.key, "arrivals": arrived, "first_seen": self.first_seen}
        write_text(json.dumps(stored, indent=1) + "\n", folder / MANIFEST_FILE)


# The engines are handed in, so imports do not lead to them.
ENGINES = "data.open_engine"
# Libraries that decide the bytes: they run lower(), regexes and floor, and write the files. Spark
# is not among them: it writes the same, and whether it is installed must not show in the bytes.
WRITERS = ("duckdb", "ibis-framework", "numpy", "pyarrow")


def cache_key(
    clock: Clock, core_features: Sequence[str], only: Collection[str] | None = None
) -> str:
    """Return a digest of everything but the rows that decides the bytes of the periods tables.

    It covers all code that this module can load, so that a fix is never missed.
    """
    parts = [repr(clock), repr(tuple(core_features)), repr(only and sorted(only))]
    parts += [FORMAT, repr(WIDTHS), repr(code_digests(__name__, ENGINES))]
    parts += [f"{name} {importlib.metadata.version(name)}" for name in WRITERS]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def measure(
    clean: Mapping[str, Path],
    target: Path,
    engine: Engine,
    clock: Clock,
    core_features: Sequence[str],
    earlier: Path | None = None,
    only: Collection[str] | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> None:
    """Reduce each log to ``<log>/<visible period>.arrow``; small logs also row by row.

    Parameters
    ----------
    clean
        Table name to Parquet file in the contract; ``arrivals.json`` beside it saves a scan.
    target
        An empty folder.
    engine, clock, core_features
        The engine that measures; the rule for time; values of ``usage.feature`` that mark adoption.
    earlier
        Folder that an earlier run wrote. Periods whose rows are unchanged are taken from it, and
        their rows are not read.
    only
        Measures to take; None for all that features read.
    chunk_rows
        Rows that one query measures, about; changes no byte.
    """
    key = cache_key(clock, core_features, only)
    made = PeriodsManifest.of(earlier) if earlier else None
    if made is None or made.key != key:
        made = PeriodsManifest(key, {}, {})
    tables = {name: engine.read(clean[name]) for name in MEASURES if name in clean}
    arrived = {name: read_arrivals(clean[name], engine, clock) for name in tables}
    # Periods whose rows differ from those that the earlier file was made from.
    stale = {
        name: {period for period, _ in arrived[name].items() - made.arrivals.get(name, {}).items()}
        for name in tables
    }
    seen: dict[str, int] = {}
    if "usage" in clean:
        seen = _features_seen(
            tables["usage"], made, stale["usage"], arrived["usage"], engine, clock, chunk_rows
        )
        # A feature seen earlier than was known shifts the bits of those after it.
        if list(seen)[: len(made.first_seen)] != list(made.first_seen):
            stale["usage"] = set(arrived["usage"])
    manifest = Manifest(tuple(seen), tuple(core_features))
    queries: list[_Query] = []
    for name, table in tables.items():
        stretches = _stretches(arrived[name], stale[name], chunk_rows)
        _keep(name, set(arrived[name]) - stale[name], earlier, target)
        for folder, order, expression in _outputs(name, target, engine, clock, manifest, only):
            if not arrived[name]:
                _write(engine.to_arrow(expression(table)), folder / f"{EMPTY}.{FORMAT}")
            queries += [
                _Query(
                    folder,
                    [period for period in range(first, last + 1) if period in arrived[name]],
                    partial(expression, _arrived(table, first, last, clock)),
                    order,
                )
                for first, last in stretches
            ]
    _measure(queries, engine)
    PeriodsManifest(key, arrived, seen).write(target)


def _features_seen(
    table: Any,
    made: PeriodsManifest,
    stale: set[int],
    arrived: Arrivals,
    engine: Engine,
    clock: Clock,
    chunk_rows: int,
) -> dict[str, int]:
    """Return ``first_seen`` of the product's features; reads only new rows if the log has grown."""
    kept = arrived.keys() - stale
    grown = kept and kept == made.arrivals.get("usage", {}).keys()
    if grown and not (stale and min(stale) < max(kept)):
        seen, read, limit = dict(made.first_seen), stale, measures.OTHER_BIT
    else:  # from the beginning, until every feature has been seen
        seen, read, limit = {}, set(arrived), measures.count_distinct(table, "feature", engine)
    stretches = _stretches(arrived, read, chunk_rows)
    # Most features appear in the first period, which often spares the rest of the first stretch.
    start = [(first, first) for first, last in stretches[:1] if first < last]
    for first, last in start + stretches:
        if len(seen) >= limit:
            break
        new = measures.first_seen(_arrived(table, first, last, clock), "feature", engine)
        seen = new | seen  # an instant found in earlier periods is earlier
    order = sorted(seen, key=lambda value: (seen[value], value))
    return {value: seen[value] for value in order[: measures.OTHER_BIT]}


def _arrived(table: Any, first: int, last: int, clock: Clock) -> Any:
    """Return the rows first available in periods ``first`` to ``last``; skips other row groups."""
    return table.filter(
        (table.available_at > clock.cutoff_at(first - 1))
        & (table.available_at <= clock.cutoff_at(last))
    )


def _keep(name: str, kept: set[int], earlier: Path | None, target: Path) -> None:
    """Link the files of the ``kept`` periods from the earlier folder; copy if links fail."""
    for folder in (name, name + EVENTS_SUFFIX) if name in EVENTS else (name,):
        (target / folder).mkdir(parents=True)
        if earlier is not None:
            for file in (f"{period}.{FORMAT}" for period in kept):
                try:
                    os.link(earlier / folder / file, target / folder / file)
                except OSError:  # a file system without hard links
                    shutil.copy2(earlier / folder / file, target / folder / file)


def _outputs(
    name: str,
    target: Path,
    engine: Engine,
    clock: Clock,
    manifest: Manifest,
    only: Collection[str] | None,
) -> Iterator[tuple[Path, tuple[str, ...], Callable[[Any], Any]]]:
    """Yield the folder, the order of rows and the expression of each table made from a log."""
    yield (
        target / name,
        ("visible_period", *KEY[:-1]),
        partial(
            measures.period_table, name, engine=engine, clock=clock, manifest=manifest, only=only
        ),
    )
    if name in EVENTS:
        yield (
            target / (name + EVENTS_SUFFIX),
            ("visible_period", *EVENT_ORDER),
            partial(measures.event_table, name, engine=engine, clock=clock),
        )


@dataclass(frozen=True)
class _Query:
    """One query over a stretch of a log; each of its periods becomes a file in the folder."""

    folder: Path
    periods: list[int]
    rows: Callable[[], Any]
    order: tuple[str, ...]


def _measure(queries: Sequence[_Query], engine: Engine) -> None:
    """Run the queries in order; meanwhile write the previous result and compile the next queries.

    The overlap came with the Arrow files (commits 24d8856 to cd761ea). Together they brought six
    aggregates over 139 million rows of usage from 46 s to 39 s on two cores; the
    overlap alone was not measured.
    """

    def compiled(query: _Query) -> Callable[[], pa.Table]:
        return engine.prepare(query.rows().order_by(query.order))

    with ThreadPoolExecutor(1) as planner, ThreadPoolExecutor(1) as writer:
        runs = planner.map(compiled, queries)
        written: Future[None] | None = None
        for query, run in zip(progress(queries, "measuring queries", logger), runs, strict=True):
            measured = run()
            if written:
                written.result()
            written = writer.submit(_write_periods, measured, query.periods, query.folder)
        if written:
            written.result()


def _write_periods(measured: pa.Table, periods: Sequence[int], folder: Path) -> None:
    """Write one file per period, from rows sorted by it."""
    visible = measured["visible_period"].to_numpy()
    for period in periods:
        start, stop = np.searchsorted(visible, [period, period + 1])
        _write(measured.slice(start, stop - start), folder / f"{period}.{FORMAT}")


def _write(table: pa.Table, path: Path) -> None:
    """Write a table as an Arrow file, with integers no wider than needed."""
    columns = [_narrowed(column) for column in table.combine_chunks().columns]
    narrowed = pa.table(columns, names=table.column_names)
    with replaced(path) as temporary, pa.ipc.new_file(str(temporary), narrowed.schema) as writer:
        writer.write_table(narrowed)


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Copy a column; integers become the narrowest type that holds their values."""
    if pa.types.is_integer(column.type) and column.null_count < len(column):
        ends = pc.min_max(column)
        for width in WIDTHS:
            limit = 1 << (width.bit_width - 1)
            if -limit <= ends["min"].as_py() and ends["max"].as_py() < limit:
                return column.cast(width, safe=False)
    # A slice is copied: Arrow would write some of the rows after it, too.
    return pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def _stretches(arrived: Arrivals, stale: set[int], chunk_rows: int) -> list[tuple[int, int]]:
    """Return first and last period of each query: adjacent stale periods, up to ``chunk_rows``."""
    stretches: list[tuple[int, int]] = []
    rows, follows = 0, False
    for period, arrival in sorted(arrived.items()):
        if period in stale:
            rows += arrival.rows
            if follows and rows <= chunk_rows:
                stretches[-1] = (stretches[-1][0], period)
            else:
                stretches.append((period, period))
                rows = arrival.rows
        follows = period in stale
    return stretches
