"""One calibrated number: a logistic map in log-odds, shrunk towards the identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 1000
_TOLERANCE = 1e-9  # in log-odds


@dataclass(frozen=True)
class LogisticMap:
    """``calibrated log-odds = intercept + slope * log-odds``; the identity by default."""

    intercept: float = 0.0
    slope: float = 1.0

    def __call__(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map log-odds of any shape to calibrated log-odds of the same shape."""
        return self.intercept + self.slope * log_odds


def fit_logistic_map(
    log_odds: NDArray[np.float64], y: NDArray[np.bool_], prior: float
) -> LogisticMap:
    """Fit the map on a slice that was used neither to train nor to stop the model.

    Parameters
    ----------
    log_odds
        (n,) log-odds of the uncalibrated model.
    y
        (n,) whether the event happened.
    prior
        Strength of the shrinkage towards the identity, in events; above 0. With this many events
        in the slice the level (and, where log-odds spread by one, the slope) is halfway between
        the identity and the plain fit.

    Returns
    -------
    LogisticMap
        The identity if there are no rows. The slope is never negative: where it would be, the
        ranking is worthless and every row gets the slice's own rate.

    Notes
    -----
    Platt (1999), "Probabilistic outputs for support vector machines", with a normal prior on both
    parameters as in ridge regression. Log-odds are centred where events are expected, which
    decorrelates level and slope.
    """
    if prior <= 0:
        raise ValueError(f"The prior strength must be above 0, not {prior}.")
    if not len(y):
        return LogisticMap()
    risk = expit(log_odds)
    centre = float(np.average(log_odds, weights=np.maximum(risk * (1 - risk), 1e-300)))
    level, slope = logistic_fit(log_odds - centre, y, offset=centre, prior=prior)
    if slope < 0:
        level, _ = logistic_fit(np.zeros(len(y)), y, offset=centre, prior=prior)
        slope = 0.0
    return LogisticMap(centre + level - slope * centre, slope)


def logistic_fit(
    x: NDArray[np.float64],
    y: NDArray[np.bool_],
    weight: NDArray[np.float64] | None = None,
    offset: float = 0.0,
    prior: float = 0.0,
    start: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float]:
    """Fit ``logit P(y) = offset + level + slope * x`` by Newton's method.

    Parameters
    ----------
    x, y, weight
        (n,) covariate, outcome and weight (1 by default).
    offset
        Known part of the log-odds.
    prior
        Ridge penalty ``prior / 2 * (level**2 + (slope - 1)**2)``.
    start
        Level and slope of the first iteration.

    Returns
    -------
    level, slope
        NaN if the data do not determine them (one class, no spread, perfect separation).

    Notes
    -----
    McCullagh & Nelder (1989), "Generalized Linear Models", section 4.4. No step moves a row's
    log-odds by more than 1/2: the curvature then grows by less than e^(1/2) < 2 during the step, so
    every step lowers the convex loss, from any start.
    """
    weight = np.ones(len(x)) if weight is None else weight
    level, slope = start
    for _ in range(_STEPS):
        log_odds = offset + level + slope * x
        step = _newton_step(log_odds, x, y, weight, prior, level, slope)
        if step is None:
            break
        moved = float(np.max(np.abs(step[0] + step[1] * x), initial=0.0))
        size = min(1.0, 0.5 / moved) if moved > 0 else 1.0
        level, slope = level + size * step[0], slope + size * step[1]
        if moved < _TOLERANCE:
            return level, slope
    return np.nan, np.nan


def _newton_step(
    log_odds: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.bool_],
    weight: NDArray[np.float64],
    prior: float,
    level: float,
    slope: float,
) -> tuple[float, float] | None:
    """Return minus the inverse Hessian times the gradient; None if the Hessian is singular.

    Plain sums, since a matrix product may be summed in another order on more threads.
    """
    risk = expit(log_odds)
    residual = weight * (risk - y)
    information = weight * risk * (1 - risk)
    tilted = information * x
    by_level = float(residual.sum()) + prior * level
    by_slope = float(np.sum(residual * x)) + prior * (slope - 1)
    a = float(information.sum()) + prior
    b = float(tilted.sum())
    c = float(np.sum(tilted * x)) + prior
    determinant = a * c - b * b
    if not determinant > 1e-12 * a * c:
        return None
    return (b * by_slope - c * by_level) / determinant, (b * by_level - a * by_slope) / determinant
