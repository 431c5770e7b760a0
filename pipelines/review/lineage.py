"""Where a pipeline state comes from: commit, data and configuration, as tags."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from data.imports import code_digests
from models.boosters import model_digest
from pipelines.paths import CLEAN, FEATURES, LOCK_FILE, MODEL, REPORTS, SNAPSHOTS, TUNED_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.params import Params

# Stages that shape the model, without the source and the engine.
SHAPING_STAGES = ("snapshot", "featurize", "train")
SHAPING_ROOMS = ("data/", "features/", "models/")


def flattened(
    values: Mapping[str, Any], separator: str = ".", prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Leaves of nested parameters or metrics, by their path."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flattened(value, separator, f"{prefix}{name}{separator}")
        else:
            yield f"{prefix}{name}", value


def lineage(params: Params) -> dict[str, str]:
    """Tags that identify code, data and parameters; unknown ones are absent."""
    locked = _locked_stages()
    upstream = {name: stage for name, stage in locked.items() if name != "publish"}
    counts = json.loads((REPORTS / "snapshots.json").read_text(encoding="utf-8"))
    tags = {
        "source": params.ingest.source,
        "cutoff": counts["as_of"],
        "engine": params.engine.name,
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": _dirty(),
        "dvc_lock_digest": digest(upstream),
        "configuration_digest": configuration_digest(params),
        "model_digest": model_digest(MODEL),
    }
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        if os.environ.get(name):
            tags[name.lower()] = os.environ[name]
    return {name: value for name, value in tags.items() if value}


def configuration_digest(params: Params) -> str:
    """Digest of what shapes a model besides the data: parameters, and the code that runs.

    Two states with the same digest differ only in their rows: one is a refresh of the other. The
    newest cutoff, the test weeks and the memory limit do not shape a model; what ``tune`` found
    does.
    """
    code = {
        path: digest
        for stage in SHAPING_STAGES
        for path, digest in code_digests(f"pipelines.{stage}").items()
        if path.startswith(SHAPING_ROOMS)
    }
    values = params.model_dump(mode="json", include={"clock", "snapshot", "featurize", "train"})
    del values["snapshot"]["as_of"]
    for name in ("test_blocks", "test_periods", "memory_limit"):
        del values["train"][name]
    tuned = json.loads(TUNED_FILE.read_text(encoding="utf-8")) if TUNED_FILE.exists() else {}
    return digest({"parameters": values, "tuned": tuned.get("lightgbm", {}), "code": code})


def datasets() -> dict[str, tuple[Path, str]]:
    """Data sets by name: their folder and DVC's hash."""
    hashes = {
        out["path"]: out["md5"]
        for stage in _locked_stages().values()
        for out in stage.get("outs", [])
    }
    chosen = {folder.name: folder for folder in (CLEAN, SNAPSHOTS, FEATURES)}
    return {
        name: (folder, hashes[str(folder)])
        for name, folder in chosen.items()
        if str(folder) in hashes
    }


def _locked_stages() -> dict[str, Any]:
    if not LOCK_FILE.exists():
        return {}
    return dict(yaml.safe_load(LOCK_FILE.read_text(encoding="utf-8"))["stages"])


def digest(values: Any) -> str:
    """SHA-256 of nested values, in hexadecimal; the order of names does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _dirty() -> str:
    """Whether code or parameters differ from the commit, apart from what a run itself writes."""
    if not git("rev-parse", "HEAD"):
        return ""
    changed = git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!reports")
    return "yes" if changed else "no"


def git(*arguments: str) -> str:
    """Run git and return its output; empty if it fails, or without git or a repository."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
