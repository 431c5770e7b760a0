"""Reads what earlier stages wrote: snapshots, outcomes, features and their catalog."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.coded import UNKNOWN, codes_of
from data.contracts import CAUSES, OUTCOMES
from data.errors import BadInputError
from data.hashing import stable_hash
from data.memory import bytes_of
from features.declare import CATALOG_FILE, FEATURES_FILE, KEYS, from_json
from models.risk_data import RiskData
from models.split import rolling_blocks
from pipelines.paths import FEATURES, SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from data.clock import Clock
    from features.declare import Feature
    from models.split import Block
    from pipelines.params import Params

logger = logging.getLogger("load")
FEATURE_TABLE = FEATURES / FEATURES_FILE


def load_outcomes(labels: tuple[str, ...]) -> tuple[pa.Table, NDArray[np.int8], pa.ChunkedArray]:
    """Read the known outcomes: their rows, their codes (n, H), and their mask in the file.

    Parameters
    ----------
    labels
        Names of the horizons.

    Raises
    ------
    BadInputError
        If no outcome is known yet, or other parameters or another version wrote the file.
    """
    path = SNAPSHOTS / "outcomes.parquet"
    wanted = {f"outcome_{label}" for label in labels} | {f"mrr_{labels[-1]}"}
    if absent := wanted - set(pq.read_schema(path).names):
        raise BadInputError(
            f"{path} lacks {', '.join(sorted(absent))}: snapshot.horizons changed since it was "
            "written; run dvc repro."
        )
    outcomes = pq.read_table(path, columns=[*KEYS, *sorted(wanted)])
    known = outcomes[f"outcome_{labels[0]}"].is_valid()
    if not pc.any(known).as_py():
        raise BadInputError(
            f"None of the {outcomes.num_rows:,} snapshots in {path} has a known outcome within "
            f"{labels[0]}: provide a longer history, set snapshot.as_of later, or shorten "
            "snapshot.horizons."
        )
    outcomes = outcomes.filter(known)
    try:
        codes = [codes_of(outcomes[f"outcome_{label}"], OUTCOMES) for label in labels]
    except ValueError as error:
        raise BadInputError(f"{path} was written by another version; run dvc repro.") from error
    return outcomes, np.column_stack(codes), known


def load_history(clock: Clock, labels: tuple[str, ...], memory_limit: str) -> RiskData:
    """Read the snapshots with a known outcome.

    Parameters
    ----------
    clock
        Numbers the cutoffs.
    labels
        Names of the horizons.
    memory_limit
        Maximum size of the feature matrix, e.g. 2GB. Beyond it, snapshots are drawn by a hash of
        customer and cutoff: independently of the outcome, the same in every run, and a smaller
        limit draws a subset of what a larger one draws.

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
    """Return the mask (n,) of the snapshots whose features fit into memory."""
    features = len(pq.read_schema(FEATURE_TABLE).names) - len(KEYS)
    share = bytes_of(memory_limit) / (4 * features * outcomes.num_rows)
    if share >= 1:
        return np.ones(outcomes.num_rows, bool)
    logger.warning("%.0f %% of the snapshots fit into %s; the rest are left out, drawn by hash",
                100 * share, memory_limit)  # fmt: skip
    names = zip(outcomes["customer_id"].to_pylist(), _microseconds(outcomes["cutoff"]), strict=True)
    chance = stable_hash("memory", (f"{customer} {cutoff}" for customer, cutoff in names))
    return np.asarray(chance < share * 2.0**64)


def load_newest(clock: Clock, labels: tuple[str, ...]) -> tuple[RiskData, pa.Table]:
    """Read the customers at the newest cutoff as arrays, outcomes unknown, and their snapshots."""
    snapshots = pq.read_table(SNAPSHOTS / "snapshots.parquet")
    newest = snapshots["newest"]
    snapshots = snapshots.filter(newest)
    unknown = np.full((snapshots.num_rows, len(labels)), UNKNOWN, np.int8)
    mrr_later = np.full(snapshots.num_rows, UNKNOWN, np.int64)
    return _risk_data(snapshots, unknown, mrr_later, newest, clock), snapshots


def newest_cutoff() -> int:
    """Return the number of the newest cutoff of the snapshots."""
    stored = pq.read_table(SNAPSHOTS / "snapshots.parquet", columns=["cutoff_number"])
    return int(pc.max(stored["cutoff_number"]).as_py())


def blocks_of(data: RiskData, params: Params) -> tuple[Block, ...]:
    """Return the blocks of the backtest, oldest first, the sealed one last."""
    return rolling_blocks(int(data.cutoff.min()), newest_cutoff(), params.split)


def customers_now() -> int:
    """Return the number of customers at the newest cutoff."""
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
        cutoff=snapshots["cutoff_number"].to_numpy(),
        outcome=outcome,
        mrr=snapshots["mrr"].to_numpy(),
        mrr_later=mrr_later,
        segment=pc.fill_null(snapshots["segment"], "unknown").to_numpy(),
        tenure_periods=tenure,
    )


def _feature_matrix(
    snapshots: pa.Table, rows: pa.Array | pa.ChunkedArray
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Read feature names and float32 matrix of the given rows, column by column to save memory."""
    file = pq.ParquetFile(FEATURE_TABLE)
    keys = file.read(list(KEYS))
    same = len(keys) == len(rows)
    if not same or any(not keys[key].filter(rows).equals(snapshots[key]) for key in KEYS):
        raise BadInputError(
            f"{FEATURE_TABLE} does not have the rows of the snapshots, which were taken again "
            "since: run dvc repro."
        )
    names = tuple(name for name in file.schema_arrow.names if name not in KEYS)
    X = np.empty((snapshots.num_rows, len(names)), dtype=np.float32)
    for position, name in enumerate(names):
        X[:, position] = file.read([name])[name].filter(rows).to_numpy()
    return names, X


def _microseconds(instants: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(instants.cast(pa.int64()).to_numpy(), dtype=np.int64)


def load_catalog() -> tuple[Feature, ...]:
    """Read the features of the feature table, in the order of its columns."""
    return from_json((FEATURES / CATALOG_FILE).read_text(encoding="utf-8"))


def monotone_signs(catalog: Sequence[Feature]) -> dict[str, dict[str, int]]:
    """Return, for each cause, the features whose sign is known in advance, and the sign."""
    return {
        cause: {
            feature.name: sign
            for feature in catalog
            for named, sign in feature.monotone
            if named == cause
        }
        for cause in CAUSES
    }
