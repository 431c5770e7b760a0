"""The backtest scores what it should and measures only what is known."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from models.backtest import Backtest, backtest, learners
from models.evaluation import EvaluationSettings, evaluation_report
from models.metrics import METRICS
from models.split import refit_block, rolling_blocks
from worlds.risk_world import LAST, MODEL, SPLIT, risk_world

EVALUATION = EvaluationSettings(resamples=60)
BLOCKS = rolling_blocks(0, LAST, SPLIT)
MODELS = ["competing_risks", "logistic_regression", "recency_rule", "base_rate"]


@cache
def example() -> tuple[Backtest, dict]:
    rivals = learners(MODEL, "days_since_last_use")
    result = backtest(risk_world(), BLOCKS, rivals, MODEL)
    return result, evaluation_report(result.table, MODEL.labels, EVALUATION)


def test_every_model_scores_exactly_the_test_snapshots() -> None:
    table = example()[0].table
    data = risk_world()
    assert list(dict.fromkeys(table["model"])) == MODELS
    for number, block in enumerate(BLOCKS):
        assert block.test
        expected = {
            (customer, cutoff)
            for customer, cutoff in zip(data.customer_id, data.cutoff, strict=True)
            if block.test.first <= cutoff <= block.test.last
        }
        for name in MODELS:
            rows = table[(table["model"] == name) & (table["block"] == number)]
            keys = list(zip(rows["customer_id"], rows["cutoff"], strict=True))
            assert keys == sorted(expected)


def test_scored_rows_carry_what_is_known_of_them() -> None:
    table = example()[0].table
    data = risk_world()
    row = table[table["model"] == "competing_risks"].iloc[123]
    (at,) = np.flatnonzero(
        (data.customer_id == row["customer_id"]) & (data.cutoff == row["cutoff"])
    )
    assert row["mrr"] == data.mrr[at]
    assert row["segment"] == data.segment[at]
    assert row["tenure_periods"] == data.tenure_periods[at]
    names = np.array(["stayed", "voluntary", "involuntary"])
    assert [row[f"outcome_{label}"] for label in MODEL.labels] == names[data.outcome[at]].tolist()


def test_a_backtest_repeats_to_the_bit() -> None:
    few = {name: learners(MODEL, None)[name] for name in ("competing_risks", "base_rate")}
    tables = [backtest(risk_world(100), BLOCKS[:1], few, MODEL).table for _ in range(2)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_the_refit_has_nothing_to_score() -> None:
    with pytest.raises(ValueError, match="no test cutoffs"):
        backtest(risk_world(100), [refit_block(0, LAST, SPLIT)], {"base_rate": None}, MODEL)


def test_the_model_beats_simpler_ones_and_is_calibrated() -> None:
    measured = example()[1]
    for cause in ("voluntary", "involuntary"):
        for label in MODEL.labels:
            for rival in ("base_rate", "recency_rule"):
                ahead = measured["differences"][rival][cause][label]["log_loss"]
                assert ahead["value"] < 0
                if (cause, rival) != ("voluntary", "recency_rule"):
                    assert ahead["high"] < 0
            figures = measured["pooled"]["competing_risks"][cause][label]
            slope = figures["calibration_slope"]
            assert slope["low"] < 1 < slope["high"]
            assert figures["auroc"]["low"] > 0.6
            # One rate per block: it distinguishes weeks at best, not customers.
            chance = measured["pooled"]["base_rate"][cause][label]["auroc"]["value"]
            assert chance == pytest.approx(0.5, abs=0.05)


def test_the_report_has_every_metric_everywhere_and_fits_json() -> None:
    measured = example()[1]
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert list(measured["blocks"]) == ["0", "1"]
    assert len(measured["weeks"]) == SPLIT.test_blocks * SPLIT.test_periods
    assert list(measured["segments"]) == ["large", "small"]
    for section in ("blocks", "weeks", "segments"):
        for models in measured[section].values():
            assert list(models) == MODELS
            assert set(models["base_rate"]["voluntary"]["2w"]) == {"rows", "events", *METRICS}
    total = measured["pooled"]["base_rate"]["voluntary"]["2w"]
    for section in ("blocks", "weeks", "segments"):
        parts = [models["base_rate"]["voluntary"]["2w"] for models in measured[section].values()]
        assert sum(part["rows"] for part in parts) == total["rows"]
        assert sum(part["events"] for part in parts) == total["events"]
    assert total["log_loss"]["low"] < total["log_loss"]["value"] < total["log_loss"]["high"]


def handmade(outcomes: list[str | None], risks: list[float], model: str = "a") -> pd.DataFrame:
    """Scored snapshots of one horizon, one row per customer, every other one new."""
    rows = len(outcomes)
    return pd.DataFrame(
        {
            "model": model,
            "block": 0,
            "customer_id": [f"C{number}" for number in range(rows)],
            "cutoff": 5,
            "mrr": 100,
            "segment": [None] * rows,
            "tenure_periods": [12, 13] * (rows // 2),
            "risk_voluntary_4w": risks,
            "risk_involuntary_4w": 0.01,
            "risk_contraction_4w": 0.02,
            "contracted": pd.array([pd.NA] * rows, dtype="boolean"),
            "outcome_4w": pd.array(outcomes, dtype="str"),
        }
    )


def test_unknown_outcomes_are_left_out_and_another_cause_is_no_event() -> None:
    outcomes = ["voluntary", None, "stayed", None, "involuntary", "stayed"]
    table = handmade(outcomes, [0.9, 0.1, 0.2, 0.9, 0.1, 0.3])
    measured = evaluation_report(table, ["4w"], EVALUATION)
    voluntary = measured["pooled"]["a"]["voluntary"]["4w"]
    assert (voluntary["rows"], voluntary["events"]) == (4, 1)
    kept = np.array([0.9, 0.2, 0.1, 0.3])
    loss = -np.log([0.9, 0.8, 0.9, 0.7]).mean()
    assert voluntary["log_loss"]["value"] == pytest.approx(loss)
    assert voluntary["auroc"]["value"] == roc_auc_score([1, 0, 0, 0], kept)
    assert measured["pooled"]["a"]["involuntary"]["4w"]["events"] == 1
    # Customers 0, 2 and 4 are in their first 13 periods.
    assert measured["newcomers"]["a"]["voluntary"]["4w"]["rows"] == 3
    assert list(measured["segments"]) == ["none"]


def test_contraction_is_measured_where_it_is_known() -> None:
    table = handmade(["stayed", "voluntary", "stayed", None], [0.1, 0.2, 0.3, 0.4])
    assert "contraction" not in evaluation_report(table, ["4w"], EVALUATION)
    table["contracted"] = pd.array([True, False, False, pd.NA], dtype="boolean")
    table["risk_contraction_4w"] = [0.3, 0.2, 0.1, 0.9]
    cell = evaluation_report(table, ["4w"], EVALUATION)["contraction"]["a"]
    assert (cell["rows"], cell["events"]) == (3, 1)
    assert cell["auroc"]["value"] == 1.0


def test_churned_customers_did_not_contract_and_unknown_ones_stay_unknown() -> None:
    table = example()[0].table
    last = f"outcome_{MODEL.labels[-1]}"
    left = table[last].isin(["voluntary", "involuntary"])
    assert not table.loc[left, "contracted"].any()
    assert table.loc[table[last].isna(), "contracted"].isna().all()
    assert table.loc[table[last] == "stayed", "contracted"].mean() == pytest.approx(0.14, abs=0.05)
    measured = example()[1]["contraction"]
    assert measured["competing_risks"]["auroc"]["low"] > 0.55
    assert measured["base_rate"]["auroc"]["value"] == pytest.approx(0.5, abs=0.05)


def test_no_known_outcome_at_all_is_reported_and_not_raised() -> None:
    measured = evaluation_report(handmade([None] * 4, [0.1] * 4), ["4w"], EVALUATION)
    figures = measured["pooled"]["a"]["voluntary"]["4w"]
    assert figures["rows"] == 0
    assert figures["auroc"] == {"value": None, "low": None, "high": None}
    json.dumps(measured, allow_nan=False)


def test_models_are_compared_on_the_same_snapshots_only() -> None:
    one = handmade(["stayed", "voluntary"], [0.1, 0.2])
    table = pd.concat([one, one.iloc[:1].assign(model="b")])
    with pytest.raises(ValueError, match="same snapshots"):
        evaluation_report(table, ["4w"], EVALUATION)


def test_differences_are_paired() -> None:
    random = np.random.default_rng(0)
    risks = random.beta(1, 5, 400)
    outcomes = np.where(random.random(400) < risks, "voluntary", "stayed").tolist()
    table = pd.concat(
        [handmade(outcomes, risks, "a"), handmade(outcomes, np.clip(risks * 1.001, 0, 1), "b")]
    )
    measured = evaluation_report(
        table.sample(frac=1, random_state=1).sort_values("model"), ["4w"], EVALUATION
    )
    difference = measured["differences"]["b"]["voluntary"]["4w"]["log_loss"]
    alone = measured["pooled"]["a"]["voluntary"]["4w"]["log_loss"]
    assert difference["high"] - difference["low"] < (alone["high"] - alone["low"]) / 100
