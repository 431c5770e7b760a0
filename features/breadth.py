"""Engagement: how many features of the product are used, and which core ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.declare import Family
from features.derive import bit_count, ratio, usual, usual_bit_count
from features.engagement import NO_USE
from features.measures import LEADING

if TYPE_CHECKING:
    from features.declare import Numbers
    from features.known import Known

FAMILY = Family("engagement", log="usage")
breadth = FAMILY.section("usage_breadth")
amount = FAMILY.section("usage_decline")
absence = FAMILY.section("usage_absence")


def uses_by_feature(known: Known, w: int) -> Numbers:
    """Uses over the window, per leading feature and for the rest; shape (features, cells)."""
    usage = known.periods("usage")
    leading = [usage.sum(f"uses_{i}", w) for i in range(LEADING) if f"uses_{i}" in usage.columns]
    rest = usage.sum("uses", w) - sum(leading, np.zeros(known.cells, dtype=np.int64))
    return np.array([*leading, rest], dtype=np.float64)


@breadth(
    "features_used_<w>",
    "{value} different [feature/features] used in the last <span>",
    zero="No feature used in the last <span>",
    over="each",
    unit="count",
    empty=0.0,
    norm="features_used_usual_<short>",
)
def features_used(known: Known, w: int) -> Numbers:
    """Distinct features used; all from the 63rd on count as one."""
    return bit_count(known.periods("usage"), "features", w)


@breadth(
    "features_used_usual_<w>",
    "Usually {value} different [feature/features] used in <span>",
    zero="Usually no feature used in <span>",
    missing="Too short a history to tell the usual number of features",
    over="short",
    unit="count",
    empty=0.0,
)
def features_used_usual(known: Known, w: int) -> Numbers:
    """Mean of the features used in each of the earlier windows of that length."""
    return usual_bit_count(known, "usage", "features", w)


@breadth(
    "features_used_<w>_vs_<long>",
    "[As many features as usual/{value} the usual number of features] in the last <span>",
    zero="No feature used in the last <span>",
    missing="No usual number of features to compare the last <span> with",
    over="short",
    unit="multiple",
)
def features_used_against_usual(known: Known, w: int) -> Numbers:
    """Features used over their norm; NaN where the norm is 0 or unknown."""
    return ratio(features_used(known, w), features_used_usual(known, w))


@breadth(
    "features_used_ever",
    "{value} different [feature/features] ever used",
    zero="No feature ever used",
    unit="count",
    empty=0.0,
)
def features_used_ever(known: Known) -> Numbers:
    """Distinct features used in the whole visible history."""
    return bit_count(known.periods("usage"), "features", None)


@breadth(
    "features_given_up_<w>",
    "{value} [feature/features] used in the last <longspan> lay idle in the last <span>",
    zero="No feature used in the last <longspan> lay idle in the last <span>",
    over="short trend",
    unit="count",
    empty=0.0,
)
def features_given_up(known: Known, w: int) -> Numbers:
    """Features used in the long window but not in this one."""
    return features_used(known, known.settings.long) - features_used(known, w)


@breadth(
    "features_new_<w>",
    "{value} [feature/features] used for the first time in the last <span>",
    zero="No feature used for the first time in the last <span>",
    over="short trend",
    unit="count",
    empty=0.0,
)
def features_new(known: Known, w: int) -> Numbers:
    """Features used in the window but never before it."""
    usage = known.periods("usage")
    new = usage.bits("features") & ~usage.bits("features", ago=w)
    return np.asarray(np.bitwise_count(new), dtype=np.float64)


@breadth(
    "core_features_used_<w>",
    "{value} core [feature/features] used in the last <span>",
    zero="No core feature used in the last <span>",
    over="each",
    unit="count",
    empty=0.0,
    norm="core_features_used_usual_<short>",
)
def core_features_used(known: Known, w: int) -> Numbers:
    """Distinct core features used."""
    return bit_count(known.periods("usage"), "core", w)


@breadth(
    "core_features_used_usual_<w>",
    "Usually {value} core [feature/features] used in <span>",
    zero="Usually no core feature used in <span>",
    missing="Too short a history to tell the usual number of core features",
    over="short",
    unit="count",
    empty=0.0,
)
def core_features_used_usual(known: Known, w: int) -> Numbers:
    """Mean of the core features used in each of the earlier windows of that length."""
    return usual_bit_count(known, "usage", "core", w)


@breadth(
    "core_features_used_ever",
    "{value} core [feature/features] ever used",
    zero="No core feature ever used",
    unit="count",
    empty=0.0,
)
def core_features_used_ever(known: Known) -> Numbers:
    """Distinct core features used in the whole visible history."""
    return bit_count(known.periods("usage"), "core", None)


@breadth(
    "use_concentration_<w>",
    "Use in the last <span> was concentrated at {value} on a scale up to 1 (all on one feature)",
    missing=NO_USE,
    over="short long",
    unit="ratio",
    norm="use_concentration_<long>",
)
def use_concentration(known: Known, w: int) -> Numbers:
    """Herfindahl-Hirschman index: the sum of squared shares of the features in the uses."""
    by_feature = uses_by_feature(known, w)
    return ratio(np.square(by_feature).sum(axis=0), np.square(by_feature.sum(axis=0)))


@breadth(
    "top_feature_share_<w>",
    "[A single feature/The most used feature] made up {value} of the uses of the last <span>",
    missing=NO_USE,
    over="short long",
    unit="share",
    norm="top_feature_share_<long>",
)
def top_feature_share(known: Known, w: int) -> Numbers:
    """Largest share of one leading feature in the uses; NaN without use."""
    by_feature = uses_by_feature(known, w)
    return ratio(by_feature.max(axis=0), by_feature.sum(axis=0))


@amount(
    "uses_of_<core>_<w>",
    "{value} [use/uses] of <core> in the last <span>",
    zero="No use of <core> in the last <span>",
    over="short",
    unit="count",
    empty=0.0,
    norm="uses_of_<core>_usual_<short>",
    adds_up=True,
)
def core_uses(known: Known, w: int, core: int) -> Numbers:
    """Uses of one core feature."""
    return known.periods("usage").sum(f"core_uses_{core}", w).astype(np.float64)


@amount(
    "uses_of_<core>_usual_<w>",
    "Usually {value} [use/uses] of <core> in <span>",
    zero="Usually no use of <core> in <span>",
    missing="Too short a history to tell the usual number of uses of <core>",
    over="short",
    unit="count",
    empty=0.0,
)
def core_uses_usual(known: Known, w: int, core: int) -> Numbers:
    """Norm of the uses of one core feature, computed from the periods before the window."""
    return usual(known, "usage", f"core_uses_{core}", w)


@absence(
    "days_since_<core>",
    "Last used <core> {value} [day/days] ago",
    zero="Used <core> within the last day",
    missing="No use of <core> on record",
    unit="whole_days",
)
def days_since_core(known: Known, core: int) -> Numbers:
    """Days from the last visible use of one core feature to the cutoff; NaN if there is none."""
    return known.days_since(known.periods("usage").max(f"core_last_us_{core}"))
