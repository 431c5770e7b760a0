"""Write the parts of the docs that come from the code: ``python docs/write_reference.py``.

``docs/contract.md`` comes from ``data/contracts.py`` and the rules of ``data/quality.py``; the map
of ``docs/architecture.md`` from the first line of every module's docstring. ``tests/test_docs.py``
fails while one of them is out of date.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from data.contracts import LOGS, TABLES
from data.markdown import markdown_table
from data.quality import rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from data.contracts import Column, Table
    from data.quality import Rule

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "docs/contract.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
# Below this line the map of the modules begins; what stands above it is written by hand.
MAP_BEGINS = "<!-- Written by `python docs/write_reference.py` from here on; do not edit. -->"
ROOMS = ("data", "features", "models", "retention", "pipelines", "studies")
WIDTH = 100
LATENESS_DAYS = 7  # of the default parameters; it stands in the sentence of one rule

INTRODUCTION = """\
# The raw contract

Written from the code by `python docs/write_reference.py`; do not edit.

What a business brings, and what every source yields: one dimension table, `customers`, and
append-only event logs. Each row of a log carries two times: `event_at`, when it happened, and
`available_at`, when it could first be known. The code is
[`data/contracts.py`](../data/contracts.py); [own-data.md](own-data.md) says how to bring files.

| type | what it is |
| --- | --- |
| string | text |
| integer | a whole number of 64 bits |
| money | an integer of minor units (cents) of the one reporting currency |
| instant | UTC, to the microsecond |

`customers` is required, and so is the log that decides who left: `subscriptions`, or `usage` where
`snapshot.rule` is `inactivity`. Without another log its features are absent.

## Rules of every table

A row that breaks a rule goes to `data/quarantine/` with the name of the first rule that it breaks.
The run stops when a larger share of a table than `validate.share_limit` breaks one rule. A null in
a required column breaks `missing_<column>`. Beside the rules of its own, each log has these:"""


def required(column: Column, table: Table) -> str:
    """Say on which rows a column may not be null."""
    if column.required:
        return "yes"
    kinds = [f"`{kind}`" for kind, columns in table.kind_requires if column.name in columns]
    return f"for {', '.join(kinds)}" if kinds else ""


def shared_rules() -> list[Rule]:
    """Rules that every log has, in the order in which they are tried."""
    first, *others = (rules(table, LATENESS_DAYS) for table in LOGS)
    names = set.intersection(*({rule.name for rule in of_log} for of_log in others))
    return [rule for rule in first if rule.name in names and not rule.name.startswith("missing_")]


def rule_table(chosen: Iterable[Rule]) -> list[str]:
    """Lines of a table of rules."""
    return markdown_table(
        ("rule", "broken when"), ((f"`{rule.name}`", rule.sentence) for rule in chosen)
    )


def contract() -> str:
    """Return the page of the raw contract, in Markdown: columns, kinds and rules of each table."""
    shared = shared_rules()
    said = {rule.name for rule in shared}
    lines = [INTRODUCTION, "", *rule_table(shared)]
    for table in TABLES.values():
        columns = (
            (f"`{column.name}`", column.type, required(column, table), column.meaning)
            for column in table.columns
        )
        lines += ["", f"## {table.name}", ""]
        lines += markdown_table(("column", "type", "required", "meaning"), columns)
        if table.kinds:
            kinds = "Kinds: " + ", ".join(f"`{kind}`" for kind in table.kinds) + "."
            lines += ["", *textwrap.wrap(kinds, WIDTH, break_on_hyphens=False)]
        own = [
            rule
            for rule in rules(table, LATENESS_DAYS)
            if rule.name not in said and not rule.name.startswith("missing_")
        ]
        lines += ["", *rule_table(own)] if own else []
    return "\n".join(lines) + "\n"


def first_line(module: Path) -> str:
    """Return the first line of a module's docstring; empty if it has none."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", maxsplit=1)[0].replace("``", "`")


def folders() -> Iterator[Path]:
    """Yield the folders of the packages, each before those inside it."""
    for room in ROOMS:
        for package in sorted((ROOT / room).rglob("__init__.py")):
            yield package.parent


def module_map() -> str:
    """Return the map, in Markdown: a table per folder with one line per module."""
    lines = []
    for folder in folders():
        name = folder.relative_to(ROOT).as_posix()
        lines += ["", f"### `{name}/`", "", first_line(folder / "__init__.py"), ""]
        modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        rows = ((f"[`{path.name}`](../{name}/{path.name})", first_line(path)) for path in modules)
        lines += markdown_table(("module", "what it is"), rows) if modules else []
    return "\n".join(lines) + "\n"


def architecture() -> str:
    """Return the page of the architecture with a current map below what is written by hand."""
    by_hand = ARCHITECTURE.read_text(encoding="utf-8").split(MAP_BEGINS, maxsplit=1)[0]
    return f"{by_hand}{MAP_BEGINS}\n{module_map()}"


def main() -> None:
    """Write both pages."""
    CONTRACT.write_text(contract(), encoding="utf-8")
    ARCHITECTURE.write_text(architecture(), encoding="utf-8")


if __name__ == "__main__":
    main()
