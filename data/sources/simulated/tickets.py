"""Tickets, opened because of product trouble, early questions and billing, and their course."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.contracts import PRIORITIES, TICKETS
from data.sources.simulated.draws import Topic, normal, pick
from data.sources.simulated.logs import MISSING, pack
from data.sources.simulated.satisfaction import in_trouble, satisfaction
from data.sources.simulated.state import ACTIVE
from data.sources.simulated.texts import CATEGORIES, TONES, VARIANTS
from data.sources.simulated.traits import LANGUAGE_OF_COUNTRY

if TYPE_CHECKING:
    from data.sources.simulated.draws import BoolArray, FloatArray, IntArray
    from data.sources.simulated.scene import Scene

AUTHORS = ("customer", "agent")
TICKET_CHANNELS = ("email", "chat", "phone")
_KINDS = {kind: code for code, kind in enumerate(TICKETS.kinds)}
_CUSTOMER, _AGENT = range(2)
_MOST_IN_A_WEEK = 2
# Weights of CATEGORIES in trouble, in the first weeks, in dunning, and otherwise.
_CATEGORY = np.array([
    [0.50, 0.35, 0.03, 0.02, 0.02, 0.08], [0.08, 0.05, 0.62, 0.05, 0.05, 0.15],
    [0.05, 0.03, 0.05, 0.77, 0.02, 0.08], [0.18, 0.10, 0.30, 0.14, 0.18, 0.10],
])  # fmt: skip


def open_tickets(scene: Scene) -> None:
    """Write the tickets opened this week, with all their later events."""
    state, settled = scene.state, scene.settled
    rows = settled[(state.status[settled] == ACTIVE) & ~state.paused[settled]]
    hidden = state.hidden[rows]
    age = scene.week - state.start_day[rows] // 7
    size = scene.traits.seats[rows] ** 0.15
    rate = size * (
        0.02
        + 0.015 * np.exp(-0.6 * satisfaction(hidden))
        + 0.38 * in_trouble(hidden)
        + 0.07 * (age <= 6)
        + 0.10 * (state.attempt[rows] > 0)
    )
    chance = -np.expm1(-rate)
    for ordinal in range(_MOST_IN_A_WEEK):
        u = scene.draws.uniform(
            Topic.TICKETS, scene.week, scene.traits.customers[rows], 20, ordinal
        )
        opened = u[0] < chance * 0.4**ordinal
        _write_ticket(scene, rows[opened], ordinal, u[1:, opened])


def _write_ticket(scene: Scene, rows: IntArray, ordinal: int, u: FloatArray) -> None:
    """Write one ticket per customer. ``u`` holds uniform numbers, shape (19, len(rows))."""
    state = scene.state
    trouble = in_trouble(state.hidden[rows])
    early = scene.week - state.start_day[rows] // 7 <= 6
    cause = np.select([trouble, early, state.attempt[rows] > 0], [0, 1, 2], 3)
    category = pick(u[0], _CATEGORY[cause])
    priority = pick(u[3], np.where(trouble[:, None], [1, 4, 4, 1], [3, 6, 1, 0.1]))
    score, tone = _voice(scene, rows, u[10], u[11])
    columns = {
        "ticket_id": pack(scene.traits.customers[rows], (scene.week, 4), (ordinal, 1)),
        "category": category,
        "channel": pick(u[13], (0.5, 0.35, 0.15)),
    }
    raised = np.minimum(priority + 1, len(PRIORITIES) - 1)
    escalates = (u[9] < np.where(trouble, 0.2, 0.04)) & (raised > priority)
    for step, (kind, chosen, when, author) in enumerate(_course(scene, rows, escalates, u)):
        values = columns | {
            "priority": np.where(escalates, raised, priority) if step > 1 else priority,
            "text": _text(scene, rows, tone, category, u[12]) if kind == "opened" else MISSING,
            "score": score if kind == "rated" else MISSING,
        }
        scene.write(
            "tickets", rows[chosen], 20 * ordinal + step, when[chosen],
            kind=_KINDS[kind], author=author,
            **{
                name: value[chosen] if isinstance(value, np.ndarray) else value
                for name, value in values.items()
            },
        )  # fmt: skip


def _course(
    scene: Scene, rows: IntArray, escalates: BoolArray, u: FloatArray
) -> list[tuple[str, BoolArray, IntArray, int]]:
    """Return the steps of tickets: kind, which tickets, instant, author; slower in trouble."""
    trouble = in_trouble(scene.state.hidden[rows])
    day = np.maximum(pick(u[1], (5, 5, 5, 5, 5, 1, 1)), scene.state.busy_day[rows] - scene.monday)
    opened = scene.instant(scene.monday + day, 7.5 + 11.0 * u[2])
    reply = opened + scene.hours(np.where(trouble, 20.0, 5.0) * np.exp(0.8 * normal(u[4])))
    solved = reply + scene.hours(np.where(trouble, 110.0, 22.0) * np.exp(0.9 * normal(u[5])))
    reopens = u[6] < np.where(trouble, 0.22, 0.07)
    reopened = solved + scene.hours(10.0 + 60.0 * u[7])
    again = reopened + scene.hours(20.0 + 120.0 * u[8])
    rated = np.where(reopens, again, solved) + scene.hours(1.0 + 20.0 * u[17])
    everyone = np.ones(len(rows), dtype=np.bool_)
    return [
        ("opened", everyone, opened, _CUSTOMER),
        ("replied", everyone, reply, _AGENT),
        ("priority_changed", escalates, reply + scene.hours(0.1), _AGENT),
        ("replied", u[14] < 0.35, reply + scene.hours(0.2 + 3.0 * u[15]), _CUSTOMER),
        ("solved", everyone, solved, _AGENT),
        ("reopened", reopens, reopened, _CUSTOMER),
        ("solved", reopens, again, _AGENT),
        ("rated", u[16] < 0.28, rated, _CUSTOMER),
    ]


def _voice(
    scene: Scene, rows: IntArray, first: FloatArray, second: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return the score of a rating, 1 to 5, and the tone of the text; both follow satisfaction."""
    hidden = scene.state.hidden[rows]
    mood = satisfaction(hidden) - 0.5 * in_trouble(hidden)
    if not scene.switches.tone:
        mood = np.zeros(len(rows))
    score = np.clip(np.rint(3.9 + 0.9 * mood + 0.8 * normal(first)), 1, 5).astype(np.int64)
    heard = mood + 0.5 * normal(second) * scene.switches.tone
    tone = np.select([heard < -1.5, heard < -0.5], [TONES.index("leaving"), TONES.index("annoyed")])
    return score, tone


def _text(
    scene: Scene, rows: IntArray, tone: IntArray, category: IntArray, u: FloatArray
) -> IntArray:
    """Return the code of a text, its place in ``TICKET_TEXTS``."""
    language = LANGUAGE_OF_COUNTRY[scene.traits.country[rows]]
    kind = (language * len(TONES) + tone) * len(CATEGORIES) + category
    return np.asarray(kind * VARIANTS + np.floor(u * VARIANTS).astype(np.int64))
