"""The page of the list in a real browser: its own script runs, from disk, without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pandas as pd
import pytest
from project import SMALL, Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]


def test_the_script_of_the_page_runs_and_nothing_is_refused(tmp_path: Any) -> None:
    project = Project(tmp_path / "project", SMALL)
    project.run("ingest", "validate", "snapshot", "featurize", "train", "score")
    listed = pd.read_parquet(project / "data/scores/list.parquet")
    page = (project / "data/scores/list.html").resolve().as_uri()
    run = subprocess.run(  # noqa: S603 - the command is ours
        [
            shutil.which("chromium") or "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--log-level=0",
            "--dump-dom",
            page,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert f"{len(listed)} of {len(listed)} customers shown" in re.sub(r"<[^>]*>", "", run.stdout)
    assert all(customer in run.stdout for customer in listed["customer_id"])
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
