"""Stage ``tune``: search the parameters of the boosters if there is a budget."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from typing import TYPE_CHECKING, Any

from data.atomic import write_text
from models.boosters import NAME, booster_learner
from models.tuning import BOOSTER_SPACE, best, inner_folds, learned, search
from pipelines.load import blocks_of, load_catalog, load_history, monotone_signs
from pipelines.modelling import model_settings
from pipelines.params import load_params
from pipelines.paths import TUNED_FILE
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.competing_risks import ModelSettings
    from models.tuning import Fitted, Folds, Trial
    from pipelines.params import Params

logger = logging.getLogger("tune")


def tuning_folds(params: Params, folds: int) -> Folds:
    """Folds before the test blocks, on the features in the current folder."""
    clock = params.clock
    data = load_history(clock, params.labels, params.train.memory_limit)
    split = params.split
    first, *_ = blocks_of(data, params)
    settings = model_settings(params, monotone_signs(load_catalog()))
    assert first.test is not None  # noqa: S101 - a block of the backtest has test weeks
    return inner_folds(data, first.test.first, split, settings, folds)


def booster_model(settings: ModelSettings, tried: Mapping[str, Any]) -> Fitted:
    """How boosters with these parameters are fitted."""
    lightgbm = {**settings.lightgbm, **tried}
    strength = lightgbm.pop("linear_strength", settings.linear_strength)
    changed = dataclasses.replace(settings, lightgbm=lightgbm, linear_strength=strength)
    return learned(NAME, booster_learner(changed))


def tune_boosters(params: Params, folds: Folds) -> tuple[Trial, ...]:
    """Search the parameters of the boosters."""
    build = functools.partial(booster_model, folds.settings)
    in_use, section = dataclasses.asdict(params.train.lightgbm), params.tune
    return search(NAME, build, BOOSTER_SPACE, in_use, folds, section.trials, section.seed)


def main() -> None:
    """Write the trials and the best parameters; none if the budget is 0."""
    params = load_params()
    trials: tuple[Trial, ...] = ()
    if params.tune.trials:
        trials = tune_boosters(params, tuning_folds(params, params.tune.folds))
        logger.info("Best of %d trials: %s", len(trials), best(trials))
    document = {
        "lightgbm": best(trials).params if trials else {},
        "trials": [dataclasses.asdict(trial) for trial in trials],
    }
    write_text(json.dumps(document, indent=2) + "\n", TUNED_FILE)


if __name__ == "__main__":
    run_stage(main)
