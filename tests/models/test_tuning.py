"""The search: before every test block, the same every time, no worse than its start."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from models.baselines import RECENCY, recency_learner
from models.boosters import NAME, booster_learner
from models.tuning import BOOSTER_SPACE, best, fold_loss, inner_folds, learned, search
from pipelines.tune import booster_model
from worlds.risk_world import MODEL, SPLIT, risk_world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.tune import booster_model
from models.tuning import Fitted

FIRST_TEST = 45
START = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 50, "feature_fraction": 0.8,
         "bagging_fraction": 0.8, "lambda_l2": 1.0, "linear_strength": 0.01}  # fmt: skip


def recency(params: Mapping[str, Any]) -> Fitted:
    return learned(RECENCY, recency_learner("days_since_last_use", params["bins"]))


def test_the_search_sees_nothing_that_was_unknown_before_the_first_test_block() -> None:
    data = risk_world(100)
    known_at = data.cutoff[:, None] + np.array(SPLIT.horizons) + SPLIT.follow_up_periods
    scrambled = data.outcome.copy()
    late = known_at > FIRST_TEST
    scrambled[late] = np.random.default_rng(0).integers(-1, 3, late.sum())
    X = np.where((data.cutoff >= FIRST_TEST)[:, None], 99, data.X).astype(np.float32)
    losses = []
    for seen in (data, dataclasses.replace(data, outcome=scrambled, X=X)):
        folds = inner_folds(seen, FIRST_TEST, SPLIT, MODEL, 2)
        losses.append(fold_loss(learned(NAME, booster_learner(folds.settings)), folds))
    assert losses[0] == losses[1]
    # One period later an outcome counts: the test above can fail.
    scrambled[known_at[:, 0] == FIRST_TEST, 0] = 1
    folds = inner_folds(dataclasses.replace(data, outcome=scrambled), FIRST_TEST, SPLIT, MODEL, 2)
    assert fold_loss(learned(NAME, booster_learner(folds.settings)), folds) != losses[0]


def test_the_search_repeats_and_its_best_is_no_worse_than_where_it_began() -> None:
    folds = inner_folds(risk_world(100), FIRST_TEST, SPLIT, MODEL, 1)

    def build(tried: Mapping[str, Any]) -> Fitted:
        return booster_model(folds.settings, tried)

    one, two = (search(NAME, build, BOOSTER_SPACE, START, folds, 4, seed=3) for _ in range(2))
    assert one == two
    assert len(one) == 4
    assert one[0].params == START
    assert best(one).loss <= one[0].loss < 1
    assert len({tuple(trial.params.values()) for trial in one}) == 4


def test_the_loss_of_the_rate_alone_is_one() -> None:
    folds = inner_folds(risk_world(300), FIRST_TEST, SPLIT, MODEL, 2)
    nothing, rule = fold_loss(learned("base", None), folds), fold_loss(recency({"bins": 10}), folds)
    assert 1 <= nothing < 1.01
    assert rule < nothing


def test_any_learner_can_be_searched() -> None:
    folds = inner_folds(risk_world(100), FIRST_TEST, SPLIT, MODEL, 1)
    space = {"bins": IntDistribution(2, 40)}
    trials = search(RECENCY, recency, space, {"bins": 10}, folds, 3, seed=0)
    assert all(2 <= trial.params["bins"] <= 40 for trial in trials)
    assert isinstance(BOOSTER_SPACE["learning_rate"], FloatDistribution)
