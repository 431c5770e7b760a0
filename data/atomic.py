"""Write files and folders atomically: a half-written one is never seen."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it when the block succeeds.

    Works for files and folders. When the block raises, the temporary is removed and ``path`` is
    left as it was.
    """
    temporary = path.with_name(f".{path.name}.writing")
    previous = path.with_name(f".{path.name}.previous")
    _remove(temporary)
    path.parent.mkdir(parents=True, exist_ok=True)
    if previous.exists() and not path.exists():
        previous.rename(path)  # a run was killed between the two renames below
    try:
        yield temporary
        if temporary.is_dir() and path.exists():
            _remove(previous)
            path.rename(previous)
            temporary.rename(path)
            _remove(previous)
        else:
            temporary.replace(path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces ``path`` when the block succeeds."""
    with replaced(path) as temporary:
        temporary.mkdir(parents=True)
        yield temporary


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write an Arrow table as Parquet under a temporary name, then rename.

    ``options`` are passed to ``pyarrow.parquet.write_table``; compression is zstd by default.
    """
    with replaced(path) as temporary:
        pq.write_table(table, temporary, **({"compression": "zstd"} | options))


def write_text(text: str, path: Path) -> None:
    """Write text as UTF-8 under a temporary name, then rename."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
