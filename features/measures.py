"""Measure: reduce a log to one row per (customer, event period, period first visible).

Every measure is a commutative monoid on int64 (sum, max, bitwise or), so that order, engine,
partitioning and lateness cannot change a byte. Groups with different ``visible_period`` never meet,
so a periods table is extended by measuring only the rows that became visible since. The reductions
are Ibis expressions that pass over the log once; only ``data.engine`` knows which engine runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import BILLING_INTERVALS, PRIORITIES, TABLES
from data.engine import bit_or, total
from data.errors import BadInputError
from data.subscriptions import KINDS as SUBSCRIPTION_KINDS
from data.visibility import uses
from features.phrases import FRUSTRATION, LEAVING, TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from data.clock import Clock
    from data.engine import Engine

KEY = ("customer_id", "event_period", "visible_period")
EVENT_ORDER = ("customer_id", "event_us", "kind", "event_id")
# Number of product features whose use is summed one by one, for concentration.
LEADING = 10
# Bits 0 to 61 stand for one category each, bit 62 for all others; the sign bit is unused.
OTHER_BIT = 62
FIRST_SATURDAY_US = 2 * MICROSECONDS_PER_DAY  # 1970-01-03
WEEK_US = 7 * MICROSECONDS_PER_DAY

# Families of decline codes as card networks and processors publish them (Stripe, Adyen): fixable by
# the customer (card), by waiting (funds), by no retry (hard). Any other code is soft: try again.
DECLINES: dict[str, tuple[str, ...]] = {
    "funds": (
        "insufficient_funds", "not_sufficient_funds", "withdrawal_count_limit_exceeded",
        "card_velocity_exceeded", "limit_exceeded", "credit_limit_exceeded",
    ),
    "card": (
        "expired_card", "card_expired", "incorrect_cvc", "invalid_cvc", "incorrect_number",
        "invalid_number", "invalid_expiry_month", "invalid_expiry_year", "lost_card",
        "stolen_card", "pickup_card", "card_not_supported", "restricted_card",
    ),
    "hard": (
        "account_closed", "closed_account", "bank_account_closed", "invalid_account",
        "no_account", "fraudulent", "revocation_of_authorization",
        "revocation_of_all_authorizations", "stop_payment_order", "transaction_not_allowed",
        "mandate_invalid", "mandate_revoked", "debit_not_authorized", "blocked", "card_blocked",
    ),
}  # fmt: skip
# Kinds of events in the order assumed for events at the same instant.
KINDS: dict[str, tuple[str, ...]] = {
    "subscriptions": SUBSCRIPTION_KINDS,
    "tickets": TABLES["tickets"].kinds,
    "payments": TABLES["payments"].kinds,
}
METHODS = ("card", "direct_debit", "invoice")


@dataclass(frozen=True)
class Manifest:
    """Values of columns that measures distinguish.

    Parameters
    ----------
    product_features
        Values of ``usage.feature`` in order of first availability, ties by name. The place of a
        value is its bit, so a later value never renumbers earlier ones.
    core_features
        Values of ``usage.feature`` that mark adoption.
    """

    product_features: tuple[str, ...] = ()
    core_features: tuple[str, ...] = ()


def first_seen(table: Any, column: str, engine: Engine) -> dict[str, int]:
    """Return when each value of a column could first be known.

    Returns
    -------
    Value (null is ``""``) to microseconds, sorted by instant and value; at most the ``OTHER_BIT``
    values with a bit of their own.
    """
    values = table.select(value=table[column].fill_null(""), seen=table.available_at)
    seen = values.group_by("value").aggregate(seen=ibis._.seen.min())
    first = seen.mutate(seen=engine.microseconds(seen.seen)).order_by(["seen", "value"])
    result = engine.to_arrow(first.limit(OTHER_BIT))
    return dict(zip(result["value"].to_pylist(), result["seen"].to_pylist(), strict=True))


def count_distinct(table: Any, column: str, engine: Engine) -> int:
    """Count the distinct values of a column (null is one), up to ``OTHER_BIT``."""
    values = table.select(value=table[column].fill_null("")).distinct()
    return int(engine.to_arrow(values.limit(OTHER_BIT)).num_rows)


def timed(table: Any, engine: Engine, clock: Clock) -> Any:
    """Add ``event_us``, ``day``, ``event_period`` and ``visible_period`` to a log."""
    event_us = engine.microseconds(table.event_at)
    return table.mutate(
        event_us=event_us,
        day=clock.day_column(event_us),
        event_period=clock.period_column(event_us),
        visible_period=clock.period_column(engine.microseconds(table.available_at)),
    )


def _code(column: Any, values: Sequence[str], other: int) -> Any:
    """Return the place of each value in a list; null is the empty string."""
    return _one_of(column, values, range(len(values)), other)


def _flag(column: Any, values: Sequence[str], other: int) -> Any:
    """Return the bit of each value's place in a list; null is the empty string."""
    return _one_of(column, values, [1 << place for place in range(len(values))], other)


def _one_of(column: Any, values: Sequence[str], codes: Sequence[int], other: int) -> Any:
    if not values:
        return ibis.literal(other).cast("int64")
    pairs = zip(values, codes, strict=True)
    return column.fill_null("").cases(*pairs, else_=other).cast("int64")


def _when(condition: Any, value: Any = 1, otherwise: int = 0) -> Any:
    """Return ``value`` where the condition is true, ``otherwise`` where it is false or null."""
    return ibis.ifelse(condition.fill_null(False), value, otherwise).cast("int64")


def _lower(text: Any) -> Any:
    """Convert to lower case; the only letter on which engines differ is replaced first."""
    return text.fill_null("").replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i").lower()


def _filled(column: Any, empty: int = 0) -> Any:
    return column.fill_null(empty).cast("int64")


Reduction = tuple[str, Any]  # sum, max or or, and the column to reduce


def usage_measures(log: Any, clock: Clock, manifest: Manifest) -> dict[str, Reduction]:
    """Return the measures of usage: uses, seconds, instants, masks of days and features."""
    # With the cast, because some engines shift a bare 1 in 32 bits.
    days = ibis.literal(1).cast("int64") << (log.day - log.event_period * clock.period_days)
    # The remainder is taken twice, because in SQL it has the sign of the value.
    into_week = ((log.event_us - FIRST_SATURDAY_US) % WEEK_US + WEEK_US) % WEEK_US
    weekend = into_week < 2 * MICROSECONDS_PER_DAY
    core = log.core_flag > 0
    measures: dict[str, Reduction] = {
        "uses": ("sum", _filled(log["count"])),
        "seconds": ("sum", _filled(log.duration_s)),
        "weekend_uses": ("sum", _when(weekend, log["count"])),
        "longest_s": ("max", _filled(log.duration_s)),
        "last_us": ("max", log.event_us),
        "minus_first_us": ("max", -log.event_us),
        "minus_first_core_us": ("max", _when(core, -log.event_us, NOTHING)),
        "days": ("or", days),
        "features": ("or", log.feature_flag),
        "core": ("or", log.core_flag),
    }
    for place in range(len(manifest.core_features)):
        chosen = log.core_flag == 1 << place
        measures[f"core_uses_{place}"] = ("sum", _when(chosen, log["count"]))
        measures[f"core_last_us_{place}"] = ("max", _when(chosen, log.event_us, NOTHING))
    for place in range(LEADING):  # always all, so that a later feature adds no column
        chosen = log.feature_flag == 1 << place
        measures[f"uses_{place}"] = ("sum", _when(chosen, log["count"]))
    return measures


def ticket_measures(log: Any, *_: object) -> dict[str, Reduction]:
    """Return the measures of tickets: counts by kind, topic and tone; sums of ratings."""
    opened, rated = log.kind == "opened", log.kind == "rated"
    agent = log.author == "agent"
    written = _lower(log.text)
    by_customer = ~agent.fill_null(False)
    measures = {
        "opened": opened,
        "urgent_opened": opened & log.priority.isin(["high", "urgent"]),
        "called": opened & (log.channel == "phone"),
        "customer_replies": (log.kind == "replied") & by_customer,
        "agent_replies": (log.kind == "replied") & agent,
        "solved": log.kind == "solved",
        "reopened": log.kind == "reopened",
        "escalated": (log.kind == "priority_changed") & log.priority.isin(["high", "urgent"]),
        "rated": rated,
        "bad_ratings": rated & (log.score <= 2),
        "leaving": by_customer & written.re_search(LEAVING),
        "frustrated": by_customer & written.re_search(FRUSTRATION),
    }
    subject = _lower(log.category)
    measures |= {
        f"opened_{topic}": opened & subject.re_search(words) for topic, words in TOPICS.items()
    }
    return {name: ("sum", _when(flag)) for name, flag in measures.items()} | {
        "score": ("sum", _when(rated, log.score.fill_null(0))),
        "last_us": ("max", _when(opened, log.event_us, NOTHING)),
    }


def payment_measures(log: Any, *_: object) -> dict[str, Reduction]:
    """Return the measures of payments: counts and amounts (minor units) by kind and decline."""
    failed = log.kind == "failed"
    code = _lower(log.decline_code)
    counts = {
        "due": log.kind == "due",
        "paid": log.kind == "succeeded",
        "failed": failed,
        "retried": failed & (log.attempt > 1),
        "refunds": log.kind == "refunded",
        "disputes": log.kind == "disputed",
        "written_off": log.kind == "written_off",
        "method_updates": log.kind == "method_updated",
    }
    named = [name for names in DECLINES.values() for name in names]
    counts |= {f"failed_{family}": failed & code.isin(names) for family, names in DECLINES.items()}
    counts["failed_soft"] = failed & ~code.isin(named)
    measures = {name: ("sum", _when(flag)) for name, flag in counts.items()}
    for name, kind in (("due", "due"), ("paid", "succeeded"), ("refund", "refunded")):
        measures[f"{name}_amount"] = ("sum", _when(log.kind == kind, log.amount.fill_null(0)))
    measures["last_failed_us"] = ("max", _when(failed, log.event_us, NOTHING))
    return measures


def subscription_measures(log: Any, *_: object) -> dict[str, Reduction]:
    """Return the measures of subscriptions: rows of each kind, the instant of the last event."""
    kinds = TABLES["subscriptions"].kinds
    return {kind: ("sum", _when(log.kind == kind)) for kind in kinds} | {
        "last_us": ("max", log.event_us)
    }


def survey_measures(log: Any, *_: object) -> dict[str, Reduction]:
    """Return the measures of surveys: answers and their scores, by kind of question."""
    measures: dict[str, Reduction] = {}
    for kind in TABLES["surveys"].kinds:
        measures[kind] = ("sum", _when(log.kind == kind))
        measures[f"{kind}_score"] = ("sum", _when(log.kind == kind, log.score.fill_null(0)))
    return measures | {"last_us": ("max", log.event_us)}


MEASURES: dict[str, Callable[..., dict[str, Reduction]]] = {
    "subscriptions": subscription_measures,
    "usage": usage_measures,
    "tickets": ticket_measures,
    "payments": payment_measures,
    "surveys": survey_measures,
}


def period_table(
    name: str,
    table: Any,
    engine: Engine,
    clock: Clock,
    manifest: Manifest,
    only: Collection[str] | None = None,
) -> Any:
    """Reduce a clean log to its periods table.

    Parameters
    ----------
    name
        Name of the log, a key of ``MEASURES``.
    table
        The clean log, or a part of it cut by ``available_at``.
    engine, clock, manifest
        The engine that runs the expression; the rule for time; product features and core features.
    only
        Measures to take; None for all that features read.

    Returns
    -------
    An Ibis expression: ``KEY``, then int64 measures. A sum of no rows is 0, a maximum of no rows
    ``NOTHING``.

    Raises
    ------
    BadInputError
        If a period has more days than a mask has bits.
    """
    if clock.period_days > OTHER_BIT:
        raise BadInputError(f"clock.period_days must be at most {OTHER_BIT}.")
    log = timed(table, engine, clock)
    if name == "usage":
        log = uses(log)
        log = log.mutate(
            feature_flag=_flag(log.feature, manifest.product_features, 1 << OTHER_BIT),
            core_flag=_flag(log.feature, manifest.core_features, 0),
        )
    measures = MEASURES[name](log, clock, manifest)
    if only is not None:
        measures = {column: measures[column] for column in measures if column in only}
    log = log.select(*KEY, **{column: value for column, (_, value) in measures.items()})
    reduced = {column: _reduced(kind, log[column]) for column, (kind, _) in measures.items()}
    return log.group_by(list(KEY)).aggregate(**reduced)


def _reduced(kind: str, column: Any) -> Any:
    if kind == "sum":
        return total(column)
    return column.max() if kind == "max" else bit_or(column)


def event_table(name: str, table: Any, engine: Engine, clock: Clock) -> Any:
    """Convert a small log to integers row by row, for states that depend on event order.

    A customer's events at the same instant are ordered by kind, then by event ID.

    Returns
    -------
    An Ibis expression: ``EVENT_ORDER``, ``event_period``, ``visible_period``, the entity's ID as a
    string, then int64 columns with ``NOTHING`` for nulls. Kinds are places in ``KINDS``.
    """
    log = timed(table, engine, clock)
    entity, columns = EVENTS[name](log, engine)
    log = log.mutate(entity=entity.fill_null(""), **columns)
    return log.select(
        *EVENT_ORDER, *KEY[1:], "entity", *(name for name in columns if name != "kind")
    )


def _instant(engine: Engine, column: Any) -> Any:
    return _filled(engine.microseconds(column), NOTHING)


def _known_code(column: Any, values: Sequence[str]) -> Any:
    return ibis.ifelse(column.isnull(), NOTHING, _code(column, values, len(values))).cast("int64")


def subscription_events(log: Any, engine: Engine) -> tuple[Any, dict[str, Any]]:
    """Return the entity and the integer columns of the subscriptions log."""
    return log.subscription_id, {
        "kind": _code(log.kind, KINDS["subscriptions"], -1),
        "mrr": _filled(log.mrr, NOTHING),
        "seats": _filled(log.seats, NOTHING),
        "interval": _known_code(log.billing_interval, BILLING_INTERVALS),
        "renews_us": _instant(engine, log.renews_at),
        "discount_us": _instant(engine, log.discount_ends_at),
        "trial_us": _instant(engine, log.trial_ends_at),
    }


def ticket_events(log: Any, *_: object) -> tuple[Any, dict[str, Any]]:
    """Return the entity and the integer columns of the tickets log."""
    return log.ticket_id, {
        "kind": _code(log.kind, KINDS["tickets"], -1),
        "agent": _when(log.author == "agent"),
        "priority": _known_code(log.priority, PRIORITIES),
        "score": _filled(log.score, NOTHING),
    }


def payment_events(log: Any, engine: Engine) -> tuple[Any, dict[str, Any]]:
    """Return the entity and the integer columns of the payments log."""
    return log.invoice_id, {
        "kind": _code(log.kind, KINDS["payments"], -1),
        "amount": _filled(log.amount, NOTHING),
        "due_us": _instant(engine, log.due_at),
        "attempt": _filled(log.attempt, NOTHING),
        "next_attempt_us": _instant(engine, log.next_attempt_at),
        "method": _known_code(log.method, METHODS),
        "card_us": _instant(engine, log.card_expires_on),
    }


EVENTS: dict[str, Callable[..., tuple[Any, dict[str, Any]]]] = {
    "subscriptions": subscription_events,
    "tickets": ticket_events,
    "payments": payment_events,
}
