"""The pipeline's simulated world with many times the customers, in a scratch folder.

Figures vary less by chance there; ``make ceiling`` and ``make scoreboard`` use it.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from data.atomic import replaced_folder
from data.sources.simulated.world import simulate
from pipelines import featurize, snapshot
from pipelines.paths import CLEAN
from studies.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.params import Params

logger = logging.getLogger("scaled_world")
# Enough for all snapshots.
TRAIN_MEMORY = "4GB"


@contextlib.contextmanager
def scaled_world(times: int, memory_limit: str, number: int = 0) -> Iterator[Params]:
    """Enter a folder in which the stages up to the features have run, and yield its parameters.

    Parameters
    ----------
    times
        Factor for the number of customers and for the teams' capacities.
    memory_limit
        Memory limit of the engine.
    number
        Added to the seed: 0 enlarges the pipeline's own world, other numbers give similar worlds.
    """

    def grow(values: dict[str, Any]) -> None:
        values["ingest"]["simulated"]["customers"] *= times
        values["ingest"]["simulated"]["seed"] += number
        for team in ("success_capacity", "billing_capacity"):
            values["score"][team] *= times
        values["engine"]["memory_limit"] = memory_limit
        values["train"]["memory_limit"] = TRAIN_MEMORY

    with scratch_folder(grow) as params:
        # Without dirt all rows are clean and otherwise unchanged; the truth is not needed.
        world = params.ingest.simulated
        world = replace(world, switches=replace(world.switches, dirt=False))
        with replaced_folder(CLEAN) as folder:
            simulate(world, params.clock, folder, None, currency=params.ingest.currency)
        for stage in (snapshot, featurize):
            logger.info("%s, with %d times the customers", stage.__name__, times)
            stage.main()
        yield params
