"""Engines: they run Ibis expressions and functions over blocks."""

from __future__ import annotations

import datetime as dt
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import ibis

from data.atomic import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import pyarrow as pa

# Version 2 stores instants as differences: files are smaller and read in two thirds of the time.
PARQUET = {"COMPRESSION": "zstd", "PARQUET_VERSION": "V2"}

Block = TypeVar("Block")


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]
def _epoch_us(instant: dt.datetime) -> int:  # type: ignore[empty-body]
    """Microseconds since 1970-01-01 UTC (DuckDB's own function)."""


@ibis.udf.agg.builtin(name="bit_or")  # type: ignore[untyped-decorator]
def bit_or(mask: int) -> int:  # type: ignore[empty-body]
    """Bitwise or of 64-bit masks, an aggregate of DuckDB and Spark that Ibis does not provide."""


@ibis.udf.agg.builtin(name="sum", signature=((ibis.dtype("int64"),), ibis.dtype("decimal(38, 0)")))  # type: ignore[untyped-decorator]
def _wide_sum(number: int) -> int:  # type: ignore[empty-body]
    """Sum of int64: DuckDB returns a 128-bit integer, which Ibis would take for int64."""


def total(column: Any) -> Any:
    """Sum an int64 column to int64, on every engine."""
    return _wide_sum(column).cast("int64")


class Engine(ABC):
    """An open connection that runs Ibis expressions, and functions over blocks of work.

    Use it as a context manager; ``open_engine`` creates one. All engines give the same results.

    Parameters
    ----------
    connection
        The Ibis backend.
    threads
        Threads that a function in ``map_blocks`` may use.
    """

    def __init__(self, connection: Any, threads: int) -> None:
        self.connection = connection
        self.threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, path: Path) -> Any:
        """Return the Parquet file at ``path`` as a lazy Ibis table."""
        return self.connection.read_parquet(str(path.resolve()))

    @abstractmethod
    def close(self) -> None:
        """Close the connection and remove its temporary files."""

    @abstractmethod
    def microseconds(self, instant: Any) -> Any:
        """Return an instant column as int64 microseconds since 1970-01-01 UTC."""

    @abstractmethod
    def to_arrow(self, expression: Any) -> pa.Table:
        """Run a table expression; the columns have the Arrow types of its schema."""

    def prepare(self, expression: Any) -> Callable[[], pa.Table]:
        """Compile a table expression; safe to call while another one runs.

        Calling the result returns what ``to_arrow`` would. The expression may read only files.
        """
        return partial(self.to_arrow, expression)

    @abstractmethod
    def write(self, expression: Any, path: Path, order_by: Sequence[Any]) -> None:
        """Write an expression as one Parquet file, rows in the order of ``order_by``.

        The order, given as column names or deferred expressions of columns, must be total for the
        bytes to be stable. The file is written under a temporary name and renamed, so that a
        half-written file is never seen.
        """

    @abstractmethod
    def map_blocks(
        self, function: Callable[[Block], pa.Table], blocks: Sequence[Block]
    ) -> Iterator[pa.Table]:
        """Yield the result of a function for each block, in the order of the blocks.

        Parameters
        ----------
        function
            Turns a block into a table that fits into memory. It must be picklable and read its
            inputs from files, since it may run in another process or on another machine.
        blocks
            Small picklable descriptions, such as the first and last customer of a block.
        """


class DuckDB(Engine):
    """DuckDB in this process. ``map_blocks`` runs in threads: NumPy and Arrow release the GIL."""

    def __init__(self, threads: int, memory_limit: str) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="churn-risk-")
        connection = ibis.duckdb.connect(
            ":memory:",
            threads=threads,
            memory_limit=memory_limit,
            temp_directory=self._scratch.name,
            autoinstall_known_extensions="false",
            preserve_insertion_order="false",  # as in Spark: only ORDER BY fixes an order
        )
        connection.raw_sql("SET TimeZone = 'UTC'")
        super().__init__(connection, threads)

    def close(self) -> None:
        """Close the connection and remove its temporary files."""
        self.connection.disconnect()
        self._scratch.cleanup()

    def microseconds(self, instant: Any) -> Any:
        """Return an instant column as int64 microseconds since 1970-01-01 UTC."""
        return _epoch_us(instant)

    def to_arrow(self, expression: Any) -> pa.Table:
        """Run a table expression; the columns have the Arrow types of its schema."""
        return self.connection.to_pyarrow(expression)

    def prepare(self, expression: Any) -> Callable[[], pa.Table]:
        """Compile a table expression; calling the result runs it."""
        query, schema = self.connection.compile(expression), expression.schema().to_pyarrow()
        return lambda: self.connection.con.sql(query).to_arrow_table().cast(schema)

    def write(self, expression: Any, path: Path, order_by: Sequence[Any]) -> None:
        """Write an expression as one Parquet file; DuckDB sorts out of core."""
        ordered = expression.order_by([ibis.asc(term) for term in order_by])
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as temporary:
            self.connection.to_parquet(ordered, str(temporary), **PARQUET)

    def map_blocks(
        self, function: Callable[[Block], pa.Table], blocks: Sequence[Block]
    ) -> Iterator[pa.Table]:
        """Yield the result of a function for each block, computed on ``threads`` threads.

        One more block is queued, so that no thread is idle while the caller uses a result.
        """
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[pa.Table]] = deque()
            for block in blocks:
                waiting.append(pool.submit(function, block))
                if len(waiting) > self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
