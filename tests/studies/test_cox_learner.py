"""Cox regressions as a peer: which rows they learn from, and the closed form of their hazards."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from data.coded import UNKNOWN
from models.split import rolling_blocks
from studies.cox_learner import Regression, fit_cox_model
from studies.scoreboard import COX, solve_cox
from worlds.risk_world import LAST, MODEL, NAMES, SPLIT, risk_world

BLOCK = rolling_blocks(0, LAST, SPLIT)[0]


def test_a_snapshot_is_followed_for_as_long_as_its_outcome_was_known() -> None:
    data, seen = risk_world(50), []

    def solve(X: np.ndarray, periods: np.ndarray, cause: np.ndarray) -> list[Regression]:
        seen.append((periods, cause))
        return [Regression(np.zeros(X.shape[1]), np.array([0.1, 0.2, 0.3]))] * 2

    fit_cox_model(solve, data, BLOCK.slices, MODEL)
    ((periods, cause),) = seen
    train = np.flatnonzero(data.at_risk(0) & BLOCK.slices[0].train.holds(data.cutoff))
    for row, followed, left in zip(train, periods, cause, strict=True):
        expected = (0, 0)
        for interval, slices in enumerate(BLOCK.slices):
            if data.outcome[row, interval] == UNKNOWN or data.cutoff[row] > slices.train.last:
                break
            expected = SPLIT.horizons[interval], data.outcome[row, interval]
            if data.outcome[row, interval]:
                break
        assert (followed, left) == expected


def test_a_hazard_is_what_the_baseline_gains_in_the_interval() -> None:
    data = risk_world(50)
    baseline = np.array([0.1, 0.25, 0.3])

    def solve(X: np.ndarray, _periods: np.ndarray, _cause: np.ndarray) -> list[Regression]:
        return [Regression(np.zeros(X.shape[1]), baseline)] * 2

    model = fit_cox_model(solve, data, BLOCK.slices, MODEL)
    for interval, gained in enumerate((0.1, 0.15, 0.05)):
        raw = model.hazards[0][interval].raw_log_odds(data.X[:3])
        assert expit(raw) == pytest.approx([1 - np.exp(-gained)] * 3)


def test_coefficients_act_proportionally_on_the_hazard() -> None:
    data = risk_world(50)

    def solve(X: np.ndarray, _periods: np.ndarray, _cause: np.ndarray) -> list[Regression]:
        first = np.arange(X.shape[1]) == 0
        return [Regression(0.7 * first, np.array([0.1, 0.2, 0.3]))] * 2

    model = fit_cox_model(solve, data, BLOCK.slices, MODEL)
    scorer = model.hazards[0][0].scorer
    assert scorer is not None
    hazard = np.log1p(np.exp(scorer.log_odds(data.X)))  # from log-odds back to -log(1 - risk)
    along = scorer.preparation.transform(data.X)[:, 0]  # type: ignore[attr-defined]
    assert hazard == pytest.approx(0.1 * np.exp(0.7 * along))
    risks = model.predict(data.X, NAMES)
    assert (np.diff(risks, axis=2) >= 0).all()
    assert (risks.sum(axis=1) <= 1).all()


@pytest.mark.skipif(not COX[0].exists(), reason="run make .venv-survival")
def test_lifelines_finds_the_hazards_of_a_proportional_world() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(6000, 2))
    # Rates per period of two causes; time runs in whole horizons.
    rates = 0.02 * np.exp(0.6 * X[:, [0]] * [1, 0] - 0.4 * X[:, [1]] * [0, 1])
    times = random.exponential(1 / rates)
    ends = np.array([2, 4, 6])
    first = times.min(axis=1)
    interval = np.searchsorted(ends, first)
    cause = np.where(first <= 6, times.argmin(axis=1) + 1, 0)
    periods = ends[np.minimum(interval, 2)]
    one, other = solve_cox(X, periods, cause, ends, penalty=1e-4)
    assert one.coefficients == pytest.approx([0.6, 0.0], abs=0.1)
    assert other.coefficients == pytest.approx([0.0, -0.4], abs=0.1)
    assert one.baseline == pytest.approx(0.02 * ends, rel=0.15)
    # A cause that never happened has no hazard.
    nothing = solve_cox(X, periods, np.where(cause == 2, 0, cause), ends, penalty=1e-4)[1]
    assert (nothing.baseline == 0).all()


@pytest.mark.skipif(not COX[0].exists(), reason="run make .venv-survival")
def test_lifelines_converges_where_rare_marks_all_but_settle_it() -> None:
    random = np.random.default_rng(0)
    owes = random.random(20_000) < 0.003
    X = random.normal(size=(len(owes), 30))
    X[:, :20] = owes[:, None] + 0.01 * X[:, :20]  # twenty names of the same thing
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    left = owes | (random.random(len(owes)) < 0.0001)
    cause, periods = np.where(left, 2, 0), np.where(left, 2, 6)
    other = solve_cox(X, periods, cause, np.array([2, 4, 6]), penalty=1e-3)[1]
    along = X @ other.coefficients
    assert along[owes].min() > along[~owes].max()
    assert along[owes].mean() - along[~owes].mean() < 40  # it diverges to hundreds
