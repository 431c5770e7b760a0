"""Released lists: ``lists/<source>/cutoff=YYYY-MM-DD/``, append-only."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data.errors import BadInputError
from models.boosters import load_model
from pipelines.paths import LISTS
from retention.change import Past

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Columns of a record that changes and outcomes are computed from.
RECORD_COLUMNS = (
    "customer_id", "cutoff", "queue", "position", "status", "owner", "segment", "mrr",
)  # fmt: skip
MODEL_FOLDER = "model"
RELEASE_FILE = "release.json"


def release_folder(source: str, cutoff: dt.datetime) -> Path:
    """Return the folder of the list of a cutoff."""
    return LISTS / source / f"cutoff={cutoff.date().isoformat()}"


def cutoff_of(folder: Path) -> dt.datetime:
    """Return the cutoff of a released list, from the name of its folder."""
    day = dt.date.fromisoformat(folder.name.removeprefix("cutoff="))
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def released(source: str, before: dt.datetime) -> list[Path]:
    """Return the folders of the lists of a source before a cutoff, oldest first."""
    folders = sorted((LISTS / source).glob("cutoff=????-??-??"))
    return [folder for folder in folders if cutoff_of(folder) < before]


def read_records(folders: Sequence[Path]) -> list[pd.DataFrame]:
    """Read the listed and withheld rows of released lists."""
    return [
        pd.read_parquet(folder / "record.parquet", columns=list(RECORD_COLUMNS))
        for folder in folders
    ]


def read_past(
    source: str,
    cutoff: dt.datetime,
    X: NDArray[np.float32],
    names: tuple[str, ...],
    labels: tuple[str, ...],
    threads: int,
) -> Past | None:
    """Read the lists before a cutoff, to compute changes from; None if there are none.

    Parameters
    ----------
    source, cutoff
        Source and cutoff of the new list.
    X, names
        Today's features, float32 (n, f), and their names, for the last list's model.
    labels
        Names of today's horizons.
    threads
        Threads of LightGBM; the result does not depend on them.
    """
    folders = released(source, cutoff)
    if not folders:
        return None
    last = folders[-1]
    return Past(
        cutoffs=tuple(cutoff_of(folder) for folder in folders),
        records=tuple(read_records(folders)),
        scores=pd.read_parquet(last / "scores.parquet"),
        rescored=_rescored(last / MODEL_FOLDER, X, names, labels, threads),
    )


def _rescored(
    folder: Path,
    X: NDArray[np.float32],
    names: tuple[str, ...],
    labels: tuple[str, ...],
    threads: int,
) -> NDArray[np.float64] | None:
    """Score today's customers with an earlier model; None if it lacks a feature or its format."""
    try:
        model = load_model(folder, threads)
    except BadInputError:  # written in another format
        return None
    if model.labels != labels or not set(model.feature_names) <= set(names):
        return None
    columns = [names.index(name) for name in model.feature_names]
    return model.predict(np.ascontiguousarray(X[:, columns]), model.feature_names)


def past_risks(
    source: str, listed: pd.DataFrame, causes: Mapping[str, str], label: str, limit: int
) -> pd.DataFrame:
    """Read the risks of listed customers on earlier lists: ``customer_id, cutoff, risk``.

    Parameters
    ----------
    source
        Source of the list.
    listed
        Today's rows: ``customer_id, queue, cutoff`` and ``risk_<label>``, the end of each curve.
    causes
        Cause of each queue.
    label
        Name of the first horizon.
    limit
        Maximum number of lists to read.
    """
    curves = []
    if len(listed):
        folders = released(source, listed["cutoff"].iloc[0])[-limit:]
        queue = listed.set_index("customer_id")["queue"]
        wanted = [("customer_id", "in", listed["customer_id"].tolist())]
        for folder in folders:
            path = folder / "scores.parquet"
            if f"risk_{causes[queue.iloc[0]]}_{label}" not in pq.read_schema(path).names:
                continue
            scores = pd.read_parquet(path, filters=wanted)
            row_cause = scores["customer_id"].map(queue).map(causes)
            risk = pd.Series(np.nan, index=scores.index)
            for cause in causes.values():
                risk = risk.mask(row_cause == cause, scores[f"risk_{cause}_{label}"])
            curves.append(scores[["customer_id", "cutoff"]].assign(risk=risk))
    today = listed[["customer_id", "cutoff", f"risk_{label}"]]
    return pd.concat([*curves, today.rename(columns={f"risk_{label}": "risk"})], ignore_index=True)


def append_release(
    candidate: Path, model: Path, about: Mapping[str, Any], source: str, cutoff: dt.datetime
) -> Path:
    """Copy a candidate and its model to the released lists, completely or not at all.

    Raises
    ------
    BadInputError
        If a list of that cutoff has already been released.
    """
    target = release_folder(source, cutoff)
    taken = BadInputError(
        f"{target} exists: the list of that week has been released and cannot be changed; wait "
        "for the next week's rows."
    )
    if target.exists():
        raise taken
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        writing = Path(scratch) / target.name
        shutil.copytree(candidate, writing)
        shutil.copytree(model, writing / MODEL_FOLDER)
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        (writing / RELEASE_FILE).write_text(text, encoding="utf-8")
        for path in writing.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        try:
            writing.rename(target)
        except OSError as error:
            if target.exists():  # another release was faster
                raise taken from error
            raise
    return target
