"""Random numbers as a pure function of seed, topic, week, customer and index.

There is no generator with a state. So neither the order of the work, nor the size of a block, nor
the length of the history can change what happens to a customer. The mixing
function is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_WORD = 0xFFFFFFFFFFFFFFFF


class Topic(IntEnum):
    """Purpose of a number; numbers of different topics are independent."""

    TRAITS = 1
    TASTE = 2
    CAMPAIGNS = 3
    ARRIVAL = 4
    SATISFACTION = 5
    BILLING = 6
    DECISIONS = 7
    CHANGES = 8
    CONTACTS = 9
    COMEBACKS = 10
    USAGE = 11
    USAGE_DETAIL = 12
    TICKETS = 13
    SURVEYS = 14
    DELAYS = 15
    MOOD = 16
    REFUNDS = 17
    DISPUTES = 18


class Draws:
    """Random numbers of one world.

    Parameters
    ----------
    seed
        Seed of the world.
    """

    def __init__(self, seed: int) -> None:
        self._seed = _mix_word(seed)

    def uniform(
        self, topic: int, week: int, customers: IntArray, count: int, row: IntArray | int = 0
    ) -> FloatArray:
        """Return uniform numbers in (0, 1), shape ``(count, len(customers))``.

        Parameters
        ----------
        topic
            Purpose of the numbers.
        week
            Number of the week, 0 for decisions that are made once.
        customers
            Numbers of the customers.
        count
            Random numbers per customer.
        row
            Distinguishes rows of the same customer, topic and week.
        """
        base = _mix_word(_mix_word(self._seed + topic * _GOLDEN & _WORD) + week * _GOLDEN & _WORD)
        key = _mix(customers.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(base))
        key = _mix(key + np.asarray(row, dtype=np.uint64) * np.uint64(_FIRST))
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        bits = _mix(key[None, :] + steps[:, None])
        bits >>= np.uint64(11)
        numbers = bits.astype(np.float64)
        numbers += 0.5
        numbers *= 2.0**-53
        return numbers


def normal(uniform: FloatArray) -> FloatArray:
    """Return standard normal numbers with the ranks of ``uniform``; elementwise."""
    return np.asarray(ndtri(uniform), dtype=np.float64)


def pick(uniform: FloatArray, weights: Sequence[Any] | FloatArray) -> IntArray:
    """Return codes 0, 1, ... drawn with the given weights.

    Parameters
    ----------
    uniform
        Shape ``(n,)``.
    weights
        Shape ``(k,)``, the same for all, or ``(n, k)``.
    """
    total = np.cumsum(np.asarray(weights, dtype=np.float64), axis=-1)
    share = total[..., :-1] / total[..., -1:]
    return np.asarray((uniform[:, None] > share).sum(axis=1), dtype=np.int64)


def whole(uniform: FloatArray, low: IntArray | int, high: IntArray | int) -> IntArray:
    """Return whole numbers between ``low`` and ``high``, both included; elementwise."""
    span = np.asarray(high) - np.asarray(low) + 1
    return np.asarray(low + np.floor(uniform * span), dtype=np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(_FIRST)
    words ^= words >> np.uint64(27)
    words *= np.uint64(_SECOND)
    words ^= words >> np.uint64(31)
    return words


def _mix_word(word: int) -> int:
    word = (word ^ (word >> 30)) * _FIRST & _WORD
    word = (word ^ (word >> 27)) * _SECOND & _WORD
    return word ^ (word >> 31)
