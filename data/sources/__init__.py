"""Readers of raw sources: each writes the tables of the raw contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path


def check_folder(folder: Path) -> None:
    """Raise BadInputError unless ``folder``, from which a source is read, is a folder."""
    if not folder.is_dir():
        raise BadInputError(
            f"{folder} is not a folder: set ingest.path to the folder that holds your files."
        )
