"""Outcomes of the lists released so far, and the effect of contacting."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq

from data.contracts import CAUSES
from data.population import lifetimes_ignoring_contacts
from pipelines.released_lists import cutoff_of, read_records, released
from pipelines.snapshot import population_settings
from retention.effect import effects, first_listings
from retention.ranking import ListSettings
from retention.realised import realised

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.clean_logs import CleanLogs
    from pipelines.params import Params
    from retention.effect import Effect
    from retention.realised import RealisedQueue


def look_back(
    params: Params, logs: CleanLogs
) -> tuple[tuple[RealisedQueue, ...], tuple[Effect, ...]]:
    """Compare the released lists with what happened, each once its follow-up has passed.

    Parameters
    ----------
    params
        The parameters.
    logs
        The clean logs as of the newest cutoff.

    Returns
    -------
    tuple
        Outcomes of each list by the first horizon, and the effect by each horizon.
    """
    clock = params.clock
    now = clock.cutoff_at(logs.as_of)
    folders = released(params.ingest.source, now)
    follow_up = dt.timedelta(days=params.snapshot.undo_days + params.clock.lateness_days)
    spans = [dt.timedelta(days=h * clock.period_days) for h in params.snapshot.horizons]
    passed = [[f for f in folders if cutoff_of(f) + span + follow_up <= now] for span in spans]
    if not passed[0]:
        return (), ()
    lives = lifetimes_ignoring_contacts(
        logs.history, logs.names, clock, population_settings(params), logs.as_of
    ).to_pandas()
    names = params.labels
    realised_lists = [
        queue
        for folder in passed[0]
        if _has_risks(folder, names[0])
        for queue in realised(
            read_records([folder])[0],
            pd.read_parquet(folder / "scores.parquet"),
            lives,
            names[0],
            spans[0],
        )
    ]
    measured_effects = [
        effect
        for label, span, lists in zip(names, spans, passed, strict=True)
        if lists
        for effect in effects(
            first_listings(read_records(lists), clock, ListSettings.epoch_periods),
            lives,
            label,
            span,
        )
    ]
    return tuple(realised_lists), tuple(measured_effects)


def _has_risks(folder: Path, label: str) -> bool:
    """Return whether a list has risks of a horizon; ``snapshot.horizons`` may have changed."""
    columns = pq.read_schema(folder / "scores.parquet").names
    return all(f"risk_{cause}_{label}" in columns for cause in CAUSES)
