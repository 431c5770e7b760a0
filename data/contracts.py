"""The raw contract: one dimension table and append-only event logs.

Every log row carries two times. ``event_at``: it happened. ``available_at``: it could first be
known. A row is *visible* at a cutoff when ``available_at <= cutoff`` and is *placed* in the period
of its ``event_at``. Money is in integer minor units (cents) of one reporting currency, durations
are integer seconds, so that every sum is exact on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
ColumnType = Literal["string", "integer", "money", "instant"]

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "money": pa.int64(),
    "instant": INSTANT,
}


@dataclass(frozen=True)
class Column:
    """One column of a table of the contract.

    Parameters
    ----------
    name
        Name of the column.
    type
        ``string``, ``integer``, ``money`` (integer minor units) or ``instant`` (UTC, microseconds).
    meaning
        What the column holds, with its unit.
    required
        Whether a null breaks the contract.
    minimum
        Smallest value allowed, for integers and money.
    """

    name: str
    type: ColumnType
    meaning: str
    required: bool = False
    minimum: int | None = None


@dataclass(frozen=True)
class Table:
    """A table of the contract: its columns and, for a log with kinds, what each kind requires.

    Parameters
    ----------
    name
        Name of the table and of its file.
    columns
        Columns in stored order.
    kinds
        Allowed values of ``kind``; empty when the table has no such column.
    kind_requires
        For a kind, the columns that may not be null on its rows.
    """

    name: str
    columns: tuple[Column, ...]
    kinds: tuple[str, ...] = ()
    kind_requires: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_log(self) -> bool:
        """Whether the table is a log of events, with two times per row."""
        return any(column.name == "event_at" for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema in which the table is stored."""
        return pa.schema([(column.name, ARROW_TYPES[column.type]) for column in self.columns])

    def column(self, name: str) -> Column:
        """Return the column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _log(
    name: str,
    *columns: Column,
    kinds: tuple[str, ...] = (),
    kind_requires: dict[str, tuple[str, ...]] | None = None,
) -> Table:
    """Declare a log: the four columns that every log has, followed by its own."""
    common = (
        Column("event_id", "string", "unique ID of the row in its log", required=True),
        Column("customer_id", "string", "customer of the event", required=True),
        Column("event_at", "instant", "when it happened", required=True),
        Column("available_at", "instant", "when it could first be known", required=True),
    )
    return Table(name, common + columns, kinds, tuple((kind_requires or {}).items()))


CUSTOMERS = Table(
    "customers",
    (
        Column("customer_id", "string", "unique ID of the customer", required=True),
        Column("signed_up_at", "instant", "when the customer first existed", required=True),
        Column("country", "string", "ISO 3166 code; never changes"),
        Column("segment", "string", "market segment at sign-up; never changes"),
        Column("channel", "string", "how the customer was acquired; never changes"),
        Column("owner", "string", "who looks after the account now; not a feature"),
    ),
)

BILLING_INTERVALS = ("week", "month", "quarter", "year")
CAUSES = ("voluntary", "involuntary")
# What can follow a snapshot, in the one order in which it is coded.
OUTCOMES = ("stayed", *CAUSES)

SUBSCRIPTIONS = _log(
    "subscriptions",
    Column("subscription_id", "string", "ID of the subscription", required=True),
    Column("kind", "string", "what happened", required=True),
    Column("plan", "string", "plan after the event"),
    Column("seats", "integer", "seats after the event", minimum=0),
    Column("billing_interval", "string", "week, month, quarter or year, after the event"),
    Column("mrr", "money", "monthly recurring revenue after the event, minor units", minimum=0),
    Column("currency", "string", "ISO 4217 code of mrr"),
    Column("renews_at", "instant", "end of the contract or billing term after the event"),
    Column("trial_ends_at", "instant", "end of the trial"),
    Column("discount_ends_at", "instant", "end of the discount in force after the event"),
    Column("cause", "string", "cause of a cancellation: voluntary or involuntary"),
    kinds=(
        "trial_started", "activated", "renewed", "plan_changed", "interval_changed",
        "price_changed", "paused", "resumed", "cancel_scheduled", "cancel_revoked", "cancelled",
        "ended", "reactivated",
    ),
    kind_requires={"activated": ("mrr",), "cancelled": ("cause",)},
)  # fmt: skip

USAGE = _log(
    "usage",
    Column("feature", "string", "feature of the product that was used", required=True),
    Column("count", "integer", "number of uses", required=True, minimum=0),
    Column("duration_s", "integer", "duration of the uses, seconds", minimum=0),
)

TICKETS = _log(
    "tickets",
    Column("ticket_id", "string", "ID of the ticket", required=True),
    Column("kind", "string", "what happened", required=True),
    Column("author", "string", "customer or agent"),
    Column("category", "string", "subject of the ticket, e.g. billing"),
    Column("priority", "string", "low, normal, high or urgent, after the event"),
    Column("channel", "string", "email, chat, phone, ..."),
    Column("score", "integer", "score of a rating, 1 (bad) to 5 (good)", minimum=0),
    Column("text", "string", "what was written"),
    kinds=("opened", "replied", "priority_changed", "solved", "reopened", "rated"),
    kind_requires={"rated": ("score",)},
)
PRIORITIES = ("low", "normal", "high", "urgent")

PAYMENTS = _log(
    "payments",
    Column("invoice_id", "string", "ID of the invoice; null for method_updated"),
    Column("kind", "string", "what happened", required=True),
    Column("amount", "money", "amount of the invoice or refund, minor units", minimum=0),
    Column("currency", "string", "ISO 4217 code of amount"),
    Column("due_at", "instant", "when the invoice falls due"),
    Column("attempt", "integer", "number of the attempt, from 1", minimum=0),
    Column("next_attempt_at", "instant", "when the next automatic attempt is due; null if none is"),
    Column("decline_code", "string", "why an attempt failed, e.g. insufficient_funds"),
    Column("method", "string", "card, direct_debit, invoice, ..."),
    Column("card_expires_on", "instant", "first instant at which the card on file is expired"),
    kinds=(
        "due", "succeeded", "failed", "method_updated", "refunded", "disputed", "written_off",
    ),
    kind_requires={
        "due": ("invoice_id", "amount", "due_at"),
        "succeeded": ("invoice_id", "amount"),
        "failed": ("invoice_id",),
    },
)  # fmt: skip

SURVEYS = _log(
    "surveys",
    Column("kind", "string", "nps (0 to 10) or csat (1 to 5)", required=True),
    Column("score", "integer", "the answer", required=True, minimum=0),
    Column("text", "string", "what was written"),
    kinds=("nps", "csat"),
)

INTERVENTIONS = _log(
    "interventions",
    Column("kind", "string", "what happened", required=True),
    Column("channel", "string", "phone, email, ..."),
    Column("arm", "string", "arm of an assignment: treated or control"),
    Column("list_cutoff", "instant", "cutoff of the list that the customer was on"),
    kinds=("assigned", "contacted", "offer_made"),
    kind_requires={"assigned": ("arm",)},
)

LOGS: tuple[Table, ...] = (SUBSCRIPTIONS, USAGE, TICKETS, PAYMENTS, SURVEYS, INTERVENTIONS)
TABLES: dict[str, Table] = {table.name: table for table in (CUSTOMERS, *LOGS)}
