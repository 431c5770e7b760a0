"""A ridge regression in log-odds that the boosters start from, stored as numbers per feature.

Trees need many churners to approximate a slope, step by step, and cannot extrapolate beyond the
last step. A heavily shrunken regression has it at once, and the trees then learn what it misses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from models.hazards import log_odds_of_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Maximum number of rows to fit on, evenly drawn: enough for a shrunken slope.
FITTED_ROWS = 100_000
# Rows whose log-odds are worked out at a time: few enough for the processor's cache.
BATCH_ROWS = 2048


@dataclass(frozen=True)
class LinearPart:
    """Contribution of each feature: a slope over its signed logarithm, or a constant if missing.

    Parameters
    ----------
    intercept
        Log-odds before anything is known.
    slope, level
        (f,) contribution ``level + slope * signed log``; its mean over the fitted rows is 0.
    missing
        (f,) contribution of a missing value.
    low, high
        (f,) range of the fitted signed logarithms; values beyond it are clipped.
    """

    intercept: float
    slope: NDArray[np.float64]
    level: NDArray[np.float64]
    missing: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Contributions (n, f + 1) in log-odds of rows X (n, f), the intercept last.

        Notes
        -----
        The SHAP values of a linear model: Lundberg & Lee (2017), "A unified approach to
        interpreting model predictions", corollary 1.
        """
        values = np.full((len(X), X.shape[1] + 1), self.intercept)
        seen = np.clip(signed_log(X), self.low, self.high)
        values[:, :-1] = np.where(np.isnan(seen), self.missing, self.level + self.slope * seen)
        return values

    def log_odds(
        self, X: NDArray[np.float32] | Sequence[Any], batch_rows: int = BATCH_ROWS
    ) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f); each row's are independent of the others.

        X is an array, or a sequence whose slices are arrays of rows; it is read in batches of
        ``batch_rows``.
        """
        parts = [
            self.contributions(np.asarray(X[first : first + batch_rows])).sum(axis=1)
            for first in range(0, len(X), batch_rows)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


def preparation() -> Pipeline:
    """Return the transformation of features for a regression.

    Counts and money are skewed: features enter as ``signed_log``, imputed by the median (with an
    indicator column) and standardised, all estimated on the rows that it is fitted on.
    """
    return make_pipeline(
        FunctionTransformer(signed_log),
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(np.float32),  # half the memory and time of the matrix products
    )


def signed_log(X: NDArray[np.float32]) -> NDArray[np.float64]:
    """``sign(x) * log(1 + |x|)``, NaN where x is not finite."""
    wide = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
    return np.asarray(np.sign(wide) * np.log1p(np.abs(wide)))


def ridge_regression(X: Any, y: NDArray[np.bool_], strength: float) -> LogisticRegression:
    """Fit scikit-learn's logistic regression; ``strength`` is its ``C``.

    Raises
    ------
    FloatingPointError
        If a coefficient is not finite. This check replaces NumPy's warnings of invalid values:
        scikit-learn has verified that X is finite, and OpenBLAS can raise that flag for correct
        products (as in NumPy's issue 24067; here it was seen under load).
    """
    with np.errstate(invalid="ignore"):
        regression = LogisticRegression(C=strength, solver="newton-cholesky").fit(X, y)
    if not (np.isfinite(regression.coef_).all() and np.isfinite(regression.intercept_).all()):
        raise FloatingPointError("A coefficient of the logistic regression is not finite.")
    return regression


def linear_learner(
    X: NDArray[np.float32], strength: float
) -> Callable[[NDArray[np.bool_], NDArray[np.int64]], LinearPart]:
    """Prepare the fit of linear parts on some rows.

    Parameters
    ----------
    X
        (n, f) rows to fit on.
    strength
        scikit-learn's ``C``: the smaller, the more slopes are shrunk.

    Returns
    -------
    Callable
        Maps y (n,) and the sign (f,) that each slope may have (+1, -1, or 0: any) to a part. A
        slope of the wrong sign is left out and the rest fitted again.

    Notes
    -----
    The fit runs on one thread: with more, matrix products are summed in another order.
    """
    ready, seen = preparation(), signed_log(X)
    with threadpool_limits(1):
        prepared: Any = ready[1:].fit_transform(seen)  # its first step is the signed logarithm
    # The range of a feature that was never known is 0; no slope uses it.
    low, high = (np.nan_to_num(end.reduce(seen, axis=0)) for end in (np.fmin, np.fmax))
    _, imputer, scaler, _ = (step for _, step in ready.steps)
    features, gaps = X.shape[1], imputer.indicator_.features_

    def fit(y: NDArray[np.bool_], signs: NDArray[np.int64]) -> LinearPart:
        if y.all() or not y.any():  # the rows drawn can hold one class only
            nothing = np.zeros(features)
            return LinearPart(log_odds_of_rate(y), nothing, nothing, nothing, low, high)
        wanted = np.concatenate([signs, np.zeros(len(gaps), np.int64)])
        used = np.ones(prepared.shape[1], bool)
        weights = np.zeros(prepared.shape[1])
        while True:
            with threadpool_limits(1):
                X_used = prepared if used.all() else prepared[:, used]
                regression = ridge_regression(X_used, y, strength)
            weights[used] = regression.coef_[0]
            wrong = weights * wanted < 0
            if not wrong.any():
                break
            used &= ~wrong
            weights[~used] = 0
        slope = weights[:features] / scaler.scale_[:features]
        level = -slope * scaler.mean_[:features]
        missing = level + slope * imputer.statistics_
        # The indicator column counts as well: it is 1 for a missing value and 0 otherwise.
        jump = weights[features:] / scaler.scale_[features:]
        present = -jump * scaler.mean_[features:]
        level[gaps] += present
        missing[gaps] += present + jump
        return LinearPart(float(regression.intercept_[0]), slope, level, missing, low, high)

    return fit
