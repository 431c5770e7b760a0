"""The rivals that the model must beat: each does what its name says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from threadpoolctl import threadpool_limits

from models.baselines import logistic_learner, recency_learner
from models.competing_risks import fit_risk_model
from models.risk_data import Selection
from models.split import rolling_blocks
from worlds.risk_world import LAST, MODEL, NAMES, SPLIT, risk_world, true_risks


def whole(X: np.ndarray) -> Selection:
    return Selection(X, np.arange(len(X)))


BLOCK = rolling_blocks(0, LAST, SPLIT)[0]


def test_the_base_rate_is_that_of_the_train_slice_before_calibration() -> None:
    data = risk_world(100)
    model = fit_risk_model("base_rate", None, data, BLOCK.slices, MODEL)
    train = BLOCK.slices[0].train.holds(data.cutoff) & data.at_risk(0)
    rate = (data.outcome[train, 0] == 1).mean()
    assert expit(model.hazards[0][0].offset) == pytest.approx(rate, rel=0.01)
    risks = model.predict(data.X, NAMES)
    assert (risks == risks[0]).all()
    assert (np.diff(risks[0], axis=1) > 0).all()
    assert model.notes == ()


def test_the_recency_rule_by_hand() -> None:
    X = np.array([[9, 0], [9, 0], [9, 1], [9, 1], [9, 5], [9, np.nan]], np.float32)
    y = np.array([0, 0, 0, 1, 1, 0], bool)
    learner = recency_learner("seen", bins=2)
    assert learner is not None
    scorer = learner(whole(X), whole(X), ("other", "seen"))(y, y, "voluntary")
    # The median of what is known is 1: bins "at most 1", "more than 1" and "never". The base rate
    # is 1/3, so that one churner in three rows is added to each.
    risk = expit(scorer.log_odds(X))
    assert risk == pytest.approx([2 / 7] * 4 + [2 / 4] + [1 / 4])
    assert scorer.log_odds(np.array([[0, 1.5]], np.float32))[0] == pytest.approx(0.0)


def test_the_recency_rule_takes_a_feature_that_is_never_known() -> None:
    X = np.full((6, 1), np.nan, np.float32)
    y = np.arange(6) < 2
    learner = recency_learner("seen")
    assert learner is not None
    scorer = learner(whole(X), whole(X), ("seen",))(y, y, "voluntary")
    assert expit(scorer.log_odds(X)) == pytest.approx(np.full(6, 1 / 3))


def test_logistic_regression_finds_the_truth_of_a_nearly_linear_world() -> None:
    data = risk_world()
    model = fit_risk_model("logistic", logistic_learner((1e-2, 1e-1)), data, BLOCK.slices, MODEL)
    fresh = risk_world(seed=1)
    risks, truth = model.predict(fresh.X, NAMES), true_risks(fresh.X)
    for cause in range(2):
        assert np.corrcoef(risks[:, cause, 0], truth[:, cause, 0])[0, 1] > 0.95


def test_logistic_regression_is_the_same_on_any_number_of_threads() -> None:
    data = risk_world(100)
    risks = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            model = fit_risk_model("logistic", logistic_learner(), data, BLOCK.slices, MODEL)
            risks.append(model.predict(data.X, NAMES))
    assert (risks[0] == risks[1]).all()


def test_logistic_regression_takes_what_is_missing_infinite_or_constant() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 4)).astype(np.float32)
    y = random.random(500) < expit(2 * X[:, 0])
    X[::3, 1], X[5, 1], X[:, 2], X[:, 3] = np.nan, np.inf, np.nan, 7.0
    learner = logistic_learner()
    assert learner is not None
    scorer = learner(whole(X), whole(X), ("a", "b", "c", "d"))(y, y, None)
    assert np.isfinite(scorer.log_odds(X)).all()
    assert np.corrcoef(scorer.log_odds(X), X[:, 0])[0, 1] > 0.9
