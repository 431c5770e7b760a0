"""All messages to translate, and updates of the translation catalogs.

``python -m retention.messages`` adds new messages to ``retention/locale/*.po``, untranslated, and
removes those no longer used. A message without a translation is shown in English.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from data.atomic import write_text
from features.catalog import FAMILIES
from features.declare import NORM_CLAUSE_OF_SHORT, REASON_GROUPS
from retention import language, sentences
from retention.html import TEMPLATES
from retention.language import CODES, LOCALE
from retention.playbook import PLAYBOOK, load_playbook

if TYPE_CHECKING:
    from pathlib import Path

_KEYWORDS: Final = {"_": None, "say": None, "fill": None}


def messages() -> Catalog:
    """Return every message with its origin: features, playbook, templates, charts."""
    catalog = Catalog()
    playbook = load_playbook(PLAYBOOK)
    actions = [text for term in playbook.actions.values() for text in (term.text, term.channel)]
    for origin, texts in (
        ("features", feature_messages()),
        ("features/declare.py", REASON_GROUPS.values()),
        ("retention/playbook.yaml", actions),
        ("retention/language.py", language.own_messages()),
        ("retention/sentences.py", sentences.own_messages()),
    ):
        for text in texts:
            catalog.add(text, locations=[(origin, None)])  # type: ignore[list-item]
    for path in sorted([*TEMPLATES.glob("*.jinja"), *TEMPLATES.parent.glob("*page.py")]):
        for text in _messages_in(path):
            catalog.add(text, locations=[(f"retention/{path.relative_to(LOCALE.parent)}", None)])  # type: ignore[list-item]
    return catalog


def feature_messages() -> list[str]:
    """Return the distinct sentences of all features as declared, marks not filled."""
    kinds = ("sentence", "zero", "negative", "missing", "norm_clause")
    texts = (
        getattr(declaration, kind)
        for family in FAMILIES
        for declaration in family.declarations
        for kind in kinds
    )
    texts_and_clause = [*(text for text in texts if text is not None), NORM_CLAUSE_OF_SHORT]
    return list(dict.fromkeys(texts_and_clause))


def _messages_in(path: Path) -> list[str]:
    """Return the messages of a template or a module, in order."""
    method: Any = babel_extract if path.suffix == ".jinja" else "python"
    extracted = extract(method, io.BytesIO(path.read_bytes()), keywords=_KEYWORDS)
    return [message for _, message, _, _ in extracted if isinstance(message, str)]


def written(code: str) -> str:
    """Return the updated catalog of a language as the text of its file."""
    path = LOCALE / f"{code}.po"
    known = Catalog(locale=code)
    if path.exists():
        with path.open("rb") as file:
            known = read_po(file, locale=code)
    fresh = Catalog(locale=code, fuzzy=False)
    for message in messages():
        if message.id:
            before = known.get(message.id)
            text = before.string if before is not None else ""
            fresh.add(message.id, text, locations=message.locations)
    buffer = io.BytesIO()
    # Without dates and versions, so that equal messages give equal bytes.
    write_po(buffer, fresh, width=100, omit_header=True)
    return buffer.getvalue().decode("utf-8")


def main() -> None:
    """Update the catalogs."""
    for code in CODES[1:]:
        write_text(written(code), LOCALE / f"{code}.po")


if __name__ == "__main__":
    main()
