"""True risks: the risk of each customer at a cutoff if no one acts, given the state of the world.

Nothing is simulated here. Satisfaction is a Markov chain, so the distribution of its states in the
weeks ahead is a product of matrices, reduced each week by customers who decide to leave
(Kalbfleisch and Prentice, *The Statistical Analysis of Failure Time Data*, 2nd ed., section 8.2:
cause-specific hazards and cumulative incidence). Dunning is a second, smaller chain. Given the
timetable, which is certain, the two chains are independent, so the incidence of each cause is the
sum over weeks of its own first passage times the survival of the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from data.sources.simulated.billing import LAST_STAGE, RETRY_DAYS, SOFT_RETRY, SOFT_SHARE
from data.sources.simulated.careers import GRACE_RETURN
from data.sources.simulated.decisions import (
    COMPETITOR_FALL,
    PRICE_FALL,
    hidden_weight,
    log_hazard,
)
from data.sources.simulated.satisfaction import STATES, fall
from data.sources.simulated.terms import Timetable

if TYPE_CHECKING:
    from data.sources.simulated.draws import BoolArray, FloatArray, IntArray
    from data.sources.simulated.scene import Scene

# Matrix products are computed in tiles of this many rows, so that the last bit of a row's result
# does not depend on the number of other customers.
_TILE = 256
# States of dunning: no open invoice (with the card of the cutoff, or a newer one); an open invoice
# before attempts 2 to 4 (after a soft decline with either card, or a hard one); all attempts
# failed.
_CLEAR, _SOFT, _HARD, _FAILED, _DUNNING_STATES = (0, 1), (2, 5), 8, 11, 12


def risks(
    scene: Scene, rows: IntArray, weeks: int, matrices: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the cumulative risks of active customers at the end of the scene's week.

    Parameters
    ----------
    scene
        A week that is over; its end is the cutoff.
    rows
        Customers of the block who are active.
    weeks
        Number of weeks to look ahead, at most ``LOOKAHEAD``.
    matrices
        Weekly transitions of satisfaction, by fit.

    Returns
    -------
    tuple of arrays
        Voluntary and involuntary risk if no one acts, and the voluntary risk if the customer is
        contacted just before the cutoff; each of shape ``(weeks, len(rows))``,
        cumulative over the weeks after the cutoff.
    """
    timetable = Timetable.of(scene.traits, scene.state, scene.campaigns, rows)
    lost = _first_losses(scene, rows, timetable, weeks)
    stays = 1.0 - np.cumsum(lost, axis=0)
    left = _first_departures(scene, rows, timetable, weeks, matrices)
    loyal = np.concatenate([np.ones((1, len(rows))), 1.0 - np.cumsum(left, axis=0)[:-1]])
    involuntary = np.cumsum(lost * loyal, axis=0)
    voluntary = np.cumsum(left * stays, axis=0)
    contacted = voluntary.copy()
    moved = np.flatnonzero(timetable.contact_effect != 0.0)
    if len(moved):
        called = Timetable.of(scene.traits, scene.state, scene.campaigns, rows[moved])
        called = replace(called, contact_week=np.full(len(moved), scene.week))
        left = _first_departures(scene, rows[moved], called, weeks, matrices)
        contacted[:, moved] = np.cumsum(left * stays[:, moved], axis=0)
    return voluntary, involuntary, contacted


def _first_departures(
    scene: Scene, rows: IntArray, timetable: Timetable, weeks: int, matrices: FloatArray
) -> FloatArray:
    """Return the chance of deciding to leave in each week ahead without dunning: (weeks, n)."""
    n = len(rows)
    fit = scene.traits.fit[rows]
    scale = log_hazard(scene.settings.voluntary_per_month)
    weight = np.exp(hidden_weight())
    present = np.zeros((n, STATES))
    present[np.arange(n), scene.state.hidden[rows]] = 1.0
    left = np.zeros((weeks, n))
    for ahead in range(weeks):
        week = scene.week + 1 + ahead
        present = _struck(present, PRICE_FALL[0] * timetable.rise_in_week(week), PRICE_FALL[1])
        shocked = np.where(timetable.shocked_in_week(week), COMPETITOR_FALL[0], 0.0)
        present = _struck(present, shocked, COMPETITOR_FALL[1])
        for kind in range(len(matrices)):
            same = np.flatnonzero(fit == kind)
            present[same] = _product(present[same], matrices[kind])
        pressure = np.exp(timetable.pressure(week, scale, scene.switches.renewals))
        pressure = np.where(timetable.end_day < 7 * week + 7, 0.0, pressure)
        leaving = present * -np.expm1(-(pressure[:, None] * weight[None, :]))
        left[ahead] = leaving.sum(axis=1)
        present -= leaving
    return left


def _struck(present: FloatArray, chance: FloatArray, levels: int) -> FloatArray:
    """Move the distributions of customers down by some levels, each with its chance."""
    rows = np.flatnonzero(chance > 0.0)
    if len(rows):
        share = np.minimum(1.0, chance[rows])[:, None]
        present[rows] = (1.0 - share) * present[rows] + share * fall(present[rows], levels)
    return present


def _product(present: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return ``present @ matrix``, with the same bits for any number of rows."""
    n = len(present)
    tiles = np.zeros((-(-n // _TILE), _TILE, STATES))
    tiles.reshape(-1, STATES)[:n] = present
    product: FloatArray = np.matmul(tiles, matrix)
    return product.reshape(-1, STATES)[:n]


def _first_losses(scene: Scene, rows: IntArray, timetable: Timetable, weeks: int) -> FloatArray:
    """Return the chance of loss to dunning in each week ahead without decisions: (weeks, n).

    Losses that are undone within the grace period do not count.
    """
    state, traits = scene.state, scene.traits
    n = len(rows)
    chain = np.zeros((_DUNNING_STATES, n))
    attempt, broken = state.attempt[rows], state.broken[rows]
    at = np.where(attempt == 0, _CLEAR[0], np.where(broken, _HARD, _SOFT[0]) + attempt - 2)
    at = np.where(attempt == LAST_STAGE, _FAILED, at)
    chain[at, np.arange(n)] = 1.0
    expiry = timetable.card_expires_day
    undone = GRACE_RETURN if scene.switches.reactivations else 0.0
    lost = np.zeros((weeks, n))
    for ahead in range(weeks):
        week = scene.week + 1 + ahead
        renewed = np.where(expiry // 7 == week + 1, traits.renews_card[rows], 0.0)
        _move(chain, _CLEAR[0], _CLEAR[1], renewed)
        for stage in range(3):
            _move(chain, _SOFT[0] + stage, _SOFT[1] + stage, renewed)
        for stage, days_later in enumerate(RETRY_DAYS, start=1):
            due, meets = timetable.due_in_week(week, days_later)
            if stage == 1:
                _charge(chain, traits.first_fail[rows], expiry <= due, meets)
            elif stage < LAST_STAGE:
                _retry(chain, stage, traits.careful[rows], meets)
            else:
                failed = chain[_FAILED] * meets
                chain[_FAILED] -= failed
                chain[_CLEAR[1]] += failed * undone
                still = timetable.end_day >= 7 * week + 7
                lost[ahead] = failed * (1.0 - undone) * still
    return lost


def _move(chain: FloatArray, source: int, target: int, share: FloatArray) -> None:
    moved = chain[source] * share
    chain[source] -= moved
    chain[target] += moved


def _charge(chain: FloatArray, fails: FloatArray, dead: BoolArray, meets: BoolArray) -> None:
    """Make the first attempt; an expired card always fails, with a hard decline."""
    for card, is_dead in ((0, dead), (1, np.zeros_like(dead))):
        charged = chain[_CLEAR[card]] * meets
        failed = charged * np.where(is_dead, 1.0, fails)
        soft = failed * np.where(is_dead, 0.0, SOFT_SHARE)
        chain[_CLEAR[card]] -= failed
        chain[_SOFT[card]] += soft
        chain[_HARD] += failed - soft


def _retry(chain: FloatArray, stage: int, careful: FloatArray, meets: BoolArray) -> None:
    """Make attempt ``stage``, 2 to 4; a broken method is a new one if the attempt succeeds."""
    position = stage - 2
    for first, clear, passes in (
        (_SOFT[0], _CLEAR[0], SOFT_RETRY), (_SOFT[1], _CLEAR[1], SOFT_RETRY),
        (_HARD, _CLEAR[1], careful),
    ):  # fmt: skip
        tried = chain[first + position] * meets
        chain[first + position] -= tried
        chain[clear] += tried * passes
        following = _FAILED if stage == LAST_STAGE - 1 else first + position + 1
        chain[following] += tried * (1.0 - passes)
