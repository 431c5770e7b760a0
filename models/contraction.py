"""Contraction: the risk of staying and paying less, beside the two causes of churn.

Of a customer who stays to the last horizon, the probability that the MRR there is lower than at the
cutoff is learned like any hazard: same slices as the last interval, same calibration.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from models.calibration import fit_logistic_map
from models.hazards import Hazard, Learner, can_learn, log_odds_of_rate
from models.risk_data import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.risk_data import RiskData
    from models.split import Slices

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contraction:
    """Probability that a customer who stays pays less, and how much less on average.

    Parameters
    ----------
    hazard
        Hazard of contraction among those who stay to the last horizon.
    lost_share
        Mean share of the MRR that a contracting customer stops paying.
    """

    hazard: Hazard
    lost_share: float

    def risk(self, X: NDArray[np.float32], risks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predict the probability (n,) of staying to the last horizon and paying less there.

        Parameters
        ----------
        X
            float32 (n, f), features of the model that this belongs to.
        risks
            Cumulative risks (n, causes, horizons).
        """
        stays = 1 - risks[:, :, -1].sum(axis=1)
        return np.asarray(stays * expit(self.hazard.log_odds(X)))


def fit_contraction(
    learner: Learner, data: RiskData, slices: Slices, min_events: int, prior: float
) -> tuple[Contraction | None, str | None]:
    """Fit and calibrate the risk of contraction.

    Parameters
    ----------
    learner
        Learns the log-odds; None for the base rate.
    data
        Snapshots; those outside the slices are ignored.
    slices
        Slices of the last interval: where its outcome is known, so is the MRR at its end.
    min_events
        With fewer contractions in the train slice the base rate is used.
    prior
        Prior of the calibration, see ``fit_logistic_map``.

    Returns
    -------
    contraction
        None if no later MRR is known, as in a business without subscriptions.
    note
        A remark on the fit, if there is one.
    """
    train, stop, calibrate = (
        np.flatnonzero(data.stayed & span.holds(data.cutoff))
        for span in (slices.train, slices.stop, slices.calibrate)
    )
    if not len(train):
        return None, None
    less, hazard, note = data.contracted, None, None
    if learner is not None and can_learn(less[train], less[stop], min_events):
        fit = learner(Selection(data.X, train), Selection(data.X, stop), data.feature_names)
        hazard = Hazard(fit(less[train], less[stop], None))
    else:
        hazard = Hazard(None, log_odds_of_rate(less[train]))
        if learner is not None:
            note = (
                f"contraction: {less[train].sum()} to train on and {less[stop].sum()} to stop by "
                f"are too few (at least {min_events} and 1): base rate used."
            )
    raw = hazard.raw_log_odds(data.X[calibrate])
    calibration = fit_logistic_map(raw, less[calibrate], prior)
    rows = train[less[train]]
    lost = 1 - data.mrr_later[rows] / data.mrr[rows]
    share = float(lost.mean()) if len(rows) else 0.0
    logger.info(
        "contraction: %d rows, %d paid less, %s, slope %.2f, losing %.0f %% of their MRR",
        len(train), len(rows), hazard.scorer.size if hazard.scorer else "base rate",
        calibration.slope, 100 * share,
    )  # fmt: skip
    return Contraction(Hazard(hazard.scorer, hazard.offset, calibration), share), note
