"""The rule that everything depends on: no later row changes the features of a snapshot.

From the raw rows through the quality stage to the feature table: for every table, rows that became
available after a cutoff are corrupted, added and deleted; the snapshots and the features up to that
cutoff stay the same to the byte.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from data.contracts import TABLES
from features import engagement
from features.declare import KEYS
from reading.leakage import CLOCK, CUTOFF, differing, run, until
from worlds.random_logs import random_logs, tampered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from data.engine import Engine


@pytest.fixture(scope="module")
def world() -> dict[str, pa.Table]:
    return random_logs(seed=1)


@pytest.fixture(scope="module")
def untouched(world: Any, engine: Engine, tmp_path_factory: Any) -> tuple[pa.Table, pa.Table]:
    snapshots, table = run(world, tmp_path_factory.mktemp("untouched"), engine)
    return until(snapshots, CUTOFF), until(table, CUTOFF)


def test_the_logs_of_this_test_move_every_feature(untouched: Any) -> None:
    """A feature that is constant here would pass the tests below whatever it reads."""
    _, table = untouched
    assert len(table) > 100
    constant = [
        name
        for name in table.drop_columns([*KEYS]).column_names
        if len(set(table[name].to_pylist())) < 2 and not np.isnan(table[name][0].as_py())
    ]
    assert not constant, ", ".join(constant)


# All tables at once, except that some log must reach the newest cutoff.
MOST = [name for name in TABLES if name != "subscriptions"]


@pytest.mark.parametrize(
    ("how", "names"),
    [("corrupt", TABLES), ("add", TABLES), ("delete", MOST), ("delete", ["subscriptions"])],
    ids=["corrupt", "add", "delete", "delete subscriptions"],
)
def test_rows_that_came_later_change_no_feature_and_no_snapshot(
    how: str, names: Iterable[str], world: Any, untouched: Any, engine: Engine, tmp_path: Path
) -> None:
    if leaks(how, names, world, untouched, engine, tmp_path / "together"):
        # One table at a time.
        alone = {
            name: leaks(how, [name], world, untouched, engine, tmp_path / name) for name in names
        }
        pytest.fail(f"What came later is known, by table: {alone}.")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["corrupt", "add", "delete"])
@pytest.mark.parametrize("name", list(TABLES))
def test_later_rows_of_one_table_change_no_feature_and_no_snapshot(
    name: str, how: str, world: Any, untouched: Any, engine: Engine, tmp_path: Path
) -> None:
    assert leaks(how, [name], world, untouched, engine, tmp_path) == []


def leaks(
    how: str, names: Iterable[str], world: Any, untouched: Any, engine: Engine, folder: Path
) -> list[str]:
    """Columns up to the cutoff that change with the later rows of some tables."""
    changed = world
    for name in names:
        random = np.random.default_rng([len(name), len(how)])
        changed = tampered(changed, name, how, CLOCK.cutoff_us(CUTOFF), random)
        assert not changed[name].equals(world[name])
    snapshots, table = run(changed, folder, engine)
    before = differing(untouched[0], until(snapshots, CUTOFF))
    return before + differing(untouched[1], until(table, CUTOFF))


def uses_whenever_known(known: Any) -> Any:
    """Places rows by their event alone, as a join that forgets ``available_at`` would."""
    usage = known.periods("usage")
    cell = known.cell_customer * 10_000 + known.cutoff
    row = usage.group * 10_000 + usage.event
    return np.array([usage["uses"][row == key].sum() for key in cell], dtype=float)


def uses_of_the_next_period(known: Any) -> Any:
    """Reads the period after the cutoff, as an interval with the wrong end would."""
    usage = known.periods("usage")
    cell = known.cell_customer * 10_000 + known.cutoff + 1
    row = usage.group * 10_000 + usage.event
    return np.array([usage["uses"][row == key].sum() for key in cell], dtype=float)


def test_planted_leaks_are_caught(
    world: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = [
        dataclasses.replace(
            engagement.FAMILY.declarations[0],
            function=function,
            name=function.__name__,
            over=(),
            norm=None,
        )
        for function in (uses_whenever_known, uses_of_the_next_period)
    ]
    declared = [*engagement.FAMILY.declarations, *planted]
    monkeypatch.setattr(engagement.FAMILY, "declarations", declared)
    snapshots, honest = run(world, tmp_path / "honest", engine)
    untouched = until(snapshots, CUTOFF), until(honest, CUTOFF)
    leaking = leaks("delete", ["usage"], world, untouched, engine, tmp_path / "changed")
    assert set(leaking) == {"uses_whenever_known", "uses_of_the_next_period"}
