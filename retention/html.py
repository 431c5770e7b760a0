"""Self-contained HTML documents: one file, no network, all languages, text escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup, escape

from retention.language import ENGLISH, LANGUAGES, Language
from retention.sentences import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TEMPLATES: Final = Path(__file__).with_name("templates")
# What HTML cannot contain: control characters but tab and line feed, and lone surrogates.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LONGEST_TEXT: Final = 300


def document(
    template: str,
    view: Callable[[Language], Mapping[str, Any]],
    currency: str,
    languages: Sequence[Language] = LANGUAGES,
) -> str:
    """Render a page in every language into one HTML document.

    Parameters
    ----------
    template
        Name of the template of the page's content; it also yields the title.
    view
        Returns what the template shows in a language.
    currency
        ISO 4217 code of amounts.
    languages
        The first is shown until the reader (or the reader's browser) chooses another; the others
        are in inert ``<template>`` elements, so that the page opens as fast as with one.

    Returns
    -------
    str
        One document with its style and script inside. Its content security policy allows only these
        two (by digest) and no connection, so that text from customers can do nothing.
    """
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("page.css", "page.js"))
    contents = []
    for language in languages:
        rendered = environment(language, currency).get_template(template)
        shown = rendered.make_module({**view(language), "languages": languages})
        contents.append(
            {
                "language": language,
                "title": shown.title(),  # type: ignore[attr-defined]
                "body": Markup(shown),  # noqa: S704 - rendered with escaping
            }
        )
    return (
        environment(ENGLISH, currency)
        .get_template("document.html.jinja")
        .render(
            contents=contents,
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; "
            f"script-src {_digest(script)}; base-uri 'none'; form-action 'none'",
        )
    )


@cache
def environment(language: Language, currency: str) -> jinja2.Environment:
    """Return an environment whose templates use a language and escape by default."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def say(message: str, one: bool = False, **values: Any) -> Markup:
        """Translate and fill; what fills it is escaped unless it is markup."""
        texts = {name: printable(value) for name, value in values.items()}
        return Markup(escape(language.translate(message, one))).format(**texts)  # noqa: S704 - escaped

    made.globals |= {"_": language.gettext, "say": say, "language": language}
    made.filters |= {
        "money": lambda cents: language.money(cents, currency),
        "percent": language.percent,
        "number": language.number,
        "day": language.day,
        "month": language.month,
        "points": language.points,
        "signed": language.signed,
        "tr": language.gettext,
        "words": lambda sentence: render(sentence, language, currency),
    }
    return made


def printable(value: Any) -> Any:
    """Sanitise a value for display: empty for null, without control characters, truncated."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        text = _UNPRINTABLE.sub("\ufffd", value)
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return value


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
