"""Sentences of features: choose the sentence for a value, and render it in a language.

A feature keeps its sentences as declared (see ``features.declare``); these are the keys of the
translation catalogs. A sentence is translated first; then its choices are made, its value is
written and its marks are filled. English, whose catalog is empty, follows the same steps.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from retention.language import ENGLISH, Language, one_or_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.declare import Feature

_MARK: Final = re.compile(r"<(\w+)>")
# Words for a time span: the span, "in the last" span, and its unit alone (one or many).
_SPANS: Final = {
    "week": ("[week/{number} weeks]", "in the last [week/{number} weeks]", "[week/weeks]"),
    "day": ("[day/{number} days]", "in the last [day/{number} days]", "[day/days]"),
    "period": (
        "[period/{number} periods] of {days} days",
        "in the last [period/{number} periods] of {days} days",
        "[period/periods] of {days} days",
    ),
}
_UNITS: Final = {1: "day", 7: "week"}
# For each mark, the key of its length in ``Feature.marks``, and its form in ``_SPANS``. Some
# languages inflect "in the last" by what follows; there <last> replaces "in the last <span>".
_SPAN_MARKS: Final = {
    "span": ("window", 0),
    "shortspan": ("short", 0),
    "longspan": ("long", 0),
    "last": ("window", 1),
    "shortlast": ("short", 1),
    "longlast": ("long", 1),
    "lastperiod": ("period", 1),
}
_SHARE_OF, _TIMES = "{share} of", "{number} times"
# Units truncated to whole numbers: 36.7 days reads as 36.
_WHOLE: Final = ("whole_days", "weeks")
# Durations, which are written in the largest suitable unit, and the seconds in theirs.
_LASTING: Final = {"minutes": 60, "hours": 3600, "lasting": 86400}
# Units in which one decimal is enough for a norm.
_PLAIN: Final = ("days", "count", "ratio", "score")


def own_messages() -> list[str]:
    """Return the messages that this module translates."""
    return [_SHARE_OF, _TIMES, *(text for forms in _SPANS.values() for text in forms)]


@dataclass(frozen=True)
class Sentence:
    """A template and the values that fill it, before rendering.

    Parameters
    ----------
    template
        The sentence as declared, in English, with ``{value}``, choices ``[one/many]`` and
        ``<marks>``, all optional.
    marks
        Values of the marks: ``Feature.marks``.
    value
        Value of ``{value}``, without a sign that the template expresses in words; NaN if the
        template has no ``{value}``.
    unit
        Key of ``features.declare.UNITS``, which decides how the value is written.
    one
        Whether to take the first of each choice.
    norm_clause
        Clause with ``{norm}`` after the sentence, if the customer's own norm is known; or None.
    norm, norm_unit
        Value and unit of ``{norm}``.
    """

    template: str
    marks: Mapping[str, int | str] = field(default_factory=dict)
    value: float = math.nan
    unit: str = "count"
    one: bool = False
    norm_clause: str | None = None
    norm: float = math.nan
    norm_unit: str = "count"


def sentence_for(feature: Feature, value: float, norm: float) -> Sentence:
    """Choose the sentence for a feature's value, with the customer's own norm if it is known.

    Parameters
    ----------
    feature
        Feature with its sentences.
    value
        The customer's value; not finite if absent.
    norm
        The customer's own norm for the feature's window; not finite if not known.
    """
    if not math.isfinite(value):
        return Sentence(feature.missing, feature.marks)
    size = abs(value) if feature.negative else value
    text = quantity(size, feature.unit)
    template = feature.negative if feature.negative and value < 0.0 else feature.sentence
    if feature.zero and text == quantity(0.0, feature.unit):
        template = feature.zero
    one = text == "1" or value == 1.0
    sentence = Sentence(template, feature.marks, size, feature.unit, one)
    if not math.isfinite(norm):
        return sentence
    unit = "days" if feature.unit == "whole_days" else feature.unit
    norm = round(norm, 1) if unit in _PLAIN else norm
    return replace(sentence, norm_clause=feature.norm_clause, norm=norm, norm_unit=unit)


def render(sentence: Sentence, language: Language, currency: str) -> str:
    """Write a sentence; ``currency`` is the ISO 4217 code of amounts."""
    value = ""
    if math.isfinite(sentence.value):
        value = quantity(sentence.value, sentence.unit, language, currency)
    words = _fill(sentence.template, sentence.marks, language, sentence.one, value=value)
    if sentence.norm_clause is None:
        return words
    norm = quantity(sentence.norm, sentence.norm_unit, language, currency)
    return words + _fill(sentence.norm_clause, sentence.marks, language, norm == "1", norm=norm)


def quantity(value: float, unit: str, language: Language = ENGLISH, currency: str = "") -> str:
    """Write a feature's value in its unit.

    Counts, days and the like are plain numbers: the sentence names what is counted. Only 0 is
    written as 0, except that days and weeks are truncated to whole numbers.

    Raises
    ------
    ValueError
        If the value is not finite: absent values have their own sentence.
    """
    if not math.isfinite(value):
        raise ValueError(f"There is no number to write: {value}.")
    if unit == "cents":
        return language.money(value, currency)
    if unit == "share":
        return language.percent(value)
    if unit == "multiple":
        message = _SHARE_OF if value < 2.0 else _TIMES
        return language.fill(message, share=language.percent(value), number=language.number(value))
    if unit in _LASTING:
        return language.duration(value * _LASTING[unit], days=unit != "minutes")
    return language.number(math.trunc(value) if unit in _WHOLE else value)


def _fill(
    template: str, marks: Mapping[str, int | str], language: Language, one: bool, **values: str
) -> str:
    translated = language.gettext(template)
    if translated == template:  # not translated: fill it with English words too
        language = ENGLISH
    words = one_or_many(translated, one).format(**values)
    return _MARK.sub(lambda mark: _words_for(mark[1], marks, language), words)


def _words_for(mark: str, marks: Mapping[str, int | str], language: Language) -> str:
    """Return the words for one mark of a template."""
    if mark == "core":
        return str(marks["core"])
    days = int(marks["period_days"])
    forms = _SPANS[_UNITS.get(days, "period")]
    if mark in ("period", "periods"):
        return language.fill(forms[2], one=mark == "period", days=str(days))
    key, form = _SPAN_MARKS[mark]
    length = 1 if key == "period" else int(marks[key])
    return language.fill(
        forms[form], one=length == 1, number=language.number(length), days=str(days)
    )
