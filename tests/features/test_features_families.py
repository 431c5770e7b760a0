"""Families of features on logs written by hand, with the values counted by hand."""

from __future__ import annotations

import datetime as dt
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from data.engine import Engine
from features.feature_settings import FeatureSettings
from worlds.handmade import at
from worlds.handmade_features import LONG_AGO, SETTINGS, features_of

CUTOFF = at(10)


@pytest.fixture
def at_cutoff(engine: Engine, tmp_path: Path) -> Any:
    """Features of customer "a" at CUTOFF, from logs in which that customer need not be named."""

    def build(
        settings: Any = SETTINGS,
        cutoff: Any = CUTOFF,
        signed_up_at: dt.datetime | None = LONG_AGO,
        **logs: Any,
    ) -> Any:
        rows = {name: [{"customer_id": "a"} | row for row in log] for name, log in logs.items()}
        return features_of(rows, [cutoff], tmp_path, engine, settings, signed_up_at)["a", cutoff]

    return build


def use(when: dt.datetime, count: int = 1, feature: str = "login", **more: Any) -> dict:
    return {"event_at": when, "feature": feature, "count": count, "duration_s": 60 * count} | more


def subscription(when: dt.datetime, kind: str, **more: Any) -> dict:
    return {"event_at": when, "kind": kind, "subscription_id": "s"} | more


def ticket(
    when: dt.datetime, kind: str, ticket_id: str = "t", author: Any = "customer", **more: Any
) -> dict:
    return {"event_at": when, "kind": kind, "ticket_id": ticket_id, "author": author} | more


def payment(when: dt.datetime, kind: str, invoice_id: str | None = "i", **more: Any) -> dict:
    return {"event_at": when, "kind": kind, "invoice_id": invoice_id} | more


# Engagement


def test_own_norm_comes_from_the_time_before_the_window(at_cutoff: Any) -> None:
    # Windows of 2 and 4 weeks: 6 uses in the two weeks before the last two.
    row = at_cutoff(usage=[use(at(6, days=1), 4), use(at(7, days=1), 2), use(at(9, days=1), 3)])
    assert row["uses_2w"] == 3
    assert row["uses_usual_2w"] == 6
    assert row["uses_2w_vs_4w"] == 0.5


def test_own_norm_is_missing_until_there_is_as_much_past_as_present(at_cutoff: Any) -> None:
    log = [{"customer_id": "b"} | use(at(0)), use(at(7, days=2), 4), use(at(9, days=1))]
    row = at_cutoff(usage=log, signed_up_at=at(7, days=1))  # three weeks ago
    assert math.isnan(row["uses_usual_2w"])
    assert math.isnan(row["uses_2w_vs_4w"])
    assert at_cutoff(usage=log, signed_up_at=at(6, days=1))["uses_usual_2w"] == 4


def test_breadth_is_compared_with_windows_of_the_same_length(at_cutoff: Any) -> None:
    log = [
        use(at(0)),
        use(at(7, days=1), feature="login"),
        use(at(7, days=2), feature="report"),
        use(at(9, days=1), feature="login"),
    ]
    row = at_cutoff(usage=log)
    assert (row["features_used_2w"], row["features_used_usual_2w"]) == (1, 2)
    assert row["features_used_2w_vs_4w"] == 0.5
    assert row["features_given_up_2w"] == 1
    assert row["features_new_2w"] == 0


def test_a_feature_first_used_in_the_window_is_new(at_cutoff: Any) -> None:
    row = at_cutoff(usage=[use(at(1)), use(at(9, days=1)), use(at(9, days=1), feature="api")])
    assert (row["features_new_2w"], row["features_used_ever"]) == (1, 2)


def test_slope_of_a_straight_line(at_cutoff: Any) -> None:
    settings = FeatureSettings((1, 4, 8))
    rising = [use(at(weeks, days=1), 10 + 3 * weeks) for weeks in range(2, 10)]
    row = at_cutoff(settings, usage=rising)
    mean = sum(10 + 3 * weeks for weeks in range(2, 10)) / 8
    assert row["uses_slope_8w_relative"] == pytest.approx(3 / mean)
    assert row["active_days_slope_8w"] == 0


def test_slope_begins_at_sign_up_and_counts_silent_periods(at_cutoff: Any) -> None:
    settings = FeatureSettings((1, 4, 8))
    row = at_cutoff(settings, usage=[use(at(6, days=1), 4)], signed_up_at=at(6, hours=1))
    # Four weeks of the customer's own: 4, 0, 0, 0 uses; slope -1.2, mean 1.
    assert row["uses_slope_8w_relative"] == pytest.approx(-1.2)


def test_volatility_is_the_coefficient_of_variation_and_late_rows_share_a_period(
    at_cutoff: Any,
) -> None:
    settings = FeatureSettings((1, 2, 4))
    log = [
        use(at(6, days=1), 2),
        use(at(7, days=1), 1),
        use(at(7, days=2), 1, available_at=at(8, days=3)),  # 2 in the week of its event
        use(at(8, days=1), 2),
        use(at(9, days=1), 6),
    ]
    row = at_cutoff(settings, usage=log)
    assert row["uses_volatility_4w"] == pytest.approx(math.sqrt(3) / 3)  # 2, 2, 2, 6


def test_concentration_of_use(at_cutoff: Any) -> None:
    log = [use(at(9, days=1), 3), use(at(9, days=2), 1, feature="report")]
    row = at_cutoff(usage=log)
    assert row["use_concentration_2w"] == pytest.approx(10 / 16)
    assert row["top_feature_share_2w"] == pytest.approx(3 / 4)


def test_core_features_apart(at_cutoff: Any) -> None:
    log = [use(at(9), 5, "report"), use(at(9, days=3), 2, "export")]
    row = at_cutoff(usage=log)
    assert (row["core_features_used_2w"], row["uses_of_report_2w"], row["uses_of_login_2w"]) == (
        1, 5, 0,
    )  # fmt: skip
    assert row["days_since_report"] == 7
    assert math.isnan(row["days_since_login"])


def test_the_first_weeks_are_counted_from_sign_up(at_cutoff: Any) -> None:
    first_known = use(at(-1))  # of any customer: the log is there before the sign-up
    log = [
        {"customer_id": "b"} | first_known,
        use(at(3, days=2), 7, "report"),
        use(at(4, days=1), 1),
        use(at(8), 50),
    ]
    row = at_cutoff(usage=log, signed_up_at=at(3, days=1))
    assert row["first_2w_uses"] == 8
    assert row["first_2w_active_days"] == row["first_2w_features"] == 2
    assert row["days_to_first_use"] == row["days_to_first_core_use"] == 1


def test_the_first_weeks_are_unknown_where_the_log_began_later(at_cutoff: Any) -> None:
    row = at_cutoff(usage=[use(at(3))], signed_up_at=at(0))
    assert math.isnan(row["first_2w_uses"])
    assert math.isnan(row["days_to_first_use"])


# Support


def test_a_ticket_from_opening_to_reopening(at_cutoff: Any) -> None:
    log = [
        ticket(at(7), "opened", priority="normal", category="billing"),
        ticket(at(7, hours=5), "replied", author="agent"),
        ticket(at(7, hours=6), "priority_changed", author="agent", priority="urgent"),
        ticket(at(8), "solved", author="agent"),
        ticket(at(9), "reopened"),
    ]
    before = at_cutoff(tickets=log[:4])
    assert before["tickets_open_now"] == before["unsolved_ticket_share_4w"] == 0
    assert before["hours_to_solve_4w"] == 7 * 24
    assert before["hours_to_first_reply_4w"] == 5
    after = at_cutoff(tickets=log)
    assert after["tickets_open_now"] == after["urgent_tickets_open_now"] == 1
    assert after["tickets_awaiting_first_reply"] == 0
    assert (after["tickets_awaiting_answer"], after["longest_wait_days"]) == (1, 7)
    assert after["oldest_open_ticket_days"] == 21
    assert after["unsolved_ticket_share_4w"] == 1
    assert after["most_reopened_ticket"] == after["escalations_4w"] == 1
    assert math.isnan(after["hours_to_solve_4w"])
    assert after["billing_ticket_share_4w"] == 1


def test_a_solution_that_is_known_late_leaves_the_ticket_open_until_then(at_cutoff: Any) -> None:
    log = [ticket(at(8), "opened"), ticket(at(9), "solved", available_at=at(10, days=1))]
    assert at_cutoff(tickets=log)["tickets_open_now"] == 1
    assert at_cutoff(tickets=log, cutoff=at(11))["tickets_open_now"] == 0


def test_an_opening_that_is_known_late_does_not_reopen_a_solved_ticket(at_cutoff: Any) -> None:
    log = [ticket(at(8), "opened", available_at=at(9, days=6)), ticket(at(9), "solved")]
    row = at_cutoff(tickets=log)
    assert (row["tickets_open_now"], row["tickets_opened_4w"]) == (0, 1)


def test_ratings(at_cutoff: Any) -> None:
    log = [ticket(at(7), "rated", score=5), ticket(at(9), "rated", "t2", score=2)]
    row = at_cutoff(tickets=log)
    assert (row["mean_rating_4w"], row["last_rating"], row["bad_ratings_4w"]) == (3.5, 2, 1)


def test_surveys(at_cutoff: Any) -> None:
    log = [
        {"event_at": at(2), "kind": "nps", "score": 9},
        {"event_at": at(8), "kind": "nps", "score": 3},
        {"event_at": at(9), "kind": "csat", "score": 4},
    ]
    row = at_cutoff(surveys=log)
    assert (row["last_nps"], row["mean_csat_4w"], row["surveys_answered_4w"]) == (3, 4, 2)


# Payments


def test_an_invoice_through_dunning_to_recovery(at_cutoff: Any) -> None:
    log = [
        payment(at(8), "due", amount=5000, due_at=at(8, days=1)),
        payment(at(8, days=1), "failed", attempt=1, decline_code="expired_card",
                next_attempt_at=at(9)),
        payment(at(9), "failed", attempt=2, decline_code="insufficient_funds",
                next_attempt_at=at(10, days=2)),
        payment(at(10, days=1), "succeeded", amount=5000),
    ]  # fmt: skip
    row = at_cutoff(payments=log)
    assert row["in_dunning"] == row["invoices_past_due"] == 1
    assert (row["dunning_attempt"], row["days_to_next_attempt"]) == (2, 2)
    assert row["days_past_due"] == row["days_in_dunning"] == 13
    assert (row["amount_past_due"], row["no_attempt_planned"]) == (5000, 0)
    assert row["failed_payments_card_2w"] == row["failed_payments_funds_2w"] == 1
    assert row["failed_payments_soft_2w"] == row["failed_payments_hard_2w"] == 0
    assert row["failed_invoice_share_4w"] == row["failed_attempt_share_4w"] == 1
    row = at_cutoff(payments=log, cutoff=at(11))
    assert row["in_dunning"] == row["days_past_due"] == row["amount_past_due"] == 0
    assert row["recovered_4w"] == row["recovered_ever"] == row["paid_late_4w"] == 1
    assert row["mean_days_late_4w"] == 14
    assert row["failed_attempt_share_4w"] == pytest.approx(2 / 3)


def test_the_last_attempt_without_a_next_one(at_cutoff: Any) -> None:
    log = [
        payment(at(9), "due", amount=100, due_at=at(9)),
        payment(at(9), "failed", attempt=4, decline_code="do_not_honor"),
    ]
    row = at_cutoff(payments=log)
    assert (row["no_attempt_planned"], row["dunning_attempt"]) == (1, 4)
    assert math.isnan(row["days_to_next_attempt"])
    assert row["failed_payments_soft_2w"] == 1


def test_an_invoice_that_is_due_later_or_written_off_is_not_past_due(at_cutoff: Any) -> None:
    log = [
        payment(at(9), "due", amount=100, due_at=at(10, days=3)),
        payment(at(7), "due", "old", amount=100, due_at=at(7)),
        payment(at(9), "written_off", "old", amount=100),
    ]
    row = at_cutoff(payments=log)
    assert (row["invoices_past_due"], row["days_to_next_due"]) == (0, 3)


def test_a_payment_on_time_is_not_late(at_cutoff: Any) -> None:
    log = [
        payment(at(8), "due", amount=100, due_at=at(8)),
        payment(at(8, hours=23), "succeeded", amount=100),
    ]
    row = at_cutoff(payments=log)
    assert row["paid_late_4w"] == row["mean_days_late_4w"] == row["recovered_ever"] == 0


def test_the_card_on_file_against_the_renewal(at_cutoff: Any) -> None:
    contract = [subscription(at(0), "activated", mrr=100, renews_at=at(12))]
    card = payment(at(1), "method_updated", None, method="card", card_expires_on=at(11))
    row = at_cutoff(payments=[card], subscriptions=contract)
    assert row["card_expires_before_renewal"] == row["card_expires_within_2w"] == 1
    assert (row["card_expired"], row["days_to_card_expiry"]) == (0, 7)
    assert (row["pays_by_card"], row["pays_by_direct_debit"]) == (1, 0)
    late = card | {"card_expires_on": at(13)}
    assert at_cutoff(payments=[late], subscriptions=contract)["card_expires_before_renewal"] == 0


def test_a_card_that_gave_way_to_direct_debit_is_forgotten(at_cutoff: Any) -> None:
    log = [
        payment(at(1), "method_updated", None, method="card", card_expires_on=at(5)),
        payment(at(4), "method_updated", None, method="direct_debit"),
    ]
    row = at_cutoff(payments=log)
    assert (row["card_expired"], row["pays_by_direct_debit"], row["method_updates_4w"]) == (0, 1, 0)
    assert math.isnan(row["days_to_card_expiry"])
    assert row["days_since_method_update"] == 42


# Lifecycle


def test_a_contract_and_its_changes(at_cutoff: Any) -> None:
    log = [
        subscription(at(-1), "trial_started", trial_ends_at=at(1)),
        subscription(at(1), "activated", mrr=1000, seats=10, billing_interval="year",
                     renews_at=at(53), discount_ends_at=at(9, days=1)),
        subscription(at(7), "price_changed", mrr=1200),
        subscription(at(8), "interval_changed", billing_interval="month", renews_at=at(12)),
        subscription(at(9), "plan_changed", mrr=600, seats=5),
    ]  # fmt: skip
    row = at_cutoff(subscriptions=log)
    assert (row["mrr"], row["seats"], row["mrr_per_seat"]) == (600, 5, 120)
    assert (row["tenure_weeks"], row["weeks_since_sign_up"], row["onboarding_stage"]) == (9, 62, 4)
    assert (row["had_trial"], row["trial_days"]) == (1, 14)
    assert (row["mrr_change_2w"], row["mrr_change_4w"]) == (0.5, pytest.approx(0.6))
    assert row["mrr_vs_first"] == pytest.approx(0.6)
    assert (row["price_rises_2w"], row["price_rises_4w"]) == (0, 1)
    assert row["last_price_rise_size"] == pytest.approx(0.2)
    assert row["days_since_price_rise"] == 21
    assert (row["downgrades_2w"], row["upgrades_4w"], row["seat_cuts_4w"]) == (1, 0, 1)
    assert (row["interval_shortened_4w"], row["billing_interval_days"]) == (1, 30)
    assert (row["days_to_renewal"], row["renews_within_2w"]) == (14, 1)
    assert row["term_elapsed"] == 0.5
    assert (row["discounted_now"], row["discount_ended_2w"], row["days_to_discount_end"]) == (
        0, 1, -6,
    )  # fmt: skip


def test_pausing_and_resuming(at_cutoff: Any) -> None:
    log = [
        subscription(at(0), "activated", mrr=100),
        subscription(at(7), "paused"),
        subscription(at(8), "resumed"),
        subscription(at(9), "paused"),
    ]
    row = at_cutoff(subscriptions=log)
    assert (row["paused_now"], row["pauses_4w"], row["pauses_ever"]) == (1, 2, 2)
    assert row["mrr"] == 100
    assert at_cutoff(subscriptions=log[:3])["paused_now"] == 0


def test_a_cancellation_taken_back(at_cutoff: Any) -> None:
    log = [
        subscription(at(0), "activated", mrr=100),
        subscription(at(7), "cancel_scheduled"),
        subscription(at(8), "cancel_revoked"),
    ]
    assert at_cutoff(subscriptions=log)["mrr"] == 100
    assert at_cutoff(subscriptions=log)["cancellations_revoked_4w"] == 1
    assert at_cutoff(subscriptions=log[:2])["mrr"] == 0


def test_of_several_subscriptions_the_dearest_live_one_is_the_main_one(at_cutoff: Any) -> None:
    log = [
        subscription(at(0), "activated", mrr=100, billing_interval="month", renews_at=at(11)),
        subscription(at(1), "activated", subscription_id="big", mrr=900, billing_interval="year",
                     renews_at=at(40)),
        subscription(at(1), "activated", subscription_id="gone", mrr=5000),
        subscription(at(2), "ended", subscription_id="gone"),
    ]  # fmt: skip
    row = at_cutoff(subscriptions=log)
    assert (row["mrr"], row["subscriptions_live"]) == (1000, 2)
    assert (row["billing_interval_days"], row["days_to_renewal"]) == (365, 7)


def test_a_price_known_late_does_not_overwrite_the_newer_one(at_cutoff: Any) -> None:
    log = [
        subscription(at(0), "activated", mrr=100),
        subscription(at(8), "price_changed", mrr=110, available_at=at(9, days=3)),
        subscription(at(9), "price_changed", mrr=150),
    ]
    row = at_cutoff(subscriptions=log)
    assert row["mrr"] == 150
    # As it was known when it came, the rise was from 100: what turned up later does not rewrite it.
    assert row["last_price_rise_size"] == pytest.approx(0.5)


def test_an_absent_log_is_named(at_cutoff: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        at_cutoff(usage=[use(at(9))])
    assert "There is no log payments" in caplog.text
