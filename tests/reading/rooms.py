"""The rooms of the house and the modules in them."""

from __future__ import annotations

from data.imports import ROOT

# Imports go one way: a room may import those before it.
ROOMS = ("data", "features", "models", "retention", "pipelines", "studies")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}
