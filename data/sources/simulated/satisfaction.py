"""Satisfaction: a latent weekly Markov chain that no log shows.

A customer's hidden state is one of ``2 * LEVELS`` numbers: the level of satisfaction, plus
``LEVELS`` during a spell of product trouble. The chain is finite on purpose: the distribution of
future states, and with it the true risk, is a product of small matrices instead of a simulation
within the simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from data.sources.simulated.draws import BoolArray, FloatArray, IntArray, pick

if TYPE_CHECKING:
    from data.sources.simulated.world_settings import Switches

LEVELS = 21
STATES = 2 * LEVELS
STEP = 0.25  # satisfaction between two levels
VALUES: FloatArray = STEP * np.arange(-(LEVELS // 2), LEVELS // 2 + 1, dtype=np.float64)
# satisfaction at each level, about -2.5 to 2.5

_PULL = 0.06  # share of the distance to the usual level covered per week
_NOISE = 0.21  # weekly standard deviation
_USUAL = (-0.55, 0.10, 0.65)  # usual level for a poor, fair and great fit
_START_SPREAD = 0.5  # standard deviation of satisfaction at the start
_TROUBLE_STARTS = 0.022  # weekly chance
_TROUBLE_ENDS = 0.28  # weekly chance
_TROUBLE_WEARS = 0.20  # satisfaction lost per week of trouble
_SUDDEN = 0.004  # weekly chance that a key user leaves
_SUDDEN_FALL = 6  # levels


def satisfaction(state: IntArray) -> FloatArray:
    """Return the satisfaction of each hidden state."""
    return np.asarray(VALUES[state % LEVELS], dtype=np.float64)


def in_trouble(state: IntArray) -> BoolArray:
    """Return whether each hidden state is one of product trouble."""
    return state >= LEVELS


def transition_matrices(switches: Switches) -> FloatArray:
    """Return the weekly transition matrix of each fit, shape (3, STATES, STATES), rows sum to 1."""
    starts = _TROUBLE_STARTS if switches.trouble else 0.0
    sudden = _SUDDEN if switches.sudden_decline else 0.0
    matrices = np.zeros((3, STATES, STATES))
    for fit, usual in enumerate(_USUAL):
        for trouble in (0, 1):
            centre = VALUES + _PULL * (usual - VALUES) - trouble * _TROUBLE_WEARS
            moves = (1.0 - sudden) * _normal_moves(centre) + sudden * _fall_matrix(_SUDDEN_FALL)
            stays = 1.0 - (_TROUBLE_ENDS if trouble else starts)
            rows = slice(trouble * LEVELS, (trouble + 1) * LEVELS)
            other = slice((1 - trouble) * LEVELS, (2 - trouble) * LEVELS)
            matrices[fit, rows, rows] = stays * moves
            matrices[fit, rows, other] = (1.0 - stays) * moves
    return matrices


def _normal_moves(centre: FloatArray) -> FloatArray:
    """Return the chance of each level after a normal step, shape (LEVELS, LEVELS)."""
    borders = np.concatenate([[-np.inf], VALUES[:-1] + STEP / 2, [np.inf]])
    return np.diff(ndtr((borders[None, :] - centre[:, None]) / _NOISE), axis=1)


def _fall_matrix(levels: int) -> FloatArray:
    fallen = np.maximum(np.arange(LEVELS) - levels, 0)
    return np.eye(LEVELS)[fallen]


def fall(distribution: FloatArray, levels: int) -> FloatArray:
    """Return distributions of shape ``(n, STATES)`` moved down by some levels, at most to 0."""
    fallen = np.zeros_like(distribution)
    for start in (0, LEVELS):
        fallen[:, start : start + LEVELS - levels] = distribution[
            :, start + levels : start + LEVELS
        ]
        fallen[:, start] += distribution[:, start : start + levels].sum(axis=1)
    return fallen


def fallen_state(state: IntArray, levels: int) -> IntArray:
    """Return hidden states moved down by some levels, at most to level 0."""
    trouble = state // LEVELS
    return trouble * LEVELS + np.maximum(state % LEVELS - levels, 0)


def first_state(fit: IntArray, onboarded: BoolArray, uniform: FloatArray) -> IntArray:
    """Draw the hidden state at the start: near the usual level, lower if onboarding fails."""
    centre = np.array(_USUAL)[fit] + np.where(onboarded, 0.15, -0.35)
    borders = VALUES[:-1] + STEP / 2
    chance = ndtr((borders[None, :] - centre[:, None]) / _START_SPREAD)
    return np.asarray((uniform[:, None] > chance).sum(axis=1), dtype=np.int64)


def next_state(
    state: IntArray, fit: IntArray, uniform: FloatArray, matrices: FloatArray
) -> IntArray:
    """Draw the hidden state a week later; all arrays of shape ``(n,)``."""
    return pick(uniform, matrices[fit, state])
