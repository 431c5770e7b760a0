"""Tuning: a search for parameters on folds in time, all before the first test block."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from data.coded import UNKNOWN
from data.contracts import CAUSES
from models.competing_risks import fit_risk_model
from models.metrics import Sample, log_loss
from models.risk_data import RiskData
from models.split import rolling_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.competing_risks import ModelSettings, RiskModel
    from models.hazards import Learner
    from models.model_settings import SplitSettings
    from models.split import Block, Slices

logger = logging.getLogger(__name__)
# Search space of the boosters. The number of trees is not in it: the stop slice ends boosting.
BOOSTER_SPACE: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.03, 0.2, log=True),
    "num_leaves": IntDistribution(3, 31, log=True),
    "min_data_in_leaf": IntDistribution(20, 1000, log=True),
    "feature_fraction": FloatDistribution(0.1, 1.0),
    "bagging_fraction": FloatDistribution(0.5, 1.0),
    "lambda_l2": FloatDistribution(0.1, 100.0, log=True),
    "linear_strength": FloatDistribution(1e-6, 1e-2, log=True),
}
# How a model is fitted on some slices, and how parameters choose that.
Fitted = Callable[["RiskData", "Sequence[Slices]", "ModelSettings"], "RiskModel"]
Build = Callable[[Mapping[str, Any]], Fitted]


@dataclass(frozen=True)
class Trial:
    """One set of parameters, and its mean loss over folds and causes; the base rate has 1."""

    params: Mapping[str, Any]
    loss: float


@dataclass(frozen=True)
class Folds:
    """Data and folds of a search.

    Parameters
    ----------
    data
        Snapshots with the outcomes of the first horizon only.
    blocks
        Inner folds: slices and test weeks, oldest first.
    settings
        Settings of the models, for the first horizon only.
    """

    data: RiskData
    blocks: tuple[Block, ...]
    settings: ModelSettings


def inner_folds(
    data: RiskData, first_test: int, split: SplitSettings, settings: ModelSettings, folds: int
) -> Folds:
    """Place folds so that everything they read was known before the first test block.

    Parameters
    ----------
    data
        All snapshots.
    first_test
        First cutoff of the first test block: the search sees no row from there on, and no outcome
        that was not yet known there.
    split, settings
        As in the backtest.
    folds
        Number of folds.

    Raises
    ------
    BadInputError
        If the history before the test blocks is too short for them.
    """
    before, short = at_first_horizon(data.take(data.cutoff < first_test), settings)
    inner = dataclasses.replace(split, horizons=split.horizons[:1], test_blocks=folds)
    blocks = rolling_blocks(int(before.cutoff.min()), first_test, inner)
    return Folds(before, blocks, short)


def at_first_horizon(data: RiskData, settings: ModelSettings) -> tuple[RiskData, ModelSettings]:
    """Drop the longer horizons, and contraction with them."""
    unknown = np.full(len(data), UNKNOWN, np.int64)
    data = dataclasses.replace(data, outcome=data.outcome[:, :1], mrr_later=unknown)
    return data, dataclasses.replace(
        settings, horizons=settings.horizons[:1], labels=settings.labels[:1], limits=None
    )


def search(
    name: str,
    build: Build,
    space: Mapping[str, BaseDistribution],
    start: Mapping[str, Any],
    folds: Folds,
    trials: int,
    seed: int,
) -> tuple[Trial, ...]:
    """Try parameters, starting with those in use, so that the best are at least as good.

    Parameters
    ----------
    name
        Name of the kind of model.
    build
        Makes a learner from parameters.
    space
        Range of each parameter.
    start
        Parameters in use.
    folds
        Folds that they are tried on.
    trials
        Number of trials.
    seed
        Seed of the search.

    Returns
    -------
    tuple of Trial
        In the order of the trials.

    Notes
    -----
    The tree-structured Parzen estimator of Bergstra et al. (2011), "Algorithms for hyper-parameter
    optimization", as Optuna implements it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({key: start[key] for key in space})
    done = []
    for number in range(trials):
        asked = study.ask(dict(space))
        loss = fold_loss(build(asked.params), folds)
        study.tell(asked, loss)
        done.append(Trial(dict(asked.params), loss))
        logger.info("Trial %d of %d of %s: loss %.5f", number + 1, trials, name, loss)
    return tuple(done)


def learned(name: str, learner: Learner) -> Fitted:
    """Return how a learner's model is fitted."""
    return functools.partial(fit_risk_model, name, learner)


def best(trials: tuple[Trial, ...]) -> Trial:
    """Return the trial with the lowest loss, the first of equals."""
    return min(trials, key=lambda trial: trial.loss)


def fold_loss(fit: Fitted, folds: Folds) -> float:
    """Mean over folds and causes of the log loss at the first horizon over that of the fold's rate.

    This ratio makes both causes count alike, however rare.
    """
    losses = []
    for block in folds.blocks:
        if block.test is None:
            raise ValueError("A fold needs test cutoffs.")
        model = fit(folds.data, block.slices, folds.settings)
        tested = block.test.holds(folds.data.cutoff) & (folds.data.outcome[:, 0] != UNKNOWN)
        test = folds.data.take(tested)
        risks = model.predict(test.X, test.feature_names)
        for code, _ in enumerate(CAUSES, start=1):
            y = test.outcome[:, 0] == code
            if y.any():
                loss = log_loss(Sample.of_risks(y, risks[:, code - 1, 0]))
                losses.append(loss / log_loss(Sample.of_risks(y, np.full(len(y), y.mean()))))
    return float(np.mean(losses))
