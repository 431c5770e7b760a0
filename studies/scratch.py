"""A scratch folder in which the stages run with changed parameters."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Any

import yaml

from data.atomic import write_text
from pipelines.params import Params, load_params
from pipelines.paths import PARAMS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def scratch_folder(change: Callable[[dict[str, Any]], None]) -> Iterator[Params]:
    """Enter an empty folder, yield its parameters, and remove it afterwards.

    Parameters
    ----------
    change
        Changes the values of ``params.yaml`` of the current folder, in place.
    """
    values = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
    change(values)
    with tempfile.TemporaryDirectory(prefix="churn-risk-") as folder, contextlib.chdir(folder):
        write_text(yaml.safe_dump(values), PARAMS_FILE)
        yield load_params()
