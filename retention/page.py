"""The page that the retention team opens: one self-contained HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup

from data.contracts import CAUSES
from data.files import write_text
from features.declare import REASON_GROUPS
from retention import ranking, wording
from retention.reasons import frequencies

if TYPE_CHECKING:
    from retention.reasons import Explanation, Reason
    from retention.weekly import WeeklyList

_TEMPLATES: Final = Path(__file__).with_name("templates")
# What HTML cannot carry: control characters (tab and line feed aside) and halves of characters.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LONGEST_TEXT: Final = 300

CAUSE_WORDS: Final = {
    "voluntary": "decides to leave",
    "involuntary": "is lost to failed payments",
}
QUEUE_WORDS: Final = {
    "success": ("Success", "At risk of deciding to leave: a conversation helps."),
    "billing": ("Billing", "At risk of being lost to failed payments: a way to pay helps."),
}
STATUS_WORDS: Final = {
    ranking.LISTED: "On the list",
    ranking.BEYOND_CAPACITY: "Worth a contact, but beyond the team's capacity",
    ranking.NOT_WORTH_A_CALL: "A contact would cost more than it is expected to save",
    ranking.PAUSED: "Paused",
    ranking.CONTACTED: "Contacted recently",
    ranking.WITHHELD: "Withheld at random, to measure what contacting achieves",
}


def write_page(week: WeeklyList, path: Path) -> None:
    """Write the page to a file, atomically."""
    write_text(page(week), path)


def page(week: WeeklyList) -> str:
    """Return the page of a weekly list as HTML.

    Parameters
    ----------
    week
        The list. Only its listed rows are embedded, whatever the number of customers.

    Returns
    -------
    str
        One HTML document with its style and script inside. Its content security policy allows
        these two alone (by digest) and no connection, so that text from customers can do nothing.
        Without scripts the page is complete, with every row opened.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    currency = week.settings.currency
    environment.filters |= {
        "money": lambda cents: wording.money(cents, currency),
        "percent": wording.percent,
        "number": wording.number,
        "day": wording.day,
        "times": _times,
    }
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("list.css", "list.js"))
    return environment.get_template("list.html.jinja").render(
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; "
        f"script-src {_digest(script)}; base-uri 'none'; form-action 'none'",
        week=week,
        horizons=[_horizon(label) for label in week.labels],
        totals=_totals(week),
        queues=_queues(week),
        filters={name: _choices(week.listed[name]) for name in ("owner", "segment")},
        statuses=[
            (STATUS_WORDS[status], [week.counts[queue][status] for queue in week.counts])
            for status in STATUS_WORDS
        ],
        reasons=_reason_table(week),
        logs=_logs(week),
        data_until=max(week.provenance.freshness.values(), default=None),
    )


def _printable(value: Any) -> Any:
    """Make a value fit to print: nothing for null, no control characters, not endless."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        text = _UNPRINTABLE.sub("\ufffd", value)
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return value


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _horizon(label: str) -> str:
    """Write the label of a horizon in words: ``4w`` is ``4 weeks``."""
    many = "[week/weeks]" if label.endswith("w") else "[period/periods]"
    return wording.one_or_many(f"{label[:-1]} {many}", one=label[:-1] == "1")


def _times(factor: float) -> str:
    """Write a factor: ``2.4``; nothing where there is none."""
    return "" if math.isnan(factor) else wording.number(factor)


def _totals(week: WeeklyList) -> dict[str, float]:
    return {
        "customers": len(week.scores),
        "mrr": float(week.scores["mrr"].sum()),
        "loss": math.fsum(week.scores["expected_loss"]),
        "listed": len(week.listed),
        "listed_mrr": float(week.listed["mrr"].sum()),
        "saving": float(week.listed["expected_saving"].sum()),
    }


def _choices(column: pd.Series) -> list[str]:
    """Return the values of a column that rows can be filtered by; the empty string is null."""
    return sorted(set(column.fillna("")))


def _queues(week: WeeklyList) -> list[dict[str, Any]]:
    """Return the queues as the template shows them, each with its rows."""
    choices = {name: _choices(week.listed[name]) for name in ("owner", "segment")}
    risks = week.scores.set_index("customer_id")
    rows: dict[str, list[dict[str, Any]]] = {queue.name: [] for queue in week.settings.queues}
    for number, record in enumerate(week.listed.to_dict("records")):
        customer: dict[str, Any] = {
            str(name): None if pd.isna(value) else value for name, value in record.items()
        }
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
                "other_queue": QUEUE_WORDS[customer["other_queue"]][0]
                if customer["other_queue"]
                else None,
            }
        )
    return [
        {
            "name": queue.name,
            "title": QUEUE_WORDS[queue.name][0],
            "purpose": QUEUE_WORDS[queue.name][1],
            "cause": CAUSE_WORDS[queue.cause],
            "save_rate": queue.save_rate,
            "capacity": queue.capacity,
            "base_rate": float(week.base_rates[CAUSES.index(queue.cause), 0]),
            "counts": week.counts[queue.name],
            "rows": rows[queue.name],
        }
        for queue in week.settings.queues
    ]


def _risk_table(
    week: WeeklyList, risks: pd.Series, queue_name: str
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return cause in words and (risk, multiple of the base rate) by horizon, own cause first."""
    own = ranking.QUEUE_NAMES.index(queue_name)
    return [
        (
            CAUSE_WORDS[CAUSES[c]],
            [
                (risk, risk / base if base > 0.0 else math.nan)
                for risk, base in zip(
                    (float(risks[f"risk_{CAUSES[c]}_{label}"]) for label in week.labels),
                    week.base_rates[c].tolist(),
                    strict=True,
                )
            ],
        )
        for c in (own, 1 - own)
    ]


def _bars(explained: Explanation) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return the picture of an explanation: (kind, title, bars), all bars on one scale in log-odds.

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
            "x": f"{100.0 * (min(value, 0.0) - low) / span:.2f}",
            "width": f"{100.0 * abs(value) / span:.2f}",
            "zero": f"{-100.0 * low / span:.2f}",
            "odds": math.exp(value),
        }

    return [
        (kind, title, bars)
        for kind, title, bars in (
            ("raises", "Raises the risk", [bar(r, r.contribution) for r in explained.raising]),
            ("lowers", "Lowers the risk", [bar(r, r.contribution) for r in lowering]),
            ("others", "Everything else", [bar(None, explained.others)]),
        )
        if bars
    ]


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


def _logs(week: WeeklyList) -> list[dict[str, Any]]:
    """Return each log's newest visible row, and how many days old it is at the cutoff."""
    return [
        {
            "name": name,
            "until": f"{wording.day(newest)}, {newest:%H:%M} UTC",
            "days": (week.cutoff - newest).days,
        }
        for name, newest in sorted(week.provenance.freshness.items())
    ]
