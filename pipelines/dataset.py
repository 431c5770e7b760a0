"""Snapshots, outcomes and features of the pipeline as the arrays that models take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import BadInputError
from models.dataset import RiskData, outcome_codes
from pipelines.paths import FEATURES, SNAPSHOTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.clock import Clock

KEYS = ("customer_id", "cutoff")
FEATURE_TABLE = FEATURES / "features.parquet"


def load_history(clock: Clock, labels: tuple[str, ...]) -> RiskData:
    """Snapshots with the outcomes that are known of them.

    Parameters
    ----------
    clock
        Numbers the cutoffs.
    labels
        Of the horizons.

    Raises
    ------
    BadInputError
        If no outcome is known yet, or the files come from other parameters or runs.
    """
    path = SNAPSHOTS / "outcomes.parquet"
    outcomes = pq.read_table(path)
    if absent := {f"outcome_{label}" for label in labels} - set(outcomes.column_names):
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
    snapshots = pq.read_table(SNAPSHOTS / "snapshots.parquet").filter(known)
    codes = [outcome_codes(outcomes[f"outcome_{label}"].to_pylist()) for label in labels]
    return _risk_data(snapshots, np.column_stack(codes), known, clock)


def load_newest(clock: Clock, labels: tuple[str, ...]) -> tuple[RiskData, pa.Table]:
    """The customers of today as arrays, outcomes all unknown, and their snapshots."""
    snapshots = pq.read_table(SNAPSHOTS / "snapshots.parquet")
    newest = snapshots["newest"]
    snapshots = snapshots.filter(newest)
    unknown = np.full((snapshots.num_rows, len(labels)), -1, np.int8)
    return _risk_data(snapshots, unknown, newest, clock), snapshots


def newest_cutoff(clock: Clock) -> int:
    """Number of the cutoff that the pipeline's state is as of."""
    newest = pc.max(pq.read_table(SNAPSHOTS / "snapshots.parquet", columns=["cutoff"])["cutoff"])
    return clock.period_of(int(newest.cast(pa.int64()).as_py()))


def customers_now() -> int:
    """Number of customers at the newest cutoff."""
    newest = pq.read_table(SNAPSHOTS / "snapshots.parquet", columns=["newest"])["newest"]
    return int(pc.sum(newest).as_py())


def _risk_data(
    snapshots: pa.Table, outcome: NDArray[np.int8], rows: pa.ChunkedArray, clock: Clock
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
        segment=pc.fill_null(snapshots["segment"], "unknown").to_numpy(),
        tenure_periods=tenure,
    )


def _feature_matrix(
    snapshots: pa.Table, rows: pa.ChunkedArray
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
