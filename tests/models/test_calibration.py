"""The logistic map: what it recovers, how it shrinks, what it never does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from models.calibration import LogisticMap, fit_logistic_map, logistic_fit


def outcomes(intercept: float, slope: float, rows: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of a model, and outcomes of which the true log-odds are a line in them."""
    random = np.random.default_rng(3)
    log_odds = random.normal(-3, 1, rows)
    return log_odds, random.random(rows) < expit(intercept + slope * log_odds)


def test_the_map_of_many_events_is_the_true_line() -> None:
    fitted = fit_logistic_map(*outcomes(0.4, 1.3), prior=1.0)
    assert fitted.intercept == pytest.approx(0.4, abs=0.1)
    assert fitted.slope == pytest.approx(1.3, abs=0.04)


def test_the_fit_without_a_prior_is_the_one_of_scikit_learn() -> None:
    log_odds, y = outcomes(0.4, 0.7, 3000)
    weight = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    other = LogisticRegression(C=np.inf, tol=1e-8).fit(log_odds[:, None], y, weight)
    fitted = logistic_fit(log_odds, y, weight)
    assert fitted == pytest.approx((other.intercept_[0], other.coef_[0, 0]), abs=1e-4)


def test_no_rows_leave_the_identity() -> None:
    assert fit_logistic_map(np.empty(0), np.empty(0, bool), 50.0) == LogisticMap(0.0, 1.0)


def test_events_equal_to_the_prior_go_half_of_the_way() -> None:
    # 1100 events where 1000 are expected of equal, rare risks.
    log_odds = np.full(200_000, logit(0.005))
    y = np.arange(len(log_odds)) < 1100
    fitted = fit_logistic_map(log_odds, y, prior=1050.0)
    assert fitted(log_odds)[0] - log_odds[0] == pytest.approx(np.log(1.1) / 2, rel=0.05)


@pytest.mark.parametrize("value", [False, True])
def test_one_class_moves_the_level_by_a_finite_amount(value: bool) -> None:
    log_odds = np.linspace(-4, 0, 500)
    fitted = fit_logistic_map(log_odds, np.full(500, value), prior=50.0)
    shift = fitted(log_odds).mean() - log_odds.mean()
    assert 0 < shift * (1 if value else -1) < 10


def test_equal_risks_change_their_level_alone() -> None:
    fitted = fit_logistic_map(np.full(1000, -3.0), np.arange(1000) < 200, prior=1.0)
    assert fitted.slope == pytest.approx(1.0)
    assert expit(fitted(np.array([-3.0])))[0] == pytest.approx(0.2, abs=0.01)


def test_a_reversed_ranking_is_not_used() -> None:
    fitted = fit_logistic_map(*outcomes(-4.0, -1.0), prior=50.0)
    log_odds, y = outcomes(-4.0, -1.0)
    assert fitted.slope == 0
    assert expit(fitted(log_odds[:1]))[0] == pytest.approx(y.mean(), rel=0.02)


@given(
    arrays.arrays(float, 60, elements=st.floats(-30, 30)),
    arrays.arrays(bool, 60),
    st.floats(0.1, 1000),
)
def test_any_slice_gives_a_finite_map_that_never_reverses_a_ranking(
    log_odds: np.ndarray, y: np.ndarray, prior: float
) -> None:
    fitted = fit_logistic_map(log_odds, y, prior)
    assert np.isfinite([fitted.intercept, fitted.slope]).all()
    assert fitted.slope >= 0


@given(arrays.arrays(float, 60, elements=st.floats(-8, 4)), arrays.arrays(bool, 60))
def test_a_stronger_prior_stays_nearer_to_the_identity(log_odds: np.ndarray, y: np.ndarray) -> None:
    moved = [
        abs(fit_logistic_map(log_odds, y, prior)(log_odds) - log_odds).max() for prior in (1e6, 1e9)
    ]
    assert moved[0] < 1e-2
    assert moved[1] <= moved[0] + 1e-9


def test_what_the_data_do_not_determine_is_undefined_without_a_prior() -> None:
    x = np.linspace(-1, 1, 50)
    assert np.isnan(logistic_fit(x, x > 0)).all()  # perfect separation
    assert np.isnan(logistic_fit(np.ones(50), x > 0)).all()  # no spread


def test_a_prior_is_needed() -> None:
    with pytest.raises(ValueError, match="above 0"):
        fit_logistic_map(np.zeros(3), np.ones(3, bool), 0.0)
