"""Languages: words from gettext catalogs, numbers, dates and money through Babel.

A message may hold choices ``[one/many]``: the first where the number that fills it is one. Catalogs
are the files ``retention/locale/<code>.po``; ``python -m retention.messages`` brings them up to
date. A message that a catalog lacks is said in English.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babel import Locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_symbol
from babel.support import NullTranslations, Translations

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from retention.wording import Quote

CODES: Final = ("en", "nl", "sv", "it")
LOCALE: Final = Path(__file__).with_name("locale")

# Babel rounds decimals in their context, which must hold any float.
_WIDE: Final = Context(prec=400)
_MINUS: Final = "\u2212"
_ONE_OR_MANY: Final = re.compile(r"\[([^][/]*)/([^][/]*)\]")
# Whole ones that have passed or lie ahead: of 36.7 days to a renewal a person says 36.
_WHOLE: Final = ("whole_days", "weeks")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# Times with the unit that suits them.
_LASTING: Final = {"minutes": _MINUTE, "hours": _HOUR, "lasting": _DAY}
_DURATIONS: Final = (
    (_DAY, "{number} [day/days]"),
    (_HOUR, "{number} [hour/hours]"),
    (_MINUTE, "{number} [minute/minutes]"),
    (1, "{number} [second/seconds]"),
)
# How a stretch of time reads: itself, after "in the last", and one or many of its unit.
_SPANS: Final = {
    "week": ("{number} [week/weeks]", "in the last [week/{number} weeks]", "[week/weeks]"),
    "day": ("{number} [day/days]", "in the last [day/{number} days]", "[day/days]"),
    "period": (
        "{number} [period/periods] of {days} days",
        "in the last [period/{number} periods] of {days} days",
        "[period/periods] of {days} days",
    ),
}
# A horizon by the last letter of its label.
_HORIZONS: Final = {"w": "{number} [week/weeks]", "p": "{number} [period/periods]"}
_QUANTITIES: Final = (
    "less than {number}",
    "more than {number}",
    "{share} of",
    "{number} times",
    ", usually {norm} in <span>",
)
# What a mark of a declaration (see features.declare) was filled with.
_SPAN: Final = r"(?:\d+ )?(?:weeks?|days?|periods?(?: of \d+ days)?)"
_MARKS: Final = {
    "<span>": _SPAN,
    "<shortspan>": _SPAN,
    "<longspan>": _SPAN,
    "<period>": _SPAN,
    "<periods>": _SPAN,
    "<core>": ".+?",
}


def one_or_many(text: str, one: bool) -> str:
    """Take the first or the second of each choice: ``2 [week/weeks]`` is ``2 weeks``."""
    return _ONE_OR_MANY.sub(r"\1" if one else r"\2", text)


def fixed_messages() -> list[str]:
    """Return the messages that this module says itself."""
    spans = [text for texts in _SPANS.values() for text in texts]
    durations = [text for _, text in _DURATIONS]
    return list(dict.fromkeys([*_QUANTITIES, *durations, *spans, *_HORIZONS.values()]))


def feature_messages() -> list[str]:
    """Return the sentences of all features as they are declared, marks unfilled, each once."""
    # The registered model speaks English where the features' own code (and Ibis) is not installed.
    from features.catalog import FAMILIES  # noqa: PLC0415

    kinds = ("sentence", "zero", "negative", "missing", "norm_clause")
    texts = (
        getattr(declaration, kind)
        for family in FAMILIES
        for declaration in family.declarations
        for kind in kinds
    )
    return list(dict.fromkeys(text for text in texts if text is not None))


@dataclass(frozen=True)
class Language:
    """One language of the page.

    Parameters
    ----------
    code
        ISO 639-1, one of ``CODES``.
    """

    code: str

    @cached_property
    def locale(self) -> Locale:
        """Babel's locale."""
        return Locale.parse(self.code)

    @cached_property
    def name(self) -> str:
        """What the language calls itself."""
        return str(self.locale.get_display_name(self.code)).capitalize()

    @cached_property
    def translations(self) -> NullTranslations:
        """The catalog; of English none."""
        path = LOCALE / f"{self.code}.po"
        if not path.exists():
            return NullTranslations()
        binary = io.BytesIO()
        with path.open("rb") as file:
            write_mo(binary, read_po(file, locale=self.code))
        binary.seek(0)
        return Translations(binary)

    def gettext(self, message: str) -> str:
        """Translate a message."""
        return str(self.translations.gettext(message)) if message else ""

    def chosen(self, message: str, one: bool = False) -> str:
        """Translate a message and choose between one and many."""
        return one_or_many(self.gettext(message), one)

    def say(self, message: str, one: bool = False, **values: str) -> str:
        """Translate a message, choose between one and many, and fill it."""
        return self.chosen(message, one).format(**values)

    def horizon(self, label: str) -> str:
        """Write the label of a horizon in words: ``4w`` is ``4 weeks``."""
        number = label[:-1]
        return self.say(_HORIZONS[label[-1]], one=number == "1", number=number)

    def number(self, value: float) -> str:
        """Write a number: whole, from 10 down with one decimal, below 1 with two: ``1,234``."""
        size = abs(value)
        if 0.0 < size < 0.005:
            least = self.number(math.copysign(0.01, value))
            return self.say(
                "more than {number}" if value < 0 else "less than {number}", number=least
            )
        digits = 0 if size >= 9.95 or size == round(size) else 1 if size >= 0.95 else 2
        rounded = round(size, digits)
        with localcontext(_WIDE):
            text = format_decimal(rounded, format="#,##0.##", locale=self.locale)
        return f"{_MINUS}{text}" if value < 0 and rounded else text

    def money(self, cents: float, currency: str) -> str:
        """Write an amount in minor units: ``€1,235``, with cents below ten units."""
        size = abs(cents) / 100.0
        whole = size == round(size) or size >= 10.0
        pattern = self.locale.currency_formats["standard"].pattern.split(";")[0]
        # A code of letters needs a space where a sign needs none.
        if get_currency_symbol(currency, locale=self.locale).isalpha():
            pattern = re.sub("\u00a4(?=#)", "\u00a4 ", pattern)
        with localcontext(_WIDE):
            text = format_currency(
                round(size) if whole else round(size, 2),
                currency,
                pattern.replace("0.00", "0") if whole else pattern,
                locale=self.locale,
                currency_digits=False,
            )
        return f"{_MINUS}{text}" if cents < 0 else text

    def percent(self, share: float) -> str:
        """Write a share of one: ``34%``, with a decimal below ten per cent."""
        scaled = abs(share) * 100.0
        rounded = round(scaled, 0 if scaled >= 9.95 else 1)
        if scaled and not rounded:
            text = self.say("less than {number}", number=self._percent(0.1))
        elif rounded == 100.0 and scaled < 100.0:
            text = self.say("more than {number}", number=self._percent(99.0))
        else:
            text = self._percent(rounded)
        return f"{_MINUS}{text}" if share < 0 else text

    def _percent(self, scaled: float) -> str:
        pattern = self.locale.percent_formats[None].pattern.replace("##0", "##0.#")
        with localcontext(_WIDE):
            return str(format_percent(Decimal(str(scaled)) / 100, pattern, locale=self.locale))

    def points(self, basis_points: int) -> str:
        """Write a change in percentage points, given in hundredths of one: ``+2.50``."""
        sign = "+" if basis_points > 0 else _MINUS if basis_points < 0 else ""
        size = abs(basis_points) / 100.0
        return f"{sign}{format_decimal(size, format='#,##0.00', locale=self.locale)}"

    def signed(self, text: str, value: float) -> str:
        """Put a plus before the text of a value above zero; ``number`` and its like write minus."""
        return f"+{text}" if value > 0 else text

    def day(self, date: dt.date) -> str:
        """Write a date so that nobody takes the day for the month: ``30 Dec 2024``."""
        return str(format_date(date, "d MMM y", locale=self.locale))

    def month(self, date: dt.date) -> str:
        """Write a month: ``Dec 2024``."""
        return str(format_date(date, "MMM y", locale=self.locale))

    def short_day(self, date: dt.date) -> str:
        """Write a date without its year: ``30 Dec``."""
        return str(format_date(date, "d MMM", locale=self.locale))

    def duration(self, seconds: float, days: bool = True) -> str:
        """Write a time in the unit that suits it: seconds, minutes, hours or, if told so, days."""
        units = _DURATIONS[0 if days else 1 :]
        length, message = next((u for u in units if abs(seconds) >= 2 * u[0]), units[-1])
        text = self.number(seconds / length)
        return self.say(message, one=text == "1", number=text)

    def quantity(self, value: float, unit: str, currency: str) -> str:
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
            return self.money(value, currency)
        if unit == "share":
            return self.percent(value)
        if unit == "multiple":
            message = "{share} of" if value < 2.0 else "{number} times"
            return self.say(message, share=self.percent(value), number=self.number(value))
        if unit in _LASTING:
            return self.duration(value * _LASTING[unit], days=unit != "minutes")
        return self.number(math.trunc(value) if unit in _WHOLE else value)

    def quote(self, said: Quote, currency: str) -> str:
        """Say a quote, with the customer's own norm where it has one."""
        known = math.isfinite(said.value)
        value = self.quantity(said.value, said.unit, currency) if known else ""
        words = one_or_many(self._sentence(said.template), said.one).format(value=value)
        if said.norm_clause is None:
            return words
        norm = self.quantity(said.norm, said.norm_unit, currency)
        return words + one_or_many(self._sentence(said.norm_clause), norm == "1").format(norm=norm)

    def _sentence(self, template: str) -> str:
        """Translate a feature's sentence, whose marks are filled in English."""
        if self.code == CODES[0]:  # as declared; there is nothing to look up
            return template
        message, filled = _declared(template)
        translated = self.gettext(message)
        if translated == message:
            return template
        for mark, text in filled.items():
            translated = translated.replace(mark, self._filling(mark, text))
            if mark.endswith("span>"):
                last = mark.replace("span", "last")
                translated = translated.replace(last, self.span(text, last=True))
        return translated

    def _filling(self, mark: str, text: str) -> str:
        if mark == "<core>":
            return text
        if mark in ("<period>", "<periods>"):
            unit, _, days = _parsed(text)
            return self.say(_SPANS[unit][2], one=mark == "<period>", days=days)
        return self.span(text)

    def span(self, text: str, last: bool = False) -> str:
        """Say a stretch of time that ``features.declare.span`` said; after "in the last" if so."""
        unit, number, days = _parsed(text)
        message = _SPANS[unit][1 if last else 0]
        return self.say(message, one=number == 1, number=self.number(number), days=days)


def _parsed(text: str) -> tuple[str, int, str]:
    """Take a stretch of time apart: ``2 periods of 5 days`` is ``("period", 2, "5")``."""
    found = re.fullmatch(r"(?:(\d+) )?(week|day|period)s?(?: of (\d+) days)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no stretch of time.")
    return found[2], int(found[1] or 1), found[3] or ""


@cache
def _declared(template: str) -> tuple[str, Mapping[str, str]]:
    """Find the declared sentence that a feature's was made of, and what its marks were filled with.

    A sentence that nobody declared is its own.
    """
    for message, pattern in _patterns():
        found = pattern.fullmatch(template)
        if found is not None:
            return message, {f"<{name}>": text for name, text in found.groupdict().items()}
    return template, {}


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return what each declared sentence looks like once its marks are filled; plain ones first."""
    messages = [*feature_messages(), *_QUANTITIES]
    return tuple((text, _pattern(text)) for text in sorted(messages, key=lambda text: "<" in text))


def _pattern(message: str) -> re.Pattern[str]:
    """Match a declared sentence with its marks filled, the same mark everywhere alike."""
    seen: set[str] = set()

    def group(found: re.Match[str]) -> str:
        mark = found[0]
        name = mark.strip("<>")
        if mark in seen:
            return f"(?P={name})"
        seen.add(mark)
        return f"(?P<{name}>{_MARKS[mark]})"

    return re.compile(re.sub("|".join(_MARKS), group, re.escape(message)))


ENGLISH: Final = Language("en")
LANGUAGES: Final = tuple(ENGLISH if code == "en" else Language(code) for code in CODES)
