"""Coded columns: one order of names, in memory and in Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.atomic import write_table
from data.coded import UNKNOWN, coded, codes_of
from data.contracts import CAUSES, OUTCOMES
from data.lifetimes import INVOLUNTARY, STAYED, VOLUNTARY

if TYPE_CHECKING:
    from pathlib import Path


def test_causes_of_spells_are_positions_in_the_order_of_outcomes() -> None:
    names = [OUTCOMES[code] for code in (STAYED, VOLUNTARY, INVOLUNTARY)]
    assert names == ["stayed", *CAUSES] == list(OUTCOMES)


@pytest.mark.parametrize(
    "codes", [[1, UNKNOWN, 0, 2, UNKNOWN], [UNKNOWN, 2, UNKNOWN], [UNKNOWN] * 3, [], [2, 0] * 1500]
)
def test_codes_survive_parquet_with_any_values(codes: list[int], tmp_path: Path) -> None:
    column = coded(np.array(codes, dtype=np.int64), OUTCOMES)
    assert column.to_pylist() == [None if code < 0 else OUTCOMES[code] for code in codes]
    write_table(pa.table({"outcome": column}), tmp_path / "outcomes.parquet", row_group_size=1000)
    stored = pq.read_table(tmp_path / "outcomes.parquet")["outcome"]
    assert stored.type == column.type
    read = codes_of(stored, OUTCOMES)
    assert read.dtype == np.int8
    assert read.tolist() == codes
    assert codes_of(stored.filter(stored.is_valid()), OUTCOMES).tolist() == [
        code for code in codes if code >= 0
    ]


def test_another_order_and_plain_names_are_refused() -> None:
    for column in (coded(np.array([0]), OUTCOMES[::-1]), pa.array(["stayed"])):
        with pytest.raises(ValueError, match="positions in stayed, voluntary, involuntary"):
            codes_of(pa.chunked_array([column]), OUTCOMES)
