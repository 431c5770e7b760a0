"""Too good to be true: signs that a feature knows the outcome, looked for on rows not learned from.

A leak shows in two ways: the ranking is better than customers allow, or one feature carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from models.calibration import fit_logistic_map
from models.metrics import Sample, auroc, log_loss
from models.model_settings import LimitTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.hazards import Hazard

# With fewer churners either sign is chance.
FEWEST_EVENTS = 20


@dataclass(frozen=True, kw_only=True)
class Limits(LimitTerms):
    """What is too good to be true.

    Parameters
    ----------
    settled_by
        For a cause, the feature that shows a churn already under way where it is above 0, such as
        a failed payment that is still owed: predicting it is no achievement, so these rows are
        left out.
    """

    settled_by: Mapping[str, str]


def too_good(
    hazard: Hazard,
    cause: str,
    X: NDArray[np.float32],
    y: NDArray[np.bool_],
    feature_names: tuple[str, ...],
    limits: Limits,
) -> list[str]:
    """Say what is suspicious about a hazard, a sentence each.

    Parameters
    ----------
    hazard
        Calibrated.
    cause
        That it foretells.
    X, y
        Rows (n, f) that it was not grown on, and whether the churn happened (n,).
    feature_names
        The f names.
    limits
        What is too good.

    Notes
    -----
    Kaufman et al. (2012), "Leakage in data mining: formulation, detection, and avoidance". A
    feature's share is the log loss that shuffling it over the rows costs (Breiman 2001, "Random
    forests"), as part of what the hazard gains on the rate of these rows.
    """
    if limits.settled_by.get(cause) in feature_names:
        open_ = ~(X[:, feature_names.index(limits.settled_by[cause])] > 0)
        X, y = X[open_], y[open_]
    strongest = None if hazard.scorer is None else hazard.scorer.strongest
    if strongest is None or not FEWEST_EVENTS <= y.sum() < len(y):
        return []
    name, said = feature_names[strongest], []
    area, loss = _measures(hazard.log_odds(X), y)
    if area - 2 * _standard_error(area, y.sum(), len(y)) > limits.auroc(cause):
        said.append(
            f"too good to be true: AUROC {area:.3f} on weeks not learned from is above the limit "
            f"of {limits.auroc(cause):g} by more than chance; look for a feature that knows the "
            f"outcome, first at {name}."
        )
    rate = y.mean()
    gained = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)) - loss
    shuffled = X.copy()
    shuffled[:, strongest] = np.random.default_rng(0).permutation(X[:, strongest])
    log_odds = hazard.log_odds(shuffled)
    # Calibrated anew: what matters is what the other features still tell, not how boldly.
    carried = _measures(fit_logistic_map(log_odds, y, prior=1.0)(log_odds), y)[1] - loss
    if gained > 0 and carried > limits.feature_share * gained:
        said.append(
            f"too good to be true: {name} carries {min(carried / gained, 1):.0%} of the skill "
            f"(limit {limits.feature_share:.0%}); check that it is known at the cutoff."
        )
    return said


def _standard_error(area: float, events: int, rows: int) -> float:
    """Of an AUROC, by Hanley & McNeil (1982)."""
    both = area * (1 - area)
    events_above = (events - 1) * (area / (2 - area) - area**2)
    others_below = (rows - events - 1) * (2 * area**2 / (1 + area) - area**2)
    return float(np.sqrt((both + events_above + others_below) / (events * (rows - events))))


def _measures(log_odds: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC and log loss."""
    sample = Sample.of_risks(y, np.asarray(expit(log_odds)))
    return auroc(sample), log_loss(sample)
