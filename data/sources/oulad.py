"""The source `oulad`: real behaviour of students, standing in for a subscription business.

Part of the Open University Learning Analytics Dataset (Kuzilek, Hlosta, Zdrahal, "Open University
Learning Analytics dataset", Scientific Data 4:170171, 2017; CC BY 4.0). An enrolment is a customer,
a click is use, a forum visit a contact, an assessment an invoice, unregistration a cancellation.
``docs/oulad.md`` says what stands in for what, and where the comparison limps.

The dataset gives days only, counted from the start of the presentation: a row of day d happened at
00:00 of d and could first be known at 00:00 of d + 1. ``studentInfo.csv`` is not read at all: its
``final_result`` tells the outcome.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from data.atomic import replaced_folder, write_table
from data.clock import MICROSECONDS_PER_DAY, Clock
from data.contracts import TABLES
from data.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

# Every presentation starts here, on the last cutoff at or before: else the earlier one would be
# over before the later one begins, and a recent test block would hold hardly a withdrawal.
DAY_ZERO = dt.datetime(2013, 9, 30, tzinfo=dt.UTC)
# Pretend money: nobody paid. One course costs the same in every month.
COURSE_MRR = 10_000
AMOUNT_PER_WEIGHT = 100
FORUMS = ("forumng", "oucollaborate", "ouelluminate")
# A computer-marked assessment bears the date of the marking run, 2 to 6 days after it was due, for
# everybody; it counts as missed when it is not recorded a week after its date.
RECORDED_WITHIN_DAYS = {"CMA": 7}

PRESENTATION = ["code_module", "code_presentation"]
COLUMNS = {
    "courses": [*PRESENTATION, "module_presentation_length"],
    "studentRegistration": [
        *PRESENTATION, "id_student", "date_registration", "date_unregistration",
    ],
    "studentVle": [*PRESENTATION, "id_student", "id_site", "date", "sum_click"],
    "vle": [*PRESENTATION, "id_site", "activity_type"],
    "assessments": [*PRESENTATION, "id_assessment", "assessment_type", "date", "weight"],
    "studentAssessment": ["id_assessment", "id_student", "date_submitted", "is_banked"],
}  # fmt: skip
TEXT = {*PRESENTATION, "activity_type", "assessment_type"}
NULLABLE = {
    ("studentRegistration", "date_registration"),
    ("studentRegistration", "date_unregistration"),
    ("assessments", "date"),
}


def read_oulad(folder: Path, target: Path, clock: Clock) -> dict[str, int]:
    """Turn the tables of OULAD into raw tables of the contract.

    Parameters
    ----------
    folder
        Holds ``courses.csv``, ``studentRegistration.csv``, ``studentVle.csv``, ``vle.csv``,
        ``assessments.csv`` and ``studentAssessment.csv`` as published, or fewer presentations.
    target
        Folder replaced by ``customers``, ``subscriptions``, ``usage``, ``tickets`` and ``payments``
        as ``.parquet``; untouched when anything is wrong.
    clock
        Its last cutoff at or before 2013-09-30 becomes day 0 of every presentation.

    Returns
    -------
    dict
        Table to number of rows.

    Raises
    ------
    BadInputError
        If a file or a column is missing, holds something else than numbers where numbers belong, or
        has no row.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder} is no folder: set ingest.path to the folder of OULAD.")
    tables = {name: _read(folder, name) for name in COLUMNS}
    enrolments = _enrolments(tables)
    clicks = _clicks(tables, enrolments)
    frames = {
        "customers": _customers(enrolments),
        "subscriptions": _subscriptions(enrolments),
        "usage": clicks,
        "tickets": _tickets(clicks),
        "payments": _payments(tables, enrolments),
    }
    start = clock.cutoff_us(clock.last_cutoff(int(DAY_ZERO.timestamp()) * 1_000_000))
    with replaced_folder(target) as writing:
        for name, frame in frames.items():
            write_table(_contract_table(name, frame, start), writing / f"{name}.parquet")
    return {name: len(frame) for name, frame in frames.items()}


def _read(folder: Path, name: str) -> pd.DataFrame:
    """Read columns of a file; numbers as float64, text as str."""
    path = folder / f"{name}.csv"
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"), encoding="utf-8")
    except FileNotFoundError:
        raise BadInputError(f"{path} is missing: get the whole of OULAD.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} is no readable CSV file ({error}): get it anew.") from error
    for column in COLUMNS[name]:
        if column not in frame:
            raise BadInputError(f"{path} lacks the column {column}: get the file anew.")
        if column in TEXT or column == "is_banked":
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("float64")
        wrong = frame[column][numbers.isna()]
        # Days that are not there mean something: never unregistered, an exam without a date.
        wrong = wrong.dropna() if (name, column) in NULLABLE else wrong
        if len(wrong):
            raise BadInputError(
                f"Column {column} of {path} is no number in {len(wrong):,} of {len(frame):,} rows, "
                f"e.g. {wrong.iloc[0]!r}: get the file anew."
            )
        frame[column] = numbers
    if frame.empty:
        raise BadInputError(f"{path} holds no row: get it anew.")
    return frame[COLUMNS[name]]


def _enrolments(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row an enrolment that came to begin: who, module, and the days of its course of events.

    Who had unregistered by the day on which the subscription would have begun never was a customer;
    that day is over before the activation is visible, so that this leaks nothing. A missing
    registration stays missing: the quality stage sets that customer aside.
    """
    rows = tables["studentRegistration"].merge(tables["courses"], on=PRESENTATION, how="left")
    rows["begins"] = rows["date_registration"].clip(lower=0).fillna(0)
    begun = ~(rows["date_unregistration"] <= rows["begins"])
    logger.info("oulad: %d enrolments ended before they began, left out", (~begun).sum())
    rows["customer_id"] = (
        rows["code_module"]
        + "-"
        + rows["code_presentation"]
        + "-"
        + rows["id_student"].astype("int64").astype("str")
    )
    return rows[begun].reset_index(drop=True)


def _customers(enrolments: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": enrolments["customer_id"],
            "signed_up_at": enrolments["date_registration"],
            "country": "GB",
            "segment": enrolments["code_module"],
        }
    )


def _subscriptions(enrolments: pd.DataFrame) -> pd.DataFrame:
    leaves = enrolments["date_unregistration"].notna()
    # Days by function: an empty part would take over the rows of a longer column.
    activated = enrolments.assign(kind="activated", day=lambda row: row["begins"])
    cancelled = enrolments[leaves].assign(
        kind="cancelled", day=lambda row: row["date_unregistration"], cause="voluntary"
    )
    ended = enrolments[~leaves].assign(
        kind="ended", day=lambda row: row["module_presentation_length"]
    )
    rows = pd.concat([activated, cancelled, ended], ignore_index=True)
    return pd.DataFrame(
        {
            "event_id": rows["customer_id"] + "-" + rows["kind"],
            "customer_id": rows["customer_id"],
            "event_at": rows["day"],
            "subscription_id": rows["customer_id"],
            "kind": rows["kind"],
            "plan": rows["code_module"] + "-" + rows["code_presentation"],
            "billing_interval": "month",
            "mrr": COURSE_MRR,
            # The course has an end known beforehand, which is where the contract runs to.
            "renews_at": rows["module_presentation_length"],
            "cause": rows["cause"],
        }
    )


def _clicks(tables: dict[str, pd.DataFrame], enrolments: pd.DataFrame) -> pd.DataFrame:
    """Every click row of an enrolment that began, repeated rows included, as usage."""
    clicks = tables["studentVle"].assign(row=range(1, len(tables["studentVle"]) + 1))
    clicks = clicks.merge(tables["vle"], on=[*PRESENTATION, "id_site"], how="left")
    clicks = clicks.merge(enrolments, on=[*PRESENTATION, "id_student"])
    return pd.DataFrame(
        {
            "event_id": "click-" + clicks["row"].astype("str"),
            "customer_id": clicks["customer_id"],
            "event_at": clicks["date"],
            "feature": clicks["activity_type"],
            "count": clicks["sum_click"],
        }
    )


def _tickets(clicks: pd.DataFrame) -> pd.DataFrame:
    """One contact a day and forum: opened, and solved on the same day.

    A visit has no answer of which the time is known; left open it would count as unsolved for ever.
    """
    visits = clicks[clicks["feature"].isin(FORUMS)]
    visits = visits.drop_duplicates(["customer_id", "event_at", "feature"])
    ticket = (
        visits["customer_id"]
        + "-"
        + visits["feature"]
        + "-"
        + visits["event_at"].astype("int64").astype("str")
    )
    opened = pd.DataFrame(
        {
            "event_id": ticket + "-opened",
            "customer_id": visits["customer_id"],
            "event_at": visits["event_at"],
            "ticket_id": ticket,
            "kind": "opened",
            "author": "customer",
            "category": visits["feature"],
            "channel": "forum",
        }
    )
    solved = opened.assign(event_id=ticket + "-solved", kind="solved", author=None)
    return pd.concat([opened, solved], ignore_index=True)


def _payments(tables: dict[str, pd.DataFrame], enrolments: pd.DataFrame) -> pd.DataFrame:
    """Assessments as invoices: due on their day, failed when that passes without a submission.

    Due and failed rows are those of enrolments that are registered on the day, which is known by
    its end. Submissions count whatever follows: to leave out those of students who unregister
    before the due day would tell of the unregistration before it happens.
    """
    assessments = tables["assessments"].dropna(subset="date")  # exams: no date, no submissions
    grace = assessments["assessment_type"].map(RECORDED_WITHIN_DAYS).fillna(0)
    assessments = assessments.assign(due=assessments["date"] + grace)
    rows = assessments.merge(enrolments, on=PRESENTATION).merge(
        tables["studentAssessment"], on=["id_assessment", "id_student"], how="left"
    )
    # Banked results were earned in an earlier year: nothing falls due in this one.
    rows = rows[~rows["is_banked"].isin([True, 1, "True"])]
    submitted = rows["date_submitted"]
    registered = (rows["begins"] <= rows["due"]) & ~(rows["date_unregistration"] <= rows["due"])
    missed = registered & ~(submitted <= rows["due"])
    events = pd.concat(
        [
            rows[registered].assign(kind="due", day=lambda row: row["due"]),
            rows[missed].assign(
                kind="failed", day=lambda row: row["due"], decline_code="not_submitted"
            ),
            rows[submitted.notna()].assign(kind="succeeded", day=lambda row: row["date_submitted"]),
        ],
        ignore_index=True,
    )
    invoice = events["customer_id"] + "-" + events["id_assessment"].astype("int64").astype("str")
    return pd.DataFrame(
        {
            "event_id": invoice + "-" + events["kind"],
            "customer_id": events["customer_id"],
            "event_at": events["day"],
            "invoice_id": invoice,
            "kind": events["kind"],
            "amount": (events["weight"] * AMOUNT_PER_WEIGHT).round(),
            "due_at": events["due"],
            "decline_code": events["decline_code"],
        }
    )


def _contract_table(name: str, frame: pd.DataFrame, start: int) -> pa.Table:
    """Return the rows in the contract's schema, sorted by customer and time.

    Instants come as days from the start of the presentation, which is at ``start`` microseconds.
    """
    table = TABLES[name]
    frame = frame.copy()
    if table.is_log:
        frame["available_at"] = frame["event_at"] + 1
    keys = ["customer_id", "event_at", "available_at", "event_id"] if table.is_log else []
    frame = frame.sort_values(keys or "customer_id", kind="stable")
    columns = []
    for column in table.columns:
        if column.name not in frame:
            columns.append(pa.nulls(len(frame), table.schema.field(column.name).type))
            continue
        values = frame[column.name]
        if column.type == "instant":
            values = values * MICROSECONDS_PER_DAY + start
        if column.type != "string":
            values = values.astype("Int64")
        array = pa.array(values, from_pandas=True)
        columns.append(array.cast(table.schema.field(column.name).type))
    return pa.Table.from_arrays(columns, schema=table.schema)
