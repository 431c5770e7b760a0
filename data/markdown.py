"""Markdown tables, for all reports and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAIN, LEFT, RIGHT = "---", ":---", "---:"


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], sides: Sequence[str] = ()
) -> list[str]:
    """Write a table, one string per line.

    Parameters
    ----------
    header
        Names of the c columns.
    rows
        c cells each; a ``|`` in a cell must be escaped.
    sides
        ``PLAIN``, ``LEFT`` or ``RIGHT`` for each column; all ``PLAIN`` if empty.
    """
    lines = (header, sides or [PLAIN] * len(header), *rows)
    return ["| " + " | ".join(line) + " |" for line in lines]
