"""Numbers in plain words: one place for how amounts, shares, times and dates read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt

_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£"}
_MINUS: Final = "\u2212"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# "1 active days" reads as a slip: the noun that a one counts, with at most two words between.
_ONE_OF_MANY: Final = re.compile(
    r"(?<![\d.,])1 ((?:(?!of )[a-z-]+ ){0,2}?)"
    r"(day|week|month|period|hour|minute|second|use|feature|ticket|message|rating|survey|payment|"
    r"invoice|attempt|failure|refund|dispute|seat|subscription|cancellation|change)s\b"
)
# "went up 1 times", but not "1 times as many" nor "1 times the usual gap".
_ONCE: Final = re.compile(r"(?<![\d.,])1 times\b(?! (?:as|what|the)\b(?! last\b))")


def number(value: float) -> str:
    """Write a number: whole, or with one decimal below ten, two below one; ``1,234``, ``2.5``."""
    size = abs(value)
    digits = 0 if size >= 9.95 or size == round(size) else 1 if size >= 0.95 else 2
    text = f"{size:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{_MINUS}{text}" if value < 0 and text != "0" else text


def money(cents: float, currency: str) -> str:
    """Write an amount in minor units: ``€1,235`` or ``CHF 1,235``, with cents below ten units."""
    sign = _MINUS if cents < 0 else ""
    size = abs(cents) / 100.0
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{sign}{symbol}{size:,.{0 if size == round(size) or size >= 10.0 else 2}f}"


def percent(share: float) -> str:
    """Write a share of one: ``34%``, with a decimal below ten per cent."""
    scaled = abs(share) * 100.0
    text = f"{scaled:.0f}" if scaled >= 9.95 else f"{scaled:.1f}".removesuffix(".0")
    if scaled and text == "0":
        text = "less than 0.1"
    return f"{_MINUS if share < 0 else ''}{text}%"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it: seconds, minutes, hours or days."""
    size = abs(seconds)
    if size < 2 * _MINUTE:
        return f"{number(seconds)} seconds"
    if size < 2 * _HOUR:
        return f"{number(seconds / _MINUTE)} minutes"
    if size < 2 * _DAY:
        return f"{number(seconds / _HOUR)} hours"
    return f"{number(seconds / _DAY)} days"


def quantity(value: float, unit: str, currency: str) -> str:
    """Write a feature's value in its unit.

    Counts, days, minutes and the like are bare numbers: the sentence around them names what is
    counted.

    Raises
    ------
    ValueError
        If the value is not finite: an absent value has words of its own.
    """
    if not math.isfinite(value):
        raise ValueError(f"There is no number to write: {value}.")
    if unit == "cents":
        return money(value, currency)
    if unit == "share":
        return percent(value)
    if unit == "seconds":
        return duration(value)
    if unit == "flag":
        return "yes" if value else "no"
    return number(value)


def singular(sentence: str) -> str:
    """Mend the plural behind a one: ``1 active day``, ``1 reply``, ``reopened once``."""
    sentence = _ONE_OF_MANY.sub(r"1 \1\2", sentence)
    return _ONCE.sub("once", sentence).replace(" 1 replies", " 1 reply")


def day(date: dt.date) -> str:
    """Write a date so that nobody takes the day for the month: ``30 Dec 2024``."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{date.day} {months[date.month - 1]} {date.year}"
