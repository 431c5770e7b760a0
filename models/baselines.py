"""Baselines of the model: base rate, recency rule, logistic regression on the same features.

Each is a learner of the same hazards: same slices, same calibration, same ``predict``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit
from threadpoolctl import threadpool_limits

from models.hazards import Scorer
from models.linear import preparation, ridge_regression

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    from models.hazards import Fit, Learner
    from models.risk_data import Selection

BASE_RATE = "base_rate"
RECENCY = "recency_rule"
LOGISTIC = "logistic_regression"


@dataclass(frozen=True)
class BinScorer(Scorer):
    """Log-odds by bin of one feature.

    Parameters
    ----------
    column
        Position of the feature in X.
    edges
        (b - 1,) upper edges of all bins but the last; each edge belongs to its bin.
    table
        (b + 1,) log-odds of the bins, the last of rows without a value.
    """

    column: int
    edges: NDArray[np.float64]
    table: NDArray[np.float64]

    @property
    def size(self) -> str:
        """Number of bins, in words."""
        return f"{len(self.table)} bins"

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f)."""
        return self.table[_bin(X[:, self.column], self.edges)]


def _bin(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin number of each value; missing values have one after the last bin."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))


def recency_learner(feature: str, bins: int = 10) -> Learner:
    """Return the learner of the rule that every team starts with: the time since the last use.

    The risk is the rate of the train slice in (at most) ``bins`` equal-mass bins of a feature such
    as ``days_since_last_use``, each shrunk towards the base rate by one churner's worth of rows.

    Parameters
    ----------
    feature
        Name of the feature; missing values have their own bin.
    bins
        Number of bins.
    """

    def prepare(
        train: Selection,
        _stop: Selection,
        feature_names: tuple[str, ...],
    ) -> Fit:
        column = feature_names.index(feature)
        values = train.X[train.rows, column]
        seen = values[~np.isnan(values)].astype(np.float64)
        quantiles = np.linspace(0, 1, bins + 1)[1:-1]
        edges = np.unique(np.quantile(seen, quantiles)) if len(seen) else np.empty(0)
        number = _bin(values, edges)
        rows = np.bincount(number, minlength=len(edges) + 2)

        def fit(
            y_train: NDArray[np.bool_], _y_stop: NDArray[np.bool_], _cause: str | None
        ) -> BinScorer:
            events = np.bincount(number, weights=y_train, minlength=len(edges) + 2)
            return BinScorer(column, edges, logit((events + 1) / (rows + 1 / y_train.mean())))

        return fit

    return prepare


@dataclass(frozen=True)
class LinearScorer(Scorer):
    """Log-odds of a logistic regression on features that its own preparation transforms."""

    preparation: Pipeline
    regression: LogisticRegression

    @property
    def size(self) -> str:
        """Number of coefficients and their penalty, in words."""
        return f"{self.regression.coef_.size} coefficients, C {self.regression.C:g}"

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f)."""
        with threadpool_limits(1):
            prepared = self.preparation.transform(X)
            return np.asarray(self.regression.decision_function(prepared), dtype=np.float64)


def logistic_learner(penalties: tuple[float, ...] = (1e-3, 1e-2)) -> Learner:
    """Return the learner of logistic regressions: scikit-learn, ridge penalty.

    Features are prepared by ``models.linear.preparation``, fitted on the train slice. The stop
    slice, which ends boosting elsewhere, chooses the penalty here.

    Parameters
    ----------
    penalties
        Values of scikit-learn's ``C`` to choose from.

    Notes
    -----
    Each fit runs on one thread: with more, matrix products are summed in another order.
    """

    def prepare(
        train: Selection,
        stop: Selection,
        _feature_names: tuple[str, ...],
    ) -> Fit:
        ready = preparation()
        with threadpool_limits(1):
            X_train = ready.fit_transform(train.copy())
            X_stop = ready.transform(stop.copy()) if len(stop) else None

        def fit(
            y_train: NDArray[np.bool_], y_stop: NDArray[np.bool_], _cause: str | None
        ) -> LinearScorer:
            fitted = partial(ridge_regression, X_train, y_train)
            with threadpool_limits(1), ThreadPoolExecutor(len(penalties)) as pool:
                tried = list(pool.map(fitted, penalties))
                losses = [_stop_loss(regression, X_stop, y_stop) for regression in tried]
            return LinearScorer(ready, tried[int(np.argmin(losses))])

        return fit

    return prepare


def _stop_loss(regression: LogisticRegression, X: Any, y: NDArray[np.bool_]) -> float:
    log_odds = regression.decision_function(X)
    return float(np.mean(np.logaddexp(0.0, log_odds) - y * log_odds))
