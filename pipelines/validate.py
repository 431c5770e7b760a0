"""Stage ``validate``: rows that break a rule go to quarantine, the rest are clean."""

from __future__ import annotations

import json
import logging

from data.atomic import replaced, write_text
from data.population_settings import QualityTerms
from data.quality import QualitySettings, validate
from pipelines.engines import duckdb_engine
from pipelines.params import load_params, terms
from pipelines.paths import CLEAN, QUARANTINE, RAW, REFUSED, REPORTS
from pipelines.stage import run_stage

logger = logging.getLogger("validate")


def main() -> None:
    """Split the raw tables, write the counts."""
    params = load_params()
    settings = QualitySettings(
        **terms(QualityTerms, params.validate_), lateness_days=params.clock.lateness_days
    )
    with duckdb_engine(params) as engine:
        report = validate(RAW, CLEAN, REFUSED, engine, params.clock, settings)
    with replaced(QUARANTINE) as folder:
        REFUSED.rename(folder)
    write_text(json.dumps(report, indent=2) + "\n", REPORTS / "quality.json")


if __name__ == "__main__":
    run_stage(main)
