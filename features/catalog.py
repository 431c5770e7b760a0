"""Catalog: every feature that the families declare, for given windows, core features and logs.

``python -m features.catalog`` writes ``docs/features.md`` anew.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic import write_text
from data.clock import Clock
from data.contracts import TABLES
from features import engagement, lifecycle, payments, support
from features.declare import REASON_GROUPS, UNITS, Feature
from features.feature_settings import FeatureSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from features.declare import Family, Numbers
    from features.known import Known

__all__ = ["FAMILIES", "REASON_GROUPS", "UNITS", "Column", "Feature", "catalog", "columns"]

FAMILIES: tuple[Family, ...] = (
    engagement.FAMILY,
    support.FAMILY,
    payments.FAMILY,
    lifecycle.FAMILY,
)
INTRODUCTION = """\
{count} features, for the windows {windows} and, as an example, the core features {core}. Both are
chosen in `params.yaml` (`featurize`). A feature of w periods at a cutoff reads the events in
`(cutoff - w periods, cutoff]` that are visible at the cutoff; one without a window reads all that
is visible, or the state that it leaves. *Empty* is the value where no row counts. `catalog.json`
beside the feature table adds what the data say: the share missing, and the first cutoff at which a
value was seen.

The sentences are what the weekly list says: `[one/many]` is a choice by the value, and what follows
a comma with `{{norm}}` stands only where the customer's own norm is known. The norm of a sum comes
from the time before the short window, scaled to the sentence's window."""
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "features.md"


@dataclass(frozen=True)
class Column:
    """A feature with the function that computes it and the function's arguments."""

    feature: Feature
    function: Callable[..., Numbers]
    arguments: tuple[int, ...]

    def values(self, known: Known) -> Numbers:
        """Compute the feature; shape (snapshots,), float64."""
        return self.function(known, *self.arguments)


def columns(
    settings: FeatureSettings, logs_present: Collection[str], clock: Clock
) -> tuple[Column, ...]:
    """Every feature whose tables are there, in the order of the families and their modules.

    Parameters
    ----------
    settings
        Windows and core features.
    logs_present
        Tables that the business has; ``customers`` is always there.
    clock
        Names the windows.

    Raises
    ------
    ValueError
        If two features have the same name.
    """
    present = {*logs_present, "customers"}
    found = [
        Column(feature, declaration.function, arguments)
        for family in FAMILIES
        for declaration in family.declarations
        if present.issuperset(declaration.sources)
        for feature, arguments in declaration.expand(settings, clock)
    ]
    names = [column.feature.name for column in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Features declared twice: {', '.join(twice)}.")
    return tuple(found)


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
    found = columns(settings, logs_present, clock or Clock())
    return tuple(column.feature for column in found)


def as_json(
    features: Sequence[Feature], measured: Sequence[dict[str, Any]], settings: FeatureSettings
) -> str:
    """Write the catalog as JSON; what is NaN is null there.

    Parameters
    ----------
    features
        In the order of the columns.
    measured
        For each feature what the data say of it: ``missing_share`` and ``first_seen``.
    settings
        What the catalog was made with.
    """
    entries = []
    for feature, facts in zip(features, measured, strict=True):
        empty = None if math.isnan(feature.empty) else feature.empty
        entries.append({**asdict(feature), "empty": empty, **facts})
    whole = {
        "windows": settings.windows,
        "core_features": settings.core_features,
        "reason_groups": REASON_GROUPS,
        "units": UNITS,
        "features": entries,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def document(settings: FeatureSettings | None = None, clock: Clock | None = None) -> str:
    """Return the page of all features, in Markdown: one table a family."""
    settings = settings or FeatureSettings(core_features=("login", "report"))
    found = columns(settings, TABLES, clock or Clock())
    lines = [
        "# Features",
        "",
        "Generated from the code by `python -m features.catalog`; do not edit.",
        "",
        INTRODUCTION.format(
            count=len(found), windows=list(settings.windows), core=list(settings.core_features)
        ),
    ]
    for family in FAMILIES:
        mine = [column for column in found if column.feature.family == family.name]
        lines += [
            "",
            f"## {family.name.capitalize()} ({len(mine)})",
            "",
            "| feature | reads | window | unit | empty | what it is | sentence | at 0 | missing |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_row(column) for column in mine),
        ]
    lines += ["", "## Reason groups", "", "| group | heading |", "|---|---|"]
    lines += [f"| `{group}` | {heading} |" for group, heading in REASON_GROUPS.items()]
    lines += ["", "## Units", "", "| unit | meaning |", "|---|---|"]
    lines += [f"| {unit} | {meaning} |" for unit, meaning in UNITS.items()]
    return "\n".join(lines) + "\n"


def _row(column: Column) -> str:
    feature = column.feature
    meaning = (column.function.__doc__ or "").split("\n", maxsplit=1)[0]
    cells = (
        f"`{feature.name}`",
        ", ".join(feature.sources),
        "" if feature.window is None else str(feature.window),
        feature.unit,
        "missing" if math.isnan(feature.empty) else f"{feature.empty:g}",
        meaning,
        feature.sentence
        + (feature.norm_clause if feature.norm else "")
        + (f" (below 0: {feature.negative})" if feature.negative else ""),
        feature.zero or "",
        "" if feature.missing == Feature.missing else feature.missing,
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    write_text(document(), DOCUMENT)
