"""A randomised retention programme, and surveys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.draws import Topic, normal, whole
from data.sources.simulated.logs import MISSING
from data.sources.simulated.satisfaction import satisfaction
from data.sources.simulated.state import ACTIVE

if TYPE_CHECKING:
    from data.sources.simulated.scene import Scene

_ASSIGNED, _CONTACTED, _OFFERED = range(3)
_TREATED, _CONTROL = range(2)
ARMS = ("treated", "control")
CONTACT_CHANNELS = ("phone", "email")
_SHARE = 0.006  # share of the live customers assigned per week
_REST = 26  # weeks between two assignments of a customer
_NEWEST = 8  # weeks of tenure before the first assignment


def contact(scene: Scene) -> None:
    """Assign customers at random to treatment or control, and contact the treated."""
    if not scene.switches.interventions:
        return
    state, settled = scene.state, scene.settled
    u = scene.uniform(Topic.CONTACTS, settled, 6)
    chosen = (
        (u[0] < _SHARE)
        & (state.status[settled] == ACTIVE)
        & (state.return_kind[settled] == 0)
        & (scene.week - state.assigned_week[settled] >= _REST)
        & (state.start_day[settled] < scene.monday - 7 * _NEWEST)
    )
    rows, u = settled[chosen], u[:, chosen]
    state.assigned_week[rows] = scene.week
    arm = np.where(u[1] < 0.5, _TREATED, _CONTROL)
    cutoff = scene.midnight(np.full_like(rows, scene.monday))
    scene.write(
        "interventions", rows, 0, scene.instant(scene.monday, 8.0 + u[2]),
        kind=_ASSIGNED, arm=arm, list_cutoff=cutoff, channel=-1,
    )  # fmt: skip
    reached = (arm == _TREATED) & (u[3] < 0.9)
    rows, u, cutoff = rows[reached], u[:, reached], cutoff[reached]
    state.contact_week[rows] = scene.week
    day = scene.monday + whole(u[4], 0, 4)
    channel = (u[2] > 0.7).astype(np.int64)
    everyone = np.ones(len(rows), dtype=np.bool_)
    for slot, kind, part in ((1, _CONTACTED, everyone), (2, _OFFERED, u[5] < 0.35)):
        scene.write(
            "interventions", rows[part], slot,
            scene.instant(day[part], 10.0 + 5.0 * u[5][part] + 0.2 * slot),
            kind=kind, arm=_TREATED, list_cutoff=cutoff[part], channel=channel[part],
        )  # fmt: skip


def survey(scene: Scene) -> None:
    """Ask customers once per quarter whether they would recommend the product; few answer."""
    if not scene.switches.surveys:
        return
    state, traits, settled = scene.state, scene.traits, scene.settled
    asked = settled[
        (state.status[settled] == ACTIVE)
        & ((scene.week + traits.survey_week[settled]) % 13 == 0)
        & (state.return_kind[settled] == 0)
    ]
    u = scene.uniform(Topic.SURVEYS, asked, 4)
    rows, u = asked[u[0] < 0.22], u[:, u[0] < 0.22]
    mood = satisfaction(state.hidden[rows]) if scene.switches.tone else np.zeros(len(rows))
    score = np.clip(np.rint(7.4 + 1.9 * mood + 1.4 * normal(u[1])), 0, 10).astype(np.int64)
    scene.write(
        "surveys", rows, 0, scene.instant(scene.monday + whole(u[2], 0, 5), 9.0 + 9.0 * u[3]),
        kind=0, score=score, text=MISSING,
    )  # fmt: skip
