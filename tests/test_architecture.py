"""The rooms: which may import which, and that every stage depends on all of its code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from data.imports import ROOT, code_digests, imports, reached
from reading.rooms import MODULES, ROOMS
from worlds.project import STAGES


def room_of(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def test_imports_go_one_way() -> None:
    wrong = {
        module: later
        for module in MODULES
        if (
            later := {
                name
                for name in imports(module)
                if room_of(name) in ROOMS[ROOMS.index(room_of(module)) + 1 :]
            }
        )
    }
    assert wrong == {}


def test_only_tracking_and_the_model_that_mlflow_loads_know_mlflow() -> None:
    knowing = {module for module in MODULES if "mlflow" in map(room_of, imports(module))}
    assert knowing <= {"pipelines.review.tracking", "pipelines.review.served_model"}


def test_no_feature_can_reach_an_outcome() -> None:
    for module in MODULES:
        if module.startswith("features"):
            assert "data.outcomes" not in reached(module)


def test_scores_and_sentences_need_no_family_of_features() -> None:
    """The registered model gives reasons where the engines of the families are not installed."""
    for module in ("pipelines.score", "pipelines.review.served_model"):
        known = {name for name in reached(module) if name.startswith("features.")}
        assert known <= {"features.declare", "features.feature_settings"}


def test_nothing_reads_the_system_clock() -> None:
    asking = re.compile(r"\b(now|today|utcnow)\(|\btime\.time\(|fromtimestamp\(")
    for module, path in MODULES.items():
        assert not asking.search(path.read_text(encoding="utf-8")), module


def test_visibility_at_a_cutoff_is_defined_in_one_place() -> None:
    """It is ``data.visibility``; periods of features and rules of the contract have their own."""
    comparing = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and "available_" in ast.unparse(node)
    }
    # Sources write the column; the peers of the bench filter in their own way.
    others = {name for name in comparing if name.startswith(("data.sources", "studies"))}
    assert comparing - others == {"data.visibility", "features.periods", "data.quality"}


def test_no_module_has_a_catch_all_name() -> None:
    assert not {name for name in MODULES if re.search(r"util|helper|common|misc", name)}


def test_a_stage_has_one_name_everywhere() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert tuple(stages) == ("code", *STAGES)
    for name in STAGES:
        stage = stages[name]
        assert stage["cmd"] == f"python -m pipelines.{name}"
        assert f"pipelines.{name}" in MODULES
        assert name in params
        assert any(param == name or param.startswith(f"{name}.") for param in stage["params"])


def test_every_stage_depends_on_its_code_and_names_no_module() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = {path for out in stages["code"]["outs"] for path in out}
    assert listed == {f"build/code/{name}.txt" for name in STAGES}
    for name in STAGES:
        deps = stages[name]["deps"]
        assert f"build/code/{name}.txt" in deps
        assert not [dep for dep in deps if dep.endswith(".py")]


def test_the_code_of_a_stage_is_what_it_loads_when_it_is_imported() -> None:
    """The modules that Python loads are among those that the imports name."""
    # One stage after the other; libraries stay loaded, our modules are forgotten in between.
    script = f"""
import importlib, json, sys
found = {{}}
for stage in {STAGES}:
    importlib.import_module(f"pipelines.{{stage}}")
    ours = [name for name in sys.modules if name.split(".")[0] in {ROOMS}]
    found[stage] = [sys.modules.pop(name).__file__ for name in ours]
print(json.dumps(found))
"""
    done = subprocess.run(  # noqa: S603 - fixed words
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for stage, paths in json.loads(done.stdout).items():
        loaded = {Path(path).relative_to(ROOT).as_posix() for path in paths}
        assert f"pipelines/{stage}.py" in loaded
        assert loaded <= code_digests(f"pipelines.{stage}").keys(), stage


def test_only_ingest_and_evaluate_touch_the_truth() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in STAGES:
        stage = stages[name]
        assert ("data/truth" in stage["deps"]) == (name == "evaluate")
        if name not in {"ingest", "evaluate"}:
            source = MODULES[f"pipelines.{name}"].read_text(encoding="utf-8")
            assert "TRUTH" not in source
            assert "truth" not in source
