"""The gate's rule on paired predictions: which challenger replaces the champion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.gate import GateSettings, judge, outcome_log_loss
from worlds.sealed_scores import CUSTOMERS, CUTOFFS, sealed

SETTINGS = GateSettings(resamples=300)


def test_the_loss_is_minus_the_logarithm_of_the_probability_of_what_happened() -> None:
    scored = pd.DataFrame(
        {
            "risk_voluntary_4w": [0.2, 0.2, 0.2],
            "risk_involuntary_4w": [0.1, 0.1, 0.1],
            "outcome_4w": ["stayed", "voluntary", "involuntary"],
        }
    )
    assert outcome_log_loss(scored, "4w") == pytest.approx(-np.log([0.7, 0.2, 0.1]))


@pytest.mark.parametrize("refresh", [False, True])
def test_a_worse_challenger_leaves_the_champion(refresh: bool) -> None:
    decision = judge(sealed(), sealed(noise=1.5), "4w", SETTINGS, refresh=refresh)
    assert not decision.promote
    assert decision.figures["difference_low"] > 0
    assert decision.figures["challenger_log_loss"] > decision.figures["champion_log_loss"]


def test_a_better_challenger_moves_it() -> None:
    decision = judge(sealed(noise=1.5), sealed(), "4w", SETTINGS, refresh=False)
    assert decision.promote
    assert decision.figures["difference_high"] < 0
    assert decision.reason.startswith("Better by the whole interval: the challenger's log loss")


def test_a_tie_between_configurations_keeps_it_and_a_refresh_moves_it() -> None:
    tie = judge(sealed(), sealed(), "4w", SETTINGS, refresh=False)
    assert not tie.promote
    assert tie.figures["difference"] == tie.figures["difference_high"] == 0
    assert judge(sealed(), sealed(), "4w", SETTINGS, refresh=True).promote


def test_a_difference_within_chance_keeps_it() -> None:
    decision = judge(sealed(0.5, seed=1), sealed(0.5, seed=2), "4w", SETTINGS, refresh=False)
    assert decision.figures["difference_low"] < 0 < decision.figures["difference_high"]
    assert not decision.promote


def test_a_refresh_may_be_worse_by_the_margin_and_no_more() -> None:
    champion, challenger = sealed(), sealed(noise=0.15)
    kept = judge(champion, challenger, "4w", GateSettings(margin=0.0, resamples=300), refresh=True)
    assert not kept.promote
    worst = kept.figures["difference_high"] / kept.figures["champion_log_loss"]
    for margin, promote in ((worst * 1.01, True), (worst * 0.99, False)):
        settings = GateSettings(margin=margin, resamples=300)
        decision = judge(champion, challenger, "4w", settings, refresh=True)
        assert decision.promote is promote
        verdict = "within" if promote else "not within"
        assert decision.reason.startswith(f"A refresh {verdict} the margin of ")


@pytest.mark.parametrize(("weeks_later", "comparable"), [(0, True), (1, False), (4, False)])
def test_too_few_common_snapshots_are_not_comparable(weeks_later: int, comparable: bool) -> None:
    champion, challenger = sealed(noise=1.5), sealed(first=weeks_later)
    decision = judge(champion, challenger, "4w", SETTINGS, refresh=True)
    assert decision.promote == comparable
    assert decision.reason.startswith("Not comparable") != comparable
    assert decision.figures["common_share"] == pytest.approx(1 - weeks_later / CUTOFFS)


def test_pairs_are_found_whatever_the_order_and_unknown_outcomes_are_left_out() -> None:
    champion, challenger = sealed(noise=1.5), sealed()
    shuffled = champion.sample(frac=1, random_state=3, ignore_index=True)
    one, two = (judge(c, challenger, "4w", SETTINGS, refresh=False) for c in (champion, shuffled))
    assert one == two
    challenger.loc[:9, "outcome_4w"] = None
    assert judge(champion, challenger, "4w", SETTINGS, refresh=False).figures["snapshots"] == 1590


def test_customers_are_resampled_and_not_rows() -> None:
    champion, challenger = sealed(noise=0.8, seed=1), sealed(noise=0.8, seed=2)
    own = judge(champion, challenger, "4w", SETTINGS, refresh=False).figures
    alone = [
        table.assign(customer_id=[str(row) for row in range(len(table))])
        for table in (champion, challenger)
    ]
    as_rows = judge(*alone, "4w", SETTINGS, refresh=False).figures
    assert own["difference"] == pytest.approx(as_rows["difference"])
    assert own["customers"] == CUSTOMERS
    assert as_rows["customers"] == CUSTOMERS * CUTOFFS
