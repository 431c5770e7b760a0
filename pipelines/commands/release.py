"""``make release``: release the candidate list, irrevocably.

The candidate in ``data/scores`` is copied to ``lists/<source>/cutoff=YYYY-MM-DD/`` with its model.
Nothing ever changes or removes a released list.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic import sha256_of
from data.errors import BadInputError
from models.boosters import model_digest
from pipelines.load import newest_cutoff
from pipelines.params import load_params
from pipelines.paths import LOCK_FILE, SCORES, needed
from pipelines.released_lists import append_release, cutoff_of, release_folder
from pipelines.review.champion import serving_folder
from pipelines.review.lineage import digest, git
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from pipelines.params import Params

logger = logging.getLogger("release")


def refuse_experiments() -> None:
    """Raise BadInputError during an experiment of DVC, and where its results are checked out."""
    name = os.environ.get("DVC_EXP_NAME") or os.environ.get("DVC_EXP_BASELINE_REV")
    if name or {".dvc", "exps"} <= set(Path.cwd().parts):
        raise BadInputError(
            f"This is the experiment {name or Path.cwd().name}: a list is released from the "
            "project's own state; run make release outside of dvc exp."
        )
    lock = git("hash-object", str(LOCK_FILE))
    if not lock or lock == git("rev-parse", f"HEAD:./{LOCK_FILE}"):
        return
    for ref in git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        if git("rev-parse", f"{ref}:./{LOCK_FILE}") == lock:
            raise BadInputError(
                f"This folder holds the result of the experiment {ref.rsplit('/', 1)[-1]}: commit "
                "it to keep it, or go back (git checkout, dvc checkout), then release."
            )


def params_digest(params: Params) -> str:
    """SHA-256 of the parameters that can change a result, in hexadecimal."""
    values = params.model_dump(mode="json", by_alias=True, exclude={"engine", "publish"})
    return digest(values)


def about(params: Params) -> dict[str, Any]:
    """Record kept beside a list: where it comes from, and digests of its files.

    Raises
    ------
    BadInputError
        If the candidate does not belong to the current model, cutoff or source.
    """
    clock = params.clock
    provenance: dict[str, Any] = json.loads(
        needed(SCORES / "provenance.json").read_text(encoding="utf-8")
    )
    now = {
        "source": params.ingest.source,
        "cutoff": clock.cutoff_at(newest_cutoff()).date().isoformat(),
        "model_version": model_digest(serving_folder(params))[:12],
    }
    for name, value in now.items():
        if provenance[name] != value:
            raise BadInputError(
                f"{SCORES} was made from {name} {provenance[name]}, but it is now {value}: run dvc "
                "repro, then release."
            )
    return provenance | {
        "params_digest": params_digest(params),
        "git_commit": git("rev-parse", "HEAD") or None,
        "files": {
            str(path.relative_to(SCORES)): sha256_of(path)
            for path in sorted(SCORES.rglob("*"))
            if path.is_file()
        },
    }


def main() -> None:
    """Release the candidate."""
    refuse_experiments()
    params = load_params()
    written = about(params)
    cutoff = cutoff_of(Path(f"cutoff={written['cutoff']}"))
    target = append_release(SCORES, serving_folder(params), written, params.ingest.source, cutoff)
    logger.info("Released %s", target)


def is_released(params: Params, day: str) -> bool:
    """Whether the list of a day has been released."""
    return release_folder(params.ingest.source, cutoff_of(Path(f"cutoff={day}"))).exists()


if __name__ == "__main__":
    run_stage(main)
