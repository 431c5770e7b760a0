"""Engines: what they refuse in one sentence, and blocks on DuckDB. Spark's results: test_spark."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from data.errors import BadInputError
from data.open_engine import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from data.engine import Engine


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no engine 'abacus'"):
        open_engine("abacus")


def test_blocks_come_back_in_their_order(engine: Engine) -> None:
    tables = engine.map_blocks(lambda block: pa.table({"n": [block]}), [3, 1, 2])
    assert [table["n"][0].as_py() for table in tables] == [3, 1, 2]


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BadInputError, match=r"install the extra .*churn-risk\[spark\]"):
        open_engine("spark")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (None, "needs Java 17 or newer, but none was found: install one .*17-jre-headless"),
        ('openjdk version "11.0.2"', "needs Java 17 or newer, but Java 11 was found"),
        ('java version "1.8.0_392"', "needs Java 17 or newer, but Java 8 was found"),
    ],
)
def test_without_a_suitable_java_the_needed_version_is_named(
    version: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    if version:
        java = tmp_path / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho '{version}' >&2\n", encoding="utf-8")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(BadInputError, match=sentence):
        open_engine("spark")
