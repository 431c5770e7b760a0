"""``make week``: the simulated world lives on for one week; ``dvc repro`` then takes it in."""

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
    """Raise ``ingest.simulated.weeks`` by one, leaving every other byte of params.yaml alone."""
    params = load_params()
    if params.ingest.source != "simulated":
        raise BadInputError(
            f"make week advances the simulated world, but ingest.source is {params.ingest.source}: "
            "bring its new rows instead and run dvc repro."
        )
    weeks = params.ingest.simulated.weeks
    text, count = re.subn(
        rf"(?m)^(\s+weeks: ){weeks}\b",
        rf"\g<1>{weeks + 1}",
        PARAMS_FILE.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise BadInputError(
            f"{PARAMS_FILE}: the line `weeks: {weeks}` is not found once: raise it by hand."
        )
    write_text(text, PARAMS_FILE)
    logger.info("The simulated world is %d weeks old", weeks + 1)


if __name__ == "__main__":
    run_stage(main)
