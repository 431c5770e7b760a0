"""``make promote``: open the sealed block and decide whether a run becomes the champion.

The run must be the state of this folder: its model is copied to the tracked ``champion/``, and the
procedure that made it is judged on the sealed weeks. Every opening is recorded before it happens.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import shutil
import sys
from typing import TYPE_CHECKING

import pandas as pd

from data.atomic import replaced_folder, write_text
from data.errors import BadInputError
from data.hashing import stable_hash
from models.boosters import load_model
from models.gate import Decision, GateSettings, judge
from pipelines.evaluate import sealed_scores
from pipelines.params import load_params
from pipelines.paths import CHAMPION, MODEL
from pipelines.review.champion import MODEL_FOLDER, RECORD, SEALED_SCORES, Champion, load_champion
from pipelines.review.lineage import lineage
from pipelines.review.tracking import (
    LoggedRun,
    find_run,
    move_alias,
    record,
    require_store,
    tracking_uri,
)
from pipelines.stage import run_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from pipelines.params import Params

logger = logging.getLogger("promote")
OPENINGS = CHAMPION / "openings.json"
KEPT_FILES = ("README.md", OPENINGS.name)
ALIAS = "champion"


def arguments() -> tuple[str, str]:
    """Parse the run id and the reason to overrule the gate (empty if there is none)."""
    parser = argparse.ArgumentParser(prog="make promote")
    parser.add_argument("--run", default="")
    parser.add_argument("--force")
    given = parser.parse_args()
    if not given.run:
        raise BadInputError("make promote needs RUN=..., the run id on the run's page in MLflow.")
    if given.force is not None and len(given.force.split()) < 2:
        raise BadInputError(
            'FORCE overrules the gate and needs a reason in words, e.g. FORCE="the old source is '
            'gone".'
        )
    return given.run, given.force or ""


def require_this_state(run: LoggedRun, params: Params) -> None:
    """Raise BadInputError unless the run is the state of this folder."""
    if "model_digest" not in run.tags:
        raise BadInputError(f"The run {run.run_id} is not a pipeline run: give its parent run.")
    here = lineage(params)
    digests = ("model_digest", "configuration_digest", "source", "cutoff")
    if apart := [name for name in digests if run.tags.get(name) != here.get(name)]:
        named = run.tags.get("dvc_exp_name")
        back = (
            f"dvc exp apply {named}" if named else
            f"git checkout {run.tags.get('git_commit', '')[:10]} and dvc checkout"
        )  # fmt: skip
        raise BadInputError(
            f"The run {run.run_id} is not the state of this folder ({', '.join(apart)} differ): "
            f"restore it with {back}, then promote."
        )


def decide(
    run: LoggedRun,
    champion: Champion | None,
    params: Params,
    *,
    force: bool,
    open_block: Callable[[Params], pa.Table] = sealed_scores,
) -> tuple[Decision, pd.DataFrame | None]:
    """Open the sealed block and judge, unless the sources differ.

    Parameters
    ----------
    run, champion
        The challenger, and whom it challenges (None: nobody yet).
    params
        Of this folder.
    force
        Whether the block is opened in any case.
    open_block
        Gives the sealed block's snapshots with their risks and outcomes.

    Returns
    -------
    decision
        Decision of the gate.
    scores
        Scores of the sealed weeks by the challenger's procedure; None if they stayed sealed.
    """
    if champion and champion.tags["source"] != run.tags["source"]:
        reason = f"Not comparable: the champion is of the source {champion.tags['source']}."
        scores = _opened(run, params, open_block) if force else None
        return Decision(promote=False, reason=reason), scores
    scores = _opened(run, params, open_block)
    if champion is None:
        return Decision(promote=True, reason="The first champion: nothing to compare with."), scores
    settings = GateSettings(**dataclasses.asdict(params.promote), seed=params.evaluate.seed)
    digests = [of.tags["configuration_digest"] for of in (champion, run)]
    before = pd.read_parquet(SEALED_SCORES)
    first = params.labels[0]
    return judge(before, scores, first, settings, refresh=digests[0] == digests[1]), scores


def _opened(
    run: LoggedRun, params: Params, open_block: Callable[[Params], pa.Table]
) -> pd.DataFrame:
    """Record the opening, then score the sealed block; customers are named by a hash."""
    openings = read_openings()
    kept = {name: run.tags[name] for name in ("source", "cutoff", "configuration_digest")}
    openings.append({"run_id": run.run_id, **kept})
    write_text(json.dumps(openings, indent=1) + "\n", OPENINGS)
    scores: pd.DataFrame = open_block(params).to_pandas()
    hashes = stable_hash("sealed", scores["customer_id"])
    return scores.assign(customer_id=[f"{number:016x}" for number in hashes])


def read_openings() -> list[dict[str, str]]:
    """Every opening so far, oldest first."""
    return json.loads(OPENINGS.read_text(encoding="utf-8")) if OPENINGS.exists() else []


def openings_of(run: LoggedRun) -> int:
    """How often the sealed block of the run's source and cutoff has been opened."""
    key = (run.tags["source"], run.tags["cutoff"])
    return sum((opening["source"], opening["cutoff"]) == key for opening in read_openings())


@contextlib.contextmanager
def new_champion(run: LoggedRun, scores: pd.DataFrame, reason: str) -> Iterator[None]:
    """Write the new champion's folder, and put it in place if the block succeeds."""
    tags = {name: value for name, value in run.tags.items() if not name.startswith("mlflow.")}
    metrics = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    champion = Champion(
        run.run_id,
        tags["model_version"],
        tags,
        run.params,
        metrics,
        load_model(MODEL).feature_names,
        reason,
    )
    with replaced_folder(CHAMPION) as folder:
        for name in KEPT_FILES:
            if (CHAMPION / name).exists():
                shutil.copy(CHAMPION / name, folder)
        shutil.copytree(MODEL, folder / MODEL_FOLDER.name)
        scores.to_parquet(folder / SEALED_SCORES.name, index=False, compression="zstd")
        champion.write(folder / RECORD.name)
        yield


def main(open_block: Callable[[Params], pa.Table] = sealed_scores) -> None:
    """Judge the run, record figures and reason on it, and promote it by the gate or by force."""
    run_id, force = arguments()
    params = load_params()
    uri = tracking_uri(params.publish.tracking_uri)
    require_store(uri, "make promote")
    run = find_run(run_id, uri)
    require_this_state(run, params)
    decision, scores = decide(
        run, load_champion(), params, force=bool(force), open_block=open_block
    )
    promoted = decision.promote or bool(force)
    reason = (
        decision.reason if decision.promote or not force else f"{decision.reason} Forced: {force}"
    )
    openings = openings_of(run)
    tags = {"gate.decision": "promoted" if promoted else "kept the champion", "gate.reason": reason}
    figures = {f"gate/{name}": value for name, value in decision.figures.items()}
    figures["gate/openings"] = float(openings)
    if promoted and scores is not None:
        with new_champion(run, scores, reason):
            record(run_id, tags, figures, uri)
            move_alias(f"churn-risk-{run.tags['source']}", ALIAS, run.tags["model_version"], uri)
    else:
        record(run_id, tags, figures, uri)
    logger.info("The sealed block of this cutoff was opened %d time(s)", openings)
    sys.stdout.write(f"{'Promoted' if promoted else 'Not promoted'}. {reason}\n")
    if not promoted:
        sys.exit(1)


if __name__ == "__main__":
    run_stage(main)
