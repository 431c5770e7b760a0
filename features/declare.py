"""What a feature says about itself, and the register in which each family declares its own."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from data.clock import Clock
from features.feature_settings import column_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from features.feature_settings import FeatureSettings

    Numbers = NDArray[np.float64]

# What ``features.build`` writes: the matrix, and what its columns say about themselves.
FEATURES_FILE = "features.parquet"
CATALOG_FILE = "catalog.json"

Unit = Literal[
    "days", "whole_days", "lasting", "hours", "minutes", "weeks", "count", "cents", "share",
    "multiple", "ratio", "slope", "flag", "score",
]  # fmt: skip

UNITS: dict[Unit, str] = {
    "days": "days",
    "whole_days": "days from one instant to another, written as whole days",
    "lasting": "days that something has lasted, written in the unit that suits",
    "hours": "hours",
    "minutes": "minutes",
    "weeks": "weeks of seven days",
    "count": "how many",
    "cents": "minor units of the reporting currency",
    "share": "share of a whole, 0 to 1",
    "multiple": "times the like of it at another time",
    "ratio": "so many for each of something else",
    "slope": "change per period",
    "flag": "1 yes, 0 no",
    "score": "points on the scale named in the sentence",
}

# The list shows a group whichever way it pushes the risk and whatever its values are: so its
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


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the feature table.

    Its sentences hold ``{value}`` and choices ``[one/many]``: the first where the value is written
    as 1 or 100%. They are true whatever the value is, and say nothing of the risk.

    Parameters
    ----------
    name
        ``<measure>_<window>``, e.g. ``active_days_4w``.
    family
        engagement, support, payments or lifecycle.
    sources
        Tables that it reads; where one is absent, the feature is.
    window
        Periods that it looks back; None for a state or the whole visible history.
    unit
        Key of ``UNITS``.
    empty
        Value when no row counts; may be NaN.
    group
        Key of ``REASON_GROUPS``.
    sentence
        Plain words for a value; of a flag, for "yes", without ``{value}``.
    zero
        The sentence for a value that is written as 0; of a flag, for "no".
    negative
        The sentence for a value below 0, which it gives without its sign.
    missing
        The sentence for NaN.
    norm
        Name of the feature with the customer's own norm in the same unit, or None.
    norm_scale
        What the norm is multiplied by to be one for this feature's window.
    norm_clause
        What follows the sentence where the norm is known; holds ``{norm}``, by which it chooses.
    monotone
        Pairs (cause of churn, +1 or -1) where the risk can only sensibly rise or fall with it.
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
    monotone: tuple[tuple[str, int], ...] = ()


def from_json(text: str) -> tuple[Feature, ...]:
    """Read back the features that ``features.catalog.as_json`` wrote; no engine is needed here."""
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


def span(periods: int, clock: Clock) -> str:
    """Words after "the last": ``week``, ``4 weeks``, ``4 periods of 5 days``."""
    unit = {1: "day", 7: "week"}.get(clock.period_days)
    if unit:
        return unit if periods == 1 else f"{periods} {unit}s"
    plural = "period" if periods == 1 else f"{periods} periods"
    return f"{plural} of {clock.period_days} days"


@dataclass(frozen=True, kw_only=True)
class Declaration(Feature):
    """A feature before the windows are known, and the function that computes it.

    Its texts hold ``<w>``, ``<short>`` and ``<long>``, the labels of its window and of the short
    and the longest one; ``<span>``, ``<shortspan>`` and ``<longspan>``, their words; ``<period>``
    and ``<periods>``, the words for one and many; and for features repeated over the core features
    ``<core>``. ``adds_up``: over a window w times as long it is w times as much, and so is its
    norm.
    """

    function: Callable[..., Numbers]
    over: tuple[str, ...] = ()
    adds_up: bool = False

    def expand(
        self, settings: FeatureSettings, clock: Clock
    ) -> Iterator[tuple[Feature, tuple[int, ...]]]:
        """Yield each feature that this declares, with the arguments of its function."""
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
        labels = {"<period>": span(1, clock), "<periods>": span(2, clock).removeprefix("2 ")}
        for mark, w in (("", window), ("short", settings.short), ("long", settings.long)):
            if w is not None:
                labels |= {f"<{mark or 'w'}>": clock.label(w), f"<{mark}span>": span(w, clock)}
        named = dict(labels)
        if core is not None:
            labels["<core>"] = re.sub(r"[][{}]", "", settings.core_features[core])
            named["<core>"] = column_name(settings.core_features[core])
        terms = {term.name: getattr(self, term.name) for term in fields(Feature)}
        terms |= {name: _filled(terms[name], labels) for name in _TEXTS if terms[name] is not None}
        terms |= {"name": _filled(self.name, named), "window": window}
        return Feature(**terms | self._norm_terms(settings, clock, window, named))

    def _norm_terms(
        self, settings: FeatureSettings, clock: Clock, window: int | None, named: dict[str, str]
    ) -> dict[str, Any]:
        """Return what the feature says of its norm; nothing where a norm would not be honest.

        A norm of the short window comes from before it. A longer window would share periods with
        its norm, and may reach back further than the customer does: it has none.
        """
        of_short = self.norm is not None and "<short>" in self.norm
        longest = settings.short if of_short else settings.long - 1
        if self.norm is None or (window is not None and window > longest):
            return {"norm": None}
        norm = {"norm": _filled(self.norm, named)}
        if self.adds_up and window is not None:
            return norm | {"norm_scale": window / settings.short}
        if of_short and window != settings.short:
            return norm | {"norm_clause": f", usually {{norm}} in {span(settings.short, clock)}"}
        return norm


_TEXTS = ("sentence", "zero", "negative", "missing")


def _filled(text: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        text = text.replace(label, value)
    return text


@dataclass
class Family:
    """The register of one family of features.

    Parameters
    ----------
    name
        engagement, support, payments or lifecycle.
    log
        The table that its features read unless they say otherwise.
    """

    name: str
    log: str
    declarations: list[Declaration] = field(default_factory=list)

    def feature(
        self, name: str, sentence: str, *, over: str = "", **terms: Any
    ) -> Callable[[Callable[..., Numbers]], Callable[..., Numbers]]:
        """Declare the decorated function as a feature; ``terms`` are those of ``Declaration``.

        The function takes what is ``Known`` and, when ``over`` names roles of windows ("each",
        "short long", ...), the window in periods; it is declared once for each window.
        """

        def declare(function: Callable[..., Numbers]) -> Callable[..., Numbers]:
            given = {"family": self.name, "sources": (self.log,), "over": tuple(over.split())}
            declaration = Declaration(
                function=function, name=name, sentence=sentence, **given | terms
            )
            self.declarations.append(declaration)
            return function

        return declare
