"""``make weekly``: new rows in, the pipeline, the list handed out. One run at a time.

Whatever fails, the next run takes up where this one stopped: rows are brought only when the list of
those that are there has been handed out.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import fcntl
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import BadInputError
from pipelines.commands import advance_week, release
from pipelines.params import load_params
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.params import Params

logger = logging.getLogger("weekly")

LOCK = Path("tmp/weekly.lock")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the weekly run; the system frees it, however the run ends.

    Raises
    ------
    BadInputError
        If another run holds it.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInputError(
                f"Another weekly run holds {LOCK}: wait until it ends; nothing was done."
            ) from error
        yield


def bring_rows(params: Params, command: str | None) -> None:
    """Bring new rows in: the simulated world lives on, other sources by a command if one is given.

    The simulated world lives on only when its last week's list has been handed out.
    """
    if params.ingest.source != "simulated":
        if command:
            run([*SHELL, command], "The command that brings new rows in")
        return
    world = params.ingest.simulated
    end = world.start + dt.timedelta(weeks=world.weeks)
    if release.is_released(params, end.isoformat()):
        advance_week.main()


SHELL = ("/bin/sh", "-c")


def run(command: Sequence[str], what: str) -> None:
    """Run a command; BadInputError if it fails: it has said itself why."""
    code = subprocess.run(list(command), check=False).returncode  # noqa: S603 - the caller's
    if code:
        raise BadInputError(
            f"{what} ended with code {code}: mend what it says above and run make weekly again; "
            "the lists handed out before are as they were."
        )


def main() -> None:
    """Bring rows, run the pipeline, release."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.commands.monday", description=__doc__
    )
    parser.add_argument("--bring", help="shell command that brings new rows into ingest.path")
    asked = parser.parse_args()
    release.refuse_experiments()
    with alone():
        bring_rows(load_params(), asked.bring)
        run([sys.executable, "-m", "dvc", "repro"], "dvc repro")
        release.main()


if __name__ == "__main__":
    run_stage(main)
