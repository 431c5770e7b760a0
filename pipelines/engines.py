"""The engines that the parameters choose; apart from them, as most stages open none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.engine import Engine
from data.open_engine import open_engine

if TYPE_CHECKING:
    from pipelines.params import Params

WORKER_PACKAGES = ("data", "features", "models")  # code that Spark's workers run


def chosen_engine(params: Params) -> Engine:
    """Open the engine that ``engine.name`` chooses.

    Raises
    ------
    BadInputError
        If Spark cannot start.
    """
    engine = params.engine
    return open_engine(
        engine.name, engine.threads, engine.memory_limit, engine.master, WORKER_PACKAGES
    )


def duckdb_engine(params: Params) -> Engine:
    """Open DuckDB even if the engine is Spark, which does not read files of any kind."""
    return open_engine("duckdb", params.engine.threads, params.engine.memory_limit)
