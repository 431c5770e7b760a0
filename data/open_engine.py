"""Opens an engine by its name in the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.engine import DuckDB
from data.spark import open_spark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.engine import Engine


def open_engine(
    name: str = "duckdb",
    threads: int = 2,
    memory_limit: str = "3GB",
    master: str | None = None,
    packages: Sequence[str] = (),
) -> Engine:
    """Open an engine.

    Parameters
    ----------
    name
        ``duckdb``, or ``spark``, which needs the package extra ``spark`` and Java.
    threads
        Number of threads; does not change any result.
    memory_limit
        Memory beyond which the engine spills to disk, e.g. ``3GB``.
    master
        Spark's master; None for this machine.
    packages
        Python packages of this project to send to Spark's workers.

    Raises
    ------
    BadInputError
        If Spark cannot start.
    ValueError
        If there is no engine of that name.
    """
    if name == "duckdb":
        return DuckDB(threads, memory_limit)
    if name == "spark":
        return open_spark(threads, memory_limit, master, packages)
    raise ValueError(f"There is no engine {name!r}: engine.name in params.yaml is duckdb or spark.")
