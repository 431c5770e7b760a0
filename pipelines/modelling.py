"""Settings of models, and the share of the customers that the teams can contact."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from data.contracts import CAUSES
from models.competing_risks import ModelSettings
from models.model_settings import BoostingTerms, FitTerms
from models.plausibility import Limits
from pipelines.params import terms
from pipelines.paths import TUNED_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.params import Params

# Features that show a churn already under way; predicting it from them is not an achievement.
SETTLED_BY = {"involuntary": "in_dunning"}


def model_settings(params: Params, monotone: Mapping[str, Mapping[str, int]]) -> ModelSettings:
    """Build the settings of models.

    Results of ``tune`` override the parameters. ``monotone`` comes from the catalog of features.
    """
    lightgbm = dataclasses.asdict(params.train.lightgbm)
    if TUNED_FILE.exists():
        lightgbm |= json.loads(TUNED_FILE.read_text(encoding="utf-8"))["lightgbm"]
    boosting = {field.name: lightgbm.pop(field.name) for field in dataclasses.fields(BoostingTerms)}
    limits = dataclasses.asdict(params.train.too_good_to_be_true)
    return ModelSettings(
        **terms(FitTerms, params.train),
        **boosting,
        lightgbm=lightgbm,
        threads=params.engine.threads,
        horizons=params.snapshot.horizons,
        labels=params.labels,
        monotone=monotone,
        limits=Limits(**limits, settled_by=SETTLED_BY),
    )


def capacity_shares(params: Params, customers: int) -> dict[str, float]:
    """Return the share of the customers that the team of each cause can contact in a period.

    Parameters
    ----------
    params
        The parameters.
    customers
        Current number of customers. The backtest uses a thinned sample, so the capacity must be a
        share.
    """
    capacities = (params.score.success_capacity, params.score.billing_capacity)
    return {
        cause: min(1.0, capacity / customers)
        for cause, capacity in zip(CAUSES, capacities, strict=True)
    }
