"""Marks of every test on Spark."""

from __future__ import annotations

import pytest

from data.spark import unavailable

REASON = unavailable()
MARKS = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    # PySpark leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]
