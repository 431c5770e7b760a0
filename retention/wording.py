"""A feature's value in plain words: which sentence, which numbers in it, in any language."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from retention.language import ENGLISH, one_or_many

if TYPE_CHECKING:
    from features.declare import Feature

__all__ = [
    "Quote", "day", "duration", "money", "number", "one_or_many", "percent", "quantity", "quote",
    "sentence",
]  # fmt: skip

# What one decimal is enough for in a norm.
_PLAIN: Final = ("days", "count", "ratio", "score")

# In English, as exports and logs speak.
number = ENGLISH.number
money = ENGLISH.money
percent = ENGLISH.percent
duration = ENGLISH.duration
quantity = ENGLISH.quantity
day = ENGLISH.day


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
        return ENGLISH.quote(self, currency)


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
