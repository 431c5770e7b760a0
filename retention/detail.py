"""One listed customer up close: risk on past lists, use and payments week by week, tickets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


@dataclass(frozen=True)
class Week:
    """A period of a customer; None where there is no such log.

    Parameters
    ----------
    ends_on
        Day of the cutoff that closes it.
    active_days, uses
        Days with any use, and the sum of counts.
    due, paid
        What fell due and what was paid, minor units.
    failed
        Failed attempts to pay.
    """

    ends_on: dt.date
    active_days: int | None
    uses: int | None
    due: int | None
    paid: int | None
    failed: int | None


@dataclass(frozen=True)
class Ticket:
    """A ticket as it stood at the cutoff. ``text`` was written by the customer: escape it."""

    opened_on: dt.date
    category: str | None
    priority: str | None
    state: str
    score: int | None
    text: str | None


@dataclass(frozen=True)
class CustomerDetail:
    """What the page shows when a row is opened.

    Parameters
    ----------
    risks
        (day of the cutoff, risk of the queue's cause by the first horizon) on the lists released
        so far, oldest first, and on this one.
    weeks
        The last periods, oldest first.
    tickets
        Newest first.
    """

    risks: tuple[tuple[dt.date, float], ...]
    weeks: tuple[Week, ...]
    tickets: tuple[Ticket, ...]
