"""``make simulate``: write a simulated world of any size, outside the pipeline.

Its raw logs are read back with ``ingest.source: files``.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from data.atomic import replaced_folder
from data.errors import BadInputError
from data.sources.simulated.world import simulate
from pipelines.params import load_params
from pipelines.stage import run_stage

logger = logging.getLogger("simulate")


def main() -> None:
    """Simulate the given number of customers and weeks."""
    params = load_params()
    world = params.ingest.simulated
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.commands.simulate", description=__doc__
    )
    parser.add_argument("--customers", type=int, default=world.customers)
    parser.add_argument("--weeks", type=int, default=world.weeks)
    parser.add_argument("--target", type=Path, default=Path("tmp/simulated"))
    asked = parser.parse_args()
    inside = {path.name for path in asked.target.glob("*")}
    if not inside <= {"raw", "truth"}:
        raise BadInputError(
            f"{asked.target} holds {sorted(inside)[0]}, which is not part of a simulated world: "
            "give a folder that may be replaced."
        )
    settings = dataclasses.replace(
        world, customers=asked.customers, weeks=asked.weeks, arrival_weeks=asked.weeks
    )
    with replaced_folder(asked.target) as folder:
        rows = simulate(
            settings,
            params.clock,
            folder / "raw",
            folder / "truth",
            params.snapshot.horizons,
            currency=params.ingest.currency,
        )
    for name, count in rows.items():
        logger.info("%d rows of %s in %s", count, name, asked.target)


if __name__ == "__main__":
    run_stage(main)
