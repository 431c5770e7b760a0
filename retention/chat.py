"""The list as a chat message: a few lines of Markdown, in which customers' texts are escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from retention import ranking
from retention.language import ENGLISH

if TYPE_CHECKING:
    from retention.weekly_list import WeeklyList

_FIRST: Final = 5  # rows of a queue in the message
_LONGEST: Final = 120
# Characters with a meaning in Markdown; a backslash escapes them.
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")
# Line breaks, control characters, and marks that change the direction of text.
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+"
)
_WORD_JOINER: Final = "\u2060"  # a word joiner: invisible, but it breaks "@all" and "http://"


def plain(text: str) -> str:
    """Escape text so that Markdown and Slack show it literally: one line, no link, no mention."""
    text = _UNSEEN.sub(" ", text).strip()
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    text = _MARKS.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return (
        text.replace("@", f"@{_WORD_JOINER}")
        .replace("://", f":{_WORD_JOINER}//")
        .replace("www.", f"www{_WORD_JOINER}.")
    )


def chat_message(week: WeeklyList) -> str:
    """Write the week as a message: the headline and the first rows of each queue."""
    currency = week.settings.currency
    now, before = week.totals, week.totals_before
    mrr, loss = ENGLISH.money(now.listed_mrr, currency), ENGLISH.money(now.listed_loss, currency)
    span = ENGLISH.horizon(week.labels[0])
    headline = (
        f"**Retention list of {ENGLISH.day(week.cutoff)}**: {now.listed} customers to contact, "
        f"{mrr} MRR, of which {loss} are expected to be lost within {span} if nobody acts."
    )
    lines = [headline]
    if before is None:
        lines.append("This is the first list.")
    else:
        new = int((week.listed["change"] == "new").sum())
        lines.append(
            f"Last list: {before.listed} customers, "
            f"{ENGLISH.money(before.listed_mrr, currency)} MRR; "
            f"{new} are new, {len(week.gone)} are gone."
        )
    for queue in ranking.QUEUE_NAMES:
        rows = week.listed[week.listed["queue"] == queue]
        lines += ["", f"**{queue.capitalize()}** ({len(rows)})", ""]
        lines += [_line(row, week) for row in rows.head(_FIRST).to_dict("records")]
        if len(rows) > _FIRST:
            lines.append(f"- and {len(rows) - _FIRST} more")
        if rows.empty:
            lines.append("Nobody to contact this week.")
    return "\n".join(lines) + "\n"


def _line(row: dict[Any, Any], week: WeeklyList) -> str:
    risk = ENGLISH.percent(row[f"risk_{week.labels[0]}"])
    mrr = ENGLISH.money(row["mrr"], week.settings.currency)
    owner = f", {plain(row['owner'])}" if isinstance(row["owner"], str) else ""
    reason = row["reason_1"]
    why = f" {plain(reason)}." if isinstance(reason, str) else ""
    return (
        f"- {plain(str(row['customer_id']))}{owner}: {risk} risk, {mrr} MRR.{why} "
        f"{plain(str(row['action']))} by {row['due_on']}."
    )
