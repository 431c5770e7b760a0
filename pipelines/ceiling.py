"""``make ceiling``: the observable ceiling of the simulated world, measured once.

Our own procedure, trained on 20 times the customers, in a scratch folder. What it reaches is what
can be reached from the logs alone; ``evaluate`` reads the figures. Run it again when the difficulty
of the world or the procedure changes; it takes half an hour and 10 GB.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from data.files import replaced_folder, write_text
from data.sources.simulated import simulate
from models.attainable import ceiling_figures
from models.backtest import backtest, learners
from models.baselines import BASE_RATE
from models.boosters import NAME
from models.evaluation import report
from models.split import open_and_sealed
from pipelines import featurize, snapshot
from pipelines.catalog import load_catalog, monotone_signs
from pipelines.dataset import blocks_of, customers_now, load_history
from pipelines.evaluate import OBSERVABLE_CEILING, world_of
from pipelines.ingest import world_settings
from pipelines.params import Params, load_params
from pipelines.paths import CLEAN, PARAMS_FILE
from pipelines.settings import evaluation_settings, labels, model_settings
from pipelines.stage import run_stage

TIMES = 20
MEMORY_LIMIT = "10GB"
logger = logging.getLogger("ceiling")


def measure(params: Params) -> dict[str, Any]:
    """Skill of the model on test weeks, from the features in the current folder."""
    clock, horizons = params.clock.clock, labels(params)
    data = load_history(clock, horizons, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks, _ = open_and_sealed(blocks_of(data, params))
    rivals = {name: learner for name, learner in learners(settings, None).items()
              if name in {NAME, BASE_RATE}}  # fmt: skip
    result = backtest(data, blocks, rivals, settings)
    measured = report(result.table, horizons, evaluation_settings(params, customers_now()))
    return ceiling_figures(measured["pooled"], NAME, BASE_RATE)


def main() -> None:
    """Simulate, featurize and backtest the larger world, write its figures."""
    params = load_params()
    values = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
    values["ingest"]["simulated"]["customers"] *= TIMES
    values["engine"]["memory_limit"] = MEMORY_LIMIT
    values["evaluate"]["resamples"] = 20
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as scratch, contextlib.chdir(scratch):
        Path(PARAMS_FILE).write_text(yaml.safe_dump(values), encoding="utf-8")
        larger = load_params()
        world = world_settings(larger)
        # Without dirt all rows are clean, and the others are the same; the truth is not asked for.
        world = replace(world, switches=replace(world.switches, dirt=False))
        with replaced_folder(CLEAN) as folder:
            simulate(world, larger.clock.clock, folder, None)
        for stage in (snapshot, featurize):
            logger.info("%s, with %d times the customers", stage.__name__, TIMES)
            stage.main()
        skill = measure(larger)
    figures = {"world": world_of(params), "times_the_customers": TIMES, "skill": skill}
    write_text(json.dumps(figures, indent=2) + "\n", OBSERVABLE_CEILING)


if __name__ == "__main__":
    run_stage(main)
