"""Bad input ends in one clear sentence, and leaves what earlier runs wrote untouched."""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.clock import Clock
from data.coded import coded
from data.contracts import INSTANT, TABLES
from data.contracts import OUTCOMES as NAMES
from data.errors import BadInputError
from data.sources.simulated.world import simulate
from data.sources.simulated.world_settings import WorldSettings
from pipelines.stage import run_stage
from retention.playbook import PLAYBOOK, load_playbook
from worlds.project import ROOT, SMALL, STAGES, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Change = Callable[[pa.Table], pa.Table]
    Spoil = Callable[[Project], object]

WEEKS = 60
START = dt.date(2024, 1, 1)
END = START + dt.timedelta(weeks=WEEKS)
# Windows, horizons and slices that just fit into the weeks.
SETTINGS = SMALL | {
    "engine.threads": 1,
    "ingest.source": "files",
    "ingest.path": "logs",
    "snapshot.horizons": [2, 4],
    "snapshot.undo_days": 7,
    "featurize.windows": [1, 4, 8],
    "train.stop_periods": 4,
    "train.calibrate_periods": 4,
    "train.test_periods": 4,
    "train.min_events": 5,
    "train.lightgbm.num_boost_round": 10,
}
BEFORE = {stage: STAGES[:number] for number, stage in enumerate(STAGES)}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which every stage but the last went well."""
    project = Project(tmp_path_factory.mktemp("good"), SETTINGS)
    world = WorldSettings(seed=3, customers=400, weeks=WEEKS, start=START, arrival_weeks=WEEKS)
    simulate(world, Clock(), project / "logs", None, (2, 4))
    project.run(*STAGES[:-1])
    before = project.bytes_below(".")
    yield project
    assert project.bytes_below(".") == before, "a test wrote through a link"


@pytest.fixture
def project(good: Project, tmp_path: Path) -> Project:
    """A copy of the good project, to be broken: its files are links, replaced and never edited."""
    copy = Project(tmp_path / "project", SETTINGS)
    own = shutil.ignore_patterns("params.yaml")
    shutil.copytree(good.folder, copy.folder, ignore=own, copy_function=os.link, dirs_exist_ok=True)
    return copy


def replace_table(table: pa.Table, path: Path) -> None:
    """Write a table in a file's place."""
    path.unlink()
    pq.write_table(table, path)


def replace_bytes(content: bytes, path: Path) -> None:
    """Write bytes in a file's place."""
    path.unlink()
    path.write_bytes(content)


def outputs(project: Project) -> dict[str, bytes]:
    """Outputs of the stages, except for the rows of a run that stopped."""
    written = project.bytes_below("data", "reports")
    return {path: read for path, read in written.items() if not path.startswith("reports/refused/")}


def is_one_sentence(message: str) -> bool:
    return "\n" not in message and message.endswith(".") and len(message) < 600


def refused(project: Project, stage: str) -> str:
    """Run a stage in this process and return its message; outputs stay byte for byte."""
    before = outputs(project)
    with pytest.raises(BadInputError) as caught:
        project.run(stage)
    assert outputs(project) == before
    assert is_one_sentence(str(caught.value)), caught.value
    return str(caught.value)


def refused_as_command(project: Project, stage: str) -> str:
    """Run a stage as DVC does and return its message; outputs stay byte for byte."""
    before = outputs(project)
    done = project.command(stage)
    assert outputs(project) == before
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    assert done.stderr.count("Error: ") == 1
    assert last.startswith("Error: ")
    assert is_one_sentence(last), last
    return last


# Ways to break something.


def both(*spoils: Spoil) -> Spoil:
    return lambda project: [spoil(project) for spoil in spoils]


def setting(key: str, value: Any) -> Spoil:
    return lambda project: project.set({key: value})


def remove(*paths: str) -> Spoil:
    def spoil(project: Project) -> None:
        for path in paths:
            target = project / path
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()

    return spoil


def rewrite(path: str, change: Change) -> Spoil:
    return lambda project: replace_table(change(pq.read_table(project / path)), project / path)


def column(name: str, values: Callable[[pa.ChunkedArray], Any]) -> Change:
    """Replace a column by a function of itself."""
    return lambda table: table.set_column(table.column_names.index(name), name, values(table[name]))


def without_kinds(*kinds: str) -> Change:
    return lambda table: table.filter(pc.invert(pc.is_in(table["kind"], pa.array(kinds))))


def newest_weeks(weeks: int) -> Spoil:
    """Keep the end of every log, and all customers."""

    def spoil(project: Project) -> None:
        begin = pa.scalar(END - dt.timedelta(weeks=weeks)).cast(pa.timestamp("us")).cast(INSTANT)
        for name in TABLES.keys() - {"customers"}:
            path = project / f"logs/{name}.parquet"
            table = pq.read_table(path)
            replace_table(table.filter(pc.greater(table["event_at"], begin)), path)

    return spoil


@dataclass(frozen=True)
class Case:
    """Bad input: the stage that refuses it, how it is made, and the message."""

    stage: str
    spoil: Spoil
    sentence: str
    # Earlier stages that accept the bad input.
    passes: tuple[str, ...] = ()


OUTCOMES = "data/snapshots/outcomes.parquet"
PAYMENTS, SUBSCRIPTIONS, SURVEYS, TICKETS, USAGE = (
    f"logs/{name}.parquet" for name in ("payments", "subscriptions", "surveys", "tickets", "usage")
)
CASES: dict[str, Case] = {
    "missing file": Case(
        "ingest", remove("logs/customers.parquet"),
        r"logs has no customers\.parquet, customers\.csv or folder customers: add one",
    ),
    "missing folder": Case("ingest", remove("logs"), r"logs is not a folder: set ingest\.path"),
    "path that does not exist": Case(
        "ingest", setting("ingest.path", "/no/where"), r"/no/where is not a folder: set"
    ),
    "path of a file": Case(
        "ingest", setting("ingest.path", "params.yaml"), r"params\.yaml is not a folder"
    ),
    "neither subscriptions nor usage": Case(
        "ingest", remove(SUBSCRIPTIONS, USAGE), r"logs has no source of outcomes: add subscript"
    ),
    "missing column": Case(
        "ingest", rewrite(PAYMENTS, lambda table: table.drop_columns(["kind"])),
        r"logs/payments\.parquet lacks the required column kind .* add it, or give its name",
    ),
    "missing column of the mapping": Case(
        "ingest", setting("ingest.columns", {"usage": {"count": "hits"}}),
        r"usage\.parquet lacks the column 'hits' that ingest\.columns gives for count",
    ),
    "wrong type": Case(
        "ingest", rewrite(USAGE, column("count", lambda old: pa.array(["many"] * len(old)))),
        r"Column count of logs/usage\.parquet is not a whole number in ([\d,]+) of \1 rows, e\.g\. "
        r"'many': fix the source",
    ),
    "wrong type of an instant": Case(
        "ingest", rewrite(TICKETS, column("event_at", lambda old: old.cast(pa.int64()))),
        r"Column event_at of logs/tickets\.parquet is not an instant in ISO 8601",
    ),
    "mixed currency": Case(
        "ingest",
        rewrite(PAYMENTS, column("currency", lambda old: pa.array(
            ["USD", *old.to_pylist()[1:]], old.type
        ))),
        r"logs/payments\.parquet has 1 of [\d,]+ rows in a currency other than EUR, e\.g\. 'USD'",
    ),
    "empty log": Case(
        "ingest", rewrite(USAGE, lambda table: table.slice(0, 0)),
        r"logs/usage\.parquet has no rows: export it again, or remove it",
    ),
    "no Parquet": Case(
        "ingest", lambda project: replace_bytes(b"tickets", project / TICKETS),
        r"logs/tickets\.parquet cannot be read as Parquet .*: export it again",
    ),
    "OULAD without its tables": Case(
        "ingest", setting("ingest.source", "oulad"), r"logs/\w+\.csv is missing: download all"
    ),
    "raw file gone": Case(
        "validate", remove("data/raw/customers.parquet"), r"data/raw/customers\.parquet is missing"
    ),
    "limit for no rule": Case(
        "validate", setting("validate.share_limits", {"usage.unknown": 0.1}),
        r"share_limits has no rule 'usage\.unknown'",
    ),
    "no row without a fault": Case(
        "validate",
        both(
            rewrite(SURVEYS, column("score", lambda old: pc.subtract(-1, old))),
            setting("validate.share_limit", 1.0),
        ),
        r"All [\d,]+ rows of surveys break a rule: inspect them in \S+surveys\.",
        BEFORE["validate"],
    ),
    "no log that decides who left": Case(
        "snapshot", remove(SUBSCRIPTIONS),
        r"snapshot\.rule is contract, which needs the subscriptions log .* is none: add it",
        BEFORE["snapshot"],
    ),
    "no churn": Case(
        "snapshot",
        rewrite(SUBSCRIPTIONS, without_kinds("cancel_scheduled", "cancelled", "ended")),
        r"No customer in the subscriptions log ever churned, in [\d,]+ lifetimes, .* check that",
        BEFORE["snapshot"],
    ),
    "no churn but contracts that ran out": Case(
        "snapshot",
        both(
            rewrite(SUBSCRIPTIONS, without_kinds("cancel_scheduled")),
            rewrite(SUBSCRIPTIONS, column("kind", lambda old: pc.replace_with_mask(
                old.combine_chunks(), pc.equal(old, "cancelled").combine_chunks(), "ended"
            ))),
        ),
        r"No customer in the subscriptions log ever churned, in [\d,]+ lifetimes, .* check that",
        BEFORE["snapshot"],
    ),
    "nobody ever silent": Case(
        "snapshot",
        both(setting("snapshot.rule", "inactivity"), setting("snapshot.silent_periods", WEEKS)),
        r"No customer in the usage log ever churned, .* lower snapshot\.silent_periods",
    ),
    "history shorter than the windows": Case(
        "snapshot", newest_weeks(6),
        r"The logs cover \d periods up to 2025-02-24, fewer than the 9 that "
        r"snapshot\.history_periods = 8 needs: provide a longer history or lower it",
        BEFORE["snapshot"],
    ),
    "as of a day after the logs": Case(
        "snapshot", setting("snapshot.as_of", "2030-01-07"),
        r"snapshot\.as_of is 2030-01-07, but the logs reach only to the cutoff of 2025-02-24",
    ),
    "as of a day before the logs": Case(
        "snapshot", setting("snapshot.as_of", "2020-01-06"),
        r"The logs cover .* periods up to 2020-01-06, fewer than the 9 that",
    ),
    "history without a known outcome": Case(
        "train", setting("snapshot.as_of", "2024-03-11"),
        r"None of the [\d,]+ snapshots in data/snapshots/outcomes\.parquet has a known outcome",
        ("snapshot", "featurize"),
    ),
    "history shorter than the slices": Case(
        "train", newest_weeks(32),
        r"The history is too short: \d+ periods of snapshots are needed .* but there are \d+",
        BEFORE["train"],
    ),
    "history shorter than the test blocks": Case(
        "evaluate", setting("train.test_blocks", 20),
        r"The history is too short: .* 20 test block\(s\) of 4",
    ),
    "no churn in the train slice": Case(
        "train",
        rewrite(OUTCOMES, column("outcome_2w", lambda old: coded(
            np.where(old.is_null(), -1, 0), NAMES
        ))),
        r"There is no churn at all among the [\d,]+ snapshots to train on",
    ),
    "horizons changed since the snapshots": Case(
        "train", setting("snapshot.horizons", [1, 3]),
        r"outcomes\.parquet lacks mrr_3w, outcome_1w, outcome_3w: "
        r"snapshot\.horizons changed .* dvc repro",
    ),
    "features of other snapshots": Case(
        "train", setting("snapshot.salt", "other"),
        r"features\.parquet does not have the rows of the snapshots, .* run dvc repro",
        ("snapshot",),
    ),
    "no model": Case(
        "score", remove("data/model"), r"There is no model at data/model/model\.json: train one"
    ),
    "model of other features": Case(
        "score", setting("featurize.windows", [1, 4, 6]),
        r"The features are not those that the competing_risks model was trained on .* retrain it",
        ("featurize",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_one_sentence_and_changes_no_output(project: Project, case: Case) -> None:
    case.spoil(project)
    project.run(*case.passes)
    message = refused(project, case.stage)
    assert re.search(case.sentence, message), message


@pytest.mark.parametrize(
    "name",
    [
        "missing column",
        "no row without a fault",
        "history shorter than the windows",
        "horizons changed since the snapshots",
        "history shorter than the test blocks",
        "model of other features",
    ],
)
def test_the_command_exits_with_1_and_that_sentence_alone(project: Project, name: str) -> None:
    case = CASES[name]
    case.spoil(project)
    project.run(*case.passes)
    message = refused_as_command(project, case.stage)
    assert re.search(case.sentence, message), message


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("train.depth", 3, "params.yaml: there is no parameter train.depth: correct the name"),
        (
            "snapshot.as_of",
            "2024-01-03",
            "params.yaml: 2024-01-03 is not a cutoff: cutoffs fall",
        ),
    ],
)
def test_every_stage_refuses_bad_parameters(
    project: Project, stage: str, key: str, value: Any, sentence: str
) -> None:
    project.set({key: value})
    assert refused(project, stage).startswith(sentence)


@pytest.mark.parametrize("content", [b"", b"train: [", b"\xff\xfe", b"- train"])
def test_an_invalid_params_file_is_one_sentence(project: Project, content: bytes) -> None:
    (project / "params.yaml").write_bytes(content)
    assert refused(project, "ingest").startswith("params.yaml ")
    message = refused_as_command(project, "params")
    assert message.startswith("Error: params.yaml ")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("rules:", "rulse:", r"playbook\.yaml breaks a rule at rulse: Extra inputs"),
        ("queue: billing", "queue: billings", r"playbook\.yaml breaks a rule at rules\.\d+\.queue"),
        ("actions:", "actions: [", r"playbook\.yaml is not valid YAML"),
    ],
)
def test_a_broken_playbook_stops_the_list(
    project: Project, monkeypatch: pytest.MonkeyPatch, old: str, new: str, sentence: str
) -> None:
    text = PLAYBOOK.read_text(encoding="utf-8")
    assert old in text
    path = project / "playbook.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    broken = functools.partial(load_playbook, path)
    monkeypatch.setattr("pipelines.score.load_playbook", broken)
    message = refused(project, "score")
    assert re.search(sentence, message), message


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////nowhere/mlflow.db"])
def test_an_unreachable_mlflow_leaves_the_list_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    message = refused_as_command(project, "publish")
    assert message.startswith(f"Error: MLflow at {uri} can't be used (")
    assert message.endswith("then run dvc repro publish.")


@pytest.mark.slow  # SQLite waits for the lock
def test_a_locked_mlflow_leaves_the_list_alone(project: Project) -> None:
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        store.execute("create table something (x)")
        store.execute("begin exclusive")
        message = refused_as_command(project, "publish")
    assert "can't be used (database is locked); the weekly list is unaffected" in message


@pytest.mark.parametrize("room_kib", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_list_alone(project: Project, room_kib: int) -> None:
    """On a disk of its own that fills up while pictures are drawn, or MLflow writes."""
    before = project.bytes_below("data/scores")
    disk = project / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=256m tmpfs {disk}
        cp -a {project / "data"} {project / "reports"} {project / "params.yaml"} {disk}
        cd {disk}
        left=$(df -k --output=avail . | tail -1)
        head -c $(( (left - {room_kib}) * 1024 )) /dev/zero > filler
        {sys.executable} -m pipelines.publish
        echo $? > {project / "code"}
        rm -rf {project / "after"} && cp -a data/scores {project / "after"}
    """
    done = subprocess.run(  # noqa: S603 - the command is ours
        ["unshare", "--mount", "sh", "-c", script],  # noqa: S607
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"No disk of its own can be mounted here: {done.stderr}")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert (project / "code").read_text() == "1\n", done.stderr
    assert len(errors) == 1
    assert is_one_sentence(errors[0])
    assert "full" in errors[0]
    assert "Traceback" not in done.stderr
    after = project.bytes_below("after")
    assert [after[path.replace("data/scores", "after")] for path in before] == [*before.values()]


def test_too_little_memory_is_one_sentence(project: Project) -> None:
    project.set({"engine.memory_limit": "1MB"})
    message = refused_as_command(project, "validate")
    assert message.startswith("Error: params.yaml: engine.memory_limit is too low")


# The first output of another stage that each stage needs.
FIRST_NEEDED = {
    "validate": "data/raw/customers.parquet",
    "snapshot": "data/clean",
    "featurize": "data/clean",
    "train": "data/snapshots/outcomes.parquet",
    "evaluate": "data/snapshots/outcomes.parquet",
    "score": "data/snapshots/snapshots.parquet",
    "publish": "reports/evaluation/evaluation.json",
    "commands.summary": "data/scores/list.parquet",
}


@pytest.mark.parametrize("stage", FIRST_NEEDED)
def test_a_stage_that_runs_too_early_names_the_missing_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
) -> None:
    empty = Project(tmp_path / "empty", SETTINGS)
    # Settings of the command would outlive the test.
    monkeypatch.setattr("logging.captureWarnings", lambda capture: None)
    with empty.inside(), pytest.raises(SystemExit) as stopped:
        run_stage(importlib.import_module(f"pipelines.{stage}").main)
    assert stopped.value.code == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"Error: {FIRST_NEEDED[stage]} is missing: ")
    assert is_one_sentence(message)
    assert outputs(empty) == {}


@pytest.mark.parametrize(
    ("stage", "gone"),
    [("featurize", "data/snapshots/snapshots.parquet"), ("score", "reports/snapshots.json")],
)
def test_a_missing_output_is_named(project: Project, stage: str, gone: str) -> None:
    (project / gone).unlink()
    message = refused_as_command(project, stage)
    assert message.startswith(f"Error: {gone} is missing: run the stages")


def test_a_missing_file_that_no_stage_writes_is_a_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("logging.captureWarnings", lambda capture: None)

    def fault() -> None:
        raise FileNotFoundError(2, "No such file or directory", "retention/templates/page.html")

    with pytest.raises(FileNotFoundError):
        run_stage(fault)


# Rows that break a rule: the table, the rule, and what makes a row break it.
BREAKS: dict[str, tuple[str, str, str, Any]] = {
    "unknown kinds": ("tickets", "unknown_kind", "kind", "exploded"),
    "duplicate ids": ("usage", "duplicate_event_id", "event_id", None),
    "an event before its customer exists": (
        "usage", "before_sign_up", "event_at", dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    ),
    "a negative amount": ("payments", "amount_below_0", "amount", -1),
    "an unknown customer": ("payments", "unknown_customer", "customer_id", "nobody"),
}  # fmt: skip


def break_rows(project: Project, fault: str, share: float) -> int:
    """Break a share of the sound rows of a log; return their number."""
    name, _, broken, value = BREAKS[fault]
    raw = pq.read_table(project / f"data/raw/{name}.parquet")["event_id"]
    clean = pq.read_table(project / f"data/clean/{name}.parquet")["event_id"]
    ids, copies = pc.value_counts(raw).flatten()
    single = clean.filter(pc.is_in(clean, ids.filter(pc.equal(copies, 1))))
    number = int(share * len(raw))
    first, others = single[0].as_py(), single[1 : number + 1].combine_chunks()
    table = pq.read_table(project / f"logs/{name}.parquet")
    position = table.column_names.index(broken)
    values = pa.scalar(first if value is None else value, table.schema.types[position])
    hit = pc.is_in(table["event_id"], others).combine_chunks()
    cells = pc.replace_with_mask(table[broken].combine_chunks(), hit, values)
    replace_table(table.set_column(position, broken, cells), project / f"logs/{name}.parquet")
    return number


def counted_rules(project: Project, path: str) -> dict[str, int]:
    """Rows of a quarantined table by the rule that they broke."""
    return Counter(pq.read_table(project / path)["rule"].to_pylist())


@pytest.mark.parametrize("fault", BREAKS)
def test_a_few_broken_rows_land_in_quarantine_with_their_rule(project: Project, fault: str) -> None:
    name, rule, *_ = BREAKS[fault]
    before = json.loads((project / "reports/quality.json").read_text())
    number = break_rows(project, fault, share=0.01)
    project.run("ingest", "validate")
    after = json.loads((project / "reports/quality.json").read_text())
    for table in before:
        source = pq.read_metadata(project / f"logs/{table}.parquet").num_rows
        clean = pq.read_metadata(project / f"data/clean/{table}.parquet").num_rows
        rules = counted_rules(project, f"data/quarantine/{table}.parquet")
        assert source == clean + sum(rules.values()) == after[table]["rows"]
        expected = dict(before[table]["rules"])
        if table == name:
            expected[rule] = expected.get(rule, 0) + number
        assert rules == expected == after[table]["rules"]
    assert not (project / "reports/refused").exists()


@pytest.mark.parametrize("fault", BREAKS)
def test_many_broken_rows_stop_the_run_and_can_be_inspected(project: Project, fault: str) -> None:
    name, rule, *_ = BREAKS[fault]
    number = break_rows(project, fault, share=0.05)
    project.run("ingest")
    message = refused(project, "validate")
    match = re.fullmatch(
        rf"In ([\d,]+) of the [\d,]+ rows of {name} \([\d.]+%, limit 2\.0%\) .+ \(rule {rule}\): "
        rf"inspect them in (reports/refused/{name}\.parquet), then fix the source or raise "
        rf"validate\.share_limits for {name}\.{rule}\.",
        message,
    )
    assert match, message
    assert counted_rules(project, match[2])[rule] == int(match[1].replace(",", "")) >= number


def test_quarantined_rows_are_gone_once_the_source_is_fixed(project: Project) -> None:
    source = (project / PAYMENTS).read_bytes()
    good = outputs(project)
    break_rows(project, "a negative amount", share=0.05)
    project.run("ingest")
    refused(project, "validate")
    replace_bytes(source, project / PAYMENTS)
    project.run("ingest", "validate")
    assert outputs(project) == good
    assert not (project / "reports/refused").exists()
