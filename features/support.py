"""Support: how much help customers ask for, how well they get it, and in what tone they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from data.clock import MICROSECONDS_PER_DAY
from data.contracts import PRIORITIES
from features.declare import Family
from features.derive import declare_sums, declare_total, isin, ratio
from features.measures import KINDS

if TYPE_CHECKING:
    from data.asof import Flags, Integers
    from features.declare import Numbers
    from features.known import Entities, Known

FAMILY = Family("support", log="tickets")
load = FAMILY.section("support_load")
leaving = FAMILY.section("leaving_intent")
waiting = FAMILY.section("support_waiting")
quality = FAMILY.section("support_quality")
tone = FAMILY.section("support_tone")
UP = (("voluntary", 1),)
NO_TICKET = "No ticket opened in the last <span>"
HOUR_US = MICROSECONDS_PER_DAY // 24
KIND = {kind: code for code, kind in enumerate(KINDS["tickets"])}


@dataclass(frozen=True)
class Tickets:
    """State of every ticket at every cutoff of its customer; arrays of shape (pairs,).

    Instants are in microseconds, ``NOTHING`` if there is none.
    """

    pairs: Entities
    cutoff_us: Integers
    opened_us: Integers
    is_open: Flags
    solved_us: Integers
    answered_us: Integers
    waits_since_us: Integers
    urgent: Flags
    reopenings: Integers


def tickets(known: Known) -> Tickets:
    """Return the state of every ticket, from its rows visible at the cutoff, in event order."""
    pairs = known.events_by_entity("tickets")
    rows = pairs.rows
    kind, agent = rows["kind"], rows["agent"] == 1
    status = rows.last(isin(kind, [KIND["opened"], KIND["solved"], KIND["reopened"]]))
    is_open = (status >= 0) & (rows.at(status, kind) != KIND["solved"])
    answers = (kind == KIND["replied"]) & agent
    asks = isin(kind, [KIND["opened"], KIND["reopened"]]) | ((kind == KIND["replied"]) & ~agent)
    message = rows.last(answers | asks)
    waits = is_open & (rows.at(message, asks.astype(np.int64), 0) == 1)
    first_answer = rows.max(np.where(answers, -rows["event_us"], NOTHING))
    return Tickets(
        pairs=pairs,
        cutoff_us=known.cutoff_us[pairs.cell],
        opened_us=rows.at(rows.last(kind == KIND["opened"]), "event_us"),
        is_open=is_open,
        solved_us=np.where(is_open, NOTHING, rows.at(status, "event_us")),
        answered_us=np.where(first_answer == NOTHING, NOTHING, -first_answer),
        waits_since_us=np.where(waits, rows.at(message, "event_us"), NOTHING),
        urgent=rows.known("priority") >= PRIORITIES.index("high"),
        reopenings=rows.sum((kind == KIND["reopened"]).astype(np.int64)),
    )


def _mean_hours(
    known: Known, state: Tickets, end_us: Integers, window: int
) -> tuple[Numbers, Numbers]:
    """Mean hours from opening to an end in the window, and the number of such tickets."""
    start = state.cutoff_us - window * known.clock.period_us
    ended = (end_us > start) & (state.opened_us != NOTHING)
    hours = np.maximum(end_us - state.opened_us, 0) // HOUR_US
    count = state.pairs.count(ended)
    return ratio(state.pairs.total(hours, ended), count), count


# Amount

declare_total(
    FAMILY, "tickets_opened", "{value} [ticket/tickets] opened", "tickets opened", "opened",
    unit="count", group="support_load",
)  # fmt: skip
declare_sums(
    FAMILY,
    "wide",
    ("customer_replies", "customer_replies",
     "Wrote {value} [reply/replies] to support in the last <span>",
     "Wrote no reply to support in the last <span>", "support_load"),
    ("tickets_solved", "solved", "{value} [ticket/tickets] solved in the last <span>",
     "No ticket solved in the last <span>", "support_load"),
    ("tickets_reopened", "reopened", "{value} [ticket/tickets] reopened in the last <span>",
     "No ticket reopened in the last <span>", "support_quality"),
    ("escalations", "escalated", "{value} [ticket/tickets] raised in priority in the last <span>",
     "No ticket raised in priority in the last <span>", "support_quality"),
    ("urgent_tickets", "urgent_opened",
     "{value} [ticket/tickets] opened as high or urgent in the last <span>",
     "No ticket opened as high or urgent in the last <span>", "support_load"),
    ("bad_ratings", "bad_ratings", "{value} [rating/ratings] of 2 or less given in the last <span>",
     "No rating of 2 or less given in the last <span>", "support_quality"),
    ("leaving_phrases", "leaving",
     "{value} [message/messages] in the last <span> [speaks/speak] of leaving",
     "No message in the last <span> speaks of leaving", "leaving_intent"),
    ("frustration_phrases", "frustrated",
     "{value} [message/messages] of frustration in the last <span>",
     "No message of frustration in the last <span>", "support_tone"),
    ("billing_tickets", "opened_billing",
     "{value} [ticket/tickets] about billing opened in the last <span>",
     "No ticket about billing opened in the last <span>", "support_load"),
    ("cancellation_tickets", "opened_cancellation",
     "{value} [ticket/tickets] about cancelling opened in the last <span>",
     "No ticket about cancelling opened in the last <span>", "leaving_intent"),
)  # fmt: skip

for _topic, _words, _group in (
    ("billing", "billing", "support_load"),
    ("technical", "technical trouble", "support_load"),
    ("cancellation", "cancelling", "leaving_intent"),
    ("guidance", "how to use the product", "support_load"),
    ("wish", "a wish for the product", "support_load"),
):

    @FAMILY.feature(
        f"{_topic}_ticket_share_<w>",
        f"[All/{{value}}] of the tickets opened in the last <span> were about {_words}",
        zero=f"No ticket opened in the last <span> was about {_words}", missing=NO_TICKET,
        over="long", unit="share", group=_group,
    )  # fmt: skip
    def topic_share(known: Known, w: int, topic: str = _topic) -> Numbers:
        """Tickets of one topic over all opened; NaN without tickets. Topics may overlap."""
        periods = known.periods("tickets")
        return ratio(periods.sum(f"opened_{topic}", w), periods.sum("opened", w))


@load(
    "phone_ticket_share_<w>",
    "[All/{value}] of the tickets opened in the last <span> came by phone",
    zero="No ticket opened in the last <span> came by phone", missing=NO_TICKET, over="long",
    unit="share",
)  # fmt: skip
def phone_share(known: Known, w: int) -> Numbers:
    """Tickets opened by phone over all opened; NaN without tickets."""
    periods = known.periods("tickets")
    return ratio(periods.sum("called", w), periods.sum("opened", w))


@load(
    "tickets_ever", "{value} [ticket/tickets] opened since the start", zero="No ticket ever opened",
    unit="count", empty=0.0,
)  # fmt: skip
def tickets_ever(known: Known) -> Numbers:
    """Tickets opened in the whole visible history."""
    return known.periods("tickets").sum("opened").astype(np.float64)


@load(
    "days_since_last_ticket", "Last opened a ticket {value} [day/days] ago",
    zero="Opened a ticket within the last day", missing="No ticket ever opened", unit="whole_days",
)  # fmt: skip
def days_since_last_ticket(known: Known) -> Numbers:
    """Days from the last ticket opened to the cutoff; NaN if there is none."""
    return known.days_since(known.periods("tickets").max("last_us"))


@leaving(
    "leaving_phrases_ever", "In all, {value} [message speaks/messages speak] of leaving",
    zero="No message has ever spoken of leaving", unit="count", empty=0.0, monotone=UP,
)  # fmt: skip
def leaving_phrases_ever(known: Known) -> Numbers:
    """Messages in which the customer speaks of leaving, in the whole visible history."""
    return known.periods("tickets").sum("leaving").astype(np.float64)


# Open tickets


@waiting(
    "tickets_open_now", "{value} [ticket/tickets] open now", zero="No open ticket", unit="count",
    empty=0.0, monotone=UP,
)  # fmt: skip
def tickets_open_now(known: Known) -> Numbers:
    """Tickets whose last visible change of status is not a solution."""
    state = known.cached(tickets)
    return state.pairs.count(state.is_open)


@waiting(
    "urgent_tickets_open_now", "{value} [ticket/tickets] of high or urgent priority open now",
    zero="No open ticket of high or urgent priority", unit="count", empty=0.0,
)  # fmt: skip
def urgent_tickets_open_now(known: Known) -> Numbers:
    """Open tickets of high or urgent priority."""
    state = known.cached(tickets)
    return state.pairs.count(state.is_open & state.urgent)


@waiting(
    "tickets_awaiting_first_reply", "{value} open [ticket/tickets] without any reply yet",
    zero="No open ticket without a reply", unit="count", empty=0.0,
)  # fmt: skip
def tickets_awaiting_first_reply(known: Known) -> Numbers:
    """Open tickets with no visible reply by an agent."""
    state = known.cached(tickets)
    return state.pairs.count(state.is_open & (state.answered_us == NOTHING))


@waiting(
    "tickets_awaiting_answer", "{value} open [ticket waits/tickets wait] for our answer",
    zero="No open ticket waits for our answer", unit="count", empty=0.0,
)  # fmt: skip
def tickets_awaiting_answer(known: Known) -> Numbers:
    """Open tickets whose last visible message is the customer's."""
    state = known.cached(tickets)
    return state.pairs.count(state.waits_since_us != NOTHING)


@waiting(
    "longest_wait_days", "Has waited for our answer for {value}",
    zero="No open ticket waits for our answer", unit="lasting", empty=0.0,
)  # fmt: skip
def longest_wait_days(known: Known) -> Numbers:
    """Days since the oldest unanswered message of an open ticket; 0 if there is none."""
    state = known.cached(tickets)
    waits = state.waits_since_us != NOTHING
    return np.nan_to_num(known.days_since(state.pairs.smallest(state.waits_since_us, waits)))


@waiting(
    "oldest_open_ticket_days", "The oldest open ticket is {value} old", zero="No open ticket",
    unit="lasting", empty=0.0,
)  # fmt: skip
def oldest_open_ticket_days(known: Known) -> Numbers:
    """Days since the oldest open ticket was opened; 0 if there is none."""
    state = known.cached(tickets)
    dated = state.is_open & (state.opened_us != NOTHING)
    return np.nan_to_num(known.days_since(state.pairs.smallest(state.opened_us, dated)))


@quality(
    "unsolved_ticket_share_<w>",
    "[All/{value}] of the tickets opened in the last <span> are unsolved",
    zero="Every ticket opened in the last <span> is solved", missing=NO_TICKET, over="long",
    unit="share",
)  # fmt: skip
def unsolved_share(known: Known, w: int) -> Numbers:
    """Share of the tickets opened in the window that are open; NaN without tickets."""
    state = known.cached(tickets)
    recent = state.opened_us > state.cutoff_us - w * known.clock.period_us
    return ratio(state.pairs.count(recent & state.is_open), state.pairs.count(recent))


# Quality


@quality(
    "hours_to_solve_<w>", "Tickets solved in the last <span> took {value} on average",
    zero="Tickets solved in the last <span> took less than an hour",
    missing="No ticket solved for good in the last <span>", over="short long", unit="hours",
    norm="hours_to_solve_<long>",
)  # fmt: skip
def hours_to_solve(known: Known, w: int) -> Numbers:
    """Mean whole hours from opening to the final solution, if in the window; NaN if none is."""
    state = known.cached(tickets)
    return _mean_hours(known, state, state.solved_us, w)[0]


@quality(
    "hours_to_first_reply_<w>", "First replies in the last <span> took {value} on average",
    zero="First replies in the last <span> took less than an hour",
    missing="No first reply in the last <span>", over="short long", unit="hours",
    norm="hours_to_first_reply_<long>",
)  # fmt: skip
def hours_to_first_reply(known: Known, w: int) -> Numbers:
    """Mean whole hours from opening to the first reply, if in the window; NaN if none is."""
    state = known.cached(tickets)
    return _mean_hours(known, state, state.answered_us, w)[0]


@quality(
    "most_reopened_ticket", "One ticket was reopened [once/{value} times]",
    zero="No ticket was ever reopened", unit="count", empty=0.0,
)  # fmt: skip
def most_reopened_ticket(known: Known) -> Numbers:
    """Largest number of times that a single ticket was reopened."""
    state = known.cached(tickets)
    largest = state.pairs.largest(state.reopenings, state.reopenings > 0)
    return np.maximum(largest, 0).astype(np.float64)


@quality(
    "mean_rating_<w>", "Rated support {value} of 5 on average in the last <span>",
    missing="No rating of support in the last <span>", over="trend long", unit="score",
    norm="mean_rating_<long>",
)  # fmt: skip
def mean_rating(known: Known, w: int) -> Numbers:
    """Mean of the ratings given; NaN if there are none."""
    periods = known.periods("tickets")
    return ratio(periods.sum("score", w), periods.sum("rated", w))


@quality(
    "last_rating", "Last rated support {value} of 5", missing="No rating of support on record",
    unit="score",
)  # fmt: skip
def last_rating(known: Known) -> Numbers:
    """Score of the newest visible rating; NaN if there is none."""
    history = known.events_by_customer("tickets")
    score = history.known("score", history["kind"] == KIND["rated"])
    return np.where(score == NOTHING, np.nan, score)


@quality(
    "replies_per_ticket_<w>",
    "{value} [reply/replies] of the customer for each ticket in the last <span>",
    zero="No reply of the customer in the last <span>", missing=NO_TICKET, over="long",
    unit="ratio",
)  # fmt: skip
def replies_per_ticket(known: Known, w: int) -> Numbers:
    """Replies of the customer over tickets opened; NaN without tickets."""
    periods = known.periods("tickets")
    return ratio(periods.sum("customer_replies", w), periods.sum("opened", w))


@load(
    "tickets_per_active_day_<w>", "{value} [ticket/tickets] for each active day in the last <span>",
    zero=NO_TICKET, missing="No active day in the last <span>", over="long", unit="ratio",
    sources=("tickets", "usage"),
)  # fmt: skip
def tickets_per_active_day(known: Known, w: int) -> Numbers:
    """Tickets opened over active days; NaN without use."""
    usage = known.periods("usage")
    days = usage.sum(usage.gains("days", np.bitwise_or, np.bitwise_count), w)
    return ratio(known.periods("tickets").sum("opened", w), days)


# Surveys


@tone(
    "last_nps", "Last answered {value} of 10 when asked whether to recommend the product",
    missing="No answer on record whether to recommend the product", unit="score",
    sources=("surveys",),
)  # fmt: skip
def last_nps(known: Known) -> Numbers:
    """Mean NPS score of the newest visible period that has one; NaN if there is none."""
    periods = known.periods("surveys")
    row = periods.last(periods["nps"] > 0)
    return ratio(periods.at(row, "nps_score", 0), periods.at(row, "nps", 0))


@tone(
    "mean_csat_<w>", "Rated satisfaction {value} of 5 on average in the last <span>",
    missing="No rating of satisfaction in the last <span>", over="long", unit="score",
    sources=("surveys",),
)  # fmt: skip
def mean_csat(known: Known, w: int) -> Numbers:
    """Mean of the satisfaction scores; NaN if there are none."""
    periods = known.periods("surveys")
    return ratio(periods.sum("csat_score", w), periods.sum("csat", w))


@tone(
    "surveys_answered_<w>", "{value} [survey/surveys] answered in the last <span>",
    zero="No survey answered in the last <span>", over="long", unit="count", empty=0.0,
    sources=("surveys",),
)  # fmt: skip
def surveys_answered(known: Known, w: int) -> Numbers:
    """Number of answers to surveys of either kind."""
    periods = known.periods("surveys")
    return (periods.sum("nps", w) + periods.sum("csat", w)).astype(np.float64)
