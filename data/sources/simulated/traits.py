"""Traits of customers: decided once, at sign-up, and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.sources.simulated.draws import (
    BoolArray,
    Draws,
    FloatArray,
    IntArray,
    Topic,
    normal,
    pick,
    whole,
)
from data.sources.simulated.world_settings import STOCK_WEEKS, WorldSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENTS = ("self-serve", "smb", "mid-market")
COUNTRIES = ("GB", "IE", "NL", "BE", "SE", "IT")
CHANNELS = ("organic", "paid_search", "partner", "outbound", "referral")
OWNERS = (
    "Anna de Vries", "Bram Janssen", "Chiara Conti", "David Lindqvist", "Emma Walsh",
    "Francesca Russo", "George Hughes", "Hanna Nyberg", "Isa Peeters", "Jonas Ekman",
)  # fmt: skip
FEATURES = (
    "login", "dashboard", "report", "export", "integration", "automation", "admin", "api",
)  # fmt: skip
METHODS = ("card", "direct_debit", "invoice")
PLANS = ("starter", "team", "business", "addon")
LANGUAGE_OF_COUNTRY = np.array([0, 0, 1, 1, 2, 3])  # of English, Dutch, Swedish, Italian

MONTH, QUARTER, YEAR = 30, 91, 365  # days in a billing term
NEVER = 10**6  # a day that never comes

# Weights by segment, in the order of SEGMENTS.
_SEGMENT = (0.55, 0.32, 0.13)
_COUNTRY = (0.30, 0.06, 0.24, 0.08, 0.16, 0.16)
_CHANNEL = ((0.40, 0.35, 0.08, 0.02, 0.15), (0.30, 0.25, 0.20, 0.10, 0.15),
            (0.10, 0.08, 0.27, 0.40, 0.15))  # fmt: skip
_PLAN = ((0.80, 0.20, 0.0), (0.15, 0.70, 0.15), (0.0, 0.35, 0.65))
_TERM = ((0.82, 0.05, 0.13), (0.58, 0.17, 0.25), (0.20, 0.22, 0.58))
_METHOD = ((0.92, 0.08, 0.0), (0.68, 0.26, 0.06), (0.30, 0.30, 0.40))
_SEATS = (1.5, 7.0, 40.0)  # medians
# Chances of a poor, fair and great fit with the product, by channel: paid clicks fit worst.
_FIT = ((0.26, 0.50, 0.24), (0.44, 0.42, 0.14), (0.22, 0.50, 0.28), (0.32, 0.48, 0.20),
        (0.15, 0.48, 0.37))  # fmt: skip
_FIRST_FAIL = np.array([0.058, 0.032, 0.015])  # share of first payment attempts, by segment
_FAIL_BY_METHOD = np.array([1.0, 0.6, 0.8])
_POPULARITY = np.array([1.0, 0.55, 0.45, 0.22, 0.16, 0.13, 0.10, 0.10])  # of the features


@dataclass(frozen=True)
class Traits:
    """Attributes of a block of customers, arrays of shape ``(n,)`` unless stated.

    Days are counted from the first day of the world, weeks from its first week; codes point into
    the tuples of this module.
    """

    customers: IntArray  # numbers of the customers in the world
    arrival_week: IntArray
    signup_day: IntArray
    signup_hour: FloatArray
    segment: IntArray
    country: IntArray
    channel: IntArray
    owner: IntArray  # -1 for none
    fit: IntArray  # 0 poor, 1 fair, 2 great
    onboarded: BoolArray  # whether the first weeks succeed
    trial: BoolArray
    converts: BoolArray  # whether a trial ends in a subscription
    activation_day: IntArray
    frailty: FloatArray  # log of the lasting factor on the hazard of leaving
    base_use: FloatArray  # log of the features used on a working day
    taste: FloatArray  # (features, n): factor on the use of each feature
    weekend: FloatArray  # use on a weekend day as a share of a working day's
    plan: IntArray
    seats: IntArray
    term_days: IntArray
    ends: BoolArray  # whether the contract is fixed and ends after its first term
    discount: FloatArray  # share of the price, 0 for none
    discount_days: IntArray
    method: IntArray
    first_fail: FloatArray  # chance that the first attempt on a valid card fails
    careful: FloatArray  # chance at each retry that a customer has replaced a broken method
    renews_card: FloatArray  # chance that a card is replaced before it expires
    card_days: IntArray  # from sign-up to the expiry of the first card
    survey_week: IntArray  # phase within the quarter
    contact_effect: FloatArray  # on the log hazard of leaving, once contacted

    def __len__(self) -> int:
        return len(self.customers)


def arrival_weeks(settings: WorldSettings, customers: IntArray) -> IntArray:
    """Return the week in which each customer signs up, a function of its number only."""
    stock = settings.stock
    span = settings.arrival_weeks - STOCK_WEEKS
    later = STOCK_WEEKS + (customers - stock) * span // max(1, settings.customers - stock)
    return np.where(customers < stock, customers * STOCK_WEEKS // stock, later)


def draw_traits(
    settings: WorldSettings, draws: Draws, customers: IntArray, involuntary_scale: float
) -> Traits:
    """Draw the traits of customers by their numbers.

    Parameters
    ----------
    settings
        Settings of the world.
    draws
        Random numbers of the world.
    customers
        Numbers of the customers, shape ``(n,)``.
    involuntary_scale
        Factor on the chances that a payment fails and that a card is left to expire.
    """
    switches = settings.switches
    u = iter(draws.uniform(Topic.TRAITS, 0, customers, 27))
    week = arrival_weeks(settings, customers)
    segment = pick(next(u), _SEGMENT)
    country = pick(next(u), _COUNTRY)
    channel = pick(next(u), np.array(_CHANNEL)[segment])
    owner = np.where(segment > 0, whole(next(u), 0, len(OWNERS) - 1), -1)
    fit = pick(next(u), np.array(_FIT)[channel])
    onboarded = next(u) < np.array([0.45, 0.72, 0.90])[fit]
    trial = (next(u) < np.array([0.45, 0.25, 0.0])[segment]) & switches.trials
    converts = next(u) < np.array([0.55, 0.75, 0.85])[fit]
    day = 7 * week + pick(next(u), (18, 20, 19, 18, 15, 5, 5))
    wait = np.where(trial, 14, np.array([0, 1, 6])[segment] * next(u)).astype(np.int64)
    plan = pick(next(u), np.array(_PLAN)[segment])
    term = np.array([MONTH, QUARTER, YEAR])[pick(next(u), np.array(_TERM)[segment])]
    discounted = (next(u) < 0.3) & switches.discounts
    return Traits(
        customers=customers,
        arrival_week=week,
        signup_day=day,
        signup_hour=7.0 + 13.0 * next(u),
        segment=segment,
        country=country,
        channel=channel,
        owner=owner,
        fit=fit,
        onboarded=onboarded | (not switches.onboarding),
        trial=trial,
        converts=converts | ~trial,
        activation_day=day + wait,
        frailty=0.45 * normal(next(u)) + np.array([0.2, 0.0, -0.35])[segment],
        base_use=np.array([-1.15, -0.75, -0.25])[segment] + 0.55 * normal(next(u)),
        taste=_taste(draws, customers),
        weekend=np.where(switches.seasonality, 0.08 + 0.4 * next(u) ** 3, 1.0),
        plan=plan,
        term_days=term,
        **_contract_traits(settings, u, segment, term, discounted),
        **_payment_traits(settings, u, segment, involuntary_scale),
        survey_week=whole(next(u), 0, 12),
        contact_effect=np.array([-1.3, 0.0, 0.7])[pick(next(u), (0.42, 0.44, 0.14))],
    )


def _contract_traits(
    settings: WorldSettings,
    u: Iterator[FloatArray],
    segment: IntArray,
    term: IntArray,
    discounted: BoolArray,
) -> dict[str, Any]:
    """Draw what a customer buys, and for how long. ``u`` yields uniform numbers."""
    seats = np.array(_SEATS)[segment] * np.exp(0.6 * normal(next(u)))
    fixed = (next(u) < 0.12) & (term == YEAR) & (segment == 2)
    return {
        "seats": np.maximum(1, seats).astype(np.int64),
        "ends": fixed & settings.switches.fixed_contracts,
        "discount": np.where(discounted, 0.1 * whole(next(u), 1, 4), 0.0),
        "discount_days": np.array([90, 180, 365])[pick(next(u), (0.4, 0.3, 0.3))],
    }


def _payment_traits(
    settings: WorldSettings, u: Iterator[FloatArray], segment: IntArray, scale: float
) -> dict[str, Any]:
    """Draw how a customer pays. ``u`` yields uniform numbers."""
    switches = settings.switches
    method = pick(next(u), np.array(_METHOD)[segment])
    fail = _FIRST_FAIL[segment] * _FAIL_BY_METHOD[method] * np.exp(0.5 * normal(next(u)))
    careful = 1.0 / (1.0 + np.exp(-(np.array([-1.3, -0.7, 0.0])[segment] + 0.7 * normal(next(u)))))
    lapse = (1.0 - 0.6 * np.sqrt(careful)) * 0.8 * scale
    card_days = whole(next(u), 20, 1000)
    return {
        "method": method,
        "first_fail": np.minimum(0.6, fail * scale) * switches.failed_payments,
        "careful": careful,
        "renews_card": 1.0 - np.minimum(0.95, lapse),
        "card_days": np.where((method == 0) & switches.card_expiry, card_days, NEVER),
    }


def _taste(draws: Draws, customers: IntArray) -> FloatArray:
    """Draw factors on the use of each feature, shape (features, n); 0 if it is never adopted."""
    u = draws.uniform(Topic.TASTE, 0, customers, 2 * len(FEATURES))
    factor = _POPULARITY[:, None] * np.exp(0.5 * normal(u[: len(FEATURES)]))
    adopts = np.array([1.0, 0.95, 0.9, 0.75, 0.55, 0.45, 0.6, 0.35])[:, None]
    return np.asarray(np.where(u[len(FEATURES) :] < adopts, factor, 0.0), dtype=np.float64)
