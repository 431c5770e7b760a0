"""Stage ``code``: lists what each stage runs, so that DVC runs it again when its code changes.

DVC cannot depend on everything that a module imports. So this stage, which always runs, lists the
modules that each other stage can load and their digests in ``build/code/<stage>.txt``; that file is
a dependency of the stage.
"""

from __future__ import annotations

import yaml

from data.atomic import write_text
from data.imports import code_digests
from pipelines.paths import CODE, PIPELINE_FILE
from pipelines.stage import run_stage

# What a stage runs besides its imports: MLflow loads the registered model by its path.
ALSO = {"publish": ("pipelines.review.served_model",)}


def main() -> None:
    """Write the list of each stage; an unchanged list keeps its hash."""
    stages = yaml.safe_load(PIPELINE_FILE.read_text(encoding="utf-8"))["stages"]
    for stage in stages.keys() - {"code"}:
        digests = code_digests(f"pipelines.{stage}", *ALSO.get(stage, ()))
        lines = "".join(f"{digest}  {path}\n" for path, digest in digests.items())
        write_text(lines, CODE / f"{stage}.txt")


if __name__ == "__main__":
    run_stage(main)
