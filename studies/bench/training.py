"""Measurements of ``make bench``: training beside bare LightGBM, scoring, and reasons.

``measurements()`` returns the rows; each measurement runs in its own process, so that its peak
memory is its own: ``python -m studies.bench.training <what> <rows> <rounds>``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import resource
import subprocess
import sys
import time
from typing import Any

import lightgbm as lgb
import numpy as np

from data.coded import UNKNOWN
from data.contracts import CAUSES
from models.boosters import NAME, booster_learner, lightgbm_parameters
from models.competing_risks import ModelSettings, fit_risk_model
from models.explain import explain
from models.risk_data import RiskData
from models.split import Slices, Span
from pipelines.modelling import model_settings
from pipelines.params import load_params
from pipelines.stage import run_stage

logger = logging.getLogger("bench")
ROWS, FEATURES, ROUNDS = 1_000_000, 150, 100
# The stop and the calibrate slice each have this fraction of the train slice's rows: one in n.
PART = 20
LISTED = 80


def made_up(rows: int) -> tuple[RiskData, Slices]:
    """Draw snapshots of noise in which five features matter: train, stop and calibrate slice."""
    random = np.random.default_rng(0)
    spans = np.repeat([0, 1, 2], [rows, rows // PART, rows // PART])
    X = random.standard_normal((len(spans), FEATURES), dtype=np.float32)
    X[:, FEATURES // 2 :] = np.rint(np.abs(X[:, FEATURES // 2 :]) * 3)
    chance = 1 / (1 + np.exp(4 - 0.4 * X[:, :5].sum(axis=1)))
    cause = np.where(np.arange(len(spans)) % 3 == 0, 2, 1)
    outcome = np.where(random.random(len(spans)) < chance, cause, 0).astype(np.int8)
    everyone = np.zeros(len(spans), np.int64)
    data = RiskData(
        X=X,
        feature_names=tuple(f"feature_{number}" for number in range(FEATURES)),
        customer_id=everyone,
        cutoff=spans,
        outcome=outcome[:, None],
        mrr=everyone,
        mrr_later=np.full(len(spans), UNKNOWN, np.int64),
        segment=everyone,
        tenure_periods=everyone,
    )
    return data, Slices(Span(0, 0), Span(1, 1), Span(2, 2))


def settings_of(rounds: int) -> ModelSettings:
    """The project's settings, one interval and a fixed number of trees: both sides grow as many."""
    params = load_params()
    settings = model_settings(params, {})
    return dataclasses.replace(
        settings,
        horizons=settings.horizons[:1],
        labels=settings.labels[:1],
        num_boost_round=rounds,
        early_stopping_rounds=rounds,
    )


def train_ours(rows: int, rounds: int) -> dict[str, float]:
    """Fit, calibrate and check the hazards of one interval, one per cause."""
    data, slices = made_up(rows)
    settings = settings_of(rounds)
    began = time.perf_counter()
    fit_risk_model(NAME, booster_learner(settings), data, [slices], settings)
    return {"seconds": time.perf_counter() - began}


def train_bare(rows: int, rounds: int) -> dict[str, float]:
    """Run ``lightgbm.train`` for the same boosters on the same rows, from prepared arrays."""
    data, slices = made_up(rows)
    settings = settings_of(rounds)
    # Slices follow each other, so these are views, not copies.
    ends = np.searchsorted(data.cutoff, [slices.stop.first, slices.calibrate.first])
    (X_train, X_stop, _), (y_train, y_stop, _) = (
        np.split(array, ends) for array in (data.X, data.outcome[:, 0])
    )
    params = lightgbm_parameters(settings)
    began = time.perf_counter()
    train = lgb.Dataset(X_train, params=params)
    stop = lgb.Dataset(X_stop, params=params, reference=train)
    for code, _ in enumerate(CAUSES, start=1):
        train.set_label(y_train == code)
        stop.set_label(y_stop == code)
        lgb.train(params, train, rounds, valid_sets=[stop])
    return {"seconds": time.perf_counter() - began}


def score(rows: int, rounds: int) -> dict[str, float]:
    """Score ``rows`` customers, then explain as many as are on a list."""
    data, slices = made_up(max(rows, 20_000))
    settings = settings_of(rounds)
    model = fit_risk_model(NAME, booster_learner(settings), data, [slices], settings)
    X = data.X[:rows]
    began = time.perf_counter()
    model.predict(X, data.feature_names)
    scored = time.perf_counter()
    for cause in CAUSES:
        explain(model, X[: LISTED // len(CAUSES)], data.feature_names, cause)
    return {"seconds": scored - began, "reasons_seconds": time.perf_counter() - scored}


MEASURED = {"train_ours": train_ours, "train_bare": train_bare, "score": score}


def measurements(rows: int = ROWS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Run every measurement, a row each: what, rows, features, trees, seconds, peak GiB, ratios."""
    figures = {what: _in_a_process(what, rows, rounds) for what in MEASURED}
    bare = figures["train_bare"]
    for figure in ("seconds", "peak_gib"):
        ratio = figures["train_ours"][figure] / bare[figure]
        figures["train_ours"][f"{figure}_over_bare"] = round(ratio, 3)
    scored = figures["score"]
    scored["reasons_over_scoring"] = round(scored["reasons_seconds"] / scored["seconds"], 3)
    return list(figures.values())


def _in_a_process(what: str, rows: int, rounds: int) -> dict[str, Any]:
    logger.info("%s, %d rows, %d trees a booster", what, rows, rounds)
    command = [sys.executable, "-m", "studies.bench.training", what, str(rows), str(rounds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Print one measurement as JSON if there are arguments, else all of them."""
    if len(sys.argv) == 1:
        sys.stdout.write(json.dumps(measurements(), indent=2) + "\n")
        return
    what, rows, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    figures = MEASURED[what](rows, rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = {"what": what, "rows": rows, "features": FEATURES, "trees": rounds}
    rounded = {name: round(value, 3) for name, value in figures.items()}
    sys.stdout.write(json.dumps(row | rounded | {"peak_gib": round(peak, 3)}) + "\n")


if __name__ == "__main__":
    run_stage(main)
