"""The page that the retention team opens: one self-contained HTML file that needs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from data.atomic import write_text
from data.contracts import CAUSES
from features.declare import REASON_GROUPS
from retention import change, charts, ranking
from retention.charts import Box, Chart, Mark
from retention.html import document
from retention.language import LANGUAGES
from retention.reasons import frequencies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from retention.detail import CustomerDetail
    from retention.effect import Effect
    from retention.language import Language
    from retention.realised import RealisedQueue
    from retention.reasons import Explanation, Reason
    from retention.weekly_list import WeeklyList

# Number of newest weeks that the chart of use highlights: those that most reasons refer to.
_RECENT: Final = 4
_SHOWN_STATUSES: Final = (
    ranking.LISTED,
    ranking.BEYOND_CAPACITY,
    ranking.NOT_WORTH_A_CALL,
    ranking.PAUSED,
    ranking.CONTACTED,
    ranking.WITHHELD,
)


@dataclass(frozen=True)
class PageExtras:
    """What the page shows beside the list.

    Parameters
    ----------
    details
        The customer details that a listed row opens, by customer; a row without them opens none.
    realised, effects
        What became of earlier lists, and the effect of contacting; empty while not known.
    decided
        Number of customers who are not scored because they have already decided to leave.
    """

    details: Mapping[str, CustomerDetail] = field(default_factory=dict)
    realised: tuple[RealisedQueue, ...] = ()
    effects: tuple[Effect, ...] = ()
    decided: int = 0


NO_EXTRAS: Final = PageExtras()


def write_page(week: WeeklyList, extras: PageExtras, path: Path) -> None:
    """Write the page to a file, atomically."""
    write_text(page(week, extras), path)


def page(
    week: WeeklyList,
    extras: PageExtras = NO_EXTRAS,
    languages: Sequence[Language] = LANGUAGES,
) -> str:
    """Return the page of a weekly list as HTML.

    Parameters
    ----------
    week
        The list. Only its listed rows are embedded, whatever the number of customers.
    extras
        What is shown beside it.
    languages
        Those that the reader can choose from; the first is shown at once.

    Returns
    -------
    str
        See ``html.document``. Without scripts the page is complete, with every row opened.
    """
    return document(
        "list.html.jinja",
        lambda language: _view(week, extras, language),
        week.settings.currency,
        languages,
    )


def _view(week: WeeklyList, extras: PageExtras, language: Language) -> dict[str, Any]:
    """Return what the template shows."""
    return {
        "week": week,
        "extras": extras,
        "horizons": [language.horizon(label) for label in week.labels],
        "queues": _queues(week, extras, language),
        "filters": {name: _choices(week.listed[name]) for name in ("owner", "segment")},
        "statuses": {
            status: [counts[status] for counts in week.counts.values()]
            for status in _SHOWN_STATUSES
        },
        "gone": week.gone.astype(object).where(week.gone.notna(), None).to_dict("records"),
        "whys": {why: [counts[why] for counts in week.gone_counts.values()] for why in change.WHYS},
        "reasons": _reason_table(week),
        "logs": [
            {"name": name, "until": newest, "days": (week.cutoff - newest).days}
            for name, newest in sorted(week.provenance.freshness.items())
        ],
        "data_until": max(week.provenance.freshness.values(), default=None),
    }


def _choices(column: pd.Series) -> list[str]:
    """Return the values of a column that rows can be filtered by; the empty string is null."""
    return sorted(set(column.fillna("")))


def _queues(week: WeeklyList, extras: PageExtras, language: Language) -> list[dict[str, Any]]:
    """Return the queues as the template shows them, each with its rows."""
    choices = {name: _choices(week.listed[name]) for name in ("owner", "segment")}
    risks = week.scores.set_index("customer_id")
    rows: dict[str, list[dict[str, Any]]] = {queue.name: [] for queue in week.settings.queues}
    for number, record in enumerate(week.listed.to_dict("records")):
        customer: dict[str, Any] = {
            str(name): None if pd.isna(value) else value for name, value in record.items()
        }
        detail = extras.details.get(customer["customer_id"])
        rows[record["queue"]].append(
            customer
            | {
                "number": number,
                "owner_choice": choices["owner"].index(customer["owner"] or ""),
                "segment_choice": choices["segment"].index(customer["segment"] or ""),
                "causes": _risk_table(week, risks.loc[record["customer_id"]], record["queue"]),
                "explanation": week.explained[number],
                "bars": _bars(week.explained[number]),
                "start": 1.0 / (1.0 + math.exp(-week.explained[number].base)),
                "charts": _charts(detail, week, language) if detail else {},
                "tickets": detail.tickets if detail else None,
            }
        )
    return [
        {
            "name": queue.name,
            "cause": queue.cause,
            "save_rate": queue.save_rate,
            "capacity": queue.capacity,
            "base_rate": float(week.base_rates[CAUSES.index(queue.cause), 0]),
            "rows": rows[queue.name],
        }
        for queue in week.settings.queues
    ]


def _risk_table(
    week: WeeklyList, risks: pd.Series, queue_name: str
) -> list[tuple[str, list[tuple[float, float | None]]]]:
    """Return cause and (risk, multiple of the base rate) by horizon, own cause first."""
    own = ranking.QUEUE_NAMES.index(queue_name)
    return [
        (
            CAUSES[c],
            [
                (risk, risk / base if base > 0.0 else None)
                for risk, base in zip(
                    (float(risks[f"risk_{CAUSES[c]}_{label}"]) for label in week.labels),
                    week.base_rates[c].tolist(),
                    strict=True,
                )
            ],
        )
        for c in (own, 1 - own)
    ]


def _bars(explained: Explanation) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the picture of an explanation: (kind, bars), all bars on one scale in log-odds.

    Each bar has ``x`` and ``width`` in per cent of the picture, the place of ``zero``, the factor
    by which it multiplies the ``odds``, and its ``reason``, None for the rest of them.
    """
    lowering = [explained.lowering] if explained.lowering else []
    values = [reason.contribution for reason in (*explained.raising, *lowering)]
    low = min(0.0, explained.others, *values)
    span = max(0.0, explained.others, *values) - low or 1.0

    def bar(reason: Reason | None, value: float) -> dict[str, Any]:
        return {
            "reason": reason,
            "x": f"{100.0 * (min(value, 0.0) - low) / span:.1f}",
            "width": f"{100.0 * abs(value) / span:.1f}",
            "zero": f"{-100.0 * low / span:.1f}",
            "odds": math.exp(value),
        }

    return [
        (kind, bars)
        for kind, bars in (
            ("raises", [bar(r, r.contribution) for r in explained.raising]),
            ("lowers", [bar(r, r.contribution) for r in lowering]),
            ("others", [bar(None, explained.others)]),
        )
        if bars
    ]


def _charts(detail: CustomerDetail, week: WeeklyList, language: Language) -> dict[str, Chart]:
    """Return the charts of a customer that are not empty."""
    days = [language.short_day(period.ends_on) for period in detail.weeks]
    drawn: dict[str, Chart] = {}
    if len(detail.risks) > 1:
        drawn["risk"] = _risk_chart(detail, language)
    if any(period.active_days is not None for period in detail.weeks):
        drawn["use"] = _use_chart(detail, days, language)
    if any(period.due or period.paid or period.failed for period in detail.weeks):
        drawn["payments"] = _payment_chart(detail, days, week.settings.currency, language)
    return drawn


def _risk_chart(detail: CustomerDetail, language: Language) -> Chart:
    box = Box()
    values = [risk for _, risk in detail.risks]
    heights = charts.ceiling(max(values))
    first, last = detail.risks[0][0].toordinal(), detail.risks[-1][0].toordinal()
    points = [
        ((day.toordinal() - first) / (last - first), risk / heights[-1])
        for day, risk in detail.risks
    ]
    return Chart(
        box,
        charts.grid(box, heights, language.percent),
        (
            (box.x(0.0), language.short_day(detail.risks[0][0]), "start"),
            (box.x(1.0), language.short_day(detail.risks[-1][0]), "end"),
        ),
        (
            Mark("line raise", charts.line(box, points)),
            Mark("dot raise", charts.dots(box, points)),
        ),
        language.fill(
            "Risk on {count} lists, from {first} to {last}.",
            count=language.number(len(values)),
            first=language.percent(values[0]),
            last=language.percent(values[-1]),
        ),
    )


def _use_chart(detail: CustomerDetail, days: list[str], language: Language) -> Chart:
    box = Box()
    values = [period.active_days for period in detail.weeks]
    heights = charts.ceiling(max(value or 0 for value in values), ticks=4, whole=True)
    early = [*values[:-_RECENT], *[None] * len(values[-_RECENT:])]
    late = [*[None] * len(values[:-_RECENT]), *values[-_RECENT:]]
    known = [value for value in values if value is not None]
    return Chart(
        box,
        charts.grid(box, heights, language.number),
        charts.floor_labels(box, days),
        (
            Mark("bar other", charts.bars(box, early, heights[-1])),
            Mark("bar accent", charts.bars(box, late, heights[-1])),
        ),
        language.fill(
            "Active days in each of {count} weeks: {mean} on average, {last} in the last one.",
            count=language.number(len(values)),
            mean=language.number(round(sum(known) / len(known), 1)),
            last=language.number(values[-1] or 0),
        ),
    )


def _payment_chart(
    detail: CustomerDetail, days: list[str], currency: str, language: Language
) -> Chart:
    box = Box()
    weeks = detail.weeks
    largest = max(max(period.due or 0, period.paid or 0) for period in weeks)
    heights = [100.0 * height for height in charts.ceiling(largest / 100.0, whole=True)]
    failed = [(number + 0.5) / len(weeks) for number, period in enumerate(weeks) if period.failed]
    return Chart(
        box,
        charts.grid(box, heights, lambda cents: language.money(cents, currency)),
        charts.floor_labels(box, days),
        (
            Mark("due", charts.bars(box, [period.due for period in weeks], heights[-1], 0.1)),
            Mark("bar lower", charts.bars(box, [period.paid for period in weeks], heights[-1])),
            Mark("cross", charts.crosses(box, failed, box.top + 4.0)),
        ),
        language.fill(
            "In {count} weeks {due} fell due and {paid} was paid; {failed} [attempt/attempts] "
            "failed.",
            one=sum(period.failed or 0 for period in weeks) == 1,
            count=language.number(len(weeks)),
            due=language.money(sum(period.due or 0 for period in weeks), currency),
            paid=language.money(sum(period.paid or 0 for period in weeks), currency),
            failed=language.number(sum(period.failed or 0 for period in weeks)),
        ),
    )


def _reason_table(week: WeeklyList) -> list[dict[str, Any]]:
    """Return how often each reason stands among those that raise the risk, commonest first."""
    queues = week.listed["queue"].tolist()
    by_queue = {
        name: frequencies(
            item for item, queue in zip(week.explained, queues, strict=True) if queue == name
        )
        for name in week.counts
    }
    total = frequencies(week.explained)
    return [
        {
            "heading": REASON_GROUPS[group],
            "count": count,
            "share": count / len(queues),
            "by_queue": [by_queue[name][group] for name in by_queue],
        }
        for group, count in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    ]
