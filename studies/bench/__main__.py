"""``make bench``: measure speed and memory, as a table and JSON in ``reports/bench/``.

Every measurement runs in its own process, so that its peak memory is its own; starting and
importing are not measured. ``--full`` adds what takes hours; ``--only`` names the sections to
measure again, and keeps the earlier results of the others.
"""

from __future__ import annotations

import argparse
import json
import logging

from data.atomic import write_text
from pipelines.params import load_params
from pipelines.paths import REPORTS
from pipelines.stage import run_stage
from studies.bench.report import bench_report
from studies.bench.sections import SECTIONS

logger = logging.getLogger("bench")
FOLDER = REPORTS / "bench"


def main() -> None:
    """Measure the sections, writing the report after each."""
    parser = argparse.ArgumentParser(prog="python -m studies.bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also what takes hours")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    asked = parser.parse_args()
    params = load_params()
    path = FOLDER / "bench.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in asked.only:
        logger.info("measuring %s", name)
        results[name] = SECTIONS[name](params, full=asked.full)
        write_text(json.dumps(results, indent=2) + "\n", path)
        write_text(bench_report(results), FOLDER / "bench.md")
    logger.info("\n%s", bench_report(results))


if __name__ == "__main__":
    run_stage(main)
