"""``make week``: advance the simulated world by one week, which ``dvc repro`` then reads."""

from __future__ import annotations

import logging
import re

from data.atomic import write_text
from data.errors import BadInputError
from pipelines.params import load_params
from pipelines.paths import PARAMS_FILE
from pipelines.stage import run_stage

logger = logging.getLogger("week")


def main() -> None:
    """Raise ``ingest.simulated.weeks`` by one and change no other byte of params.yaml."""
    params = load_params()
    if params.ingest.source != "simulated":
        raise BadInputError(
            f"make week advances the simulated world, but ingest.source is {params.ingest.source}: "
            "add its new rows instead and run dvc repro."
        )
    weeks = params.ingest.simulated.weeks
    text, count = re.subn(
        rf"(?m)^(\s+weeks: ){weeks}\b",
        rf"\g<1>{weeks + 1}",
        PARAMS_FILE.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise BadInputError(
            f"{PARAMS_FILE}: the line `weeks: {weeks}` does not appear exactly once: change "
            "it by hand."
        )
    write_text(text, PARAMS_FILE)
    logger.info("The simulated world now has %d weeks", weeks + 1)


if __name__ == "__main__":
    run_stage(main)
