"""Numbers in plain words: one place for how amounts, shares, times and dates read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt

    from features.declare import Feature

_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£"}
_MINUS: Final = "\u2212"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_ONE_OR_MANY: Final = re.compile(r"\[([^][/]*)/([^][/]*)\]")
# Whole ones that have passed or lie ahead: of 36.7 days to a renewal a person says 36.
_WHOLE: Final = ("whole_days", "weeks")
# Times with the unit that suits them.
_LASTING: Final = {"minutes": _MINUTE, "hours": _HOUR, "lasting": _DAY}
# What one decimal is enough for in a norm.
_PLAIN: Final = ("days", "count", "ratio", "score")


def number(value: float) -> str:
    """Write a number: whole, or with one decimal below ten, two below one; ``1,234``, ``2.5``."""
    size = abs(value)
    if 0.0 < size < 0.005:
        return f"more than {_MINUS}0.01" if value < 0 else "less than 0.01"
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
    if scaled < 100.0 and text == "100":
        text = "more than 99"
    return f"{_MINUS if share < 0 else ''}{text}%"


def duration(seconds: float, days: bool = True) -> str:
    """Write a time in the unit that suits it: seconds, minutes, hours or, if told so, days."""
    units = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"))[0 if days else 1 :]
    fits = (unit for unit in units if abs(seconds) >= 2 * unit[0])
    length, name = next(fits, (1, "second"))
    text = number(seconds / length)
    return f"{text} {name}{'' if text == '1' else 's'}"


def quantity(value: float, unit: str, currency: str) -> str:
    """Write a feature's value in its unit.

    Counts, days and the like are bare numbers: the sentence around them names what is counted.
    Nothing but 0 is written as 0, except that days and weeks that pass are whole ones.

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
    if unit == "multiple":
        return f"{percent(value)} of" if value < 2.0 else f"{number(value)} times"
    if unit in _LASTING:
        return duration(value * _LASTING[unit], days=unit != "minutes")
    return number(math.trunc(value) if unit in _WHOLE else value)


@dataclass(frozen=True)
class Quote:
    """A feature's value about to be put into words: a template and what fills it, in any language.

    Parameters
    ----------
    template
        The English sentence with ``{value}`` and choices ``[one/many]``, by which catalogues of
        translations know it; it may hold neither.
    value
        What fills it, without a sign that the template already speaks of; NaN where nothing does.
    unit
        Key of ``features.declare.UNITS``: how the value is written.
    one
        Whether English takes the first of each choice.
    norm_clause
        What follows the sentence where the customer's own norm is known, with ``{norm}``; or None.
    norm, norm_unit
        What fills it.
    """

    template: str
    value: float = math.nan
    unit: str = "count"
    one: bool = False
    norm_clause: str | None = None
    norm: float = math.nan
    norm_unit: str = "count"

    def text(self, currency: str) -> str:
        """Return the English sentence; ``currency`` is the ISO 4217 code of amounts."""
        value = quantity(self.value, self.unit, currency) if math.isfinite(self.value) else ""
        words = one_or_many(self.template, self.one).format(value=value)
        if self.norm_clause is None:
            return words
        norm = quantity(self.norm, self.norm_unit, currency)
        return words + one_or_many(self.norm_clause, norm == "1").format(norm=norm)


def quote(feature: Feature, value: float, norm: float) -> Quote:
    """Choose the words for a feature's value, with the customer's own norm where it is known.

    Parameters
    ----------
    feature
        Whose sentences.
    value
        Of the customer; not finite where it is absent.
    norm
        The customer's own norm for the feature's window; not finite where it is not known.
    """
    if not math.isfinite(value):
        return Quote(feature.missing)
    size = abs(value) if feature.negative else value
    text = quantity(size, feature.unit, "")
    template = feature.negative if feature.negative and value < 0.0 else feature.sentence
    if feature.zero and text == quantity(0.0, feature.unit, ""):
        template = feature.zero
    said = Quote(template, size, feature.unit, text == "1" or value == 1.0)
    if not math.isfinite(norm):
        return said
    unit = "days" if feature.unit == "whole_days" else feature.unit
    # A decimal at most where it is a number.
    norm = round(norm, 1) if unit in _PLAIN else norm
    return replace(said, norm_clause=feature.norm_clause, norm=norm, norm_unit=unit)


def sentence(feature: Feature, value: float, norm: float, currency: str) -> str:
    """Say a feature's value in plain English; see ``quote``."""
    return quote(feature, value, norm).text(currency)


def one_or_many(text: str, one: bool) -> str:
    """Take the first or the second of each choice: ``2 [week/weeks]`` is ``2 weeks``."""
    return _ONE_OR_MANY.sub(r"\1" if one else r"\2", text)


def day(date: dt.date) -> str:
    """Write a date so that nobody takes the day for the month: ``30 Dec 2024``."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{date.day} {months[date.month - 1]} {date.year}"
