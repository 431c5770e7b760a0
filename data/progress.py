"""Progress of long loops: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

T = TypeVar("T")
LINES = 5


def progress(steps: Collection[T], what: str, logger: logging.Logger) -> Iterator[T]:
    """Yield the steps of a loop and show its progress.

    Parameters
    ----------
    steps
        Steps of the loop.
    what
        Name of the steps in the output, e.g. ``simulated weeks``.
    logger
        Receives about ``LINES`` lines when standard error is not a terminal.
    """
    if sys.stderr.isatty():
        yield from tqdm(steps, desc=what, leave=False)
        return
    total = len(steps)
    for done, step in enumerate(steps, start=1):
        yield step
        if done * LINES // total > (done - 1) * LINES // total:
            logger.info("%s: %d of %d", what, done, total)
