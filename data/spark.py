"""Spark as an engine: the same expressions, and functions over blocks inside ``mapInArrow``.

It runs on this machine, or on a cluster whose machines share the file system of the project.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from data.atomic import replaced
from data.engine import Block, Engine
from data.errors import BadInputError
from data.memory import bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

JAVA = 17


@ibis.udf.scalar.builtin(name="unix_micros")  # type: ignore[untyped-decorator]
def _unix_micros(instant: dt.datetime) -> int:  # type: ignore[empty-body]
    """Microseconds since 1970-01-01 UTC (Spark's own function)."""


class Spark(Engine):
    """A Spark session. Each block of ``map_blocks`` is a single-threaded task."""

    def __init__(self, session: Any, scratch: tempfile.TemporaryDirectory[str]) -> None:
        super().__init__(ibis.pyspark.connect(session), threads=1)
        self._session, self._scratch = session, scratch

    def close(self) -> None:
        """Stop the session and remove its temporary files."""
        self._session.stop()
        self._scratch.cleanup()

    def microseconds(self, instant: Any) -> Any:
        """Return an instant column as int64 microseconds since 1970-01-01 UTC."""
        return _unix_micros(instant)

    def to_arrow(self, expression: Any) -> pa.Table:
        """Run a table expression; the columns have the Arrow types of its schema.

        Ibis is not used for this: it goes through pandas and turns integers with nulls into floats.
        """
        return self._frame(expression).toArrow().cast(expression.schema().to_pyarrow())

    def write(self, expression: Any, path: Path, order_by: Sequence[Any]) -> None:
        """Write an expression as one Parquet file, sorted out of core by a single task."""
        ordered = expression.order_by([ibis.asc(term) for term in order_by])
        frame = self._frame(ordered).coalesce(1)  # keeps the order
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent.resolve(), prefix="spark-") as folder:
            frame.write.mode("overwrite").parquet(folder)
            (part,) = Path(folder).glob("part-*.parquet")
            with replaced(path) as temporary:
                part.rename(temporary)

    def map_blocks(
        self, function: Callable[[Block], pa.Table], blocks: Sequence[Block]
    ) -> Iterator[pa.Table]:
        """Yield the result of a function for each block; blocks are computed in parallel.

        Results are kept on the executors' disks and fetched one by one.
        """
        from pyspark import StorageLevel  # noqa: PLC0415 - Spark is an extra

        if not blocks:
            return
        numbers = self._session.range(len(blocks), numPartitions=len(blocks))
        frame = numbers.mapInArrow(partial(_run, function, blocks), "result binary")
        frame.persist(StorageLevel.DISK_ONLY)
        try:
            frame.count()  # runs all blocks at once; the iterator alone would run one at a time
            for row in frame.toLocalIterator(prefetchPartitions=True):
                yield pa.ipc.open_stream(row.result).read_all()
        finally:
            frame.unpersist()

    def _frame(self, expression: Any) -> Any:
        return self._session.sql(self.connection.compile(expression))


def _run(
    function: Callable[[Block], pa.Table],
    blocks: Sequence[Block],
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Map numbers of blocks to results, each an Arrow stream in one cell; runs on workers."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            table = function(blocks[number])
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            cell = pa.array([sink.getvalue().to_pybytes()], pa.binary())
            yield pa.RecordBatch.from_arrays([cell], ["result"])


def open_spark(
    threads: int, memory_limit: str, master: str | None, packages: Sequence[str]
) -> Spark:
    """Start a Spark session; the parameters are those of ``data.open_engine.open_engine``.

    Raises
    ------
    BadInputError
        If the extra or Java is missing, or the master does not answer.
    """
    if reason := unavailable():
        raise BadInputError(reason)
    from pyspark.sql import SparkSession  # noqa: PLC0415 - Spark is an extra

    logging.getLogger("py4j").setLevel(logging.WARNING)  # it logs every connection
    master = master or f"local[{threads}]"
    scratch = tempfile.TemporaryDirectory(prefix="churn-risk-")
    builder = SparkSession.builder.appName("churn-risk").master(master)
    for name, value in _settings(master, threads, memory_limit, scratch.name).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        scratch.cleanup()
        raise BadInputError(
            f"Spark did not start with engine.master {master} ({_reason(error)}): fix "
            "engine.master or engine.memory_limit in params.yaml, or choose engine.name duckdb."
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    if packages:
        session.sparkContext.addPyFile(_zipped(packages, Path(scratch.name)))
    return Spark(session, scratch)


def unavailable() -> str | None:
    """Return what this machine lacks to run Spark, as a sentence; None if it lacks nothing."""
    if importlib.util.find_spec("pyspark") is None:
        return (
            "engine.name is spark, but PySpark is not installed: install the extra "
            "(pip install 'churn-risk[spark]'; make test-spark does so too), or choose duckdb."
        )
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    version = None
    if java is not None:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - the path comes from shutil.which
        version = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if version is None or int(version[1]) < JAVA:
        installed = f"Java {version[1]} was found" if version else "none was found"
        return (
            f"engine.name is spark, which needs Java {JAVA} or newer, but {installed}: install one "
            f"(Debian: openjdk-{JAVA}-jre-headless), set JAVA_HOME, or choose duckdb."
        )
    return None


def _settings(master: str, threads: int, memory_limit: str, scratch: str) -> dict[str, str]:
    """Return the settings of Spark; others can be set in spark-defaults.conf."""
    memory = f"{bytes_of(memory_limit) // 10**6}m"
    settings = {
        "spark.driver.memory": memory,
        "spark.executor.memory": memory,
        "spark.driver.maxResultSize": "0",  # results are bounded by the size of blocks
        "spark.executorEnv.OMP_WAIT_POLICY": "passive",
        "spark.executorEnv.ARROW_DEFAULT_MEMORY_POOL": "jemalloc",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.sql.session.timeZone": "UTC",
        # An overflow or a failed cast stops the run instead of giving null.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
    }
    # Spark reads this only from the environment.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if master.startswith("local"):
        settings["spark.sql.shuffle.partitions"] = str(2 * threads)
    if master.startswith(("local", "spark://127.0.0.1")):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return settings


def _reason(error: Exception) -> str:
    """Return the first line of an error, of the Java error if there is one."""
    java = getattr(error, "java_exception", None)
    return str(java or error).strip().splitlines()[0].rstrip(".")


def _zipped(packages: Sequence[str], folder: Path) -> str:
    """Zip the modules of packages for machines on which they are not installed."""
    target = folder / "churn_risk.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for package in packages:
            (root,) = importlib.util.find_spec(package).submodule_search_locations  # type: ignore[union-attr,misc]
            for path in sorted(Path(root).rglob("*.py")):
                archive.write(path, Path(package, path.relative_to(root)))
    return str(target)
