"""The rule that everything hangs on: nothing that came later changes a snapshot's features.

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
from reading.leakage import CLOCK, CUTOFF, differing, run, until
from worlds.random_logs import random_logs, tampered

if TYPE_CHECKING:
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
        for name in table.column_names[2:]
        if len(set(table[name].to_pylist())) < 2 and not np.isnan(table[name][0].as_py())
    ]
    assert not constant, ", ".join(constant)


@pytest.mark.parametrize("how", ["corrupt", "add", "delete"])
@pytest.mark.parametrize("name", list(TABLES))
def test_rows_that_came_later_change_no_feature_and_no_snapshot(
    world: Any, untouched: Any, name: str, how: str, engine: Engine, tmp_path: Path
) -> None:
    random = np.random.default_rng([len(name), len(how)])
    changed = tampered(world, name, how, CLOCK.cutoff_us(CUTOFF), random)
    assert not changed[name].equals(world[name])
    snapshots, table = run(changed, tmp_path, engine)
    assert differing(untouched[0], until(snapshots, CUTOFF)) == []
    assert differing(untouched[1], until(table, CUTOFF)) == []


def test_a_planted_leak_is_caught(
    world: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uses_whenever_known(known: Any) -> Any:
        """Places rows by their event alone, as a join that forgets ``available_at`` would."""
        usage = known.log("usage")
        cell = known.cell_customer * 10_000 + known.cutoff
        row = usage.group * 10_000 + usage.event
        return np.array([usage["uses"][row == key].sum() for key in cell], dtype=float)

    planted = dataclasses.replace(
        engagement.FAMILY.declarations[0],
        function=uses_whenever_known,
        name="planted",
        over=(),
        norm=None,
    )
    declared = [*engagement.FAMILY.declarations, planted]
    monkeypatch.setattr(engagement.FAMILY, "declarations", declared)
    _, honest = run(world, tmp_path / "honest", engine)
    random = np.random.default_rng(5)
    changed = tampered(world, "usage", "delete", CLOCK.cutoff_us(CUTOFF), random)
    _, table = run(changed, tmp_path / "changed", engine)
    assert differing(until(honest, CUTOFF), until(table, CUTOFF)) == ["planted"]
