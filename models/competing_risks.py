"""Competing risks in discrete time: one hazard per cause and interval, composed and calibrated.

The hazard of cause ``c`` in interval ``j``, ``(cutoff + h[j-1], cutoff + h[j]]``, is the
probability to leave by that cause within the interval for a customer who stayed until it began.
Composed, with ``S[0] = 1``,

    risk[c, j] = risk[c, j-1] + S[j-1] * hazard[c, j],      S[j] = S[j-1] * (1 - sum over causes),

which gives cumulative risks that rise with the horizon and sum to at most 1 (Tutz & Schmid (2016),
"Modeling Discrete Time-to-Event Data", chapter 8).

Every kind of model consists of such hazards, fitted on the same slices and calibrated by the same
map; only the *learner* of a hazard's log-odds differs.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from data.contracts import CAUSES
from data.errors import BadInputError
from models.calibration import fit_logistic_map
from models.contraction import Contraction, fit_contraction
from models.hazards import Fit, Hazard, Learner, Scorer, can_learn, log_odds_of_rate
from models.model_settings import BoostingTerms, FitTerms
from models.plausibility import Limits, too_good
from models.risk_data import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.risk_data import RiskData
    from models.split import Slices

logger = logging.getLogger(__name__)
LARGEST_SUM = 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class ModelSettings(FitTerms, BoostingTerms):
    """How models are fitted.

    Parameters
    ----------
    threads
        Threads of LightGBM; changes no result.
    horizons, labels
        Ends of the intervals in periods, ascending, and their names in files and columns.
    lightgbm
        Parameters of LightGBM, beside those that correctness fixes.
    monotone
        For a cause, the sign (+1 or -1) in which a named feature may move its log-odds.
    limits
        What is too good to be true; None: nothing is.
    """

    threads: int = 2
    horizons: tuple[int, ...] = (4, 8, 13)
    labels: tuple[str, ...] = ("4w", "8w", "13w")
    lightgbm: Mapping[str, Any] = field(default_factory=dict)
    monotone: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    limits: Limits | None = None


@dataclass(frozen=True)
class RiskModel:
    """Fitted hazards of every cause and interval.

    Parameters
    ----------
    name
        Name of the kind of model.
    hazards
        One tuple per cause, with one hazard per interval.
    feature_names
        Columns of X, in order.
    horizons, labels
        Ends of the intervals in periods, and their names.
    slices
        For each interval, the cutoffs that it was fitted on.
    notes
        What a reader of its figures should know, one sentence each.
    contraction
        Risk of staying and paying less; None if no later MRR is known.
    """

    name: str
    hazards: tuple[tuple[Hazard, ...], ...]
    feature_names: tuple[str, ...]
    horizons: tuple[int, ...]
    labels: tuple[str, ...]
    slices: tuple[Slices, ...]
    notes: tuple[str, ...] = ()
    contraction: Contraction | None = None

    def predict(
        self, X: NDArray[np.float32], feature_names: tuple[str, ...]
    ) -> NDArray[np.float64]:
        """Predict cumulative risks float64 (n, causes, horizons), if nobody acts.

        They rise with the horizon and sum to at most 1 over the causes.

        Raises
        ------
        BadInputError
            If the features are not those that the model was trained on, in order.
        """
        risks, scaled = compose(self.predict_hazards(X, feature_names))
        if scaled.any():
            logger.info("%s: hazards of %d of %d rows scaled", self.name, scaled.sum(), len(scaled))
        return risks

    def predict_hazards(
        self, X: NDArray[np.float32], feature_names: tuple[str, ...]
    ) -> NDArray[np.float64]:
        """Predict calibrated hazards float64 (n, causes, intervals), not yet scaled to sum below 1.

        Raises
        ------
        BadInputError
            If the features are not those that the model was trained on, in order.
        """
        self.require_features(feature_names)
        log_odds = [[hazard.log_odds(X) for hazard in by_interval] for by_interval in self.hazards]
        return np.asarray(expit(np.array(log_odds).transpose(2, 0, 1)))

    def contraction_risk(
        self, X: NDArray[np.float32], risks: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Predict the probability (n,) of paying less at the last horizon; NaN if not modelled.

        Parameters
        ----------
        X, risks
            Features, and the risks that ``predict`` returns for them.
        """
        if self.contraction is None:
            return np.full(len(X), np.nan)
        return self.contraction.risk(X, risks)

    def expected_loss(
        self, risks: NDArray[np.float64], contraction: NDArray[np.float64], mrr: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Predict the MRR (n,) lost by the last horizon, in the units of ``mrr`` (n,).

        Churn by either cause loses all of it, contraction a part.
        """
        share = risks[:, :, -1].sum(axis=1)
        if self.contraction is not None:
            share = share + contraction * self.contraction.lost_share
        return np.asarray(share * mrr)

    def require_features(self, feature_names: tuple[str, ...]) -> None:
        """Raise BadInputError unless these are the features that it was trained on, in order."""
        if feature_names == self.feature_names:
            return
        missing = sorted(set(self.feature_names) - set(feature_names))
        unknown = sorted(set(feature_names) - set(self.feature_names))
        order = "" if missing or unknown else "; the order matters too"
        raise BadInputError(
            f"The features are not those that the {self.name} model was trained on (missing "
            f"{missing[:5] or 'none'}, unknown {unknown[:5] or 'none'}{order}); retrain it."
        )


def compose(hazards: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Compose hazards (n, causes, intervals) into cumulative risks of that shape.

    Hazards of an interval that sum above ``LARGEST_SUM`` are scaled to sum to it.

    Returns
    -------
    risks
        Non-decreasing along the last axis, summing to at most 1 over the causes.
    scaled
        Mask (n,) of the rows in which some interval was scaled.
    """
    total = hazards.sum(axis=1, keepdims=True)
    over = total > LARGEST_SUM
    hazards = np.where(over, hazards * (LARGEST_SUM / np.maximum(total, LARGEST_SUM)), hazards)
    stayed = np.cumprod(1 - hazards.sum(axis=1, keepdims=True), axis=2)
    at_start = np.concatenate([np.ones_like(stayed[:, :, :1]), stayed[:, :, :-1]], axis=2)
    return np.cumsum(at_start * hazards, axis=2), over.any(axis=(1, 2))


def fit_risk_model(
    name: str, learner: Learner, data: RiskData, slices: Sequence[Slices], settings: ModelSettings
) -> RiskModel:
    """Fit and calibrate the hazards of every cause and interval, and the risk of contraction.

    Parameters
    ----------
    name
        Name of the kind of model.
    learner
        Learns a hazard's log-odds; None for the base rate.
    data
        Snapshots; those outside the slices are ignored.
    slices
        Slices of each interval.
    settings
        Horizons, number of events required, strength of the calibration's prior.

    Raises
    ------
    BadInputError
        If the train slice of an interval is empty, or that of the first has no churn at all.
    """
    by_interval, notes = [], []
    for interval, spans in enumerate(slices):
        hazards, fit_notes = _fit_interval(name, learner, data, spans, interval, settings)
        by_interval.append(hazards)
        notes.extend(fit_notes)
    contraction, contraction_note = fit_contraction(
        learner, data, slices[-1], settings.min_events, settings.calibration_prior
    )
    notes += [contraction_note] if contraction_note else []
    for note in notes:
        logger.warning("%s: %s", name, note)
    return RiskModel(
        name,
        tuple(zip(*by_interval, strict=True)),
        data.feature_names,
        settings.horizons,
        settings.labels,
        tuple(slices),
        tuple(notes),
        contraction,
    )


def _fit_interval(
    name: str,
    learner: Learner,
    data: RiskData,
    spans: Slices,
    interval: int,
    settings: ModelSettings,
) -> tuple[list[Hazard], list[str]]:
    """Fit and calibrate the hazards of one interval, one per cause; also return notes on them."""
    at_risk = data.at_risk(interval)
    train, stop, calibrate = (
        np.flatnonzero(at_risk & span.holds(data.cutoff))
        for span in (spans.train, spans.stop, spans.calibrate)
    )
    outcome = data.outcome[:, interval]
    _require_outcomes(outcome[train], spans, interval, settings)
    slices = Selection(data.X, train), Selection(data.X, stop)
    chain = _FallbackChain(
        None if learner is None else learner(*slices, data.feature_names),
        outcome[train],
        outcome[stop],
        settings.min_events,
    )
    hazards, notes = [], []
    start, end = settings.horizons[interval - 1] if interval else 0, settings.horizons[interval]
    if not len(calibrate):
        notes.append(f"churn in periods {start + 1} to {end} is not calibrated: no known outcome.")
    X = data.X[calibrate]
    for code, cause in enumerate(CAUSES, start=1):
        began = time.perf_counter()
        hazard, note = chain.fit(code)
        y = outcome[calibrate] == code
        calibration = fit_logistic_map(hazard.raw_log_odds(X), y, settings.calibration_prior)
        hazards.append(Hazard(hazard.scorer, hazard.offset, calibration))
        remarks = [note] if note else []
        if settings.limits is not None:
            remarks += too_good(hazards[-1], cause, X, y, data.feature_names, settings.limits)
        notes += [f"{cause} churn in periods {start + 1} to {end}: {remark}" for remark in remarks]
        logger.info(
            "%s, %s %s: %d rows, %d churners, %s, slope %.2f, %.1f s",
            name, cause, settings.labels[interval], len(train), np.sum(outcome[train] == code),
            hazard.scorer.size if hazard.scorer else "base rate", calibration.slope,
            time.perf_counter() - began,
        )  # fmt: skip
    return hazards, notes


@dataclass(frozen=True)
class _FallbackChain:
    """Three ways to fit a hazard; the first that an interval's churners allow is used.

    1. From the cause's own churners.
    2. From the churners of both causes, shifted by the cause's share.
    3. The base rate.

    Learning needs ``min_events`` churners to train on, and churners and stayers in both slices.
    """

    learn: Fit | None
    train: NDArray[np.int8]
    stop: NDArray[np.int8]
    min_events: int

    def fit(self, code: int) -> tuple[Hazard, str | None]:
        """Return the uncalibrated hazard of a cause, and a note unless the first way was used."""
        events = self.train == code
        rate = log_odds_of_rate(events)
        if self.learn is None:
            return Hazard(None, rate), None
        if can_learn(events, self.stop == code, self.min_events):
            return Hazard(self.learn(events, self.stop == code, CAUSES[code - 1])), None
        few = (
            f"{events.sum()} churners to train on and {np.sum(self.stop == code)} to stop by are "
            f"too few (at least {self.min_events} and 1)"
        )
        if self.pooled is None:
            return Hazard(None, rate), f"{few}, for both causes together too: base rate used."
        offset = rate - log_odds_of_rate(self.train > 0)
        return Hazard(self.pooled, offset), f"{few}: learned from both causes together."

    @functools.cached_property
    def pooled(self) -> Scorer | None:
        """The scorer of both causes together; None if they have too few churners as well."""
        train, stop = self.train > 0, self.stop > 0
        if self.learn is None or not can_learn(train, stop, self.min_events):
            return None
        return self.learn(train, stop, None)


def _require_outcomes(
    outcome: NDArray[np.int8], spans: Slices, interval: int, settings: ModelSettings
) -> None:
    """Refuse a train slice without outcomes, and for the first interval one without churn."""
    where = f"between cutoff numbers {spans.train.first} and {spans.train.last}"
    if not len(outcome):
        raise BadInputError(
            f"No snapshot {where} has a known outcome {settings.horizons[interval]} periods later: "
            "check that the logs cover the history and that not all of it is censored."
        )
    if interval == 0 and not outcome.any():
        raise BadInputError(
            f"There is no churn at all among the {len(outcome)} snapshots to train on ({where}): "
            "check that the source logs cancellations, or use the inactivity rule."
        )
