"""The regression that trees start from: scikit-learn's, as contributions that add up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from models import boosters
from models.boosters import NAME, booster_learner
from models.competing_risks import RiskModel, fit_risk_model
from models.linear import LinearPart, linear_learner, preparation
from models.split import rolling_blocks
from worlds.risk_world import MODEL, NAMES, SPLIT, risk_world, true_risks

STRENGTH = 0.01
FREE = np.zeros(4, np.int64)


def rows(count: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features with gaps, a heavy tail, one never known and one that never changes."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 4)).astype(np.float32)
    X[:, 1] = np.exp(3 * X[:, 1])
    X[random.random(count) < 0.3, 0] = np.nan
    X[:, 2] = np.nan
    X[:, 3] = 5
    y = random.random(count) < expit(-1 + np.nan_to_num(X[:, 0], nan=2) + 0.3 * np.log1p(X[:, 1]))
    return X, y


def test_it_is_the_regression_of_scikit_learn() -> None:
    X, y = rows()
    part = linear_learner(X, STRENGTH)(y, FREE)
    ready = preparation()
    regression = LogisticRegression(C=STRENGTH, solver="newton-cholesky")
    regression.fit(ready.fit_transform(X), y)
    expected = regression.decision_function(ready.transform(X))
    assert part.log_odds(X) == pytest.approx(expected, abs=1e-4)
    assert np.corrcoef(part.log_odds(X), y)[0, 1] > 0.3


def test_a_stray_invalid_flag_is_ignored_and_an_invalid_coefficient_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = rows()
    expected = linear_learner(X, STRENGTH)(y, FREE)
    sound = LogisticRegression.fit

    def flagged(regression: LogisticRegression, *given: object) -> LogisticRegression:
        np.subtract(np.inf, np.inf)
        return sound(regression, *given)

    def broken(regression: LogisticRegression, *given: object) -> LogisticRegression:
        sound(regression, *given).coef_[0, 0] = np.nan
        return regression

    monkeypatch.setattr(LogisticRegression, "fit", flagged)
    fitted_again = linear_learner(X, STRENGTH)(y, FREE)
    np.testing.assert_array_equal(fitted_again.slope, expected.slope)
    monkeypatch.setattr(LogisticRegression, "fit", broken)
    with pytest.raises(FloatingPointError, match="not finite"):
        linear_learner(X, STRENGTH)(y, FREE)


def test_contributions_add_up_and_are_nothing_on_average() -> None:
    X, y = rows()
    part = linear_learner(X, STRENGTH)(y, FREE)
    values = part.contributions(X)
    assert values.shape == (len(X), 5)
    assert (values.sum(axis=1) == part.log_odds(X)).all()
    assert values[:, :-1].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    assert np.ptp(values[:, -1]) == 0
    assert part.log_odds(X[:0]).shape == (0,)


def test_log_odds_of_a_row_do_not_depend_on_the_others() -> None:
    X, y = rows()
    part = linear_learner(X, STRENGTH)(y, FREE)
    whole = part.log_odds(X)
    assert [part.log_odds(X[at : at + 1])[0] for at in range(50)] == whole[:50].tolist()
    assert (part.log_odds(X[7:1000]) == whole[7:1000]).all()
    assert (part.log_odds(X, batch_rows=13) == whole).all()


def test_what_was_never_seen_counts_as_the_end_of_what_was() -> None:
    X, y = rows()
    part = linear_learner(X, STRENGTH)(y, FREE)
    beyond = X[:2].copy()
    beyond[:, 1] = np.nanmax(X[:, 1]), 1e30
    low, high = part.contributions(beyond)[:, 1]
    assert low == high
    unknown = X[:1].copy()
    unknown[0, 1] = np.inf
    assert part.contributions(unknown)[0, 1] == part.missing[1]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_slope_has_the_sign_that_it_may_have(sign: int) -> None:
    X, y = rows()
    fit = linear_learner(X, STRENGTH)
    free = fit(y, FREE)
    bound = fit(y, np.array([sign, 0, 0, 0]))
    assert free.slope[0] > 0
    if sign > 0:
        assert (bound.slope == free.slope).all()
    else:
        assert bound.slope[0] == 0
        assert bound.slope[1] != free.slope[1]  # fitted again


def test_of_one_class_it_knows_the_rate_alone() -> None:
    X, _ = rows()
    part = linear_learner(X, STRENGTH)(np.zeros(len(X), bool), FREE)
    assert np.ptp(part.log_odds(X)) == 0
    assert expit(part.intercept) < 1 / len(X)


def fitted(strength: float, **sizes: int) -> RiskModel:
    """The competing-risks model, small trees, on the made-up world."""
    data = risk_world(120)
    settings = dataclasses.replace(MODEL, linear_strength=strength, num_boost_round=30)
    block = rolling_blocks(0, int(data.cutoff.max()), SPLIT)[-1]
    return fit_risk_model(NAME, booster_learner(settings, **sizes), data, block.slices, settings)


def test_trees_fix_what_the_regression_misses() -> None:
    X = risk_world(40, seed=9).X
    truth = logit(true_risks(X)[:, 0, 0])
    error = {
        strength: np.std(logit(fitted(strength).predict(X, NAMES)[:, 0, 0]) - truth)
        for strength in (0.0, STRENGTH)
    }
    assert error[STRENGTH] < error[0.0]  # the world is a straight line
    scorer = fitted(STRENGTH).hazards[0][0].scorer
    assert isinstance(scorer, boosters.BoosterScorer)
    assert isinstance(scorer.start, LinearPart)
    assert scorer.booster.num_trees() > 0
    # A start fitted on every n-th row is another start, and a good one.
    thinned = fitted(STRENGTH, fitted_rows=1000)
    assert np.std(logit(thinned.predict(X, NAMES)[:, 0, 0]) - truth) < error[0.0]
    assert not np.array_equal(
        thinned.hazards[0][0].scorer.start.slope,
        scorer.start.slope,  # type: ignore[union-attr]
    )
