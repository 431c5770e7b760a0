"""The second page, the churn overview, as one self-contained HTML file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from data.atomic import write_text
from data.contracts import CAUSES
from retention import charts
from retention.charts import Box, Chart, Mark
from retention.cohorts import AGES, EARLY_DAYS
from retention.html import document
from retention.kaplan_meier import MIN_AT_RISK
from retention.language import LANGUAGES
from retention.overview import LIFETIME_MONTHS
from retention.recovery import SETTLE_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from retention.language import Language
    from retention.overview import Overview

_BOX: Final = Box(width=560.0, height=230.0, left=52.0, right=12.0, bottom=24.0)
# Curves have their names at their ends.
_CURVES: Final = Box(width=560.0, height=260.0, left=52.0, right=96.0, bottom=24.0)
_LABEL_HEIGHT: Final = 18.0
# More curves than colours that can be distinguished are not drawn.
_MOST_CURVES: Final = 6


def write_overview(churn: Overview, path: Path) -> None:
    """Write the page to a file, atomically."""
    write_text(page(churn), path)


def page(churn: Overview, languages: Sequence[Language] = LANGUAGES) -> str:
    """Return the overview as HTML; see ``html.document``."""
    return document(
        "overview.html.jinja",
        lambda language: _view(churn, language),
        churn.currency,
        languages,
    )


def _view(churn: Overview, language: Language) -> dict[str, Any]:
    """Return what the template shows."""
    months, recent = churn.months, churn.recent
    return {
        "churn": churn,
        "months": months.to_dict("records"),
        "recent": {name: int(recent[name].sum()) for name in recent.columns if name != "month"},
        "has_mrr": bool(months["mrr"].sum()),
        "ages": AGES,
        "settle_days": SETTLE_DAYS,
        "early_days": EARLY_DAYS,
        "lifetime_months": LIFETIME_MONTHS,
        "recent_months": len(recent),
        "min_at_risk": MIN_AT_RISK,
        "charts": _charts(churn, language),
        "cohorts": [
            (cohort, [(share, _shade(share)) for share in cohort.retention])
            for cohort in churn.cohorts
        ],
        "group_rows": [
            (None, [churn.everybody]),
            ("segment", churn.segments),
            ("plan", churn.plans),
        ],
    }


def _shade(share: float) -> int | None:
    """Return the shade of a cell, 0 (none left) to 9 (all there); None where unknown."""
    return None if math.isnan(share) else min(9, int(share * 10.0))


def _charts(churn: Overview, language: Language) -> dict[str, Chart]:
    """Return the charts that are not empty."""
    drawn: dict[str, Chart] = {}
    months = churn.months
    if len(months):
        drawn["logos"] = _churn_chart(months, "customers", "", language)
    if months["mrr"].sum():
        drawn["mrr"] = _churn_chart(months, "mrr", "_mrr", language)
    if churn.recovery:
        drawn["recovery"] = _recovery_chart(churn, language)
    if churn.curves:
        drawn["curves"] = _curve_chart(churn, language)
    return drawn


def _churn_chart(months: pd.DataFrame, whole: str, suffix: str, language: Language) -> Chart:
    """Stack the shares lost to each cause, month by month."""
    total = months[whole].to_numpy(dtype=float)
    layers = [
        [
            lost / all_ if all_ else 0.0
            for lost, all_ in zip(months[f"{c}{suffix}"], total, strict=True)
        ]
        for c in CAUSES
    ]
    sums = [sum(parts) for parts in zip(*layers, strict=True)]
    heights = charts.ceiling(max(sums), ticks=4)
    paths = charts.stacked(_BOX, layers, heights[-1])
    mean = months[[f"{c}{suffix}" for c in CAUSES]].to_numpy().sum() / total.sum()
    return Chart(
        _BOX,
        charts.grid(_BOX, heights, language.percent),
        charts.floor_labels(_BOX, [language.month(month) for month in months["month"]], limit=5),
        tuple(
            Mark(f"bar {kind}", path) for kind, path in zip(("accent", "raise"), paths, strict=True)
        ),
        language.fill(
            "Share lost in each of {count} months: {mean} on average, {last} in the last one.",
            count=language.number(len(months)),
            mean=language.percent(mean),
            last=language.percent(sums[-1]),
        ),
    )


def _recovery_chart(churn: Overview, language: Language) -> Chart:
    rates = [item.rate for _, item in churn.recovery]
    heights = [0.0, 0.25, 0.5, 0.75, 1.0]
    points = [((number + 0.5) / len(rates), rate) for number, rate in enumerate(rates)]
    return Chart(
        _BOX,
        charts.grid(_BOX, heights, language.percent),
        charts.floor_labels(_BOX, [language.month(month) for month, _ in churn.recovery], limit=5),
        (
            Mark("line lower", charts.line(_BOX, points)),
            Mark("dot lower", charts.dots(_BOX, points, 3.0)),
        ),
        language.fill(
            "Recovery rate in each of {count} months: {mean} of late, {last} in the last one.",
            count=language.number(len(rates)),
            mean=language.percent(churn.recent_recovery.rate),
            last=language.percent(rates[-1]),
        ),
    )


def _curve_chart(churn: Overview, language: Language) -> Chart:
    """Draw each plan's Kaplan-Meier curve as far as enough customers were observed."""
    ranked = sorted(churn.curves.items(), key=lambda item: -int(item[1].at_risk[0]))
    ranked = ranked[:_MOST_CURVES]
    seen_until = max(curve.times[curve.at_risk >= MIN_AT_RISK].max() for _, curve in ranked)
    limit = 6.0 * min(LIFETIME_MONTHS // 6, math.ceil(seen_until / 6.0))
    marks, ends = [], []
    for number, (name, curve) in enumerate(ranked, start=1):
        seen = (curve.at_risk >= MIN_AT_RISK) & (curve.times <= limit)
        times, shares = curve.times[seen], curve.survival[seen]
        # A step a week is as fine as the eye can see.
        points = [(0.0, 1.0), *zip(times / limit, shares, strict=True)]
        thin = [p for k, p in enumerate(points) if k == len(points) - 1 or _moves(points, k)]
        marks.append(Mark(f"line series s{number}", charts.staircase(_CURVES, thin)))
        ends.append((thin[-1], name, number))
    heights = [0.0, 0.25, 0.5, 0.75, 1.0]
    months = tuple(
        (_CURVES.x(month / limit), language.number(month), "middle")
        for month in range(0, int(limit) + 1, 6)
    )
    return Chart(
        _CURVES,
        charts.grid(_CURVES, heights, language.percent),
        months,
        (*marks, *_names(ends)),
        language.fill("Share of customers still there by months since the start, for each plan."),
    )


def _moves(points: Sequence[tuple[float, float]], k: int) -> bool:
    """Whether a point of a staircase is visibly apart from the one before."""
    return k == 0 or int(points[k][0] * 240) != int(points[k - 1][0] * 240)


def _names(ends: Sequence[tuple[tuple[float, float], str, int]]) -> list[Mark]:
    """Write the name of each curve at its end, none upon another."""
    marks: list[Mark] = []
    lowest = 0.0
    for (x, y), name, number in sorted(ends, key=lambda end: -end[0][1]):
        height = max(_CURVES.y(y) + 4.0, lowest + _LABEL_HEIGHT)
        marks.append(Mark(f"name s{number}", x=_CURVES.x(x) + 6.0, y=height, text=name[:14]))
        lowest = height
    return marks
