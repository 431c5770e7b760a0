"""A page as its readers get it."""

from __future__ import annotations

import html.parser


class Document(html.parser.HTMLParser):
    """What a browser shows: tags with their attributes, and the text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: dict[str, str] = {}
        self.languages: list[str | None] = []
        self._open = ""
        self._inert = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "template":
            self.languages.append(dict(attrs)["data-language"])
            self._inert = True
        elif not self._inert:
            self.tags.append((tag, dict(attrs)))
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""
        self._inert = self._inert and tag != "template"

    def handle_data(self, data: str) -> None:
        if self._inert:
            return
        if self._open in ("style", "script"):
            self.inside[self._open] = self.inside.get(self._open, "") + data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]
