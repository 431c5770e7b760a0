"""Import graph: the modules of this project that a module can load, and digests of their code.

DVC, the cache of the measures and the record of a model use it, so that all three agree on
whether the code has changed.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent


@cache
def source_of(module: str) -> Path | None:
    """Return the file of a module of this project by its dotted name; None for other names."""
    stem = ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def imports(module: str) -> frozenset[str]:
    """Return the names that a module imports when it runs, anywhere in its code.

    ``from data import clock`` gives both ``data`` and ``data.clock``. Imports under
    ``if TYPE_CHECKING`` are left out: they never run.

    Raises
    ------
    ValueError
        If the module uses a relative import.
    """
    path = source_of(module)
    if path is None:
        return frozenset()
    names: set[str] = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{module} uses a relative import: name the package.")
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those under ``if TYPE_CHECKING``."""
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children = node.orelse
    else:
        yield node
    for child in children:
        yield from _running(child)


def reached(*modules: str) -> frozenset[str]:
    """Return the modules of this project that ``modules`` can load, themselves included."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen or source_of(module) is None:
            continue
        seen.add(module)
        packages = module.split(".")[:-1]
        waiting += imports(module)
        waiting += [".".join(packages[:depth]) for depth in range(1, len(packages) + 1)]
    return frozenset(seen)


def code_digests(*modules: str) -> dict[str, str]:
    """Return the MD5 of each file that ``modules`` can load, by its path in the project."""
    paths = {path for name in reached(*modules) if (path := source_of(name)) is not None}
    return {
        path.relative_to(ROOT).as_posix(): hashlib.md5(  # detects changes; not used for security
            path.read_bytes(), usedforsecurity=False
        ).hexdigest()
        for path in sorted(paths)
    }
