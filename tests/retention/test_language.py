"""Languages: numbers, dates, plurals, and every message translated."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import TABLES
from features.catalog import REASON_GROUPS, catalog
from retention.language import CODES, ENGLISH, LANGUAGES, LOCALE, Language
from retention.messages import feature_messages, messages, written
from retention.sentences import Sentence, render, sentence_for

OTHERS = LANGUAGES[1:]
FEATURES = catalog((1, 4, 13, 26), ("login", "report"), TABLES)
# Marks that a translation may use where the English has another.
LAST = {"<last>": "<span>", "<longlast>": "<longspan>", "<lastperiod>": "<period>"}


def marks(text: str) -> set[str]:
    return {LAST.get(mark, mark) for mark in re.findall(r"\{\w+\}|<\w+>", text)}


@pytest.mark.parametrize("language", OTHERS, ids=CODES[1:])
def test_every_message_is_translated_and_the_catalogs_are_current(language: Language) -> None:
    path = LOCALE / f"{language.code}.po"
    assert path.read_text(encoding="utf-8") == written(language.code), (
        "run python -m retention.messages and translate what is new"
    )
    untranslated = [m.id for m in messages() if m.id and not _translation(language, m.id)]
    assert untranslated == []


def _translation(language: Language, message: str) -> str:
    return str(language.translations._catalog.get(message, ""))  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", OTHERS, ids=CODES[1:])
def test_a_translation_has_the_marks_of_its_message_and_whole_choices(language: Language) -> None:
    free = {"{share} of", *(f for f in feature_messages() if "<period" in f)}
    for message in messages():
        if not message.id:
            continue
        text = language.gettext(message.id)
        if message.id not in free:
            assert marks(text) == marks(message.id), message.id
        assert marks(text) <= marks(message.id) | {"{number}"}, message.id
        bare = re.sub(r"\[[^][/]*/[^][/]*\]", "", text)
        assert not set("[]") & set(bare), text


@pytest.mark.parametrize("language", OTHERS, ids=CODES[1:])
def test_every_feature_speaks_every_language(language: Language) -> None:
    for feature in FEATURES:
        for value, norm in ((0.0, 3.0), (1.0, 1.0), (2.0, 7.5), (float("nan"), float("nan"))):
            sentence = sentence_for(feature, value, norm if feature.norm else float("nan"))
            text = render(sentence, language, "EUR")
            assert not re.search(r"[][{}<>]", text), (feature.name, text)
            assert not re.search(r"\b(the last|usually|weeks|days ago|No)\b", text), text


@pytest.mark.parametrize(
    ("name", "value", "norm", "nl", "sv", "it"),
    [
        ("active_days_4w", 2, 11.0,
         "2 actieve dagen in de afgelopen 4 weken, normaal 11",
         "2 aktiva dagar under de senaste 4 veckorna, vanligtvis 11",
         "2 giorni attivi nelle ultime 4 settimane, di solito 11"),
        ("uses_4w_vs_26w", 0.4, None,
         "40% van het normale aantal keren gebruikt in de afgelopen 4 weken",
         "40\xa0% av det vanliga antalet användningar under de senaste 4 veckorna",
         "0,4 volte il numero abituale di utilizzi nelle ultime 4 settimane"),
        ("uses_of_report_4w", 1, None,
         "report 1 keer gebruikt in de afgelopen 4 weken",
         "1 användning av report under de senaste 4 veckorna",
         "1 utilizzo di report nelle ultime 4 settimane"),
        ("paid_amount_26w", 123456, None,
         "€\xa01.235 betaald in de afgelopen 26 weken",
         "1\xa0235\xa0€ betalt under de senaste 26 veckorna",
         "1.235\xa0€ pagati nelle ultime 26 settimane"),
    ],
)  # fmt: skip
def test_sentences_read_as_a_native_would_write_them(
    name: str, value: float, norm: float | None, nl: str, sv: str, it: str
) -> None:
    feature = {item.name: item for item in FEATURES}[name]
    sentence = sentence_for(feature, value, float("nan") if norm is None else norm)
    assert [render(sentence, language, "EUR") for language in OTHERS] == [nl, sv, it]


USES = "{value} [use/uses] in the last <span>"


@pytest.mark.parametrize(
    ("window", "period_days", "texts"),
    [
        (1, 7, ["week", "de afgelopen week", "den senaste veckan", "nell'ultima settimana"]),
        (4, 7, ["4 weeks", "de afgelopen 4 weken", "4 veckorna", "nelle ultime 4 settimane"]),
        (1, 1, ["day", "de afgelopen dag", "det senaste dygnet", "nell'ultimo giorno"]),
        (2, 5, ["2 periods of 5 days", "de afgelopen 2 perioden van 5 dagen",
                "de senaste 2 perioderna om 5 dagar", "negli ultimi 2 periodi di 5 giorni"]),
        (1, 5, ["period of 5 days", "de afgelopen periode van 5 dagen",
                "den senaste perioden om 5 dagar", "nell'ultimo periodo di 5 giorni"]),
    ],
)  # fmt: skip
def test_windows_of_every_length_have_words(
    window: int, period_days: int, texts: list[str]
) -> None:
    sentence = Sentence(USES, {"window": window, "period_days": period_days}, 3.0)
    for language, text in zip(LANGUAGES, texts, strict=True):
        assert render(sentence, language, "EUR").endswith(text)


def test_a_sentence_without_a_translation_is_entirely_english() -> None:
    sentence = Sentence(
        "{value} [goat/goats] in the barn for <span>", {"window": 4, "period_days": 7}, 2.0
    )
    assert {render(sentence, language, "EUR") for language in LANGUAGES} == {
        "2 goats in the barn for 4 weeks"
    }


def test_the_name_of_a_core_feature_is_shown_as_it_is() -> None:
    for name in ("a[b/c]{d}", "<span>", "4 weeks", "{value}"):
        (feature,) = [
            feature
            for feature in catalog((1, 4), (name,), TABLES)
            if feature.sentence == "{value} [use/uses] of <core> in the last <span>"
        ]
        sentence = sentence_for(feature, 2.0, 1.0)
        assert render(sentence, ENGLISH, "EUR") == (f"2 uses of {name} in the last week, usually 1")
        assert f" {name} " in f" {render(sentence, LANGUAGES[1], 'EUR')} "


def test_numbers_money_and_dates_follow_the_language() -> None:
    day = dt.date(2024, 12, 30)
    written_as = [
        (item.number(1234.0), item.money(123456, "EUR"), item.percent(0.034), item.day(day))
        for item in LANGUAGES
    ]
    assert written_as == [
        ("1,234", "€1,235", "3.4%", "30 Dec 2024"),
        ("1.234", "€\xa01.235", "3,4%", "30 dec 2024"),
        ("1\xa0234", "1\xa0235\xa0€", "3,4\xa0%", "30 dec. 2024"),
        ("1.234", "1.235\xa0€", "3,4%", "30 dic 2024"),
    ]
    assert [item.points(-250) for item in LANGUAGES][:2] == ["\u22122.50", "\u22122,50"]
    assert ENGLISH.points(0) == "0.00"


@given(st.floats(-1e12, 1e12), st.sampled_from(LANGUAGES))
def test_the_same_digits_in_every_language(value: float, language: Language) -> None:
    for write in ("number", "percent"):
        digits = [re.sub(r"\D", "", getattr(item, write)(value)) for item in (ENGLISH, language)]
        assert digits[0] == digits[1]


def test_reason_groups_and_names_of_languages() -> None:
    assert [language.name for language in LANGUAGES] == [
        "English", "Nederlands", "Svenska", "Italiano",
    ]  # fmt: skip
    for language in OTHERS:
        assert len({language.gettext(text) for text in REASON_GROUPS.values()}) == len(
            REASON_GROUPS
        )
