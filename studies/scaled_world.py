"""The pipeline's simulated world with many times the customers, in a scratch folder.

Chance is less of what is measured there; ``make ceiling`` and ``make scoreboard`` use it.
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

logger = logging.getLogger("larger")
# Room for all snapshots.
TRAIN_MEMORY = "4GB"


@contextlib.contextmanager
def larger_world(times: int, memory_limit: str, number: int = 0) -> Iterator[Params]:
    """Go to a folder in which the stages up to the features have run, and yield its parameters.

    Parameters
    ----------
    times
        The customers, and how many of them the teams can contact, are as many times more.
    memory_limit
        Of the engine.
    number
        Added to the seed: 0 is the pipeline's world grown, another number another world like it.
    """

    def grow(values: dict[str, Any]) -> None:
        values["ingest"]["simulated"]["customers"] *= times
        values["ingest"]["simulated"]["seed"] += number
        for team in ("success_capacity", "billing_capacity"):
            values["score"][team] *= times
        values["engine"]["memory_limit"] = memory_limit
        values["train"]["memory_limit"] = TRAIN_MEMORY

    with scratch_folder(grow) as params:
        # Without dirt all rows are clean, and the others are the same; the truth is not asked for.
        world = params.ingest.simulated
        world = replace(world, switches=replace(world.switches, dirt=False))
        with replaced_folder(CLEAN) as folder:
            simulate(world, params.clock, folder, None, currency=params.ingest.currency)
        for stage in (snapshot, featurize):
            logger.info("%s, with %d times the customers", stage.__name__, times)
            stage.main()
        yield params
