"""The source `oulad`: real behaviour of students in place of a subscription business.

Part of the Open University Learning Analytics Dataset (Kuzilek, Hlosta, Zdrahal, "Open University
Learning Analytics dataset", Scientific Data 4:170171, 2017; CC BY 4.0). An enrolment is a customer,
a click is use, a forum visit a contact, an assessment an invoice, unregistration a cancellation.
``docs/oulad.md`` lists what stands in for what, and the limits of the comparison.

The dataset gives days only, counted from the start of the presentation: a row of day d happened at
00:00 of d and could first be known at 00:00 of d + 1. ``studentInfo.csv`` is not read at all, as
its ``final_result`` gives the outcome away.
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
from data.sources import check_folder

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

# Every presentation starts on the last cutoff at or before this day. Otherwise the earlier one
# would be over before the later one begins, and a recent test block would have hardly any
# withdrawals.
DAY_ZERO = dt.datetime(2013, 9, 30, tzinfo=dt.UTC)
# Fictitious money: students did not pay it. A course costs the same every month.
COURSE_MRR = 10_000
AMOUNT_PER_WEIGHT = 100
FORUMS = ("forumng", "oucollaborate", "ouelluminate")
# All computer-marked assessments have the date of the marking run, 2 to 6 days after they were due;
# one counts as missed if it is not recorded within a week of its date.
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
    """Convert the tables of OULAD to raw tables of the contract.

    Parameters
    ----------
    folder
        Folder of ``courses.csv``, ``studentRegistration.csv``, ``studentVle.csv``, ``vle.csv``,
        ``assessments.csv`` and ``studentAssessment.csv`` as published, or fewer presentations.
    target
        Folder replaced by ``customers``, ``subscriptions``, ``usage``, ``tickets`` and ``payments``
        as ``.parquet``; untouched if anything is wrong.
    clock
        Its last cutoff at or before 2013-09-30 becomes day 0 of every presentation.

    Returns
    -------
    dict
        Table to number of rows.

    Raises
    ------
    BadInputError
        If a file or a column is missing, a file has no rows, or a column of numbers holds anything
        else.
    """
    check_folder(folder)
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
        raise BadInputError(f"{path} is missing: download all files of OULAD.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{path} cannot be read as CSV ({error}): download it again."
        ) from error
    for column in COLUMNS[name]:
        if column not in frame:
            raise BadInputError(f"{path} lacks the column {column}: download it again.")
        if column in TEXT or column == "is_banked":
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("float64")
        wrong = frame[column][numbers.isna()]
        # A missing day has a meaning: never unregistered, or an exam without a date.
        wrong = wrong.dropna() if (name, column) in NULLABLE else wrong
        if len(wrong):
            raise BadInputError(
                f"Column {column} of {path} is not a number in {len(wrong):,} of {len(frame):,} "
                f"rows, e.g. {wrong.iloc[0]!r}: download it again."
            )
        frame[column] = numbers
    if frame.empty:
        raise BadInputError(f"{path} has no rows: download it again.")
    return frame[COLUMNS[name]]


def _enrolments(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per enrolment that began: customer, module, and the days of its events.

    Anyone who unregistered before the subscription would have begun, or on that day, was never a
    customer. That day is over before the activation is visible, so this is not a leak. A missing
    registration stays missing: the quality stage quarantines that customer.
    """
    rows = tables["studentRegistration"].merge(tables["courses"], on=PRESENTATION, how="left")
    rows["begins"] = rows["date_registration"].clip(lower=0).fillna(0)
    begun = ~(rows["date_unregistration"] <= rows["begins"])
    logger.info("oulad: ignored %d enrolments that ended before they began", (~begun).sum())
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
    # Days are assigned by functions: a column would add its rows to an empty part.
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
            # The end of the course is known beforehand; the contract runs until then.
            "renews_at": rows["module_presentation_length"],
            "cause": rows["cause"],
        }
    )


def _clicks(tables: dict[str, pd.DataFrame], enrolments: pd.DataFrame) -> pd.DataFrame:
    """Return all clicks of enrolments that began as usage, repeated rows included."""
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
    """Return one contact per day and forum, opened and solved on the same day.

    The time of an answer to a visit is not known; left open, it would count as unsolved for ever.
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
    """Return assessments as invoices: due on their day, failed if it passes without a submission.

    Due and failed rows exist for enrolments that are registered on that day, which is known at its
    end. All submissions count: leaving out those of students who unregister before the due day
    would reveal the unregistration before it happens.
    """
    assessments = tables["assessments"].dropna(subset="date")  # exams: no date, no submissions
    grace = assessments["assessment_type"].map(RECORDED_WITHIN_DAYS).fillna(0)
    assessments = assessments.assign(due=assessments["date"] + grace)
    rows = assessments.merge(enrolments, on=PRESENTATION).merge(
        tables["studentAssessment"], on=["id_assessment", "id_student"], how="left"
    )
    # Banked results were earned in an earlier year: they are not due in this one.
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
    """Return rows in the schema of the contract, sorted by customer and time.

    Instants are given as days from the start of the presentation, at ``start`` microseconds.
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
