"""The shape of the house: names that stand once, short modules, no circles, native English."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from data.imports import ROOT, imports
from reading.rooms import MODULES

# A letter of each word is in brackets, so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    r"(?<![a-z])(who(so)?[e]ver|so[ _]m[a]ny|[a]new|for[e]t(ell\w*|old)|m[e]nd(s|ed|ing)?"
    r"|(?<!there )is\s+n[o])(?![a-z])",
    re.IGNORECASE,
)
# Sentences of the list's page stay as they are until the desk rewrites them.
PAGE = ("retention/locale/", "retention/templates/", "dvc.lock")


def tracked() -> list[Path]:
    """Text files of the project: tracked by git, or new and not ignored."""
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    kinds = {".py", ".md", ".yaml", ".toml", ".txt", ""}
    paths = [ROOT / name for name in done.stdout.splitlines() if not name.startswith(PAGE)]
    return [path for path in paths if path.is_file() and path.suffix in kinds]


def test_no_module_name_stands_twice() -> None:
    names = Counter(path.stem for path in MODULES.values() if not path.stem.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_public_class_name_stands_twice() -> None:
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_module_is_at_most_400_lines_and_pipelines_at_most_20_modules() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
    assert len(list((ROOT / "pipelines").glob("*.py"))) <= 20


def test_imports_run_in_no_circle() -> None:
    graph = {name: (imports(name) & MODULES.keys()) - {name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_pipeline_files_stay_short() -> None:
    for name, most in (("dvc.yaml", 220), ("dvc.lock", 800)):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= most, name


def test_the_clock_is_said_once() -> None:
    twice = "clock." + "clock"
    assert [path for path in tracked() if twice in path.read_text(encoding="utf-8")] == []


def test_the_english_is_a_natives() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if FORBIDDEN.search(line)
    ]
    assert offenders == [], "\n".join(offenders)
