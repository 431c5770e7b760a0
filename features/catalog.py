"""Catalog: all features that the families declare, for given windows, core features and logs.

``python -m features.catalog`` rewrites ``docs/features.md``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic import write_text
from data.clock import Clock
from data.contracts import TABLES
from features import (
    breadth,
    engagement,
    onboarding,
    payment_methods,
    payments,
    renewal,
    support,
)
from features.declare import REASON_GROUPS, UNITS, Feature
from features.feature_settings import FeatureSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from features.declare import Declaration, Family, Numbers
    from features.known import Known

__all__ = ["FAMILIES", "REASON_GROUPS", "UNITS", "Feature", "PlannedColumn", "catalog", "columns"]

# In the order of the columns.
FAMILIES: tuple[Family, ...] = (
    engagement.FAMILY,
    breadth.FAMILY,
    onboarding.FAMILY,
    support.FAMILY,
    payments.FAMILY,
    payment_methods.FAMILY,
    renewal.FAMILY,  # all of lifecycle: what lies ahead in a contract is declared last
)
INTRODUCTION = """\
# Features

Generated from the code by `python -m features.catalog`; do not edit.

{count} features, by the group of reasons that they belong to, for windows of {windows} periods
and the core features {core}. `params.yaml` (`featurize`) chooses both.

- **feature**: `<w>` is one of the **windows**, `<short>` is {short}, `<long>` is {long} and
  `<core>` a core feature. A feature of w periods at a cutoff reads the events in
  `(cutoff - w periods, cutoff]` that are visible at the cutoff. One without a window reads all that
  is visible, or the state that it leaves.
- **what it is**: in brackets its unit, its value where no row counts, if it has one, and the tables
  that it reads. Where one of these is absent, so is the feature.
- **what the list says**: `[one/many]` is a choice by the value. What follows a comma with
  `{{norm}}` stands only where the customer's own norm is known. The norm of a sum comes from the
  time before the short window, scaled to the sentence's window.

`catalog.json` beside the feature table adds what the data say: the share missing, and the first
cutoff at which a value was seen.
"""
TABLE_HEAD = """\
| feature | windows | what it is | what the list says |
|---|---|---|---|"""
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "features.md"


@dataclass(frozen=True)
class PlannedColumn:
    """A column to compute: a feature, its function, and the function's arguments."""

    feature: Feature
    function: Callable[..., Numbers]
    arguments: tuple[int, ...]

    def values(self, known: Known) -> Numbers:
        """Compute the feature; shape (snapshots,), float64."""
        return self.function(known, *self.arguments)


def columns(
    settings: FeatureSettings, logs_present: Collection[str], clock: Clock
) -> tuple[PlannedColumn, ...]:
    """Plan all features whose tables are present, in the order of the families and their modules.

    Parameters
    ----------
    settings
        Windows and core features.
    logs_present
        Tables that the business has; ``customers`` is always present.
    clock
        Names the windows.

    Raises
    ------
    ValueError
        If two features have the same name.
    """
    present = {*logs_present, "customers"}
    planned = [
        PlannedColumn(feature, declaration.function, arguments)
        for family in FAMILIES
        for declaration in family.declarations
        if present.issuperset(declaration.sources)
        for feature, arguments in declaration.expand(settings, clock)
    ]
    names = [column.feature.name for column in planned]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Features declared twice: {', '.join(twice)}.")
    return tuple(planned)


def catalog(
    windows: Sequence[int],
    core_features: Sequence[str],
    logs_present: Collection[str],
    clock: Clock | None = None,
) -> tuple[Feature, ...]:
    """Return the features that ``build_features`` writes, in the order of its columns.

    Parameters
    ----------
    windows, core_features
        As in ``FeatureSettings``.
    logs_present
        Tables that the business has.
    clock
        Names the windows; weeks by default.
    """
    settings = FeatureSettings(tuple(windows), tuple(core_features))
    planned = columns(settings, logs_present, clock or Clock())
    return tuple(column.feature for column in planned)


def as_json(
    features: Sequence[Feature], measured: Sequence[dict[str, Any]], settings: FeatureSettings
) -> str:
    """Return the catalog as JSON; NaN becomes null.

    Parameters
    ----------
    features
        Features in the order of the columns.
    measured
        Statistics of each feature: ``missing_share`` and ``first_seen``.
    settings
        Settings that the features were planned with.
    """
    entries = []
    for feature, statistics in zip(features, measured, strict=True):
        empty = None if math.isnan(feature.empty) else feature.empty
        entries.append({**asdict(feature), "empty": empty, **statistics})
    whole = {
        "windows": settings.windows,
        "core_features": settings.core_features,
        "reason_groups": REASON_GROUPS,
        "units": UNITS,
        "features": entries,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def document(settings: FeatureSettings | None = None, clock: Clock | None = None) -> str:
    """Return the page of all features, in Markdown: one table per reason group."""
    settings = settings or FeatureSettings(core_features=("login", "report"))
    clock = clock or Clock()
    declarations = [one for family in FAMILIES for one in family.declarations]
    sections = [
        INTRODUCTION.format(
            count=len(columns(settings, TABLES, clock)),
            windows=_listed(settings.windows),
            core=_listed(f"`{name}`" for name in settings.core_features),
            short=f"`{clock.label(settings.short)}`",
            long=f"`{clock.label(settings.long)}`",
        )
    ]
    for group, heading in REASON_GROUPS.items():
        rows = [_row(one, settings, clock) for one in declarations if one.group == group]
        sections.append("\n".join([f"## {heading}\n\n`{group}`\n", TABLE_HEAD, *rows, ""]))
    units = [f"- **{unit}**: {meaning}" for unit, meaning in UNITS.items()]
    return "\n".join([*sections, "## Units", "", *units, ""])


def _row(declaration: Declaration, settings: FeatureSettings, clock: Clock) -> str:
    """Write one declaration, which stands for a feature per window and core feature."""
    expanded = [feature for feature, _ in declaration.expand(settings, clock)]
    norm = declaration.norm_clause if any(feature.norm for feature in expanded) else ""
    below = f"; below 0: {declaration.negative}" if declaration.negative else ""
    meaning = (declaration.function.__doc__ or "").split("\n", maxsplit=1)[0]
    empty = "" if math.isnan(declaration.empty) else f", empty {declaration.empty:g}"
    cells = (
        f"`{declaration.name}`",
        _listed(dict.fromkeys(f.window for f in expanded if f.window is not None)),
        f"{meaning} ({declaration.unit}{empty}; {_listed(declaration.sources)})",
        _in_words(declaration.sentence + norm + below, settings, clock),
    )
    return "| " + " | ".join(cells) + " |"


def _in_words(sentence: str, settings: FeatureSettings, clock: Clock) -> str:
    """Write a sentence's marks so that Markdown does not take them for HTML."""
    period = {1: "day", 7: "week"}.get(clock.period_days, "period")
    words = {
        "<span>": f"w {period}s",
        "<shortspan>": f"{settings.short} {period}s",
        "<longspan>": f"{settings.long} {period}s",
        "<period>": period,
        "<periods>": f"{period}s",
        "<core>": "(core)",
    }
    return re.sub(r"<\w+>", lambda mark: words[mark[0]], sentence)


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)


if __name__ == "__main__":
    write_text(document(), DOCUMENT)
