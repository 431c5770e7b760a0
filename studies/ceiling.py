"""``make ceiling``: the observable ceiling of the simulated world, measured once.

Trains our own procedure on 20 times the customers, in a scratch folder. Its skill is what the logs
alone can yield; ``evaluate`` reads the figures. Run it again when the difficulty of the world or
the procedure changes; it takes an hour and 10 GB.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

from data.atomic import write_text
from models.attainable import ceiling_figures
from models.backtest import backtest, learners
from models.baselines import BASE_RATE
from models.boosters import NAME
from models.evaluation import evaluation_report
from models.split import open_and_sealed
from pipelines.evaluate import OBSERVABLE_CEILING, evaluation_settings, world_of
from pipelines.load import blocks_of, customers_now, load_catalog, load_history, monotone_signs
from pipelines.modelling import model_settings
from pipelines.params import Params, load_params
from pipelines.stage import run_stage
from studies.scaled_world import scaled_world

TIMES = 20
MEMORY_LIMIT = "10GB"
RESAMPLES = 20
logger = logging.getLogger("ceiling")


def measured_skill(params: Params) -> dict[str, Any]:
    """Measure the skill of the model on test weeks, from the features in the current folder."""
    clock, horizons = params.clock, params.labels
    data = load_history(clock, horizons, params.train.memory_limit)
    settings = model_settings(params, monotone_signs(load_catalog()))
    blocks, _ = open_and_sealed(blocks_of(data, params))
    rivals = {name: learner for name, learner in learners(settings, None).items()
              if name in {NAME, BASE_RATE}}  # fmt: skip
    result = backtest(data, blocks, rivals, settings)
    terms = replace(evaluation_settings(params, customers_now()), resamples=RESAMPLES)
    measured = evaluation_report(result.table, horizons, terms)
    return ceiling_figures(measured["pooled"], NAME, BASE_RATE)


def main() -> None:
    """Run the backtest in the larger world and write the metrics."""
    with scaled_world(TIMES, MEMORY_LIMIT) as larger:
        skill = measured_skill(larger)
    figures = {"world": world_of(load_params()), "times_the_customers": TIMES, "skill": skill}
    write_text(json.dumps(figures, indent=2) + "\n", OBSERVABLE_CEILING)


if __name__ == "__main__":
    run_stage(main)
