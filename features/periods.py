"""The periods tables: each log measured once a period, kept, extended, and read by customers.

A file holds what became visible in one period, and rows of different ``visible_period`` never meet
in a measure. So a new week is a new file; a row that turns up late is among the rows of the week in
which it became available; and rows delivered afterwards for a period long closed change the digest
of its arrivals, which has that one measured anew. What is kept is linked, not copied: the bytes
are those of a rebuild.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.arrivals import from_json, read_arrivals, to_json
from data.atomic import replaced, write_text
from data.imports import code_digests
from data.progress import progress
from features import measures
from features.known import integers
from features.measures import EVENT_ORDER, EVENTS, KEY, MEASURES, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from data.arrivals import Arrivals
    from data.clock import Clock
    from data.engine import Engine

log = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.json"
EVENTS_SUFFIX = "_events"
# Rows of a log that one query measures, whole periods: bounds memory, and spares small queries.
CHUNK_ROWS = 4_000_000
# Arrow's own files, each integer no wider than its column needs: half as much again as packed
# Parquet, but written in a quarter of the time, and some customers are read without the others.
FORMAT = "arrow"
WIDTHS = (pa.int8(), pa.int16(), pa.int32())
EMPTY = "empty"


@dataclass(frozen=True)
class PeriodsManifest:
    """What a folder of periods tables was made from.

    Parameters
    ----------
    key
        Digest of all but the rows that decides the bytes, see ``cache_key``.
    arrivals
        Log to the arrivals of each period that a file of it holds.
    first_seen
        Values of ``usage.feature`` and when each could first be known, see ``measures.first_seen``.
    """

    key: str
    arrivals: dict[str, Arrivals]
    first_seen: dict[str, int]

    @classmethod
    def of(cls, folder: Path) -> PeriodsManifest | None:
        """Read what an earlier run left; None where there is nothing (sound) to extend."""
        try:
            stored = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
            return cls(stored["key"], from_json(stored["arrivals"]), stored["first_seen"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it into the folder."""
        arrived = to_json(self.arrivals)
        stored = {"key": self.key, "arrivals": arrived, "first_seen": self.first_seen}
        write_text(json.dumps(stored, indent=1) + "\n", folder / MANIFEST_FILE)


# Libraries that write the bytes: what runs lower(), a regex or floor, and what writes the files.
WRITERS = ("duckdb", "ibis-framework", "numpy", "pyarrow", "pyspark")


def cache_key(
    clock: Clock, core_features: Sequence[str], only: Collection[str] | None = None
) -> str:
    """Digest of everything but the rows that decides the bytes of the periods tables.

    All the code that this module can load is in it, so that no fix is ever passed over.
    """
    parts = [repr(clock), repr(tuple(core_features)), repr(only and sorted(only))]
    parts += [FORMAT, repr(WIDTHS), repr(code_digests(__name__))]
    parts += [f"{name} {_version(name)}" for name in WRITERS]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _version(package: str) -> str:
    """Version of an installed package; empty where it is not installed, as Spark may not be."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def measure(
    clean: Mapping[str, Path],
    target: Path,
    engine: Engine,
    clock: Clock,
    core_features: Sequence[str],
    earlier: Path | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Reduce each log to ``<log>/<visible period>.arrow``, small logs row by row beside it.

    Parameters
    ----------
    clean
        Table name to Parquet file in the contract; ``arrivals.json`` beside it spares a scan.
    target
        An empty folder.
    engine, clock, core_features
        What measures, the rule for time, and values of ``usage.feature`` that mark adoption.
    earlier
        Folder that an earlier run wrote: the periods whose rows are the same are taken from it, and
        their rows not read.
    only
        Measures to take; None takes all that features read.
    """
    key = cache_key(clock, core_features, only)
    made = PeriodsManifest.of(earlier) if earlier else None
    if made is None or made.key != key:
        made = PeriodsManifest(key, {}, {})
    names = [name for name in MEASURES if name in clean]
    arrived = {name: read_arrivals(clean[name], engine, clock) for name in names}
    stale = {name: _stale(arrived[name], made.arrivals.get(name, {})) for name in names}
    tables = {name: engine.read(clean[name]) for name in names}
    seen: dict[str, int] = {}
    if "usage" in clean:
        seen = _features_seen(
            tables["usage"], made, stale["usage"], arrived["usage"], engine, clock
        )
        if list(seen)[: len(made.first_seen)] != list(made.first_seen):  # bits are renumbered
            stale["usage"] = set(arrived["usage"])
    manifest = Manifest(tuple(seen), tuple(core_features))
    jobs: list[_Job] = []
    for name, table in tables.items():
        stretches = _stretches(arrived[name], stale[name])
        _keep(name, set(arrived[name]) - stale[name], earlier, target)
        for folder, order, expression in _outputs(name, target, engine, clock, manifest, only):
            if not arrived[name]:
                _write(engine.to_arrow(expression(table)), folder / f"{EMPTY}.{FORMAT}")
            jobs += [
                _Job(
                    folder,
                    [period for period in range(first, last + 1) if period in arrived[name]],
                    partial(expression, _arrived(table, first, last, clock)),
                    order,
                )
                for first, last in stretches
            ]
    _measure(jobs, engine)
    PeriodsManifest(key, arrived, seen).write(target)


def _stale(arrived: Arrivals, made: Arrivals) -> set[int]:
    """Periods whose rows are not those that the kept file was made from."""
    return {period for period, one in arrived.items() if made.get(period) != one}


def _features_seen(
    table: Any,
    made: PeriodsManifest,
    stale: set[int],
    arrived: Arrivals,
    engine: Engine,
    clock: Clock,
) -> dict[str, int]:
    """``first_seen`` of the product's features: where the log has only grown, of its new rows."""
    kept = arrived.keys() - stale
    grown = kept and kept == made.arrivals.get("usage", {}).keys()
    if grown and not (stale and min(stale) < max(kept)):
        seen, read, enough = dict(made.first_seen), stale, measures.OTHER_BIT
    else:  # from the beginning, until there is nothing more to be seen
        seen, read, enough = {}, set(arrived), measures.how_many(table, "feature", engine)
    looks = _stretches(arrived, read)
    at_once = [(first, first) for first, last in looks[:1] if first < last]  # most are seen there
    for first, last in at_once + looks:
        if len(seen) >= enough:
            break
        found = measures.first_seen(_arrived(table, first, last, clock), "feature", engine)
        seen = found | seen  # what was known before was known earlier
    order = sorted(seen, key=lambda value: (seen[value], value))
    return {value: seen[value] for value in order[: measures.OTHER_BIT]}


def _arrived(table: Any, first: int, last: int, clock: Clock) -> Any:
    """Rows that became available from one period to another; row groups of others are not read."""
    return table.filter(
        (table.available_at > clock.cutoff_at(first - 1))
        & (table.available_at <= clock.cutoff_at(last))
    )


def _keep(name: str, kept: set[int], earlier: Path | None, target: Path) -> None:
    """Take the files of periods that stay; both folders then name the same bytes."""
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
    """Yield the folder, the order of rows and the expression of each table made of a log."""
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
class _Job:
    """A stretch of a log to be measured: its periods, of which each has a file in the folder."""

    folder: Path
    periods: list[int]
    rows: Callable[[], Any]
    order: tuple[str, ...]

    def prepare(self, engine: Engine) -> Callable[[], pa.Table]:
        """Make the query ready to run."""
        return engine.prepare(self.rows().order_by(self.order))


def _measure(jobs: Sequence[_Job], engine: Engine) -> None:
    """Measure one stretch after the other.

    Meanwhile the one before is written, and the queries of those after it are prepared.
    """
    with ThreadPoolExecutor(1) as planner, ThreadPoolExecutor(1) as writer:
        prepared = planner.map(methodcaller("prepare", engine), jobs)
        written: Future[None] | None = None
        for job in progress(jobs, "measuring, stretches of periods", log):
            measured = next(prepared)()
            if written:
                written.result()
            written = writer.submit(_write_periods, measured, job.periods, job.folder)
        if written:
            written.result()


def _write_periods(measured: pa.Table, periods: Sequence[int], folder: Path) -> None:
    """Write a file for each period, of rows sorted by it."""
    visible = measured["visible_period"].to_numpy()
    for period in periods:
        start, stop = np.searchsorted(visible, [period, period + 1])
        _write(measured.slice(start, stop - start), folder / f"{period}.{FORMAT}")


def _write(table: pa.Table, path: Path) -> None:
    """Write a table as an Arrow file, its integers no wider than need be."""
    columns = [_narrowed(column) for column in table.combine_chunks().columns]
    narrowed = pa.table(columns, names=table.column_names)
    with replaced(path) as temporary, pa.ipc.new_file(str(temporary), narrowed.schema) as writer:
        writer.write_table(narrowed)


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A copy of the column, as the narrowest integers that hold its values if it is of integers."""
    if pa.types.is_integer(column.type) and column.null_count < len(column):
        ends = pc.min_max(column)
        for width in WIDTHS:
            limit = 1 << (width.bit_width - 1)
            if -limit <= ends["min"].as_py() and ends["max"].as_py() < limit:
                return column.cast(width, safe=False)
    # Not the part cut out itself, which would be written with some of what follows it.
    return pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def _stretches(arrived: Arrivals, stale: set[int]) -> list[tuple[int, int]]:
    """First and last period of each query: stale periods side by side, up to ``CHUNK_ROWS``."""
    stretches: list[tuple[int, int]] = []
    rows, follows = 0, False
    for period, one in sorted(arrived.items()):
        if period in stale:
            rows += one.rows
            if follows and rows <= CHUNK_ROWS:
                stretches[-1] = (stretches[-1][0], period)
            else:
                stretches.append((period, period))
                rows = one.rows
        follows = period in stale
    return stretches


class Periods:
    """Periods tables of a folder, read for stretches of customers.

    Parameters
    ----------
    folder
        As ``measure`` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.logs = tuple(name for name in MEASURES if (folder / name).is_dir())
        self._files = {
            path.name: sorted(path.glob(f"*.{FORMAT}"), key=_period)
            for path in folder.iterdir()
            if path.is_dir()
        }

    def start(self, name: str) -> int:
        """First period in which any row of the log was visible; 0 for an empty log."""
        return _period(self._files[name][0])

    def rows(self, name: str, customers: pa.Array) -> pa.Table:
        """Periods table of a log: rows of some customers, given sorted, in the order of ``KEY``.

        In place of ``customer_id`` stands ``customer``, the place among the customers given.
        """
        table = self._of(name, customers)  # by period first visible: the last of the keys
        return table.take(_order([integers(table[key]) for key in ("customer", "event_period")]))

    def events(self, name: str, customers: pa.Array) -> pa.Table:
        """Like ``rows``, of the event table of a log and in ``EVENT_ORDER``, without the ids."""
        table = self._of(name + EVENTS_SUFFIX, customers)
        keys = [integers(table[key]) for key in ("customer", "event_us", "kind")]
        order = _order(keys)
        same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
        if same.any():  # of events at the same instant that are of the same kind, the id decides
            tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
            rank = integers(pc.rank(table["event_id"].take(order[tied]), tiebreaker="dense"))
            order[tied] = order[tied][_order([*(key[order][tied] for key in keys), rank])]
        return table.drop_columns(["event_id"]).take(order)

    def _of(self, name: str, customers: pa.Array) -> pa.Table:
        """Rows of the customers, in the order of the periods in which they were first visible."""
        low, high = customers[0].as_py(), customers[-1].as_py()
        parts = [_between(file, low, high) for file in self._files[name]]
        table = pa.concat_tables(parts, promote_options="permissive")
        place = pc.index_in(table["customer_id"], value_set=customers)
        table = table.drop_columns(["customer_id"]).append_column("customer", place.cast("int64"))
        return (table.filter(place.is_valid()) if place.null_count else table).combine_chunks()


def _period(file: Path) -> int:
    """Period in which the rows of a file were first visible; 0 if it has none."""
    return 0 if file.stem == EMPTY else int(file.stem)


def _between(file: Path, low: str, high: str) -> pa.Table:
    """Rows of a file, which is sorted by customer, from the first to the last customer given."""
    # Mapped for these rows alone: what stays mapped counts as memory, the whole log in the end.
    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    ids, text = table["customer_id"], methodcaller("as_py")
    start = bisect_left(ids, low, key=text)
    return table.slice(start, bisect_right(ids, high, key=text) - start)


def _order(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Stable order of rows by some keys, the first one foremost.

    Keys of few values are sorted by counting: NumPy does so for integers of 16 bits.
    """
    if not keys[0].size:
        return np.empty(0, dtype=np.int64)
    small: list[NDArray[Any]] = []
    for key in reversed(keys):
        few = int(key.max()) - int(key.min()) <= np.iinfo(np.uint16).max
        small.append((key - key.min()).astype(np.uint16) if few else key)
    return np.lexsort(small)
