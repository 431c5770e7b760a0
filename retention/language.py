"""Languages: words from gettext catalogs, numbers, dates and money through Babel.

A message may have choices ``[one/many]``: the first is used if the number that fills it is one.
Catalogs are the files ``retention/locale/<code>.po``, which ``python -m retention.messages``
updates. A message that is missing from a catalog is shown in English.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cached_property
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

CODES: Final = ("en", "nl", "sv", "it")
LOCALE: Final = Path(__file__).with_name("locale")

# Babel rounds decimals in the current context, which must be wide enough for any float.
_WIDE: Final = Context(prec=400)
_MINUS: Final = "\u2212"
_ONE_OR_MANY: Final = re.compile(r"\[([^][/]*)/([^][/]*)\]")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_DURATIONS: Final = (
    (_DAY, "{number} [day/days]"),
    (_HOUR, "{number} [hour/hours]"),
    (_MINUTE, "{number} [minute/minutes]"),
    (1, "{number} [second/seconds]"),
)
# Words for a horizon by the last letter of its label.
_HORIZONS: Final = {"w": "{number} [week/weeks]", "p": "{number} [period/periods]"}
_LESS, _MORE = "less than {number}", "more than {number}"


def one_or_many(text: str, one: bool) -> str:
    """Use the first or the second of each choice: ``2 [week/weeks]`` becomes ``2 weeks``."""
    return _ONE_OR_MANY.sub(r"\1" if one else r"\2", text)


def own_messages() -> list[str]:
    """Return the messages that this module translates."""
    return [_LESS, _MORE, *(text for _, text in _DURATIONS), *_HORIZONS.values()]


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
        """Name of the language in that language."""
        return str(self.locale.get_display_name(self.code)).capitalize()

    @cached_property
    def translations(self) -> NullTranslations:
        """Catalog of translations; empty for English."""
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

    def translate(self, message: str, one: bool = False) -> str:
        """Translate a message, and choose between one and many."""
        return one_or_many(self.gettext(message), one)

    def fill(self, message: str, one: bool = False, **values: str) -> str:
        """Translate a message, choose between one and many, and fill its ``{names}``."""
        return self.translate(message, one).format(**values)

    def horizon(self, label: str) -> str:
        """Write the label of a horizon in words: ``4w`` is ``4 weeks``."""
        number = label[:-1]
        return self.fill(_HORIZONS[label[-1]], one=number == "1", number=number)

    def number(self, value: float) -> str:
        """Write a number: whole from 10 on, one decimal below 10, two below 1: ``1,234``."""
        size = abs(value)
        if 0.0 < size < 0.005:
            least = self.number(math.copysign(0.01, value))
            return self.fill(_MORE if value < 0 else _LESS, number=least)
        digits = 0 if size >= 9.95 or size == round(size) else 1 if size >= 0.95 else 2
        rounded = round(size, digits)
        with localcontext(_WIDE):
            text = format_decimal(rounded, format="#,##0.##", locale=self.locale)
        return f"{_MINUS}{text}" if value < 0 and rounded else text

    def money(self, cents: float, currency: str) -> str:
        """Write an amount in minor units: ``€1,235``, with decimals if below ten."""
        size = abs(cents) / 100.0
        whole = size == round(size) or size >= 10.0
        pattern = self.locale.currency_formats["standard"].pattern.split(";")[0]
        # A code of letters needs a space; a sign does not.
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
        """Write a share between 0 and 1: ``34%``, with one decimal below ten per cent."""
        scaled = abs(share) * 100.0
        rounded = round(scaled, 0 if scaled >= 9.95 else 1)
        if scaled and not rounded:
            text = self.fill(_LESS, number=self._percent(0.1))
        elif rounded == 100.0 and scaled < 100.0:
            text = self.fill(_MORE, number=self._percent(99.0))
        else:
            text = self._percent(rounded)
        return f"{_MINUS}{text}" if share < 0 else text

    def _percent(self, scaled: float) -> str:
        pattern = self.locale.percent_formats[None].pattern.replace("##0", "##0.#")
        with localcontext(_WIDE):
            return str(format_percent(Decimal(str(scaled)) / 100, pattern, locale=self.locale))

    def points(self, basis_points: int) -> str:
        """Write a change in percentage points, given in basis points: ``+2.50``."""
        sign = "+" if basis_points > 0 else _MINUS if basis_points < 0 else ""
        size = abs(basis_points) / 100.0
        return f"{sign}{format_decimal(size, format='#,##0.00', locale=self.locale)}"

    def signed(self, text: str, value: float) -> str:
        """Put a plus before the text of a positive value; ``number`` etc. write the minus."""
        return f"+{text}" if value > 0 else text

    def day(self, date: dt.date) -> str:
        """Write a date unambiguously: ``30 Dec 2024``."""
        return str(format_date(date, "d MMM y", locale=self.locale))

    def month(self, date: dt.date) -> str:
        """Write a month: ``Dec 2024``."""
        return str(format_date(date, "MMM y", locale=self.locale))

    def short_day(self, date: dt.date) -> str:
        """Write a date without its year: ``30 Dec``."""
        return str(format_date(date, "d MMM", locale=self.locale))

    def duration(self, seconds: float, days: bool = True) -> str:
        """Write a duration in seconds, minutes, hours or, with ``days``, days, whichever suits."""
        units = _DURATIONS[0 if days else 1 :]
        length, message = next((u for u in units if abs(seconds) >= 2 * u[0]), units[-1])
        text = self.number(seconds / length)
        return self.fill(message, one=text == "1", number=text)


ENGLISH: Final = Language("en")
LANGUAGES: Final = tuple(ENGLISH if code == "en" else Language(code) for code in CODES)
