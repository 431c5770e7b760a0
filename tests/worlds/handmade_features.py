"""Features of raw logs that are written by hand."""

from __future__ import annotations

import shutil
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.atomic import write_table
from data.clock import Clock
from data.contracts import INSTANT
from features.build import build_features
from features.feature_settings import FeatureSettings
from worlds.handmade import at, write_logs

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path

    from data.engine import Engine

SETTINGS = FeatureSettings((1, 2, 4), ("login", "report"))
LONG_AGO = at(-52)


def write_snapshots(folder: Path, customers: Iterable[str], cutoffs: Iterable[dt.datetime]) -> Path:
    """Write the keys of snapshots: every customer at every cutoff."""
    keys = list(product(customers, cutoffs))
    snapshots = {
        "customer_id": pa.array([customer for customer, _ in keys], pa.string()),
        "cutoff": pa.array([cutoff for _, cutoff in keys], INSTANT),
    }
    path = folder / "snapshots.parquet"
    write_table(pa.table(snapshots), path)
    return path


def features_of(
    logs: dict[str, list[dict[str, Any]]],
    cutoffs: list[dt.datetime],
    folder: Path,
    engine: Engine,
    settings: FeatureSettings = SETTINGS,
    signed_up_at: dt.datetime = LONG_AGO,
    customers: tuple[str, ...] = ("a", "b"),
) -> dict[tuple[str, dt.datetime], dict[str, Any]]:
    """Features of every customer at every cutoff: (customer, cutoff) to name to value."""
    people = [{"customer_id": name, "signed_up_at": signed_up_at} for name in customers]
    clean = write_logs(folder, logs | {"customers": people})
    snapshots = write_snapshots(folder, customers, cutoffs)
    shutil.rmtree(folder / "periods", ignore_errors=True)
    build_features(
        clean,
        snapshots,
        folder / "features",
        folder / "periods",
        engine,
        Clock(),
        settings,
    )
    rows = pq.read_table(folder / "features" / "features.parquet").to_pylist()
    return {(row["customer_id"], row["cutoff"]): row for row in rows}
