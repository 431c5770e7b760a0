"""Columns with few distinct names, stored as positions in a fixed order of the names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Code of a null.
UNKNOWN = -1


def coded(codes: NDArray[Any], names: Sequence[str]) -> pa.DictionaryArray:
    """Return codes as an Arrow column of names: dictionary-encoded, null where negative.

    Parameters
    ----------
    codes
        Positions in ``names``, integers of shape (n,).
    names
        At most 127 names. Parquet keeps them in their order.
    """
    indices = pa.array(codes.astype(np.int8), pa.int8(), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def codes_of(column: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int8]:
    """Return the codes of a column that ``coded`` made: int8 (n,), ``UNKNOWN`` where null.

    Raises
    ------
    ValueError
        If the column is not encoded by these names in their order.
    """
    codes = []
    for chunk in column.chunks:
        if not len(chunk):
            continue
        if not pa.types.is_dictionary(chunk.type) or chunk.dictionary.to_pylist() != list(names):
            raise ValueError(f"The column is not stored as positions in {', '.join(names)}.")
        codes.append(pc.fill_null(chunk.indices, UNKNOWN).to_numpy().astype(np.int8))
    return np.concatenate(codes) if codes else np.empty(0, np.int8)
