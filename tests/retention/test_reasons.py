"""Reasons: which groups are named, in which words, and that they add up to the risk."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.contracts import TABLES
from features.catalog import REASON_GROUPS, catalog
from features.declare import UNITS, Feature
from retention.language import ENGLISH, one_or_many
from retention.reasons import check_reconciled, explanations, frequencies
from retention.sentences import quantity, render, sentence_for

NAN = float("nan")
number, money, percent, duration = (
    ENGLISH.number, ENGLISH.money, ENGLISH.percent, ENGLISH.duration,
)  # fmt: skip
REAL = {item.name: item for item in catalog((1, 4, 13, 26), ("login",), TABLES)}


def feature(name: str, group: str, sentence: str = "{value} things", **terms: Any) -> Feature:
    given = {"family": "engagement", "sources": ("usage",), "unit": "count"} | terms
    return Feature(name=name, group=group, sentence=sentence, **given)


def sentence(item: Feature, value: float, norm: float) -> str:
    return render(sentence_for(item, value, norm), ENGLISH, "EUR")


CATALOG = (
    feature("active_days_1w", "usage_decline", "{value} active [day/days] in the last week",
            zero="No active days in the last week", missing="No record of active days",
            norm="active_days_usual_4w", norm_scale=0.25),
    feature("active_days_usual_4w", "usage_habit", "Usually {value} active [day/days] in 4 weeks"),
    feature("uses_4w", "usage_decline", "{value} [use/uses] in the last 4 weeks"),
    feature("days_since_last_use", "usage_absence", "Last used {value} [day/days] ago",
            missing="No use on record"),
    feature("tickets_open_now", "support_waiting", "{value} [ticket/tickets] open now",
            zero="No open ticket"),
    feature("seats", "profile", "Has {value} [seat/seats]"),
)  # fmt: skip


def explain(contributions: list[float], values: list[float], count: int = 3) -> Any:
    rows = explanations(
        np.array([-3.0]), np.array([contributions]), np.array([values], dtype=np.float32),
        CATALOG, count, "EUR",
    )  # fmt: skip
    return rows[0]


def test_the_strongest_groups_are_named_with_value_and_own_norm() -> None:
    item = explain([0.9, 0.1, 0.2, 0.6, -0.4, -0.1], [2, 22, 40, 9, 0, 1])
    assert [reason.text for reason in item.raising] == [
        "Amount of use: 2 active days in the last week, usually 5.5",
        "Time since last use: Last used 9 days ago",
        "Habit of use: Usually 22 active days in 4 weeks",
    ]
    assert item.lowering.text == "Waiting for support: No open ticket"
    assert item.raising[0].contribution == pytest.approx(1.1)
    assert item.others == pytest.approx(-0.1)


def test_the_quoted_feature_pulls_the_way_its_group_pulls() -> None:
    # The group lowers the risk through its second feature, though its first raises it more than
    # any other raises anything.
    item = explain([0.5, 0.0, -0.9, 0.0, 0.0, 0.0], [2, 11, 40, 9, 0, 1])
    assert item.raising == ()
    assert item.lowering.feature == "uses_4w"
    item = explain([0.5, 0.0, -0.1, 0.0, 0.0, 0.0], [2, 11, 40, 9, 0, 1])
    assert item.raising[0].feature == "active_days_1w"
    assert item.lowering is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((2.0, NAN), "2 active days in the last week"),
        ((NAN, 11.0), "No record of active days"),
        ((0.0, 4.0), "No active days in the last week, usually 1"),
        ((1.0, 0.1), "1 active day in the last week, usually 0"),
    ],
)
def test_what_is_absent_is_not_quoted(values: tuple[float, float], text: str) -> None:
    item = explain([0.9, 0.0, 0.0, 0.0, 0.0, 0.0], [*values, 0, 0, 0, 0])
    assert item.raising[0].text == f"Amount of use: {text}"


@pytest.mark.parametrize(
    ("name", "value", "norm", "text"),
    [
        ("uses_1w", 2, 11.24, "2 uses in the last week, usually 11"),
        ("uses_1w", 0, 1.26, "No uses in the last week, usually 1.3"),
        ("uses_4w_vs_26w", 0.4, NAN, "40% of the usual number of uses in the last 4 weeks"),
        ("uses_4w_vs_26w", 2.5, NAN, "2.5 times the usual number of uses in the last 4 weeks"),
        ("uses_4w_vs_26w", 1, NAN, "As many uses as usual in the last 4 weeks"),
        ("minutes_4w", 90, 9000, "90 minutes of use in the last 4 weeks, usually 150 hours"),
        ("features_used_1w", 1, 5,
         "1 different feature used in the last week, usually 5 in 4 weeks"),
        ("active_periods_share_4w", 1, 0.9,
         "Used the product in every week on record in the last 4 weeks, usually 90%"),
        ("active_periods_share_26w", 0.997, NAN,
         "Used the product in more than 99% of the weeks on record in the last 26 weeks"),
        ("uses_slope_13w_relative", -0.08, NAN,
         "Uses fell by 8% of their average a week over the last 13 weeks"),
        ("days_since_last_use", 9.7, 1.84,
         "Last used the product 9 days ago, usually active every 1.8 days"),
        ("days_since_last_use", 0.3, 1.04,
         "Used the product within the last day, usually active every day"),
        ("days_since_last_use", NAN, NAN, "No use of the product on record"),
        ("active_days_usual_4w", NAN, NAN,
         "Too short a history to tell the usual number of active days"),
        ("leaving_phrases_4w", 1, NAN, "1 message in the last 4 weeks speaks of leaving"),
        ("leaving_phrases_4w", 3, NAN, "3 messages in the last 4 weeks speak of leaving"),
        ("most_reopened_ticket", 0, NAN, "No ticket was ever reopened"),
        ("most_reopened_ticket", 1, NAN, "One ticket was reopened once"),
        ("longest_wait_days", 0.25, NAN, "Has waited for our answer for 6 hours"),
        ("oldest_open_ticket_days", 0, NAN, "No open ticket"),
        ("hours_to_first_reply_4w", 100, 20,
         "First replies in the last 4 weeks took 4.2 days on average, usually 20 hours"),
        ("in_dunning", 1, NAN, "A failed payment is still owed"),
        ("in_dunning", 0, NAN, "No failed payment is owed"),
        ("mean_days_late_13w", 2.5, 1,
         "Paid 2.5 days after the due date on average in the last 13 weeks, usually 1 day"),
        ("paid_late_4w", 1, NAN, "1 invoice due in the last 4 weeks was paid a day late or more"),
        ("days_to_card_expiry", -83.4, NAN, "The card on file expired 83 days ago"),
        ("days_to_card_expiry", 26, NAN, "The card on file expires in 26 days"),
        ("last_price_rise_size", 0, NAN, "No rise in price on record"),
        ("days_to_discount_end", NAN, NAN, "No discount on record"),
        ("mrr_vs_first", 1.5, NAN, "Pays 150% of what was paid at first"),
        ("mrr_vs_first", 1, NAN, "Pays as much as was paid at first"),
        ("days_to_renewal", 0.4, NAN, "The contract renews today"),
        ("tenure_weeks", 1.9, NAN, "A paying customer for 1 week"),
    ],
)  # fmt: skip
def test_features_read_as_a_person_would_say_them(
    name: str, value: float, norm: float, text: str
) -> None:
    assert sentence(REAL[name], value, norm) == text


def wrong_words(item: Feature, value: float, norm: float) -> bool:
    text = sentence(item, value, norm if item.norm else NAN)
    has_norm = item.norm is not None and not math.isnan(norm) and not math.isnan(value)
    broken = re.search(r"nan|inf|[][{}<>_/]|\s\s|\bNone\b", text)
    return bool(broken) or ("usually" in text.partition(",")[2]) != has_norm


def test_every_feature_has_words_for_every_value() -> None:
    values, norms = (NAN, 0.0, 0.3, 1.0, 2.0, 17.6, -3.0), (NAN, 0.0, 1.0, 6.24)
    wrong = {
        item.name: (value, norm)
        for item in REAL.values()
        for value in values
        for norm in norms
        if wrong_words(item, value, norm)
    }
    assert not wrong


def test_zero_and_missing_values_have_sentences_of_their_own() -> None:
    for item in REAL.values():
        assert sentence_for(item, 0.0, NAN).template == (item.zero or item.sentence), item.name
        assert item.zero != item.sentence, item.name
        assert sentence_for(item, NAN, 1.0).template == item.missing, item.name


finite = st.floats(-2, 2)


@given(
    arrays(np.float64, (7, len(CATALOG)), elements=finite),
    arrays(np.float64, 7, elements=finite),
    arrays(
        np.float32, (7, len(CATALOG)), elements=st.floats(-10, 1000, width=32) | st.just(NAN)
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_every_row_reconciles_and_quotes_its_groups_largest_feature(
    contributions: np.ndarray, base: np.ndarray, X: np.ndarray, count: int
) -> None:
    rows = explanations(base, contributions, X, CATALOG, count, "EUR")
    names = [item.name for item in CATALOG]
    total = base + contributions.sum(axis=1)
    check_reconciled(rows, 1.0 / (1.0 + np.exp(-total)))
    for i, row in enumerate(rows):
        shown = [*row.raising, *([row.lowering] if row.lowering else [])]
        assert row.base + row.others + sum(r.contribution for r in shown) == pytest.approx(total[i])
        assert len(row.raising) <= count
        strengths = [reason.contribution for reason in row.raising]
        assert strengths == sorted(strengths, reverse=True)
        assert all(value > 0 for value in strengths)
        assert row.lowering is None or row.lowering.contribution == min(row.groups.values()) < 0
        for reason in shown:
            sign = math.copysign(1.0, reason.contribution)
            members = [j for j, item in enumerate(CATALOG) if item.group == reason.group]
            quoted = names.index(reason.feature)
            largest = max(sign * contributions[i, j] for j in members)
            assert sign * contributions[i, quoted] == largest
            assert not any(name in reason.text for name in names if "_" in name)
            assert reason.heading == REASON_GROUPS[reason.group]
            assert not re.search(r"nan|inf|[{}_]", reason.text)


def test_reasons_that_do_not_add_up_are_refused() -> None:
    row = explain([0.9, 0.0, 0.0, 0.0, 0.0, 0.0], [2, 11, 0, 0, 0, 0])
    served = 1 / (1 + math.exp(2.1))
    check_reconciled([row], np.array([served]))
    for wrong in (served * (1 + 2e-6), 1.0, NAN):
        with pytest.raises(ValueError, match="1 of 1 rows"):
            check_reconciled([row], np.array([wrong]))


def test_frequencies_count_rows_by_raising_group() -> None:
    rows = [
        explain([0.9, 0.0, 0.0, 0.4, -0.1, 0.0], [0] * 6),
        explain([0.9, 0.0, 0.0, -0.4, 0.1, 0.0], [0] * 6),
    ]
    assert frequencies(rows) == {"usage_decline": 2, "usage_absence": 1, "support_waiting": 1}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (number(1234.4), "1,234"), (number(2.5), "2.5"), (number(2.04), "2"), (number(0), "0"),
        (number(0.352), "0.35"), (number(9.97), "10"), (number(-3.0), "\u22123"),
        (number(-0.001), "more than \u22120.01"), (number(0.004), "less than 0.01"),
        (money(123_456, "EUR"), "€1,235"), (money(999, "EUR"), "€9.99"),
        (money(500, "USD"), "$5"), (money(-250_000, "CHF"), "\u2212CHF 2,500"),
        (percent(0.34), "34%"), (percent(0.0345), "3.5%"), (percent(0.01), "1%"),
        (percent(1), "100%"), (percent(0.0001), "less than 0.1%"), (percent(0), "0%"),
        (percent(-0.2), "\u221220%"), (percent(0.997), "more than 99%"),
        (duration(45), "45 seconds"), (duration(2220), "37 minutes"),
        (duration(19_800), "5.5 hours"), (duration(276_480), "3.2 days"), (duration(1), "1 second"),
        (duration(276_480, days=False), "77 hours"),
        (quantity(4990, "cents", ENGLISH, "EUR"), "€50"), (quantity(0.5, "share"), "50%"),
        (quantity(90, "minutes"), "90 minutes"), (quantity(7, "days"), "7"),
        (quantity(1.5, "lasting"), "36 hours"), (quantity(60, "hours"), "2.5 days"),
        (quantity(6.9, "whole_days"), "6"), (quantity(0.9, "weeks"), "0"),
        (quantity(0.4, "multiple"), "40% of"), (quantity(2, "multiple"), "2 times"),
        (one_or_many("1 [week/weeks], [once/2 times]", True), "1 week, once"),
        (one_or_many("2 [week/weeks], [once/2 times]", False), "2 weeks, 2 times"),
    ],
)  # fmt: skip
def test_numbers_read_like_words(words: str, text: str) -> None:
    assert words == text


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(
    [*UNITS, "novel"]
))  # fmt: skip
def test_every_number_has_words(value: float, unit: str) -> None:
    text = quantity(value, unit, ENGLISH, "EUR")
    assert text
    assert "-" not in text, "a hyphen would start a formula"


def test_what_is_not_finite_has_no_number() -> None:
    with pytest.raises(ValueError, match="no number"):
        quantity(NAN, "days")
