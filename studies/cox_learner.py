"""Cox regressions as a peer: cause-specific proportional hazards over the whole horizon.

One regression per cause learns from all intervals at once, where the boosters have one per cause
and interval. Its hazard in each interval has a closed form, is calibrated by the same map and
composed into the same risks (Cox 1972, "Regression models and life-tables"; Prentice et al. 1978,
"The analysis of failure times in the presence of competing risks").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from data.contracts import CAUSES
from models.calibration import fit_logistic_map
from models.competing_risks import ModelSettings, RiskModel
from models.hazards import Hazard, Scorer
from models.linear import signed_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.risk_data import RiskData
    from models.split import Slices

NAME = "cox_regression"
# Covariates are clipped at this many standard deviations, as the hazard is exponential in them.
_FARTHEST = 4.0


@dataclass(frozen=True)
class Regression:
    """Coefficients (f,) of one cause, and the cumulative baseline hazard at each horizon (H,)."""

    coefficients: NDArray[np.float64]
    baseline: NDArray[np.float64]


# Maps X (n, f), periods followed (n,) and cause (n,; 0 censored) to one regression per cause.
Solve = Callable[
    ["NDArray[np.float64]", "NDArray[np.int64]", "NDArray[np.int64]"], "Sequence[Regression]"
]


@dataclass(frozen=True)
class CoxScorer(Scorer):
    """Log-odds of the hazard of one interval.

    Parameters
    ----------
    preparation
        Transformation of the features.
    coefficients
        (p,) coefficients of the transformed features.
    baseline
        Baseline hazard accumulated over the interval.
    """

    preparation: Pipeline
    coefficients: NDArray[np.float64]
    baseline: float

    @property
    def size(self) -> str:
        """Number of coefficients, in words."""
        return f"{len(self.coefficients)} coefficients"

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f)."""
        along = np.sum(self.preparation.transform(X) * self.coefficients, axis=1)
        hazard = max(self.baseline, 1e-12) * np.exp(np.clip(along, -30, 30))
        # logit(1 - exp(-h)) = log(exp(h) - 1), which is h where it is large.
        odds = np.expm1(np.minimum(hazard, 30))
        return np.asarray(np.where(hazard > 30, hazard, np.log(odds)))


def fit_cox_model(
    solve: Solve, data: RiskData, slices: Sequence[Slices], settings: ModelSettings
) -> RiskModel:
    """Fit the regressions and calibrate their hazards.

    A snapshot is followed for as long as its outcome was known in time: to the last horizon whose
    train slice contains it.

    Parameters
    ----------
    solve
        Fits the regressions.
    data, slices, settings
        As for ``fit_risk_model``; the stop slice is not used.
    """
    train = np.flatnonzero(data.at_risk(0) & slices[0].train.holds(data.cutoff))
    periods, cause = _follow_up(data, train, slices, settings.horizons)
    preparation = make_pipeline(
        FunctionTransformer(signed_log),
        SimpleImputer(strategy="median", keep_empty_features=True),
        VarianceThreshold(),
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args={"a_min": -_FARTHEST, "a_max": _FARTHEST}),
    )
    fitted = solve(preparation.fit_transform(data.X[train]), periods, cause)
    hazards: list[list[Hazard]] = [[] for _ in CAUSES]
    for interval, spans in enumerate(slices):
        rows = np.flatnonzero(data.at_risk(interval) & spans.calibrate.holds(data.cutoff))
        X = data.X[rows]
        for number, regression in enumerate(fitted):
            within = float(np.diff(regression.baseline, prepend=0.0)[interval])
            hazard = Hazard(CoxScorer(preparation, regression.coefficients, within))
            y = data.outcome[rows, interval] == number + 1
            calibration = fit_logistic_map(hazard.raw_log_odds(X), y, settings.calibration_prior)
            hazards[number].append(Hazard(hazard.scorer, 0.0, calibration))
    return RiskModel(
        NAME,
        tuple(map(tuple, hazards)),
        data.feature_names,
        settings.horizons,
        settings.labels,
        tuple(slices),
    )


def _follow_up(
    data: RiskData, train: NDArray[np.int64], slices: Sequence[Slices], horizons: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Periods (n,) that each training snapshot was followed for, and the cause that ended them."""
    periods, cause = np.zeros((2, len(train)), np.int64)
    followed = np.ones(len(train), bool)
    for interval, horizon in enumerate(horizons):
        outcome = data.outcome[train, interval]
        followed &= (outcome >= 0) & slices[interval].train.holds(data.cutoff[train])
        periods[followed] = horizon
        cause[followed] = outcome[followed]
        followed &= outcome == 0
    return periods, cause
