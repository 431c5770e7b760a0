"""``make weekly``: fetch new rows, run the pipeline, release the list. One run at a time.

If a step fails, the next run resumes there: new rows are fetched only when the list of the present
rows has been released.
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
    """Hold the lock of the weekly run; the system frees it however the run ends.

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
                f"Another weekly run holds {LOCK}: wait until it ends; this one did nothing."
            ) from error
        yield


def fetch_new_rows(params: Params, command: str | None) -> None:
    """Fetch new rows: advance the simulated world, or run the given command for other sources.

    The simulated world advances only when the list of its last week has been released.
    """
    if params.ingest.source != "simulated":
        if command:
            run([*SHELL, command], "The command that fetches new rows")
        return
    world = params.ingest.simulated
    end = world.start + dt.timedelta(weeks=world.weeks)
    if release.is_released(params, end.isoformat()):
        advance_week.main()


SHELL = ("/bin/sh", "-c")


def run(command: Sequence[str], what: str) -> None:
    """Run a command; BadInputError if it fails: it has already printed the reason."""
    code = subprocess.run(list(command), check=False).returncode  # noqa: S603 - the caller's
    if code:
        raise BadInputError(
            f"{what} failed with exit code {code}: fix the problem reported above and run make "
            "weekly again; released lists are unchanged."
        )


def main() -> None:
    """Fetch new rows, run the pipeline, release the list."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.commands.monday", description=__doc__
    )
    parser.add_argument("--bring", help="shell command that fetches new rows into ingest.path")
    asked = parser.parse_args()
    release.refuse_experiments()
    with alone():
        fetch_new_rows(load_params(), asked.bring)
        run([sys.executable, "-m", "dvc", "repro"], "dvc repro")
        release.main()


if __name__ == "__main__":
    run_stage(main)
