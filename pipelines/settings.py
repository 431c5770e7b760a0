"""What the packages are told: their settings, from the parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from data.contracts import CAUSES
from data.outcomes import OutcomeSettings
from data.population import PopulationSettings
from models.competing_risks import ModelSettings
from models.evaluation import EvaluationSettings
from models.metrics import Campaign
from models.plausibility import Limits
from models.split import SplitSettings
from pipelines.paths import TUNED_FILE
from retention.ranking import ListSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.params import Params

# Features by which a churn has begun: to foretell it from there is no feat.
SETTLED_BY = {"involuntary": "in_dunning"}


def labels(params: Params) -> tuple[str, ...]:
    """Names of the horizons in files and columns, e.g. 4w."""
    return tuple(params.clock.label(horizon) for horizon in params.snapshot.horizons)


def population_settings(params: Params) -> PopulationSettings:
    """Who is looked at, when, and how far ahead."""
    section = params.snapshot
    as_of = None if section.as_of is None else params.clock.cutoff_on(section.as_of)
    return PopulationSettings(
        rule=section.rule,
        silent_periods=section.silent_periods,
        as_of=as_of,
        history_periods=params.history_periods,
        thin_every=section.thin_every,
        salt=section.salt,
        outcome=OutcomeSettings(section.horizons, section.undo_days, params.clock.lateness_days),
    )


def split_settings(params: Params) -> SplitSettings:
    """Lengths of the slices and of the gaps between them."""
    follow_up_days = params.snapshot.undo_days + params.clock.lateness_days
    return SplitSettings(
        horizons=params.snapshot.horizons,
        follow_up_periods=params.clock.periods_covering(follow_up_days),
        stop_periods=params.train.stop_periods,
        calibrate_periods=params.train.calibrate_periods,
        test_periods=params.train.test_periods,
        test_blocks=params.train.test_blocks,
        train_periods=params.train.train_periods,
    )


def model_settings(params: Params, monotone: Mapping[str, Mapping[str, int]]) -> ModelSettings:
    """How models are fitted: ``monotone`` by the catalog of features, the rest by the parameters.

    What the stage ``tune`` found stands above the parameters.
    """
    lightgbm = params.train.lightgbm.model_dump()
    if TUNED_FILE.exists():
        lightgbm |= json.loads(TUNED_FILE.read_text(encoding="utf-8"))["lightgbm"]
    too_good = params.train.too_good_to_be_true
    return ModelSettings(
        seed=params.train.seed,
        threads=params.engine.threads,
        horizons=params.snapshot.horizons,
        labels=labels(params),
        min_events=params.train.min_events,
        calibration_prior=params.train.calibration_prior,
        linear_strength=lightgbm.pop("linear_strength"),
        num_boost_round=lightgbm.pop("num_boost_round"),
        early_stopping_rounds=lightgbm.pop("early_stopping_rounds"),
        lightgbm=lightgbm,
        monotone=monotone,
        limits=Limits(
            auroc={
                "voluntary": too_good.voluntary_auroc,
                "involuntary": too_good.involuntary_auroc,
            },
            feature_share=too_good.feature_share,
            settled_by=SETTLED_BY,
        ),
    )


def capacities(params: Params) -> dict[str, int]:
    """Customers that the team of each cause can contact in a period."""
    section = params.score
    return dict(zip(CAUSES, (section.success_capacity, section.billing_capacity), strict=True))


def evaluation_settings(params: Params, customers: int) -> EvaluationSettings:
    """How scored snapshots are measured.

    Parameters
    ----------
    params
        The parameters.
    customers
        Number of customers now. The backtest holds a thinned sample, so that the capacity is
        measured as a share of them.
    """
    section = params.evaluate
    return EvaluationSettings(
        resamples=section.resamples,
        bins=section.bins,
        seed=section.seed,
        capacity={
            cause: min(1.0, number / customers) for cause, number in capacities(params).items()
        },
        campaign=Campaign(**section.campaign.model_dump()),
        threads=params.engine.threads,
    )


def list_settings(params: Params) -> ListSettings:
    """Terms of the ranking."""
    terms = params.score.model_dump(exclude={"model", "contact_pause_periods", "crm"})
    return ListSettings(**terms, salt=params.snapshot.salt, currency=params.ingest.currency)
