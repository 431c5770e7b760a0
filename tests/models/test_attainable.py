"""Skill against ceilings: hand-computed shares, and an oracle on the same snapshots."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from models.attainable import attainable_shares, ceiling_figures, skill, with_oracle
from models.tables import ORACLE


def pooled(**log_losses: float) -> Any:
    return {
        model: {
            cause: {"4w": {"log_loss": {"value": value}, "average_precision": {"value": None}}}
            for cause in ("voluntary", "involuntary")
        }
        for model, value in log_losses.items()
    }


def test_a_share_is_the_improvement_over_the_base_as_part_of_the_ceilings() -> None:
    # The model takes 0.20 to 0.17, the ceiling to 0.15: three fifths of what can be had.
    figures = pooled(base_rate=0.20, model=0.17, oracle=0.15)
    reached = ceiling_figures(figures, "model", "base_rate")
    ceiling = ceiling_figures(figures, "oracle", "base_rate")
    shares = attainable_shares(reached, ceiling)
    assert shares["voluntary"]["4w"]["log_loss"] == pytest.approx(0.6)
    assert shares["voluntary"]["4w"]["average_precision"] is None


def test_more_precision_is_better_and_less_loss_is() -> None:
    assert skill(0.3, 0.1, less_is_better=False) == pytest.approx(0.2)
    assert skill(0.15, 0.20, less_is_better=True) == pytest.approx(0.25)
    no_skill = {cause: {"4w": {"log_loss": 0.0}} for cause in ("voluntary", "involuntary")}
    assert attainable_shares(no_skill, no_skill)["voluntary"]["4w"]["log_loss"] is None


def test_the_oracle_scores_exactly_the_snapshots_of_the_models() -> None:
    table = pd.DataFrame(
        {
            "model": ["a"] * 3 + ["b"] * 3,
            "block": 0,
            "customer_id": ["x", "y", "z"] * 2,
            "cutoff": [1, 1, 2] * 2,
            "risk_voluntary_4w": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            "outcome_4w": ["stayed", "voluntary", "stayed"] * 2,
        }
    )
    truth = pd.DataFrame(
        {"customer_id": ["z", "x", "x"], "cutoff": [2, 1, 2], "risk_voluntary_4w": [0.9, 0.8, 0.7]}
    )
    both = with_oracle(table, truth)
    assert list(both["model"]) == ["a", "a", "b", "b", ORACLE, ORACLE]
    oracle = both[both["model"] == ORACLE].set_index("customer_id")
    assert oracle["risk_voluntary_4w"].to_dict() == {"x": 0.8, "z": 0.9}
    assert oracle["outcome_4w"].to_dict() == {"x": "stayed", "z": "stayed"}
