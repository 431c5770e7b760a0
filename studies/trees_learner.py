"""scikit-learn's gradient boosting as a peer: a learner of the same hazards as the boosters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models.hazards import Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.hazards import Fit, Learner
    from models.risk_data import Selection

NAME = "gradient_boosting"


@dataclass(frozen=True)
class TreesScorer(Scorer):
    """Log-odds of scikit-learn's gradient boosting."""

    trees: HistGradientBoostingClassifier

    @property
    def size(self) -> str:
        """Number of trees, in words."""
        return f"{self.trees.n_iter_} trees"

    def log_odds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds (n,) of rows X (n, f)."""
        return np.asarray(self.trees.decision_function(X), dtype=np.float64)


def trees_learner(settings: Mapping[str, Any], seed: int) -> Learner:
    """Return the learner of scikit-learn's histogram gradient boosting, ended by the stop slice.

    Parameters
    ----------
    settings
        Parameters of ``HistGradientBoostingClassifier``.
    seed
        Seed of its random draws.
    """

    def prepare(train: Selection, stop: Selection, _feature_names: tuple[str, ...]) -> Fit:
        X_train, X_stop = train.copy(), stop.copy()
        # It cannot bin a feature that has no value in any row.
        X_train[:, np.isnan(X_train).all(axis=0)] = 0

        def fit(
            y_train: NDArray[np.bool_], y_stop: NDArray[np.bool_], _cause: str | None
        ) -> TreesScorer:
            trees = HistGradientBoostingClassifier(
                max_iter=600, early_stopping=True, n_iter_no_change=40, tol=0.0, random_state=seed,
                **settings,
            )  # fmt: skip
            return TreesScorer(trees.fit(X_train, y_train, X_val=X_stop, y_val=y_stop))

        return fit

    return prepare
