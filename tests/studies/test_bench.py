"""The benchmarks: contenders agree on the cells, and the report judges what was measured."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.params import load_params
from studies.bench import ours, peers, report, sections, worlds
from worlds.project import ROOT, Project

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A small world in its own folder, the working folder of the test."""
    project = Project(tmp_path_factory.mktemp("bench"), {})
    with project.inside():
        params = load_params()
        yield sections.task_of(worlds.world(300, 40, params), params)


def test_ours_and_the_peers_that_live_here_find_the_same_sums(task: dict[str, Any]) -> None:
    sums = ours.aggregates(task, load_params())["sums"]
    assert len(sums) == 7 * len(sections.WINDOWS)
    assert 0 < sums["cells_1"] < sums["cells_13"]
    assert peers.sql_join(task) == sums
    assert peers.sql_masks(task) == sums
    assert peers.pandas_per_cutoff(task) == sums


def test_a_wrong_window_is_noticed(task: dict[str, Any]) -> None:
    longer = task | {"period_us": task["period_us"] + 1_000_000 * 3600}
    assert peers.sql_join(longer) != ours.aggregates(task, load_params())["sums"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["pandas", "polars", "polars_tuned", "sql", "sql_masks", "featuretools"]
)
def test_every_peer_finds_the_same_sums(task: dict[str, Any], name: str) -> None:
    python = ROOT / sections.PEERS_PYTHON
    if not python.exists():
        pytest.skip("make .venv-bench/.installed sets the peers up.")
    done = subprocess.run(  # noqa: S603 - the command is ours
        [python, sections.PEERS, name, json.dumps(task)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    measured = json.loads(done.stdout)
    assert measured["result"] == ours.aggregates(task, load_params())["sums"]
    assert measured["seconds"] > 0
    assert measured["peak_gib"] > 0


def test_a_tenth_and_an_earlier_world_are_parts_of_the_whole(task: dict[str, Any]) -> None:
    params = load_params()
    whole = worlds.world(300, 40, params)
    some = worlds.tenth(whole, params)
    assert some.rows("customers") == 30
    assert 0 < some.rows("usage") < whole.rows("usage") / 5
    before = worlds.until(whole, whole.newest - 1, params)
    assert whole.rows("usage") * 0.9 < before.rows("usage") < whole.rows("usage")


def rows_of_peers(**seconds: float) -> list[dict[str, Any]]:
    """Rows of the section ``peers``, all with equal sums."""
    return [
        {"contender": name, "seconds": value, "equal_sums": True} for name, value in seconds.items()
    ]


def test_bars_hold_or_not() -> None:
    peers_rows = rows_of_peers(scan=1, ours=8, pandas=80, polars=79, sql=400, featuretools=900)
    holds = {bar.what: bar.holds for bar in report.bars({"peers": peers_rows})}
    assert holds == {
        "times as fast as pandas": True,
        "times as fast as polars": False,
        "times as fast as sql": True,
        "times as fast as featuretools": True,
        "times the scan of the file": True,
        "different sums": True,
    }
    peers_rows[2]["equal_sums"] = False
    assert not {b.what: b.holds for b in report.bars({"peers": peers_rows})}["different sums"]


def test_a_bar_of_100_million_rows_is_not_claimed_on_fewer() -> None:
    rows = [
        {"usage_rows": 10**power, "seconds": 10.0 ** (power - 6), "peak_gib": 1.0}
        for power in (6, 7)
    ]
    assert report.power(rows) == pytest.approx((1, 1))
    assert {bar.holds for bar in report.bars({"events": rows})} == {None}
    rows.append({"usage_rows": 10**8, "seconds": 100.0, "peak_gib": 4.5})
    assert [bar.holds for bar in report.bars({"events": rows})] == [True, False]


def test_the_report_has_one_table_per_section() -> None:
    rows = rows_of_peers(scan=1, ours=8, pandas=80, polars=79, sql=400, featuretools=900)
    text = report.bench_report({"peers": rows})
    assert "| times as fast as polars | 9.9 | at least 10 | **no** |" in text
    assert "| ours | 8 | yes |" in text


def test_the_peers_import_none_of_our_code() -> None:
    tree = ast.parse(Path(peers.__file__).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert not {str(name).split(".")[0] for name in names} & {"data", "features", "pipelines"}


def test_the_peers_are_pinned() -> None:
    lines = (Path(peers.__file__).parent / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["pandas"].startswith("2.")
    ours_pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert pins["duckdb"] == ours_pins["duckdb"]
