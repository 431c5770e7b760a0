"""Payments: the method on file, and when its card expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.asof import NOTHING
from features.declare import Family
from features.derive import flag, isin
from features.lifecycle import contracts
from features.measures import METHODS
from features.payments import KIND, UP

if TYPE_CHECKING:
    from data.asof import Integers
    from features.declare import Numbers
    from features.known import Known

FAMILY = Family("payments", log="payments")
on_file = FAMILY.section("payment_method")


def method(known: Known) -> Integers:
    """Code of the payment method last known (place in ``METHODS``); ``NOTHING`` if unknown."""
    return known.events_by_customer("payments").known("method")


def card_expires_us(known: Known) -> Integers:
    """Instant from which the card on file is expired; ``NOTHING`` if unknown or not by card.

    The expiry last known, unless the method was since changed to one that is not a card.
    """
    expiry = known.events_by_customer("payments").known("card_us")
    by_card = isin(known.cached(method), [METHODS.index("card"), NOTHING])
    return np.where(by_card, expiry, NOTHING)


for _code, _method in enumerate(METHODS):

    @FAMILY.feature(
        f"pays_by_{_method}", f"Pays by {_method.replace('_', ' ')}",
        zero=f"Is not known to pay by {_method.replace('_', ' ')}", unit="flag", empty=0.0,
        group="profile",
    )  # fmt: skip
    def pays_by(known: Known, code: int = _code) -> Numbers:
        """Whether the method last known has this code."""
        return flag(known.cached(method) == code)


@on_file(
    "days_to_card_expiry", "The card on file expires in {value} [day/days]",
    zero="The card on file expires today",
    negative="The card on file expired {value} [day/days] ago",
    missing="No card with an expiry date on file", unit="whole_days",
)  # fmt: skip
def days_to_card_expiry(known: Known) -> Numbers:
    """Days from the cutoff to the card's expiry, negative after it; NaN without a card."""
    return known.days_until(known.cached(card_expires_us))


@on_file(
    "card_expired", "The card on file has expired", zero="No expired card on file", unit="flag",
    empty=0.0, monotone=UP,
)  # fmt: skip
def card_expired(known: Known) -> Numbers:
    """Whether the card on file expired before the cutoff; at the cutoff, it expires today."""
    expires_us = known.cached(card_expires_us)
    return flag((expires_us != NOTHING) & (expires_us < known.cutoff_us))


@on_file(
    "card_expires_within_<w>", "The card on file has expired or will in the next <span>",
    zero="No card on file that expires in the next <span>", over="short trend", unit="flag",
    empty=0.0,
)  # fmt: skip
def card_expires_within(known: Known, w: int) -> Numbers:
    """Whether the card on file is expired at ``cutoff + w``."""
    expires_us = known.cached(card_expires_us)
    stop = known.cutoff_us + w * known.clock.period_us
    return flag((expires_us != NOTHING) & (expires_us <= stop))


@on_file(
    "card_expires_before_renewal", "The card on file expires before the next renewal",
    zero="No card on file that expires before the next renewal", unit="flag", empty=0.0,
    sources=("payments", "subscriptions"), monotone=UP,
)  # fmt: skip
def card_expires_before_renewal(known: Known) -> Numbers:
    """Whether the card on file is expired at the next renewal of a live subscription."""
    expires_us, renews_us = known.cached(card_expires_us), known.cached(contracts).renews_us
    return flag((expires_us != NOTHING) & (renews_us != NOTHING) & (expires_us <= renews_us))


@on_file(
    "days_since_method_update", "The payment method was last updated {value} [day/days] ago",
    zero="The payment method was updated within the last day",
    missing="No update of the payment method on record", unit="whole_days",
)  # fmt: skip
def days_since_method_update(known: Known) -> Numbers:
    """Days from the last update of the payment method to the cutoff; NaN if there is none."""
    history = known.events_by_customer("payments")
    return known.days_since(
        history.at(history.last(history["kind"] == KIND["method_updated"]), "event_us")
    )
