"""Too good to be true: signs that a feature knows the outcome, on rows that were not learned from.

A leak shows in two ways: the ranking is implausibly good, or a single feature carries it.
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

# With fewer churners either sign is likely chance.
MIN_EVENTS = 20


@dataclass(frozen=True, kw_only=True)
class Limits(LimitTerms):
    """What is too good to be true.

    Parameters
    ----------
    settled_by
        For a cause, the feature that shows a churn already under way where it is above 0, such as
        a failed payment that is still owed: predicting it proves nothing, so these rows are
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
    """Describe what is suspicious about a hazard, one sentence per finding.

    Parameters
    ----------
    hazard
        A calibrated hazard.
    cause
        Cause of churn that it predicts.
    X, y
        Rows (n, f) that it was not trained on, and whether the churn happened (n,).
    feature_names
        The f names.
    limits
        Limits of what is plausible.

    Notes
    -----
    Kaufman et al. (2012), "Leakage in data mining: formulation, detection, and avoidance". A
    feature's share is the log loss that shuffling it costs (Breiman 2001, "Random forests"),
    relative to what the hazard gains over the rate of these rows.
    """
    if limits.settled_by.get(cause) in feature_names:
        open_ = ~(X[:, feature_names.index(limits.settled_by[cause])] > 0)
        X, y = X[open_], y[open_]
    strongest = None if hazard.scorer is None else hazard.scorer.strongest
    if strongest is None or not MIN_EVENTS <= y.sum() < len(y):
        return []
    name, findings = feature_names[strongest], []
    area, loss = _measures(hazard.log_odds(X), y)
    if area - 2 * _standard_error(area, y.sum(), len(y)) > limits.auroc(cause):
        findings.append(
            f"too good to be true: AUROC {area:.3f} on weeks not learned from is above the limit "
            f"of {limits.auroc(cause):g} by more than chance; look for a feature that knows the "
            f"outcome, first at {name}."
        )
    rate = y.mean()
    gained = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)) - loss
    shuffled = X.copy()
    shuffled[:, strongest] = np.random.default_rng(0).permutation(X[:, strongest])
    log_odds = hazard.log_odds(shuffled)
    # Recalibrated: only the ranking information left in the other features counts, not its scale.
    carried = _measures(fit_logistic_map(log_odds, y, prior=1.0)(log_odds), y)[1] - loss
    if gained > 0 and carried > limits.feature_share * gained:
        findings.append(
            f"too good to be true: {name} carries {min(carried / gained, 1):.0%} of the skill "
            f"(limit {limits.feature_share:.0%}); check that it is known at the cutoff."
        )
    return findings


def _standard_error(area: float, events: int, rows: int) -> float:
    """Standard error of an AUROC, by Hanley & McNeil (1982)."""
    both = area * (1 - area)
    events_above = (events - 1) * (area / (2 - area) - area**2)
    others_below = (rows - events - 1) * (2 * area**2 / (1 + area) - area**2)
    return float(np.sqrt((both + events_above + others_below) / (events * (rows - events))))


def _measures(log_odds: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """Compute AUROC and log loss."""
    sample = Sample.of_risks(y, np.asarray(expit(log_odds)))
    return auroc(sample), log_loss(sample)
