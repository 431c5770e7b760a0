"""The catalog: every feature says what it is, in words that are true whatever the value."""

import math
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

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
from features.declare import NORM_CLAUSE_OF_SHORT, Family, Feature, from_json
from features.feature_settings import FeatureSettings

SETTINGS = FeatureSettings((1, 4, 13, 26), ("login", "report"))
FEATURES = catalog(SETTINGS.windows, SETTINGS.core_features, TABLES)
BY_NAME = {feature.name: feature for feature in FEATURES}


def test_there_are_features_of_four_families_and_more_than_150() -> None:
    assert len(FEATURES) >= 150
    assert {f.family for f in FEATURES} == {"engagement", "support", "payments", "lifecycle"}


def offenders(
    fault: Callable[[Feature], object], features: Sequence[Feature] = FEATURES
) -> list[str]:
    """Names of the features for which a check finds a fault."""
    return [feature.name for feature in features if fault(feature)]


def test_every_feature_is_declared_in_full() -> None:
    letters = set(string.ascii_lowercase + string.digits + "_")
    assert not offenders(lambda f: f.unit not in UNITS or f.group not in REASON_GROUPS)
    assert not offenders(lambda f: not set(f.sources) <= set(TABLES))
    assert not offenders(lambda f: f.window not in (None, *SETTINGS.windows))
    assert not offenders(lambda f: f.window is not None and f"_{f.window}w" not in f.name)
    assert not offenders(lambda f: not isinstance(f.empty, (int, float)))
    assert not offenders(lambda f: not set(f.name) <= letters)
    assert not offenders(
        lambda f: any(cause not in CAUSES or sign not in (-1, 1) for cause, sign in f.monotone)
    )


def fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def texts(feature: Feature) -> list[str]:
    kinds = (feature.sentence, feature.zero, feature.negative, feature.missing)
    return [text for text in kinds if text]


def test_every_sentence_holds_the_value_or_says_a_fact() -> None:
    assert not offenders(lambda f: fields(f.sentence) != (set() if f.unit == "flag" else {"value"}))
    assert not offenders(lambda f: fields(f.norm_clause) != {"norm"})
    assert not offenders(lambda f: f.negative is not None and fields(f.negative) != {"value"})
    assert not offenders(lambda f: fields((f.zero or "") + f.missing))


def test_every_mark_of_a_sentence_can_be_filled() -> None:
    needs = {"span": "window", "shortspan": "short", "longspan": "long", "core": "core"}
    needs |= {"period": "period_days", "periods": "period_days"}

    def cannot_be_filled(feature: Feature) -> bool:
        marks = re.findall(r"<(\w+)>", " ".join([*texts(feature), feature.norm_clause]))
        return not {needs.get(mark, mark) for mark in marks} <= set(feature.marks)

    assert not offenders(cannot_be_filled)
    assert BY_NAME["uses_of_report_4w"].marks == {
        "window": 4, "short": 4, "long": 26, "period_days": 7, "core": "report",
    }  # fmt: skip


def test_sentences_begin_and_end_like_sentences_and_judge_nothing() -> None:
    # A value may lie on either side of the norm, so no sentence may say which.
    judging = {"only", "fewer", "dropped", "declined", "nan"}

    def reads_badly(text: str) -> object:
        begins = text[0].isupper() or text.startswith(("{value}", "["))
        return (
            not begins
            or text.endswith((".", " "))
            or judging & set(re.split(r"[^a-z]+", text.lower()))
        )

    assert not offenders(lambda f: any(reads_badly(text) for text in texts(f)))


def test_what_may_be_absent_has_words_of_its_own() -> None:
    with_zero = ("flag", "count", "whole_days", "weeks", "slope", "lasting")
    assert not offenders(lambda f: math.isnan(f.empty) and f.missing == Feature.missing)
    assert offenders(lambda f: f.unit in with_zero and not f.zero) == ["billing_interval_days"]


def norm_is_unfit(feature: Feature) -> bool:
    norm = BY_NAME[feature.norm]
    alike = norm.unit == feature.unit or (norm.unit, feature.unit) == ("days", "whole_days")
    if norm is feature or norm.norm is not None or not alike:
        return True
    if "_usual_" not in norm.name:
        return feature.norm_scale != 1.0 or feature.unit in ("count", "cents")
    # A sum grows with its window, so its norm is scaled to that window; means do not, and where
    # neither holds (distinct things) the clause names the span.
    scaled = feature.norm_scale * norm.window == feature.window
    return feature.window > norm.window or not (
        scaled or feature.norm_clause == NORM_CLAUSE_OF_SHORT
    )


def test_a_norm_is_another_feature_in_the_same_unit_for_the_same_length() -> None:
    assert not offenders(norm_is_unfit, [feature for feature in FEATURES if feature.norm])


def test_sums_of_the_short_and_shorter_windows_have_norms_and_longer_ones_have_none() -> None:
    for name in ("active_days", "uses", "minutes", "tickets_opened"):
        scales = {w: BY_NAME[f"{name}_{w}w"].norm_scale for w in (1, 4)}
        assert scales == {1: 0.25, 4: 1.0}
        assert {BY_NAME[f"{name}_{w}w"].norm for w in (1, 4)} == {f"{name}_usual_4w"}
        assert {BY_NAME[f"{name}_{w}w"].norm for w in (13, 26)} == {None}
    assert BY_NAME["features_used_1w"].norm_clause == NORM_CLAUSE_OF_SHORT
    assert BY_NAME["active_periods_share_13w"].norm == "active_periods_share_26w"
    assert BY_NAME["active_periods_share_26w"].norm is None


def test_every_reason_group_speaks_for_some_feature() -> None:
    assert {feature.group for feature in FEATURES} == set(REASON_GROUPS)


def test_every_function_says_what_it_computes() -> None:
    declared = columns(SETTINGS, TABLES, Clock())
    assert not [column.feature.name for column in declared if not column.function.__doc__]


def test_the_page_of_features_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m features.catalog"


def test_features_whose_log_is_absent_are_absent() -> None:
    without = catalog(SETTINGS.windows, (), ["subscriptions", "payments"])
    assert {feature.family for feature in without} == {"payments", "lifecycle"}
    assert "card_expires_before_renewal" in {feature.name for feature in without}
    without = catalog(SETTINGS.windows, (), ["payments"])
    assert "card_expires_before_renewal" not in {feature.name for feature in without}


def test_names_follow_the_windows_and_the_clock() -> None:
    names = {f.name for f in catalog((1, 2, 4, 8), ("Report PDF",), TABLES, Clock(0, 5))}
    assert {"active_days_2p", "active_days_2p_vs_8p", "uses_of_report_pdf_2p"} <= names
    assert not any("4w" in name or "26" in name for name in names)


def test_two_windows_are_enough() -> None:
    names = {feature.name for feature in catalog((2, 6), (), TABLES)}
    assert {"active_days_2w", "active_days_6w", "active_days_2w_vs_6w"} <= names


def test_a_name_declared_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = FAMILIES[0].declarations[:1] * 2
    monkeypatch.setattr(FAMILIES[0], "declarations", twice)
    with pytest.raises(ValueError, match="declared twice: active_days"):
        columns(SETTINGS, TABLES, Clock())


@pytest.mark.parametrize("windows", [(), (4,), (4, 4), (13, 4), (0, 4)])
def test_windows_that_do_not_ascend_are_refused(windows: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match=r"featurize\.windows"):
        FeatureSettings(windows)


@pytest.mark.parametrize("core", [("a b", "a-b"), ("!",), tuple(f"f{i}" for i in range(17))])
def test_core_features_that_cannot_name_columns_are_refused(core: tuple[str, ...]) -> None:
    with pytest.raises(BadInputError, match=r"featurize\.core_features"):
        FeatureSettings((1, 4), core)


def test_the_catalog_survives_json() -> None:
    text = as_json(FEATURES, [{} for _ in FEATURES], SETTINGS)
    assert "NaN" not in text
    back = from_json(text)
    assert [str(feature) for feature in back] == [str(feature) for feature in FEATURES]


def test_a_family_collects_what_is_declared_in_it() -> None:
    family = Family("engagement", log="usage")

    @family.feature(
        "x_<w>", "{value} x in the last <span>", over="short", unit="count", group="plan"
    )
    def x(known: Any, w: int) -> Any:
        return known, w

    ((feature, arguments),) = family.declarations[0].expand(SETTINGS, Clock())
    assert (feature.name, feature.sources, arguments) == ("x_4w", ("usage",), (4,))
    assert isinstance(feature, Feature)
    assert x(None, 3) == (None, 3)


def test_a_section_says_once_what_its_features_have_in_common() -> None:
    family = Family("engagement", log="usage")
    first = family.section("onboarding", sources=("usage", "customers"))

    @first("x", "{value} x", unit="count")
    def x(known: Any) -> Any:
        return known

    ((feature, _),) = family.declarations[0].expand(SETTINGS, Clock())
    assert (feature.group, feature.sources) == ("onboarding", ("usage", "customers"))
