"""``make bench``: speed and memory, as a table and JSON in ``reports/bench/``.

Each measurement runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from data.clock import Clock
from data.files import write_text
from data.sources.simulated import simulate
from pipelines.ingest import world_settings
from pipelines.params import load_params
from pipelines.paths import REPORTS
from pipelines.stage import run_stage

logger = logging.getLogger("bench")
# Customers and weeks of the simulated worlds that are timed.
WORLDS = ((2_000, 104), (20_000, 104))


def simulate_once(customers: int, weeks: int) -> dict[str, Any]:
    """Simulate one world in this process; seconds, events and peak memory."""
    params = load_params()
    settings = world_settings(params, customers=customers, weeks=weeks, arrival_weeks=weeks)
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch:
        began = time.perf_counter()
        rows = simulate(settings, Clock(), Path(scratch) / "raw", Path(scratch) / "truth")
        seconds = time.perf_counter() - began
    events = sum(count for name, count in rows.items() if name not in {"customers", "truth"})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "customers": customers,
        "weeks": weeks,
        "events": events,
        "seconds": round(seconds, 1),
        "events_per_second": round(events / seconds),
        "peak_gib": round(peak, 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Measurements as a Markdown table."""
    head = "| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |"
    lines = [head, "| " + " | ".join("---:" for _ in rows[0]) + " |"]
    lines += ["| " + " | ".join(f"{value:,}" for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Run every measurement, or with two arguments one of them."""
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(simulate_once(*map(int, sys.argv[1:]))) + "\n")
        return
    rows = []
    for customers, weeks in WORLDS:
        logger.info("simulating %d customers over %d weeks", customers, weeks)
        command = [sys.executable, "-m", "pipelines.bench", str(customers), str(weeks)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
        rows.append(json.loads(done.stdout))
    text = f"# Bench\n\n## Simulated world\n\n{table(rows)}\n"
    write_text(text, REPORTS / "bench" / "bench.md")
    write_text(json.dumps({"simulated": rows}, indent=2) + "\n", REPORTS / "bench" / "bench.json")
    logger.info("\n%s", text)


if __name__ == "__main__":
    run_stage(main)
