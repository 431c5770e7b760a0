"""What a feature says about itself, and the register in which each family declares its own."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from data.clock import Clock
from data.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Unit = Literal[
    "days", "hours", "minutes", "weeks", "count", "cents", "share", "ratio", "slope", "flag",
    "score",
]  # fmt: skip

UNITS: dict[Unit, str] = {
    "days": "days",
    "hours": "hours",
    "minutes": "minutes",
    "weeks": "weeks of seven days",
    "count": "how many",
    "cents": "minor units of the reporting currency",
    "share": "share of a whole, 0 to 1",
    "ratio": "times something else of the customer's own",
    "slope": "change per period",
    "flag": "1 yes, 0 no",
    "score": "points on the scale named in the sentence",
}

REASON_GROUPS: dict[str, str] = {
    "usage_decline": "Uses the product less",
    "usage_absence": "Has not been seen for a while",
    "usage_breadth": "Uses only part of the product",
    "usage_habit": "Has an unsteady habit of use",
    "onboarding": "Start with the product",
    "support_load": "Needs support",
    "support_waiting": "Waits for support",
    "support_quality": "Had support that did not help",
    "support_tone": "Writes of leaving or of frustration",
    "payment_failures": "Payments fail",
    "payment_arrears": "Pays late or owes money",
    "payment_method": "Card or payment method at risk",
    "refunds": "Asked for money back",
    "price": "Price or discount changes",
    "plan": "Size and shape of the plan",
    "renewal": "Renewal is near",
    "relationship": "Stage of the relationship",
}


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

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
        Plain words with ``{value}`` and, where there is a norm, ``{norm}``; true whatever they are.
    norm
        Name of the feature with the customer's own norm in the same unit, or None.
    monotone
        Pairs (cause of churn, +1 or -1) where the risk can only sensibly rise or fall with it.
    """

    name: str
    family: str
    sources: tuple[str, ...]
    window: int | None
    unit: Unit
    empty: float
    group: str
    sentence: str
    norm: str | None = None
    monotone: tuple[tuple[str, int], ...] = ()

    def words(self, value: float, norm: float | None = None) -> str:
        """Write the sentence with its numbers, each with as many digits as its unit deserves."""
        known = self.norm is not None and norm is not None and not math.isnan(norm)
        sentence = self.sentence if known else self.sentence.replace(", usually {norm}", "")
        text = sentence.format(
            value=write_value(value, self.unit),
            norm=write_value(math.nan if norm is None else norm, self.unit),
        )
        # "1 active days" is one day; "1 times as many" stays.
        return text if self.unit == "ratio" else re.sub(r"^1 (\w+ )??(\w+)s\b", r"1 \1\2", text)


def write_value(value: float, unit: Unit) -> str:
    """Write one number for a person: ``yes``, ``35 %``, ``49.90``, ``12``; NaN is ``unknown``."""
    if math.isnan(value):
        return "unknown"
    if unit == "flag":
        return "yes" if value > 0 else "no"
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "cents":
        return f"{value / 100:,.2f}"
    digits = 2 if unit == "slope" else 1 if abs(value) < 10 else 0
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


@dataclass(frozen=True)
class FeatureSettings:
    """What the business chooses of its features.

    Parameters
    ----------
    windows
        Lengths of the windows in periods, rising, at least two. The second is the recent past
        (``short``), the last but one the span of trends (``trend``), the last the customer's own
        norm (``long``).
    core_features
        Values of ``usage.feature`` that mark adoption; at most 16.

    Raises
    ------
    BadInputError
        If the windows do not rise from 1 or more, or the core features repeat or are too many.
    """

    windows: tuple[int, ...] = (1, 4, 13, 26)
    core_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.windows, self.windows[1:], strict=False))
        if len(self.windows) < 2 or not rising or self.windows[0] < 1:
            raise BadInputError(
                f"featurize.windows {list(self.windows)} must be at least two whole numbers that "
                "rise from 1 or more, e.g. [1, 4, 13, 26]."
            )
        names = {column_name(feature) for feature in self.core_features}
        if len(names) < len(self.core_features) or "" in names or len(names) > 16:
            raise BadInputError(
                f"featurize.core_features {list(self.core_features)} must be at most 16 names that "
                "differ in their letters and digits."
            )

    @property
    def short(self) -> int:
        """The recent past."""
        return self.windows[min(1, len(self.windows) - 2)]

    @property
    def trend(self) -> int:
        """The span over which slopes and volatility are taken."""
        return self.windows[-2] if len(self.windows) > 2 else self.windows[-1]

    @property
    def long(self) -> int:
        """The customer's own norm."""
        return self.windows[-1]

    def role(self, name: str) -> tuple[int, ...]:
        """Windows of a role: ``each``, ``short``, ``trend``, ``long``, ``wide`` (from short on)."""
        if name == "each":
            return self.windows
        if name == "wide":
            return tuple(w for w in self.windows if w >= self.short)
        return (int(getattr(self, name)),)


def column_name(text: str) -> str:
    """Lower-case letters, digits and underscores of a text, for column names."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def span(periods: int, clock: Clock) -> str:
    """Words after "the last": ``week``, ``4 weeks``, ``4 periods of 5 days``."""
    unit = {1: "day", 7: "week"}.get(clock.period_days)
    if unit:
        return unit if periods == 1 else f"{periods} {unit}s"
    plural = "period" if periods == 1 else f"{periods} periods"
    return f"{plural} of {clock.period_days} days"


@dataclass(frozen=True)
class Declaration:
    """A feature function with what it declares, before the windows are known.

    ``name``, ``sentence`` and ``norm`` hold ``<w>`` and ``<long>``, the labels of the window and of
    the longest one, ``<span>`` and ``<longspan>``, their words, and for features repeated over the
    core features ``<core>``.
    """

    function: Callable[..., Numbers]
    name: str
    family: str
    sources: tuple[str, ...]
    over: tuple[str, ...]
    unit: Unit
    empty: float
    group: str
    sentence: str
    norm: str | None
    monotone: tuple[tuple[str, int], ...]

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
        labels = {"<long>": clock.label(settings.long), "<longspan>": span(settings.long, clock)}
        if window is not None:
            labels |= {"<w>": clock.label(window), "<span>": span(window, clock)}
        named = dict(labels)
        if core is not None:
            feature = settings.core_features[core]
            labels["<core>"] = feature.replace("{", "").replace("}", "")
            named["<core>"] = column_name(feature)
        has_norm = self.norm is not None and window == settings.short
        return Feature(
            name=_filled(self.name, named),
            family=self.family,
            sources=self.sources,
            window=window,
            unit=self.unit,
            empty=self.empty,
            group=self.group,
            sentence=_filled(self.sentence, labels) + (", usually {norm}" if has_norm else ""),
            norm=_filled(self.norm, named) if has_norm and self.norm else None,
            monotone=self.monotone,
        )


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
        self,
        name: str,
        sentence: str,
        *,
        unit: Unit,
        group: str,
        over: str = "",
        empty: float = math.nan,
        norm: str | None = None,
        sources: tuple[str, ...] = (),
        monotone: tuple[tuple[str, int], ...] = (),
    ) -> Callable[[Callable[..., Numbers]], Callable[..., Numbers]]:
        """Declare the decorated function as a feature.

        The function takes what is ``Known`` and, when ``over`` names roles of windows ("each",
        "short long", ...), the window in periods; it is declared once for each window. The norm
        holds for the short window, the one that the list speaks of.
        """

        def declare(function: Callable[..., Numbers]) -> Callable[..., Numbers]:
            self.declarations.append(
                Declaration(
                    function, name, self.name, sources or (self.log,), tuple(over.split()), unit,
                    empty, group, sentence, norm, monotone,
                )
            )  # fmt: skip
            return function

        return declare
