"""Risks of everybody at one cutoff, a block of the feature table at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from data.engine import Engine
    from models.competing_risks import RiskModel


@dataclass(frozen=True)
class RowGroupRisks:
    """Risks of a row group of the feature table, in whichever process it is called.

    Parameters
    ----------
    model
        A model of boosters.
    features
        Parquet file of ``customer_id``, ``cutoff`` and the features.
    cutoff_us
        Rows of other cutoffs are left out; microseconds since 1970-01-01 UTC.
    """

    model: RiskModel
    features: Path
    cutoff_us: int

    def __call__(self, row_group: int) -> pa.Table:
        """Return one float64 column a cause and horizon, rows in the order of the file."""
        with pq.ParquetFile(self.features) as file:
            cutoff = file.read_row_group(row_group, columns=["cutoff"])["cutoff"]
            chosen = pc.equal(cutoff.cast(pa.int64()), self.cutoff_us)
            names = tuple(file.schema_arrow.names[2:])
            X = np.empty((pc.sum(chosen).as_py() or 0, len(names)), dtype=np.float32)
            if len(X):
                table = file.read_row_group(row_group, columns=list(names)).filter(chosen)
                for place, column in enumerate(table.columns):
                    X[:, place] = column.to_numpy()
        risks = self.model.predict(X, names).reshape(len(X), -1)
        return pa.table({str(place): risk for place, risk in enumerate(risks.T)})


def predict_cutoff(
    model: RiskModel, features: Path, cutoff_us: int, engine: Engine
) -> NDArray[np.float64]:
    """Risks of the rows of one cutoff; see ``RiskModel.predict``.

    Parameters
    ----------
    model, features, cutoff_us
        As in ``RowGroupRisks``.
    engine
        Maps over the row groups.

    Returns
    -------
    ndarray
        Cumulative risks float64 (n, causes, horizons), rows in the order of the file.

    Raises
    ------
    BadInputError
        If the features are not those that the model was trained on, in their order.
    """
    model.require_features(tuple(pq.read_schema(features).names[2:]))
    groups = range(pq.read_metadata(features).num_row_groups)
    blocks = engine.map_blocks(RowGroupRisks(model, features.resolve(), cutoff_us), groups)
    risks = [np.column_stack([column.to_numpy() for column in block.columns]) for block in blocks]
    return np.concatenate(risks).reshape(-1, len(model.hazards), len(model.horizons))
