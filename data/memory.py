"""Memory sizes as written in params.yaml."""

from __future__ import annotations

import re

SIZE = r"^(\d+(?:\.\d+)?)\s*(MB|GB|TB)$"
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def bytes_of(size: str) -> int:
    """Return a size such as ``3GB`` in bytes, rounded to whole ones.

    Raises
    ------
    ValueError
        If the text is not a size.
    """
    match = re.match(SIZE, size)
    if match is None:
        raise ValueError(f"{size!r} is not a memory size such as 3GB.")
    return round(float(match[1]) * _BYTES[match[2]])
