"""Snapshots, outcomes and features of the pipeline as the arrays that models take."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import BadInputError
from data.hashing import stable_hash
from features.declare import FEATURES_FILE
from models.risk_data import UNKNOWN, RiskData, outcome_codes
from models.split import rolling_blocks
from pipelines.paths import FEATURES, SNAPSHOTS
from pipelines.settings import split_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.clock import Clock
    from models.split import Block
    from pipelines.params import Params

LOG = logging.getLogger("dataset")
KEYS = ("customer_id", "cutoff")
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
FEATURE_TABLE = FEATURES / FEATURES_FILE


def load_outcomes(labels: tuple[str, ...]) -> tuple[pa.Table, NDArray[np.int8], pa.ChunkedArray]:
    """Outcomes that are known: their rows, their codes (n, H), and the mask of them in the file.

    Parameters
    ----------
    labels
        Of the horizons.

    Raises
    ------
    BadInputError
        If no outcome is known yet, or the file comes from other parameters.
    """
    path = SNAPSHOTS / "outcomes.parquet"
    outcomes = pq.read_table(path)
    wanted = {f"outcome_{label}" for label in labels} | {f"mrr_{labels[-1]}"}
    if absent := wanted - set(outcomes.column_names):
        raise BadInputError(
            f"{path} lacks {', '.join(sorted(absent))}: snapshot.horizons changed since it was "
            "written; run dvc repro."
        )
    known = outcomes[f"outcome_{labels[0]}"].is_valid()
    if not pc.any(known).as_py():
        raise BadInputError(
            f"None of the {outcomes.num_rows:,} snapshots in {path} has a known outcome within "
            f"{labels[0]}: bring a longer history, or set snapshot.as_of later or "
            "snapshot.horizons shorter."
        )
    outcomes = outcomes.filter(known)
    codes = [outcome_codes(outcomes[f"outcome_{label}"].to_pylist()) for label in labels]
    return outcomes, np.column_stack(codes), known


def load_history(clock: Clock, labels: tuple[str, ...], memory_limit: str) -> RiskData:
    """Snapshots with the outcomes that are known of them.

    Parameters
    ----------
    clock
        Numbers the cutoffs.
    labels
        Of the horizons.
    memory_limit
        Of the feature matrix, e.g. 2GB. Beyond it, snapshots are drawn by a hash of customer and
        cutoff: whatever followed, equal in every run, and those of a smaller limit are among those
        of a larger one.

    Raises
    ------
    BadInputError
        If no outcome is known yet, or the files come from other parameters or runs.
    """
    outcomes, codes, known = load_outcomes(labels)
    drawn = _within_memory(outcomes, memory_limit)
    rows = np.array(known)
    rows[rows] = drawn
    mrr_later = pc.fill_null(outcomes[f"mrr_{labels[-1]}"], UNKNOWN).to_numpy()
    snapshots = pq.read_table(SNAPSHOTS / "snapshots.parquet").filter(rows)
    return _risk_data(snapshots, codes[drawn], mrr_later[drawn], pa.array(rows), clock)


def _within_memory(outcomes: pa.Table, memory_limit: str) -> NDArray[np.bool_]:
    """Mask (n,) of the snapshots whose features fit into the memory."""
    features = len(pq.read_schema(FEATURE_TABLE).names) - len(KEYS)
    number, unit = re.fullmatch(r"([\d.]+)\s*(\w+)", memory_limit).groups()  # type: ignore[union-attr]
    share = float(number) * _BYTES[unit] / (4 * features * outcomes.num_rows)
    if share >= 1:
        return np.ones(outcomes.num_rows, bool)
    LOG.warning("%.0f %% of the snapshots fit into %s: the others are left out, drawn by hash",
                100 * share, memory_limit)  # fmt: skip
    names = zip(outcomes["customer_id"].to_pylist(), _microseconds(outcomes["cutoff"]), strict=True)
    chance = stable_hash("memory", (f"{customer} {cutoff}" for customer, cutoff in names))
    return np.asarray(chance < share * 2.0**64)


def load_newest(clock: Clock, labels: tuple[str, ...]) -> tuple[RiskData, pa.Table]:
    """The customers of today as arrays, outcomes all unknown, and their snapshots."""
    snapshots = pq.read_table(SNAPSHOTS / "snapshots.parquet")
    newest = snapshots["newest"]
    snapshots = snapshots.filter(newest)
    unknown = np.full((snapshots.num_rows, len(labels)), UNKNOWN, np.int8)
    mrr_later = np.full(snapshots.num_rows, UNKNOWN, np.int64)
    return _risk_data(snapshots, unknown, mrr_later, newest, clock), snapshots


def newest_cutoff(clock: Clock) -> int:
    """Number of the cutoff that the pipeline's state is as of."""
    newest = pc.max(pq.read_table(SNAPSHOTS / "snapshots.parquet", columns=["cutoff"])["cutoff"])
    return clock.period_of(int(newest.cast(pa.int64()).as_py()))


def blocks_of(data: RiskData, params: Params) -> tuple[Block, ...]:
    """Blocks of the backtest that the history has room for, oldest first, the sealed one last."""
    newest = newest_cutoff(params.clock)
    return rolling_blocks(int(data.cutoff.min()), newest, split_settings(params))


def customers_now() -> int:
    """Number of customers at the newest cutoff."""
    newest = pq.read_table(SNAPSHOTS / "snapshots.parquet", columns=["newest"])["newest"]
    return int(pc.sum(newest).as_py())


def _risk_data(
    snapshots: pa.Table,
    outcome: NDArray[np.int8],
    mrr_later: NDArray[np.int64],
    rows: pa.Array | pa.ChunkedArray,
    clock: Clock,
) -> RiskData:
    names, X = _feature_matrix(snapshots, rows)
    cutoff_us = _microseconds(snapshots["cutoff"])
    tenure = (cutoff_us - _microseconds(snapshots["activated_at"])) // clock.period_us
    return RiskData(
        X=X,
        feature_names=names,
        customer_id=snapshots["customer_id"].to_numpy(),
        cutoff=np.asarray(clock.period_of(cutoff_us), dtype=np.int64),
        outcome=outcome,
        mrr=snapshots["mrr"].to_numpy(),
        mrr_later=mrr_later,
        segment=pc.fill_null(snapshots["segment"], "unknown").to_numpy(),
        tenure_periods=tenure,
    )


def _feature_matrix(
    snapshots: pa.Table, rows: pa.Array | pa.ChunkedArray
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Feature names and float32 matrix of the chosen rows, a column at a time to save memory."""
    file = pq.ParquetFile(FEATURE_TABLE)
    keys = file.read(list(KEYS))
    same = len(keys) == len(rows)
    if not same or any(not keys[key].filter(rows).equals(snapshots[key]) for key in KEYS):
        raise BadInputError(
            f"{FEATURE_TABLE} does not hold the rows of the snapshots: they were taken anew since; "
            "run dvc repro."
        )
    names = tuple(name for name in file.schema_arrow.names if name not in KEYS)
    X = np.empty((snapshots.num_rows, len(names)), dtype=np.float32)
    for position, name in enumerate(names):
        X[:, position] = file.read([name])[name].filter(rows).to_numpy()
    return names, X


def _microseconds(instants: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(instants.cast(pa.int64()).to_numpy(), dtype=np.int64)
