"""Explanations of a risk: SHAP values that add up to the served number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from data.contracts import CAUSES
from models.boosters import BoosterScorer
from models.competing_risks import compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.competing_risks import RiskModel


def explain(
    model: RiskModel, X: NDArray[np.float32], feature_names: tuple[str, ...], cause: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the features' contributions to the risk of a cause by the end of the first interval.

    A row costs about 190 predictions: explain the listed customers only.

    Parameters
    ----------
    model
        A model of boosters.
    X
        float32 (k, f), rows to explain.
    feature_names
        The f names.
    cause
        voluntary or involuntary.

    Returns
    -------
    base
        float64 (k,) log-odds before anything is known of the customer. Equal for all rows, except
        those whose hazards were scaled to sum below 1, where it absorbs the difference.
    contributions
        float64 (k, f) log-odds; ``base + contributions.sum(axis=1)`` is the log-odds of the served
        risk.

    Raises
    ------
    BadInputError
        If the features are not those that the model was trained on.
    ValueError
        If the hazard comes from neither a booster nor the base rate.

    Notes
    -----
    Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for
    trees", computed by LightGBM. The risk by the end of the first interval is its hazard, and the
    calibration is linear in log-odds: its slope scales every contribution; its intercept, and the
    offset of a hazard learned from both causes, are part of the base.
    """
    model.require_features(feature_names)
    position = CAUSES.index(cause)
    hazard = model.hazards[position][0]
    if not isinstance(hazard.scorer, BoosterScorer | None):
        raise ValueError(f"The {model.name} model has no contributions to show.")
    values = np.zeros((len(X), X.shape[1] + 1))
    if hazard.scorer is not None and len(X):
        values = hazard.scorer.contributions(X)
    base = hazard.calibration(values[:, -1] + hazard.offset)
    hazards = model.predict_hazards(X, feature_names)
    risks, scaled = compose(hazards)
    base[scaled] += logit(risks[scaled, position, 0]) - logit(hazards[scaled, position, 0])
    return base, hazard.calibration.slope * values[:, :-1]


def grouped(
    contributions: NDArray[np.float64], feature_names: tuple[str, ...], groups: Mapping[str, str]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Sum contributions over the reason groups of the features.

    Parameters
    ----------
    contributions
        float64 (k, f).
    feature_names
        The f names.
    groups
        Reason group of each feature.

    Returns
    -------
    names
        The g groups, in the order of their first feature.
    sums
        float64 (k, g).
    """
    names = tuple(dict.fromkeys(groups[feature] for feature in feature_names))
    sums = np.zeros((len(contributions), len(names)))
    for column, feature in enumerate(feature_names):
        sums[:, names.index(groups[feature])] += contributions[:, column]
    return names, sums
