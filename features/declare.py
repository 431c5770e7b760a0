"""Declare features: what a feature is and says, and the register of each family."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from data.clock import Clock
from features.feature_settings import column_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from features.feature_settings import FeatureSettings

    Numbers = NDArray[np.float64]
    Declare = Callable[[Callable[..., Numbers]], Callable[..., Numbers]]

# Columns of the feature table before those of the features.
KEYS = ("customer_id", "cutoff")
# Files that ``features.build`` writes: the feature table, and the description of its columns.
FEATURES_FILE = "features.parquet"
CATALOG_FILE = "catalog.json"

Unit = Literal[
    "days", "whole_days", "lasting", "hours", "minutes", "weeks", "count", "cents", "share",
    "multiple", "ratio", "slope", "flag", "score",
]  # fmt: skip

UNITS: dict[Unit, str] = {
    "days": "days",
    "whole_days": "days between two instants, written as whole days",
    "lasting": "days that something has lasted, written in a suitable unit",
    "hours": "hours",
    "minutes": "minutes",
    "weeks": "weeks of seven days",
    "count": "number of things",
    "cents": "minor units of the reporting currency",
    "share": "share of a whole, 0 to 1",
    "multiple": "multiple of the same quantity in another period",
    "ratio": "number per unit of something else",
    "slope": "change per period",
    "flag": "1 yes, 0 no",
    "score": "points on the scale named in the sentence",
}

# The list shows a group whether it raises or lowers the risk and whatever its values are, so the
# heading names a topic and claims nothing.
REASON_GROUPS: dict[str, str] = {
    "usage_decline": "Amount of use",
    "usage_absence": "Time since last use",
    "usage_breadth": "Breadth of use",
    "usage_habit": "Habit of use",
    "onboarding": "First weeks with the product",
    "support_load": "Need for support",
    "support_waiting": "Waiting for support",
    "support_quality": "Quality of support",
    "support_tone": "Mood",
    "leaving_intent": "Signs of leaving",
    "payment_failures": "Failed payments",
    "payment_arrears": "Payment on time",
    "payment_method": "Card or payment method",
    "refunds": "Refunds and disputes",
    "price": "Price and discounts",
    "plan": "Changes of plan",
    "renewal": "Renewal of the contract",
    "relationship": "History as a customer",
    "profile": "Kind of customer",
}

# Norm clause of a feature that does not add up, where its window is not the short one of its norm.
NORM_CLAUSE_OF_SHORT = ", usually {norm} in <shortspan>"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the feature table.

    Its sentences contain ``{value}``, choices ``[one/many]`` (the first if the value is written as
    1 or 100%) and marks: ``<span>``, ``<shortspan>`` and ``<longspan>``, the lengths of its own,
    the short and the longest window in words; ``<period>`` and ``<periods>``, the words for one
    period and many; ``<core>``, a core feature. They are true for every value and do not mention
    the risk. ``retention.sentences`` renders them.

    Parameters
    ----------
    name
        ``<measure>_<window>``, e.g. ``active_days_4w``.
    family
        engagement, support, payments or lifecycle.
    sources
        Tables that it reads; if one is absent, so is the feature.
    window
        Length in periods; None for a state or the whole visible history.
    unit
        Key of ``UNITS``.
    empty
        Value if no row counts; may be NaN.
    group
        Key of ``REASON_GROUPS``.
    sentence
        The sentence for a value; for a flag, the one for "yes", without ``{value}``.
    zero
        The sentence for a value that is written as 0; for a flag, the one for "no".
    negative
        The sentence for a value below 0, which it shows without the sign.
    missing
        The sentence for NaN.
    norm
        Name of the feature with the customer's own norm in the same unit, or None.
    norm_scale
        Factor that converts the norm to this feature's window.
    norm_clause
        Appended to the sentence if the norm is known; contains ``{norm}``, which decides choices.
    marks
        Values for the marks of the sentences: ``window`` (if it has one), ``short`` and ``long``
        in periods, ``period_days``, and ``core``, the name of the core feature (if it has one).
    monotone
        Pairs (cause of churn, +1 or -1) for which the risk may only rise or fall with the feature.
    """

    name: str
    family: str
    sources: tuple[str, ...]
    window: int | None = None
    unit: Unit
    empty: float = math.nan
    group: str
    sentence: str
    zero: str | None = None
    negative: str | None = None
    missing: str = "Not known"
    norm: str | None = None
    norm_scale: float = 1.0
    norm_clause: str = ", usually {norm}"
    marks: Mapping[str, int | str] = field(default_factory=dict)
    monotone: tuple[tuple[str, int], ...] = ()


def from_json(text: str) -> tuple[Feature, ...]:
    """Read back the features that ``features.catalog.as_json`` wrote; needs no engine."""
    names = Feature.__dataclass_fields__
    return tuple(
        Feature(
            **{name: value for name, value in entry.items() if name in names}
            | {
                "sources": tuple(entry["sources"]),
                "empty": math.nan if entry["empty"] is None else entry["empty"],
                "monotone": tuple((cause, sign) for cause, sign in entry["monotone"]),
            }
        )
        for entry in json.loads(text)["features"]
    )


@dataclass(frozen=True, kw_only=True)
class Declaration(Feature):
    """A feature before the windows are known, and the function that computes it.

    Its name and norm may contain ``<w>``, ``<short>`` and ``<long>``, the labels of its window, the
    short and the longest window; and ``<core>``, if it is declared once per core feature.
    ``adds_up``: its expected value, and so its norm, is proportional to the length of the window.
    """

    function: Callable[..., Numbers]
    over: tuple[str, ...] = ()
    adds_up: bool = False

    def expand(
        self, settings: FeatureSettings, clock: Clock
    ) -> Iterator[tuple[Feature, tuple[int, ...]]]:
        """Yield each feature declared, with the arguments of its function."""
        windows = {w for role in self.over for w in settings.role(role)}
        cores = range(len(settings.core_features)) if "<core>" in self.name else (None,)
        for core in cores:
            for window in sorted(windows) if self.over else (None,):
                yield (
                    self._feature(settings, clock, window, core),
                    tuple(n for n in (window, core) if n is not None),
                )

    def _feature(
        self, settings: FeatureSettings, clock: Clock, window: int | None, core: int | None
    ) -> Feature:
        marks: dict[str, int | str] = {} if window is None else {"window": window}
        marks |= {"short": settings.short, "long": settings.long, "period_days": clock.period_days}
        labels = {"<short>": clock.label(settings.short), "<long>": clock.label(settings.long)}
        if window is not None:
            labels["<w>"] = clock.label(window)
        if core is not None:
            marks["core"] = settings.core_features[core]
            labels["<core>"] = column_name(settings.core_features[core])
        terms = {term.name: getattr(self, term.name) for term in fields(Feature)}
        terms |= {"name": _filled(self.name, labels), "window": window, "marks": marks}
        return Feature(**terms | self._norm_terms(settings, window, labels))

    def _norm_terms(
        self, settings: FeatureSettings, window: int | None, labels: dict[str, str]
    ) -> dict[str, Any]:
        """Return the terms that concern the norm; none if the comparison would be misleading.

        A norm of the short window is computed from the periods before it. A longer window would
        share periods with that norm and may reach back before the sign-up, so it has no norm.
        """
        of_short = self.norm is not None and "<short>" in self.norm
        longest = settings.short if of_short else settings.long - 1
        if self.norm is None or (window is not None and window > longest):
            return {"norm": None}
        norm = {"norm": _filled(self.norm, labels)}
        if self.adds_up and window is not None:
            return norm | {"norm_scale": window / settings.short}
        if of_short and window != settings.short:
            return norm | {"norm_clause": NORM_CLAUSE_OF_SHORT}
        return norm


def _filled(text: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        text = text.replace(label, value)
    return text


@dataclass
class Family:
    """The register of one module's features; a family may have several, in catalog order.

    Parameters
    ----------
    name
        engagement, support, payments or lifecycle.
    log
        The table that its features read unless declared otherwise.
    """

    name: str
    log: str
    declarations: list[Declaration] = field(default_factory=list)

    def section(self, group: str, **terms: Any) -> Callable[..., Declare]:
        """Return ``feature`` with the reason group (and ``terms``) that a section shares."""
        return partial(self.feature, group=group, **terms)

    def feature(self, name: str, sentence: str, *, over: str = "", **terms: Any) -> Declare:
        """Declare the decorated function as a feature; ``terms`` are those of ``Declaration``.

        The function takes a ``Known`` and, if ``over`` names roles of windows ("each",
        "short long", ...), the window in periods; the feature is declared once per window.
        """

        def declare(function: Callable[..., Numbers]) -> Callable[..., Numbers]:
            defaults = {"family": self.name, "sources": (self.log,), "over": tuple(over.split())}
            declaration = Declaration(
                function=function, name=name, sentence=sentence, **defaults | terms
            )
            self.declarations.append(declaration)
            return function

        return declare
