"""The catalog: every feature says what it is, in words that are true whatever the value."""

import math
import re
import string

import pytest

from data.clock import Clock
from data.contracts import CAUSES, TABLES
from data.errors import BadInputError
from features.catalog import (
    DOCUMENT,
    FAMILIES,
    REASON_GROUPS,
    UNITS,
    as_json,
    catalog,
    columns,
    document,
)
from features.declare import Family, Feature, from_json, span
from features.feature_settings import FeatureSettings

SETTINGS = FeatureSettings((1, 4, 13, 26), ("login", "report"))
FEATURES = catalog(SETTINGS.windows, SETTINGS.core_features, TABLES)
BY_NAME = {feature.name: feature for feature in FEATURES}


def test_there_are_features_of_four_families_and_more_than_150():
    assert len(FEATURES) >= 150
    assert {f.family for f in FEATURES} == {"engagement", "support", "payments", "lifecycle"}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_is_declared_in_full(feature):
    assert feature.unit in UNITS
    assert feature.group in REASON_GROUPS
    assert set(feature.sources) <= set(TABLES)
    assert feature.window in (None, *SETTINGS.windows)
    assert isinstance(feature.empty, (int, float))
    assert feature.name == feature.name.lower()
    assert set(feature.name) <= set(string.ascii_lowercase + string.digits + "_")
    assert all(cause in CAUSES and sign in (-1, 1) for cause, sign in feature.monotone)
    assert "<" not in feature.name + feature.sentence
    if feature.window is not None:
        assert f"_{feature.window}w" in feature.name


def fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_sentence_holds_the_value_or_says_a_fact(feature):
    assert fields(feature.sentence) == (set() if feature.unit == "flag" else {"value"})
    assert fields(feature.norm_clause) == {"norm"}
    assert feature.negative is None or fields(feature.negative) == {"value"}
    assert not fields((feature.zero or "") + feature.missing)
    for text in filter(None, (feature.sentence, feature.zero, feature.negative, feature.missing)):
        assert text[0].isupper() or text.startswith(("{value}", "["))
        assert not text.endswith((".", " "))
        assert "<" not in text
        # A value may lie on either side of the norm, so no sentence may say which.
        words = set(re.split(r"[^a-z]+", text.lower()))
        assert not words & {"only", "fewer", "dropped", "declined", "nan"}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_may_be_absent_has_words_of_its_own(feature):
    if math.isnan(feature.empty):
        assert feature.missing != Feature.missing
    if feature.unit in ("flag", "count", "whole_days", "weeks", "slope", "lasting"):
        assert feature.zero or feature.name == "billing_interval_days"


@pytest.mark.parametrize("feature", [f for f in FEATURES if f.norm], ids=lambda f: f.name)
def test_a_norm_is_another_feature_in_the_same_unit_for_the_same_length(feature):
    norm = BY_NAME[feature.norm]
    assert norm is not feature
    assert norm.unit == feature.unit or (norm.unit, feature.unit) == ("days", "whole_days")
    assert norm.norm is None
    # A sum grows with its window, so its norm is scaled to that window; means do not, and where
    # neither holds (distinct things) the clause names the span.
    if "_usual_" in norm.name:
        assert feature.window <= norm.window
        scaled = feature.norm_scale * norm.window == feature.window
        assert scaled or feature.norm_clause == ", usually {norm} in 4 weeks"
    else:
        assert feature.norm_scale == 1.0
        assert feature.unit not in ("count", "cents")


def test_sums_of_the_short_and_shorter_windows_have_norms_and_longer_ones_have_none():
    for name in ("active_days", "uses", "minutes", "tickets_opened"):
        scales = {w: BY_NAME[f"{name}_{w}w"].norm_scale for w in (1, 4)}
        assert scales == {1: 0.25, 4: 1.0}
        assert {BY_NAME[f"{name}_{w}w"].norm for w in (1, 4)} == {f"{name}_usual_4w"}
        assert {BY_NAME[f"{name}_{w}w"].norm for w in (13, 26)} == {None}
    assert BY_NAME["features_used_1w"].norm_clause == ", usually {norm} in 4 weeks"
    assert BY_NAME["active_periods_share_13w"].norm == "active_periods_share_26w"
    assert BY_NAME["active_periods_share_26w"].norm is None


def test_every_reason_group_speaks_for_some_feature():
    assert {feature.group for feature in FEATURES} == set(REASON_GROUPS)


def test_every_function_says_what_it_computes():
    for column in columns(SETTINGS, TABLES, Clock()):
        assert column.function.__doc__, column.feature.name


def test_the_page_of_features_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m features.catalog"


def test_features_whose_log_is_absent_are_absent():
    without = catalog(SETTINGS.windows, (), ["subscriptions", "payments"])
    assert {feature.family for feature in without} == {"payments", "lifecycle"}
    assert "card_expires_before_renewal" in {feature.name for feature in without}
    without = catalog(SETTINGS.windows, (), ["payments"])
    assert "card_expires_before_renewal" not in {feature.name for feature in without}


def test_names_follow_the_windows_and_the_clock():
    names = {f.name for f in catalog((1, 2, 4, 8), ("Report PDF",), TABLES, Clock(0, 5))}
    assert {"active_days_2p", "active_days_2p_vs_8p", "uses_of_report_pdf_2p"} <= names
    assert not any("4w" in name or "26" in name for name in names)


def test_two_windows_are_enough():
    names = {feature.name for feature in catalog((2, 6), (), TABLES)}
    assert {"active_days_2w", "active_days_6w", "active_days_2w_vs_6w"} <= names


def test_a_name_declared_twice_is_refused(monkeypatch):
    twice = FAMILIES[0].declarations[:1] * 2
    monkeypatch.setattr(FAMILIES[0], "declarations", twice)
    with pytest.raises(ValueError, match="declared twice: active_days"):
        columns(SETTINGS, TABLES, Clock())


@pytest.mark.parametrize("windows", [(), (4,), (4, 4), (13, 4), (0, 4)])
def test_windows_that_do_not_ascend_are_refused(windows):
    with pytest.raises(BadInputError, match=r"featurize\.windows"):
        FeatureSettings(windows)


@pytest.mark.parametrize("core", [("a b", "a-b"), ("!",), tuple(f"f{i}" for i in range(17))])
def test_core_features_that_cannot_name_columns_are_refused(core):
    with pytest.raises(BadInputError, match=r"featurize\.core_features"):
        FeatureSettings((1, 4), core)


def test_the_catalog_survives_json():
    text = as_json(FEATURES, [{} for _ in FEATURES], SETTINGS)
    assert "NaN" not in text
    back = from_json(text)
    assert [str(feature) for feature in back] == [str(feature) for feature in FEATURES]


def test_names_of_core_features_cannot_disturb_the_sentences():
    (feature,) = [
        f for f in catalog((1, 4), ("a[b/c]{d}",), TABLES) if f.name == "uses_of_a_b_c_d_1w"
    ]
    assert feature.sentence == "{value} [use/uses] of ab/cd in the last week"


@pytest.mark.parametrize(
    ("periods", "clock", "text"),
    [
        (1, Clock(), "week"),
        (4, Clock(), "4 weeks"),
        (1, Clock(0, 1), "day"),
        (3, Clock(0, 5), "3 periods of 5 days"),
        (1, Clock(0, 5), "period of 5 days"),
    ],
)
def test_spans_in_words(periods, clock, text):
    assert span(periods, clock) == text


def test_a_family_collects_what_is_declared_in_it():
    family = Family("engagement", log="usage")

    @family.feature(
        "x_<w>", "{value} x in the last <span>", over="short", unit="count", group="plan"
    )
    def x(known, w):
        return known, w

    ((feature, arguments),) = family.declarations[0].expand(SETTINGS, Clock())
    assert (feature.name, feature.sources, arguments) == ("x_4w", ("usage",), (4,))
    assert isinstance(feature, Feature)
    assert x(None, 3) == (None, 3)
