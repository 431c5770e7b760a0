"""The one place that opens an engine: reads and writes of Parquet through Ibis."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import ibis

from data.files import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]
def _epoch_us(instant: dt.datetime) -> int:  # type: ignore[empty-body]
    """Microseconds since 1970-01-01 UTC (DuckDB's own function)."""


@ibis.udf.agg.builtin(name="bit_or")  # type: ignore[untyped-decorator]
def bit_or(mask: int) -> int:  # type: ignore[empty-body]
    """Bitwise or of 64-bit masks: the same aggregate in DuckDB and Spark, which Ibis names not."""


def total(column: Any) -> Any:
    """Sum of an int64 column as an int64 column.

    The way through decimals is for DuckDB, whose sum of int64 is a 128-bit integer that Ibis takes
    for int64 and Parquet would store as a float.
    """
    return column.sum().cast("decimal(38, 0)").cast("int64")


@dataclass
class Engine:
    """An open connection that runs Ibis expressions.

    Use as a context manager; ``open_engine`` makes one.
    """

    connection: Any
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and remove what it spilled."""
        self.connection.disconnect()
        if self._scratch is not None:
            self._scratch.cleanup()

    def read(self, path: Path) -> Any:
        """Return the Parquet file at ``path`` as a lazy Ibis table."""
        return self.connection.read_parquet(str(path))

    def microseconds(self, instant: Any) -> Any:
        """Return an instant column as int64 microseconds since 1970-01-01 UTC."""
        return _epoch_us(instant)

    def to_arrow(self, expression: Any) -> pa.Table:
        """Run an expression and fetch its rows."""
        return self.connection.to_pyarrow(expression)

    def write(self, expression: Any, path: Path, order_by: Sequence[Any]) -> None:
        """Write an expression as one Parquet file, rows in the order of ``order_by``.

        The order, names of columns or deferred expressions of them, must be total for the bytes to
        be stable. Written under a temporary name and renamed, so that no half-written file is ever
        seen.
        """
        ordered = expression.order_by([ibis.asc(term) for term in order_by])
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as temporary:
            self.connection.to_parquet(ordered, str(temporary), COMPRESSION="zstd")


def open_engine(name: str = "duckdb", threads: int = 2, memory_limit: str = "3GB") -> Engine:
    """Open an engine.

    Parameters
    ----------
    name
        ``duckdb``.
    threads
        Threads used; changes no result.
    memory_limit
        Memory beyond which the engine spills to a temporary folder, e.g. ``3GB``.

    Raises
    ------
    ValueError
        If there is no engine of that name.
    """
    if name != "duckdb":
        raise ValueError(f"There is no engine {name!r}: engine.name in params.yaml takes duckdb.")
    scratch = tempfile.TemporaryDirectory(prefix="churn-risk-")
    connection = ibis.duckdb.connect(
        ":memory:",
        threads=threads,
        memory_limit=memory_limit,
        temp_directory=scratch.name,
        autoinstall_known_extensions="false",
    )
    connection.raw_sql("SET TimeZone = 'UTC'")
    return Engine(connection, scratch)
