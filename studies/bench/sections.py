"""The measurements of each section, as lists of rows for the report."""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import BadInputError
from studies.bench.training import ROWS, measurements
from studies.bench.worlds import FOLDER, snapshots, tenth, until, world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.params import Params
    from studies.bench.worlds import World

    Row = dict[str, Any]

logger = logging.getLogger("bench")

PEERS_PYTHON = Path(".venv-bench/bin/python")
PEERS = Path(__file__).parent / "peers.py"
# In 60 weeks a customer has about 200 rows of usage: 100,000 customers have 20 million.
CUSTOMERS, WEEKS, CUTOFFS = 100_000, 60, 27
# A million customers with 40 weeks have over 100 million rows.
MANY, FEW_WEEKS = 1_000_000, 40
WINDOWS = (1, 4, 8, 13)
MORE_WINDOWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13)
# Contenders, and how often each is run.
CONTENDERS = {
    "scan": 5, "ours": 5, "polars_tuned": 3, "polars": 2, "pandas": 2, "sql_masks": 1,
    "featuretools": 1, "sql": 1,
}  # fmt: skip
OURS = ("ours", "measures", "families", "simulated")


def process(name: str, task: Row) -> Row:
    """Run one measurement in its own process; see ``studies.bench.peers.measured``."""
    if name in OURS:
        command = [sys.executable, "-m", "studies.bench.ours", name]
    elif PEERS_PYTHON.exists():
        command = [str(PEERS_PYTHON), str(PEERS), name]
    else:
        raise BadInputError(f"{PEERS_PYTHON} is missing: make .venv-bench/.installed sets it up.")
    done = subprocess.run(  # noqa: S603 - the command is ours
        [*command, json.dumps(task)], check=True, stdout=subprocess.PIPE, text=True
    )
    measured: Row = json.loads(done.stdout)
    logger.info("%s: %.1f s, %.2f GiB", name, measured["seconds"], measured["peak_gib"])
    return measured


def task_of(of: World, params: Params, windows: Sequence[int] = WINDOWS) -> Row:
    """Return the task of ``studies.bench.peers`` on a world."""
    return {
        "usage": str(of.tables["usage"]),
        "customers": str(of.tables["customers"]),
        "snapshots": str(snapshots(of, CUTOFFS, params)),
        "windows": windows,
        "period_us": params.clock.period_us,
        "threads": params.engine.threads,
    }


def peers(params: Params, *, full: bool) -> list[Row]:
    """Measure ours, its peers and the scan in turns; Featuretools on a tenth of the customers."""
    whole = world(CUSTOMERS, WEEKS, params)
    tasks = {name: task_of(whole, params) for name in CONTENDERS}
    tasks["featuretools"] = task_of(tenth(whole, params), params)
    process("scan", tasks["scan"])  # then every contender has the file in memory
    runs: dict[str, list[Row]] = {name: [] for name in CONTENDERS}
    for turn in range(max(CONTENDERS.values())):
        for name, times in CONTENDERS.items():
            if turn < times:
                runs[name].append(process(name, tasks[name]))
    expected = runs["ours"][0]["result"]["sums"]
    expected_of_tenth = process("ours", tasks["featuretools"])["result"]["sums"]
    rows = []
    for name, own_runs in runs.items():
        scale = 10 if name == "featuretools" else 1
        truth = expected_of_tenth if name == "featuretools" else expected
        rows.append(
            {
                "contender": name,
                "runs": len(own_runs),
                "seconds": scale * statistics.median(run["seconds"] for run in own_runs),
                "cpu_seconds": scale * statistics.median(run["cpu_seconds"] for run in own_runs),
                "peak_gib": max(run["peak_gib"] for run in own_runs),
                "equal_sums": name == "scan"
                or all(run["result"].get("sums", run["result"]) == truth for run in own_runs),
                "usage_rows": whole.rows("usage") // scale,
            }
        )
    return rows


def events(params: Params, *, full: bool) -> list[Row]:
    """Measure ours on worlds with more and more customers, and so events."""
    sizes = (20_000, 200_000, MANY) if full else (10_000, 30_000, 100_000)
    rows = []
    for customers in sizes:
        of = world(customers, FEW_WEEKS, params)
        with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
            task = task_of(of, params) | {"target": f"{scratch}/features.parquet"}
            run = _median([process("ours", task) for _ in range(3 if customers <= 100_000 else 1)])
        rows.append({"customers": customers, "usage_rows": of.rows("usage")} | _by_stage(run))
    return rows


def windows(params: Params, *, full: bool) -> list[Row]:
    """Measure our implementation with 4 and with 12 windows, alternately."""
    of = world(CUSTOMERS if full else CUSTOMERS // 10, WEEKS, params)
    runs: dict[int, list[Row]] = {len(WINDOWS): [], len(MORE_WINDOWS): []}
    for _ in range(3):
        for chosen in (WINDOWS, MORE_WINDOWS):
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                task = task_of(of, params, chosen) | {"target": f"{scratch}/features.parquet"}
                runs[len(chosen)].append(process("ours", task))
    return [
        {"windows": count, "usage_rows": of.rows("usage")} | _by_stage(_median(some))
        for count, some in runs.items()
    ]


def week(params: Params, *, full: bool) -> list[Row]:
    """Add a week to 52, and measure the same 53 weeks from scratch: all logs, all measures."""
    of = world(CUSTOMERS if full else CUSTOMERS // 5, 53, params)
    before = until(of, of.newest - 1, params)
    rows = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
            task = {"periods": f"{scratch}/kept", "threads": params.engine.threads}
            process("measures", task | {"clean": str(before.folder)})
            added = process("measures", task | {"clean": str(of.folder)})
            fresh = {"periods": f"{scratch}/fresh", "clean": str(of.folder)}
            rebuilt = process("measures", task | fresh)
        rows.append({"added": added, "rebuilt": rebuilt})
    return [
        {"what": what, "usage_rows": of.rows("usage")} | _figures(_median([r[what] for r in rows]))
        for what in ("added", "rebuilt")
    ]


def families(params: Params, *, full: bool) -> list[Row]:
    """Build every feature of every customer at the newest cutoff."""
    customers = MANY if full else CUSTOMERS // 5
    of = world(customers, FEW_WEEKS, params)
    task = {
        "clean": str(of.folder),
        "snapshots": str(snapshots(of, 1, params)),
        "threads": params.engine.threads,
    }
    run = process("families", task)
    sizes = {"customers": customers, "usage_rows": of.rows("usage")}
    return [sizes | {"features": run["result"]["features"]} | _figures(run)]


def training(params: Params, *, full: bool) -> list[Row]:
    """Measure training beside bare LightGBM, scoring, and reasons for the listed."""
    del params
    return measurements() if full else measurements(ROWS // 20)


def simulated(params: Params, *, full: bool) -> list[Row]:
    """Simulate worlds of two sizes."""
    rows = []
    for customers in (2_000, 20_000):
        run = process("simulated", {"customers": customers, "weeks": 104})
        row = {"customers": customers, "weeks": 104, "events": run["result"]["events"]}
        rate = run["result"]["events"] / run["seconds"]
        rows.append(row | {"events_per_second": round(rate)} | _figures(run))
    return rows


def _median(runs: Sequence[Row]) -> Row:
    """Return the run with the median seconds."""
    return sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]


def _figures(run: Row) -> Row:
    return {name: run[name] for name in ("seconds", "cpu_seconds", "peak_gib")}


def _by_stage(run: Row) -> Row:
    return dict(run["result"]["stages"]) | _figures(run)


SECTIONS: dict[str, Callable[..., list[Row]]] = {
    "peers": peers,
    "events": events,
    "windows": windows,
    "week": week,
    "families": families,
    "training": training,
    "simulated": simulated,
}
