"""Our code as the benchmarks run it: the only place that knows how the features are built.

``python -m studies.bench.ours NAME TASK`` runs one of ``RUNS`` in its own process and prints
its cost and result as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.atomic import replaced_folder
from data.clock import Clock
from data.engine import Engine
from data.open_engine import open_engine
from data.sources.simulated.world import simulate
from features.build import BlockFeatures, build_features, customer_blocks
from features.engagement import gained_days
from features.feature_settings import FeatureSettings
from features.period_reader import Periods
from features.periods import measure
from pipelines.params import load_params
from studies.bench.peers import SECOND, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data.asof import Integers
    from features.known import Known
    from pipelines.params import Params
    from studies.bench.peers import Task

_KEYS = ("customer_id", "cutoff_us")
# Columns of the periods table that the six aggregates need.
MEASURED = ("uses", "seconds", "days", "features", "last_us", "longest_s")


class Laps:
    """Seconds of each stage, summed over laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def end(self, stage: str) -> None:
        """Count the time since the last lap towards a stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def aggregates(task: Task, params: Params) -> dict[str, Any]:
    """Compute the task of ``studies.bench.peers``: six aggregates of every snapshot.

    With ``target`` in the task they are also written there, one float32 column each, as features.

    Returns
    -------
    ``sums``, and the seconds of each of the ``stages``.
    """
    windows, laps = tuple(task["windows"]), Laps()
    clock, settings = params.clock, FeatureSettings(windows, ())
    sums: dict[str, int] = {}
    with (
        _engine(task, params) as engine,
        tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch,
        contextlib.ExitStack() as stack,
    ):
        periods, snapshots = Path(scratch), Path(task["snapshots"])
        measure({"usage": Path(task["usage"])}, periods, engine, clock, (), only=MEASURED)
        laps.end("measure")
        start = {"usage": Periods(periods).start("usage")}
        read = BlockFeatures(
            snapshots, Path(task["customers"]), periods, start, (), settings, clock
        )
        writer = None
        blocks = customer_blocks(snapshots, engine)
        for table in engine.map_blocks(partial(_aggregated, read, windows), blocks):
            names = [name for name in table.column_names if name not in _KEYS]
            for name in names:
                sums[name] = sums.get(name, 0) + pc.sum(table[name]).as_py()
            laps.end("roll")
            if "target" in task:
                rows = table.cast(
                    pa.schema(
                        [*map(table.schema.field, _KEYS), *((name, pa.float32()) for name in names)]
                    ),
                    safe=False,
                )
                writer = writer or stack.enter_context(
                    pq.ParquetWriter(task["target"], rows.schema, compression="zstd")
                )
                writer.write_table(rows)
                laps.end("write")
    return {"sums": sums, "stages": laps.seconds}


def _aggregated(read: BlockFeatures, windows: Sequence[int], block: tuple[str, str]) -> pa.Table:
    """Compute keys and aggregates of a block of customers."""
    parts = []
    for known in read.known(read.keys(*block)):
        columns = {name: values for w in windows for name, values in _window(known, w)}
        keys = dict(zip(_KEYS, (known.customer_id, known.cutoff_us), strict=True))
        parts.append(pa.table(keys | columns))
    return pa.concat_tables(parts)


def _window(known: Known, window: int) -> list[tuple[str, Integers]]:
    """Return the columns of a window, 0 without use, and one that marks use."""
    usage = known.periods("usage")
    last = usage.max("last_us", window)
    used = last > 0
    return [
        (f"uses_{window}", usage.sum("uses", window)),
        (f"seconds_{window}", usage.sum("seconds", window)),
        (f"active_days_{window}", usage.sum(known.cached(gained_days), window)),
        (f"features_{window}", np.bitwise_count(usage.bits("features", window)).astype(np.int64)),
        (f"last_use_s_{window}", np.where(used, last // SECOND, 0)),
        (f"longest_s_{window}", np.maximum(usage.max("longest_s", window), 0)),
        (f"cells_{window}", used.astype(np.int64)),
    ]


def measures(task: Task, params: Params) -> dict[str, Any]:
    """Measure all logs in the folder ``clean``, extending what is in ``periods`` already."""
    periods, core = Path(task["periods"]), params.featurize.core_features
    with _engine(task, params) as engine, replaced_folder(periods) as target:
        measure(_tables(task), target, engine, params.clock, core, earlier=periods)
    return {}


def families(task: Task, params: Params) -> dict[str, Any]:
    """Build all features of the ``snapshots`` from the logs in the folder ``clean``."""
    settings = params.featurize
    with (
        _engine(task, params) as engine,
        tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch,
    ):
        features = build_features(
            _tables(task),
            Path(task["snapshots"]),
            Path(scratch) / "features",
            Path(scratch) / "periods",
            engine,
            params.clock,
            settings,
        )
    return {"features": len(features)}


def simulated(task: Task, params: Params) -> dict[str, Any]:
    """Simulate a world of ``customers`` and ``weeks``; return its number of events."""
    size, weeks = task["customers"], task["weeks"]
    settings = replace(params.ingest.simulated, customers=size, weeks=weeks, arrival_weeks=weeks)
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch:
        rows = simulate(settings, Clock(), Path(scratch) / "raw", Path(scratch) / "truth")
    return {"events": sum(rows[name] for name in rows.keys() - {"customers", "truth"})}


def _tables(task: Task) -> dict[str, Path]:
    return {path.stem: path for path in sorted(Path(task["clean"]).glob("*.parquet"))}


def _engine(task: Task, params: Params) -> Engine:
    return open_engine("duckdb", task["threads"], params.engine.memory_limit)


RUNS: dict[str, Callable[[Task, Params], dict[str, Any]]] = {
    "ours": aggregates,
    "measures": measures,
    "families": families,
    "simulated": simulated,
}


if __name__ == "__main__":
    importlib.import_module("ibis.backends.duckdb")  # imports are not counted
    # Nor is reading the parameters: the peers receive theirs, too.
    run = partial(RUNS[sys.argv[1]], json.loads(sys.argv[2]), load_params())
    sys.stdout.write(json.dumps(measured(run)) + "\n")
