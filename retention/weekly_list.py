"""The weekly list: all scores, the two queues with reasons and actions, and the record."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pandas as pd

from data.contracts import CAUSES
from retention import change, ranking
from retention.reasons import check_reconciled, explanations, groups_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from features.catalog import Feature
    from retention.change import Past, Totals
    from retention.kaplan_meier import MonthsKept
    from retention.playbook import Playbook
    from retention.ranking import ListSettings
    from retention.reasons import Explanation

# Columns of the list in integer minor units.
MONEY_COLUMNS: Final = ("mrr", "expected_loss", "expected_saving")


class Explain(Protocol):
    """Splits the risks of a cause into contributions, for rows of the scored matrix.

    Given row numbers, shape ``(k,)``, and a cause, returns the base, shape ``(k,)``, and the
    contribution of each feature, shape ``(k, f)``: they add up to the log-odds of the calibrated
    risk at the first horizon.
    """

    def __call__(
        self, rows: NDArray[np.int64], cause: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return base and contributions."""


@dataclass(frozen=True)
class Scored:
    """Risks and features of every eligible customer at the newest cutoff.

    Parameters
    ----------
    snapshots
        One row per customer: ``customer_id, cutoff, cutoff_number, mrr, paused, plan,
        billing_interval, renews_at, activated_at, segment, country, channel, owner``. All at the
        same cutoff.
    risks
        Cumulative risks without contact, shape ``(n, causes, horizons)``.
    labels
        Names of the horizons, e.g. ``("4w", "8w", "13w")``.
    base_rates
        Share of all customers lost to each cause by each horizon, shape ``(causes, horizons)``.
    X
        Features, shape ``(n, f)``, NaN where absent.
    catalog
        The features, in the order of the columns of ``X``.
    explain
        Splits risks into contributions; called once per queue, for its rows only.
    more_scores
        Further columns of the scores by name, shape ``(n,)``; the list does not depend on them.
    """

    snapshots: pd.DataFrame
    risks: NDArray[np.float64]
    labels: tuple[str, ...]
    base_rates: NDArray[np.float64]
    X: NDArray[np.float32]
    catalog: tuple[Feature, ...]
    explain: Explain
    more_scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """How the business acts on risks.

    Parameters
    ----------
    settings
        Terms of the ranking.
    playbook
        Actions by reason.
    kept
        Months that a kept customer stays, by plan.
    """

    settings: ListSettings
    playbook: Playbook
    kept: MonthsKept


@dataclass(frozen=True)
class Provenance:
    """Where a list comes from.

    Parameters
    ----------
    source
        Name of the raw source.
    model_version
        Version of the model that scored.
    freshness
        By log, the instant (UTC) at which its newest visible row became available.
    notes
        Sentences that the reader must see, e.g. that a cause had too few events.
    """

    source: str
    model_version: str
    freshness: Mapping[str, dt.datetime]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeeklyList:
    """The complete list of a week: what is released, and the record.

    Parameters
    ----------
    cutoff
        Cutoff of the list, UTC.
    labels
        Names of the horizons.
    base_rates
        As in ``Scored``, shape ``(causes, horizons)``.
    scores
        One row per eligible customer: see ``ranking.scores``, then ``more_scores``.
    listed
        Rows to hand out, sorted by queue and position, columns in reading order. Money is in minor
        units; risks are those of the queue's cause.
    explained
        The explanation of each row of ``listed``.
    record
        Listed and withheld rows by queue and rank: the columns of ``listed``, then ``status``,
        ``rank``, ``base_log_odds`` and ``contribution_<group>``. Not to be handed out.
    counts
        Number of customers by queue and status; every eligible customer counts once.
    totals, totals_before
        Totals of this list, and those of the last released list (None if there is none).
    gone
        Customers of the last list that are not on this one, see ``change.gone``; without those now
        withheld.
    gone_record
        The same with the withheld. Not to be handed out.
    gone_counts
        Number of rows of ``gone`` by queue and reason.
    settings
        Terms of the ranking.
    provenance
        Where the list comes from.
    previous
        Cutoff of the last released list; None for the first list.
    """

    cutoff: dt.datetime
    labels: tuple[str, ...]
    base_rates: NDArray[np.float64]
    scores: pd.DataFrame
    listed: pd.DataFrame
    explained: tuple[Explanation, ...]
    record: pd.DataFrame
    counts: Mapping[str, Mapping[str, int]]
    totals: Totals
    totals_before: Totals | None
    gone: pd.DataFrame
    gone_record: pd.DataFrame
    gone_counts: Mapping[str, Mapping[str, int]]
    settings: ListSettings
    provenance: Provenance
    previous: dt.datetime | None = None


def weekly_list(
    scored: Scored,
    policy: Policy,
    provenance: Provenance,
    contacted: Collection[str] = (),
    past: Past | None = None,
) -> WeeklyList:
    """Rank, withhold, explain, advise and compare with the last list.

    Parameters
    ----------
    scored
        Risks and features of every eligible customer.
    policy
        How customers are ranked, and what is advised.
    provenance
        Where the list comes from.
    contacted
        Customers contacted too recently to be called again.
    past
        The lists released before this one; None if there are none.

    Raises
    ------
    ValueError
        If the snapshots have more than one cutoff, or reasons do not add up to the served risk.
    """
    cutoffs = scored.snapshots[["cutoff", "cutoff_number"]].drop_duplicates()
    if len(cutoffs) != 1:
        raise ValueError(f"A list has one cutoff; the snapshots have {len(cutoffs)}.")
    cutoff = cutoffs["cutoff"].iloc[0].to_pydatetime()
    number = int(cutoffs["cutoff_number"].iloc[0])
    settings = policy.settings
    scores = ranking.scores(
        scored.snapshots,
        scored.risks,
        scored.labels,
        policy.kept,
        settings,
        number // settings.epoch_periods,
        contacted,
    ).assign(**scored.more_scores)
    rows, queue = _handed_out_or_withheld(scores, settings)
    explained = _explained(scored, rows, queue, settings)
    record = pd.concat(
        [
            _customers(scored, scores, rows, queue),
            _advice(explained, scored.snapshots.iloc[rows], queue, policy),
            change.risk_change(scores, rows, queue, scored.labels[0], past),
            _contributions(explained, groups_of(scored.catalog)),
        ],
        axis=1,
    )
    is_listed = record["status"] == ranking.LISTED
    record = record.join(change.movement(record[is_listed], past))
    record["weeks_on_list"] = record["weeks_on_list"].astype("Int64")
    record = _in_reading_order(record, scored.labels, provenance, settings.reasons)
    last = record.columns.get_loc("status")
    gone = change.gone(scores, scored.labels[0], past)
    handed_out = gone[gone["why"] != ranking.WITHHELD].reset_index(drop=True)
    return WeeklyList(
        cutoff=cutoff,
        labels=scored.labels,
        base_rates=scored.base_rates,
        scores=scores,
        listed=record.loc[is_listed, record.columns[:last]].reset_index(drop=True),
        explained=tuple(item for item, stays in zip(explained, is_listed, strict=True) if stays),
        record=record,
        counts=_counts(scores, settings),
        totals=change.totals(scores),
        totals_before=None if past is None else change.totals(past.scores),
        gone=handed_out,
        gone_record=gone,
        gone_counts=change.counts(handed_out, ranking.QUEUE_NAMES),
        settings=settings,
        provenance=provenance,
        previous=None if past is None else past.cutoffs[-1],
    )


def _handed_out_or_withheld(
    scores: pd.DataFrame, settings: ListSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the listed and withheld rows by queue and rank, and the number of each row's queue."""
    names = [queue.name for queue in settings.queues]
    chosen = scores[scores["status"].isin([ranking.LISTED, ranking.WITHHELD])]
    chosen = chosen.assign(number=chosen["queue"].map(names.index).astype("int64"))
    chosen = chosen.sort_values(["number", "rank"])
    return chosen.index.to_numpy(dtype=np.int64), chosen["number"].to_numpy()


def _explained(
    scored: Scored,
    rows: NDArray[np.int64],
    queue: NDArray[np.int64],
    settings: ListSettings,
) -> list[Explanation]:
    """Explain each row's risk of its queue's cause; check that reasons add up to that risk."""
    base = np.empty(rows.size)
    contributions = np.empty((rows.size, len(scored.catalog)))
    for c, cause in enumerate(CAUSES):
        members = queue == c
        if members.any():
            base[members], contributions[members] = scored.explain(rows[members], cause)
    explained = explanations(
        base, contributions, scored.X[rows], scored.catalog, settings.reasons, settings.currency
    )  # fmt: skip
    check_reconciled(explained, scored.risks[rows, queue, 0])
    return explained


def _customers(
    scored: Scored, scores: pd.DataFrame, rows: NDArray[np.int64], queue: NDArray[np.int64]
) -> pd.DataFrame:
    """Describe the rows: customer, risks, position and revenue at stake."""
    snapshots = scored.snapshots.iloc[rows].reset_index(drop=True)
    frame = snapshots.drop(columns=["renews_at", "activated_at"]).assign(
        renews_on=_dates(snapshots["renews_at"]),
        customer_since=_dates(snapshots["activated_at"]),
        **{f"risk_{label}": scored.risks[rows, queue, h] for h, label in enumerate(scored.labels)},
    )
    base_rate = scored.base_rates[queue, 0]
    frame["times_base"] = frame[f"risk_{scored.labels[0]}"] / np.where(
        base_rate > 0.0, base_rate, np.nan
    )
    scores = scores.iloc[rows].reset_index(drop=True)
    savings = scores[[f"saving_{name}" for name in ranking.QUEUE_NAMES]].to_numpy()
    frame["expected_loss"] = _cents(scores["expected_loss"].to_numpy())
    frame["expected_saving"] = _cents(savings[np.arange(rows.size), queue])
    ranked = ["queue", "other_queue", "status", "rank", "position"]
    return pd.concat([frame, scores[ranked]], axis=1)


def _dates(instants: pd.Series) -> pd.Series:
    """Return days in UTC; a date column even if it is empty or all null."""
    return pd.Series(instants.dt.date, dtype="date32[pyarrow]")


def _cents(amount: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(amount).astype(np.int64)


def _advice(
    explained: Sequence[Explanation],
    customers: pd.DataFrame,
    queue: NDArray[np.int64],
    policy: Policy,
) -> pd.DataFrame:
    """Return the reasons in words, and the actions that the playbook advises."""
    actions = [
        policy.playbook.action(
            ranking.QUEUE_NAMES[number],
            [reason.group for reason in item.raising],
            segment if isinstance(segment, str) else None,
            int(mrr),
        )
        for item, number, segment, mrr in zip(
            explained, queue, customers["segment"], customers["mrr"], strict=True
        )
    ]
    raising = {
        f"reason_{i + 1}": [
            item.raising[i].text if i < len(item.raising) else None for item in explained
        ]
        for i in range(policy.settings.reasons)
    }
    words = pd.DataFrame(
        raising
        | {
            "lowering_reason": [item.lowering and item.lowering.text for item in explained],
            "action": [action.text for action in actions],
            "action_channel": [action.channel for action in actions],
        },
        dtype="str",
    )
    due_days = np.array([action.due_days for action in actions], dtype="timedelta64[D]")
    due = customers["cutoff"].reset_index(drop=True) + due_days.astype("timedelta64[us]")
    return words.assign(due_on=_dates(due))


def _contributions(explained: Sequence[Explanation], groups: Sequence[str]) -> pd.DataFrame:
    """Return the log-odds of base and groups, for checks of the record."""
    columns = {"base_log_odds": [item.base for item in explained]} | {
        f"contribution_{group}": [item.groups[group] for item in explained] for group in groups
    }
    return pd.DataFrame(columns, dtype="float64")


def _in_reading_order(
    record: pd.DataFrame, labels: Sequence[str], provenance: Provenance, reasons: int
) -> pd.DataFrame:
    """Put the record's columns in reading order, those that are not handed out last."""
    newest = max(provenance.freshness.values(), default=None)
    record = record.assign(
        data_until=pd.Series(newest, index=record.index, dtype="datetime64[us, UTC]"),
        model_version=pd.Series(provenance.model_version, index=record.index, dtype="str"),
    )
    handed_out = [
        "queue", "position", "change", "weeks_on_list", "customer_id", "owner", "segment",
        "plan", "renews_on", "mrr",
        *(f"risk_{label}" for label in labels), "times_base", *change.CHANGE_COLUMNS,
        "expected_loss", "expected_saving",
        *(f"reason_{i}" for i in range(1, reasons + 1)), "lowering_reason",
        "action", "action_channel", "due_on", "other_queue",
        "billing_interval", "country", "channel", "customer_since",
        "cutoff", "data_until", "model_version",
    ]  # fmt: skip
    internal = ["status", "rank", "base_log_odds"]
    contributions = [name for name in record.columns if name.startswith("contribution_")]
    return record[handed_out + internal + contributions]


def _counts(scores: pd.DataFrame, settings: ListSettings) -> dict[str, dict[str, int]]:
    tally = scores.groupby(["queue", "status"]).size()
    return {
        queue.name: {status: int(tally.get((queue.name, status), 0)) for status in ranking.STATUSES}
        for queue in settings.queues
    }
