"""How every stage starts: logging, reproducible threads, and one clear sentence on bad input."""

from __future__ import annotations

import errno
import logging
import re
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

import duckdb

from data.errors import BadInputError
from pipelines.paths import missing

if TYPE_CHECKING:
    from collections.abc import Callable


def run_stage(stage: Callable[[], object]) -> None:
    """Run a stage as a command: exit code 1 and one sentence when the input is at fault.

    Parameters
    ----------
    stage
        Does the work. A ``BadInputError`` that it raises is shown without a traceback, and so are
        a missing output of an earlier stage, a full disk and an engine that is short of memory.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    logging.captureWarnings(capture=True)
    # Deprecation warnings between libraries are not actionable for users.
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        stage()
    except BadInputError as error:
        _stop(str(error))
    except FileNotFoundError as error:
        # Only in the text of the error: those that Arrow raises have no file name.
        output = re.search(r"\b(data|reports)/[\w./-]*\w", str(error))
        if output is None:
            raise
        _stop(missing(output[0]))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        _stop("The disk is full: free some space and retry; outputs of earlier runs are intact.")
    except duckdb.OutOfMemoryException:
        _stop("params.yaml: engine.memory_limit is too low for these logs: raise it.")


def _stop(sentence: str) -> NoReturn:
    sys.stderr.write(f"Error: {sentence}\n")
    sys.exit(1)
