"""A small world whose true hazards are known, as the arrays that models are trained on."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from data.coded import UNKNOWN
from models.competing_risks import ModelSettings, compose
from models.model_settings import SplitSettings
from models.risk_data import RiskData

SPLIT = SplitSettings(
    horizons=(2, 4, 6),
    follow_up_periods=1,
    stop_periods=4,
    calibrate_periods=6,
    test_periods=4,
    test_blocks=2,
)
MODEL = ModelSettings(
    threads=1,
    horizons=SPLIT.horizons,
    labels=("2w", "4w", "6w"),
    lightgbm={"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 50, "bagging_freq": 1,
              "bagging_fraction": 0.8, "feature_fraction": 0.8, "max_bin": 63},
    linear_strength=0.01,
    num_boost_round=150,
    early_stopping_rounds=15,
)  # fmt: skip
NAMES = ("days_since_last_use", "failed_payments", "price_rise", "noise_1", "noise_2")
LAST = 59


def true_risks(X: np.ndarray) -> np.ndarray:
    """Cumulative risks (n, causes, horizons): the same hazards in each of the three intervals."""
    voluntary = expit(-2.6 + 0.9 * X[:, 0] + 0.5 * X[:, 2])
    involuntary = expit(-3.6 + 1.2 * X[:, 1])
    hazards = np.repeat(np.column_stack([voluntary, involuntary])[:, :, None], 3, axis=2)
    return compose(hazards)[0]


def risk_world(customers: int = 300, seed: int = 0, last: int = LAST) -> RiskData:
    """Every customer at every cutoff from 0 to ``last``, with features drawn at each.

    Outcomes that are not known at ``last`` are unknown.
    """
    random = np.random.default_rng(seed)
    customer, cutoff = (grid.ravel() for grid in np.mgrid[:customers, : last + 1])
    X = random.normal(size=(len(customer), len(NAMES))).astype(np.float32)
    risks = true_risks(X)
    # One uniform number per row decides when and by which cause it churns.
    chance = random.random(len(customer))[:, None]
    left = risks.sum(axis=1)
    first = np.argmax(chance < left, axis=1)
    rows = np.arange(len(customer))
    before = np.where(first > 0, left[rows, first - 1], 0.0)
    step = risks[rows, 0, first] - np.where(first > 0, risks[rows, 0, first - 1], 0.0)
    cause = np.where(chance[:, 0] < before + step, 1, 2)
    outcome = np.where(chance < left, cause[:, None], 0).astype(np.int8)
    known_at = cutoff[:, None] + np.array(SPLIT.horizons) + SPLIT.follow_up_periods
    outcome[known_at > last] = UNKNOWN
    mrr = (1000 * random.lognormal(1, 1, len(customer))).astype(np.int64)
    less = random.random(len(customer)) < expit(-2 + 0.8 * X[:, 2])
    mrr_later = np.where(less, mrr // 2, mrr)
    mrr_later[outcome[:, -1] != 0] = UNKNOWN
    return RiskData(
        X=X,
        feature_names=NAMES,
        customer_id=np.array([f"C{number:04d}" for number in customer], dtype=object),
        cutoff=cutoff.astype(np.int64),
        outcome=outcome,
        mrr=mrr,
        mrr_later=mrr_later,
        segment=np.array(["small", "large"], dtype=object)[customer % 2],
        tenure_periods=cutoff + customer % 20,
    )
