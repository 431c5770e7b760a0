from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.catalog import REASON_GROUPS
from retention.reasons import (
    TOPICS,
    check_reconciled,
    explanations,
    frequencies,
    sentence,
    topic,
)
from retention.wording import duration, money, number, percent, quantity, singular

NAN = float("nan")


def feature(
    name: str, group: str, sentence: str = "{value} things", unit: str = "count", **more: Any
) -> Any:
    terms = {"family": "engagement", "norm": None, "empty": 0.0} | more
    return SimpleNamespace(name=name, group=group, sentence=sentence, unit=unit, **terms)


ACTIVE = feature(
    "active_days_4w", "usage_decline", "{value} active days in the last 4 weeks, usually {norm}",
    "days", norm="active_days_usual_4w",
)  # fmt: skip
CATALOG = (
    ACTIVE,
    feature("active_days_usual_4w", "usage_habit", "Usually {value} active days in 4 weeks"),
    feature("uses_4w", "usage_decline", "{value} uses in the last 4 weeks"),
    feature("days_since_last_use", "usage_absence", "Last used {value} days ago", empty=NAN),
    feature("tickets_open_now", "support_waiting", "{value} tickets open now", family="support"),
    feature("nobody_knows", "brand_new_group", "{value} new things", family="weather"),
)


def explain(contributions: list[float], values: list[float], count: int = 3) -> Any:
    rows = explanations(
        np.array([-3.0]), np.array([contributions]), np.array([values], dtype=np.float32),
        CATALOG, count, "EUR",
    )  # fmt: skip
    return rows[0]


def test_the_strongest_groups_are_named_with_value_and_own_norm() -> None:
    item = explain([0.9, 0.1, 0.2, 0.6, -0.4, -0.1], [2, 11, 40, 9, 0, 1])
    assert [reason.text for reason in item.raising] == [
        "Amount of use, below usual: 2 active days in the last 4 weeks, usually 11",
        "Time since last use: Last used 9 days ago",
        "Habit of use: Usually 11 active days in 4 weeks",
    ]
    assert item.lowering.text == "Waiting for support: 0 tickets open now"
    assert item.raising[0].contribution == pytest.approx(1.1)
    assert item.others == pytest.approx(-0.1)


def test_the_quoted_feature_pulls_the_way_its_group_pulls() -> None:
    # The group lowers the risk through its second feature, though its first raises it more than
    # any other raises anything.
    item = explain([0.5, 0.0, -0.9, 0.0, 0.0, 0.0], [2, 11, 40, 9, 0, 1])
    assert item.raising == ()
    assert item.lowering.feature == "uses_4w"
    item = explain([0.5, 0.0, -0.1, 0.0, 0.0, 0.0], [2, 11, 40, 9, 0, 1])
    assert item.raising[0].feature == "active_days_4w"
    assert item.lowering is None


@pytest.mark.parametrize(
    ("value", "norm", "words"),
    [(2, 11, "below usual"), (15, 11, "above usual"), (11, 11.2, "as usual"), (0.5, 0.7, "below")],
)
def test_the_direction_is_that_of_the_numbers_shown_not_of_the_risk(
    value: float, norm: float, words: str
) -> None:
    for push in (0.9, -0.9):
        item = explain([push, 0.0, 0.0, 0.0, 0.0, 0.0], [value, norm, 0, 0, 0, 0])
        reason = item.raising[0] if push > 0 else item.lowering
        assert words in reason.heading


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((2.0, NAN), "Amount of use: 2 active days in the last 4 weeks"),
        ((NAN, 11.0), "Amount of use: no use seen that gives a figure"),
        ((1.0, 1.0), "Amount of use, as usual: 1 active day in the last 4 weeks, usually 1"),
    ],
)
def test_what_is_absent_is_not_quoted(values: tuple[float, float], text: str) -> None:
    item = explain([0.9, 0.0, 0.0, 0.0, 0.0, 0.0], [*values, 0, 0, 0, 0])
    assert item.raising[0].text == text


def test_absent_values_have_true_words_in_every_family() -> None:
    def absent(family: str, value: float = NAN, empty: float = NAN) -> str:
        return sentence(feature("x", "g", family=family, empty=empty), value, NAN, "EUR")

    words = {absent(family) for family in ("engagement", "support", "payments", "lifecycle", "new")}
    assert len(words) == 4
    assert not any("nan" in text or "{" in text for text in words)
    assert absent("support", -1.0, -1.0) == absent("support")
    assert absent("support", -1.0, 0.0) == "\u22121 things"
    assert absent("support", 0.0, 0.0) == "0 things"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{value} uses (usually {norm}) in 4 weeks", "3 uses in 4 weeks"),
        ("{value} uses; the norm is {norm}", "3 uses"),
        ("Usual {norm}, now {value}", "Usual not known yet, now 3"),
    ],
)
def test_a_missing_norm_takes_its_clause_along(template: str, text: str) -> None:
    assert sentence(feature("x", "g", template), 3.0, NAN, "EUR") == text


def test_a_group_without_a_topic_is_named_after_itself_and_no_group_is_lost() -> None:
    item = explain([0.0, 0.0, 0.0, 0.0, 0.0, 0.7], [0, 0, 0, 0, 0, 1])
    assert item.raising[0].text == "Brand new group: 1 new things"
    assert item.log_odds == pytest.approx(-3.0 + 0.7)


def test_topics_exist_for_every_group_of_the_catalog() -> None:
    assert set(TOPICS) == set(REASON_GROUPS)


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
            mine = [j for j, item in enumerate(CATALOG) if item.group == reason.group]
            quoted = names.index(reason.feature)
            largest = max(sign * contributions[i, j] for j in mine)
            assert sign * contributions[i, quoted] == largest
            assert not any(name in reason.text for name in names)
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
        (number(-0.001), "0"), (money(123_456, "EUR"), "€1,235"), (money(999, "EUR"), "€9.99"),
        (money(500, "USD"), "$5"), (money(-250_000, "CHF"), "\u2212CHF 2,500"),
        (percent(0.34), "34%"), (percent(0.0345), "3.5%"), (percent(0.01), "1%"),
        (percent(1), "100%"), (percent(0.0001), "less than 0.1%"), (percent(0), "0%"),
        (percent(-0.2), "\u221220%"), (duration(45), "45 seconds"), (duration(2220), "37 minutes"),
        (duration(19_800), "5.5 hours"), (duration(276_480), "3.2 days"),
        (quantity(1, "flag", "EUR"), "yes"), (quantity(0, "flag", "EUR"), "no"),
        (quantity(4990, "cents", "EUR"), "€50"), (quantity(0.5, "share", "EUR"), "50%"),
        (quantity(3600, "seconds", "EUR"), "60 minutes"), (quantity(7, "days", "EUR"), "7"),
        (singular("1 active days, usually 11"), "1 active day, usually 11"),
        (singular("21 active days and 1.1 uses"), "21 active days and 1.1 uses"),
        (singular("1 of the invoices due"), "1 of the invoices due"),
        (singular("Wrote 1 replies"), "Wrote 1 reply"),
        (singular("reopened 1 times"), "reopened once"),
        (singular("Plan changed 1 times in the last week"), "Plan changed once in the last week"),
        (singular("1 times as many uses"), "1 times as many uses"),
        (singular("Pays 1 times what it was"), "Pays 1 times what it was"),
    ],
)  # fmt: skip
def test_numbers_read_like_words(words: str, text: str) -> None:
    assert words == text


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(
    ["days", "count", "seconds", "cents", "share", "ratio", "slope", "flag", "score", "novel"]
))  # fmt: skip
def test_every_number_has_words(value: float, unit: str) -> None:
    text = quantity(value, unit, "EUR")
    assert text
    assert "-" not in text, "a hyphen would start a formula"


def test_what_is_not_finite_has_no_number() -> None:
    with pytest.raises(ValueError, match="no number"):
        quantity(NAN, "days", "EUR")


def test_topics_claim_no_direction() -> None:
    assert topic("usage_decline") == "Amount of use"
