"""Reproducible random numbers: stable hashes of names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def stable_hash(salt: str, names: Iterable[str]) -> NDArray[np.uint64]:
    """Hash each name to 64 bits, equal on every machine and in every run.

    Parameters
    ----------
    salt
        Makes the hashes for different purposes independent of each other.
    names
        Names, e.g. customer IDs.

    Returns
    -------
    Array of shape (names,).
    """
    start = hashlib.sha256(salt.encode() + b"\x00")
    bits = bytearray()
    for name in names:
        state = start.copy()
        state.update(name.encode())
        bits += state.digest()[:8]
    return np.frombuffer(bytes(bits), dtype="<u8").astype(np.uint64)
