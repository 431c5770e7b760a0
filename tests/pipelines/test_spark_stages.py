"""The stages on Spark, on this machine and on a standalone cluster of two workers: same bytes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worlds.on_spark import MARKS
from worlds.project import SMALL, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = MARKS
ON_SPARK = ("snapshot", "featurize", "score")
WORLD = SMALL | {"ingest.simulated.customers": 600, "train.min_events": 5}
SPARK = {"engine.name": "spark", "engine.memory_limit": "700MB"}


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("duckdb"), WORLD)
    project.run("ingest", "validate", "snapshot", "featurize", "train", "score")
    return project


def run_on_spark(on_duckdb: Project, folder: Path, master: str | None) -> Project:
    """Run what Spark runs on the same clean tables and the same model."""
    project = Project(folder, WORLD | SPARK | {"engine.master": master})
    for name in ("clean", "model"):
        shutil.copytree(on_duckdb / f"data/{name}", folder / f"data/{name}")
    for stage in ON_SPARK:
        done = project.command(stage)
        assert done.returncode == 0, done.stderr[-3000:]
    return project


def assert_same(one: Project, other: Project) -> None:
    """All that the stages wrote, byte for byte."""
    folders = ("data/snapshots", "data/periods", "data/features", "data/scores")
    written, expected = other.bytes_below(*folders), one.bytes_below(*folders)
    assert "data/scores/list.html" in expected
    assert written.keys() == expected.keys()
    assert [path for path in expected if written[path] != expected[path]] == []
    counts = "reports/snapshots.json"
    assert (other / counts).read_bytes() == (one / counts).read_bytes()


def test_stages_on_this_machine_write_the_same(on_duckdb: Project, tmp_path: Path) -> None:
    assert_same(on_duckdb, run_on_spark(on_duckdb, tmp_path, None))


def free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """A standalone master with two workers on loopback, ports free, stopped at the end."""
    (home,) = importlib.util.find_spec("pyspark").submodule_search_locations  # type: ignore[union-attr,misc]
    environment = os.environ | {"SPARK_HOME": home, "SPARK_LOCAL_IP": "127.0.0.1"}
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    at = ("--host", "127.0.0.1", "--webui-port")
    worker = ("worker.Worker", *at, "0", "--cores", "1", "--memory", "1g")
    services = {
        "master": ("master.Master", *at, str(free_port()), "--port", str(port)),
        "one": (*worker, "--work-dir", str(tmp_path / "one"), url),
        "two": (*worker, "--work-dir", str(tmp_path / "two"), url),
    }
    with contextlib.ExitStack() as stack:
        for name, (service, *arguments) in services.items():
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            process = subprocess.Popen(  # noqa: S603 - the command is ours
                [f"{home}/bin/spark-class", f"org.apache.spark.deploy.{service}", *arguments],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(stop, process)
            wait_for(tmp_path / f"{name}.log", "have been elected leader" if name == "master"
                     else "Successfully registered with master", process)  # fmt: skip
        yield url


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(log: Path, message: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if message in (text := log.read_text(errors="replace")):
            return
        assert process.poll() is None, text[-3000:]
        time.sleep(0.1)
    raise AssertionError(text[-3000:])


def test_stages_on_a_cluster_of_two_workers_write_the_same(
    on_duckdb: Project, master: str, tmp_path: Path
) -> None:
    assert_same(on_duckdb, run_on_spark(on_duckdb, tmp_path / "project", master))
    for worker in ("one", "two"):
        ran = list((tmp_path / worker).glob("app-*/*/stderr"))
        assert len(ran) == len(ON_SPARK), f"worker {worker} did not take part in every stage"


def test_too_little_memory_is_reported_in_one_sentence(on_duckdb: Project, tmp_path: Path) -> None:
    project = Project(tmp_path, WORLD | SPARK | {"engine.memory_limit": "100MB"})
    shutil.copytree(on_duckdb / "data/clean", tmp_path / "data/clean")
    done = project.command("snapshot")
    assert done.returncode == 1
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "Spark did not start with engine.master local[2] (" in sentence
    assert sentence.endswith("or choose engine.name duckdb.")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data/snapshots").exists()
