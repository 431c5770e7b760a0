"""The plots of a review, drawn from the outputs of the stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from models.boosters import load_model
from models.drift import stability_index
from models.explain import explain
from models.review_plots import (
    beeswarm_picture,
    capacity_picture,
    cohort_picture,
    dependence_picture,
    drift_picture,
    risk_picture,
)
from pipelines.load import customers_now, load_catalog, load_history, load_newest, newest_cutoff
from pipelines.modelling import capacity_shares
from pipelines.paths import BACKTEST, MODEL, SNAPSHOTS
from retention.cohorts import cohorts, retention_table

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.params import Params

# SHAP values cost about 190 predictions per row; more points would hide each other.
EXPLAINED = 1000


def retention_by_cohort(params: Params) -> pd.DataFrame:
    """Retention of the cohorts, as the overview of the retention team shows it."""
    clock = params.clock
    lifetimes = pd.read_parquet(SNAPSHOTS / "lifetimes.parquet")
    return retention_table(cohorts(lifetimes, clock.cutoff_at(newest_cutoff())))


def draw_pictures(params: Params, folder: Path) -> dict[str, float]:
    """Draw the plots that ``evaluate`` does not, and measure the drift.

    Parameters
    ----------
    params
        Parameters of this state.
    folder
        Folder for PNG files and ``drift.csv``.

    Returns
    -------
    dict
        Population stability index of each feature between the training and the newest cutoff.
    """
    clock, horizons = params.clock, params.labels
    capacity = capacity_shares(params, customers_now())
    table = pd.read_parquet(BACKTEST / "test_scores.parquet")
    capacity_picture(table, horizons[0], capacity, folder / "capacity.png")
    newest, _ = load_newest(clock, horizons)
    model = load_model(MODEL, params.engine.threads)
    risk_picture(
        model.predict(newest.X, newest.feature_names), horizons, capacity, folder / "risks.png"
    )
    rows = np.random.default_rng(params.evaluate.seed).permutation(len(newest))[:EXPLAINED]
    sample = newest.X[np.sort(rows)]
    groups = {feature.name: feature.group for feature in load_catalog()}
    for cause in CAUSES:
        _, contributions = explain(model, sample, newest.feature_names, cause)
        terms = (contributions, sample, newest.feature_names)
        title = f"What moves the risk of {cause} churn within {horizons[0]}"
        beeswarm_picture(*terms, title, folder / f"shap_{cause}.png")
        dependence_picture(*terms, groups, cause, folder / f"dependence_{cause}.png")
    cohort_picture(retention_by_cohort(params), folder / "cohorts.png")
    history = load_history(clock, horizons, params.train.memory_limit)
    trained = history.X[model.slices[0].train.holds(history.cutoff)]
    indices = stability_index(trained, newest.X)
    drift = dict(zip(newest.feature_names, indices.tolist(), strict=True))
    drift_picture(drift, folder / "drift.png")
    ranked = pd.Series(drift, name="stability_index").sort_values(ascending=False)
    ranked.to_csv(folder / "drift.csv", index_label="feature")
    return drift
