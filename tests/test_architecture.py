"""The house: which room may know which, and that every stage names all that it depends on."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
# Imports go one way: a room may know those before it.
ROOMS = ("data", "features", "models", "retention", "pipelines")
STAGES = (
    "ingest", "validate", "snapshot", "featurize", "tune", "train", "evaluate", "score", "publish",
)  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}


@cache
def imports(module: str) -> frozenset[str]:
    """Modules that a module names in imports that run, wherever they stand in it."""
    found: set[str] = set()
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: name the package"
            assert node.module
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def _running(node: ast.AST) -> list[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return [inner for child in node.orelse for inner in _running(child)]
    return [node, *(inner for child in ast.iter_child_nodes(node) for inner in _running(child))]


@cache
def reached(module: str) -> frozenset[str]:
    """Modules of the house that importing and running a module can load, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        parts = current.split(".")
        packages = {".".join(parts[:depth]) for depth in range(1, len(parts))}
        waiting += sorted((imports(current) | packages) & MODULES.keys())
    return frozenset(seen)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_one_way(module: str) -> None:
    room = ROOMS.index(module.split(".", maxsplit=1)[0])
    later = ROOMS[room + 1 :]
    assert not {name for name in imports(module) if name.split(".")[0] in later}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_tracking_and_the_model_that_mlflow_loads_know_mlflow(module: str) -> None:
    knows = {name for name in imports(module) if name.split(".")[0] == "mlflow"}
    assert not knows or module in {"pipelines.tracking", "pipelines.served_model"}


def test_no_feature_can_reach_an_outcome() -> None:
    for module in MODULES:
        if module.startswith("features"):
            assert "data.outcomes" not in reached(module)


def test_nobody_asks_the_machine_what_time_it_is() -> None:
    asking = re.compile(r"\b(now|today|utcnow)\(|\btime\.time\(|fromtimestamp\(")
    for module, path in MODULES.items():
        assert not asking.search(path.read_text(encoding="utf-8")), module


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not {name for name in MODULES if re.search(r"util|helper|common|misc", name)}


def test_a_stage_has_one_name_everywhere() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert tuple(stages) == STAGES
    for name, stage in stages.items():
        assert stage["cmd"] == f"python -m pipelines.{name}"
        assert f"pipelines.{name}" in MODULES
        assert name in params
        assert any(param == name or param.startswith(f"{name}.") for param in stage["params"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_modules_that_it_can_load(stage: str) -> None:
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    named = {dep for dep in deps if dep.endswith(".py")}
    modules = reached(f"pipelines.{stage}")
    if stage == "publish":  # MLflow loads it by its path
        modules |= reached("pipelines.served_model")
    loaded = {
        str(MODULES[module].relative_to(ROOT))
        for module in modules
        if MODULES[module].stat().st_size
    }
    # ingest watches the simulated world as a folder, through ingest.path.
    loaded = {path for path in loaded if not path.startswith("data/sources/simulated/")}
    assert named == loaded, f"in dvc.yaml, {stage} should list:\n" + "\n".join(sorted(loaded))


def test_only_ingest_and_evaluate_touch_the_truth() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert ("data/truth" in stage["deps"]) == (name == "evaluate")
        if name not in {"ingest", "evaluate"}:
            source = MODULES[f"pipelines.{name}"].read_text(encoding="utf-8")
            assert "TRUTH" not in source
            assert "truth" not in source
