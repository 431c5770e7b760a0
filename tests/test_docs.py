"""The documents: what is written from the code is current, every link leads somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from data.contracts import TABLES
from data.sources.folder import read_files

if TYPE_CHECKING:
    from data.engine import Engine

ROOT = next(folder for folder in Path(__file__).parents if (folder / "dvc.yaml").is_file())
DOCUMENTS = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [*(ROOT / "docs").glob("*.md"), ROOT / "champion/README.md", ROOT / "lists/README.md"]
)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """The names of docs/write_reference.py."""
    return runpy.run_path(str(ROOT / "docs/write_reference.py"))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_page_of_the_contract_is_current(reference: dict[str, Any]) -> None:
    assert text_of(reference["CONTRACT"]) == reference["contract"](), (
        "run python docs/write_reference.py"
    )


def test_the_map_of_the_modules_is_current(reference: dict[str, Any]) -> None:
    assert text_of(reference["ARCHITECTURE"]) == reference["architecture"](), (
        "run python docs/write_reference.py"
    )


def test_every_module_is_on_the_map_with_a_line_of_its_own(reference: dict[str, Any]) -> None:
    mapped = re.findall(
        r"^\| \[`\w+\.py`\]\(\.\./(.+?)\) \| (.*) \|$", reference["module_map"](), re.M
    )
    modules = {
        path.relative_to(ROOT).as_posix()
        for room in reference["ROOMS"]
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {path for path, _ in mapped} == modules
    assert [path for path, line in mapped if not line.endswith(".")] == []


def test_the_readme_is_short_and_shows_the_list() -> None:
    lines = text_of(ROOT / "README.md").splitlines()
    assert len(lines) <= 120
    assert any("](docs/pictures/list.png)" in line for line in lines[:10])


def test_a_stranger_finds_from_the_readme_what_to_read() -> None:
    links = set(re.findall(r"\]\(([^)#]+)", text_of(ROOT / "README.md")))
    assert links >= {
        "docs/own-data.md", "docs/glossary.md", "docs/architecture.md", "CONTRIBUTING.md",
    }  # fmt: skip


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_the_documents_leads_somewhere() -> None:
    dead = []
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text_of(document))):
            if re.match(r"https?:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (document.parent / name).resolve() if name else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(f"{document.relative_to(ROOT)}: {link}")
    assert dead == []


def test_every_document_is_in_the_index() -> None:
    index = text_of(ROOT / "docs/README.md")
    named = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [name for name in named if f"]({name})" not in index] == []


def test_every_module_that_a_document_names_exists() -> None:
    path = re.compile(
        r"`((?:data|features|models|retention|pipelines|studies|docs|tests)/[\w/]+\.py)`"
    )
    command = re.compile(r"python -m ((?:data|features|models|retention|pipelines|studies)[\w.]*)")
    gone = []
    for document in DOCUMENTS:
        names = set(path.findall(text_of(document)))
        for module in command.findall(text_of(document)):
            place = ROOT / module.rstrip(".").replace(".", "/")
            if not (place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()):
                gone.append(f"{document.name}: {module}")
        gone += [f"{document.name}: {name}" for name in names if not (ROOT / name).is_file()]
    assert gone == []


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^\.PHONY: (\S+)$", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {
        (document.name, target)
        for document in DOCUMENTS
        for target in re.findall(r"(?:`|^|&& )make ([a-z][a-z-]+)", text_of(document), re.MULTILINE)
    }
    assert sorted((name, target) for name, target in named if target not in targets) == []


def test_decisions_are_numbered_from_1_without_a_gap() -> None:
    text = text_of(ROOT / "docs/decisions.md")
    numbers = [int(number) for number in re.findall(r"^- \*\*D(\d+)\. ", text, re.MULTILINE)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) == len(re.findall(r"^- ", text, re.MULTILINE))


def test_the_files_that_own_data_shows_can_be_read(engine: Engine, tmp_path: Path) -> None:
    page = text_of(ROOT / "docs/own-data.md")
    shown = re.findall(r"^`(\w+)\.csv`[^\n]*:\n\n```\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "files"
    folder.mkdir()
    for table, rows in shown:
        (folder / f"{table}.csv").write_text(rows, encoding="utf-8")
    assert {table for table, _ in shown} <= set(TABLES)
    read = read_files(folder, tmp_path / "raw", {}, "major", "EUR", engine)
    assert read == {table: rows.count("\n") - 1 for table, rows in shown}
    assert set(read) == {"customers", "subscriptions", "usage"}
