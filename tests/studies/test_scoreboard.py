"""The scoreboard: every rival on a small world, and the settings of OULAD's page."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from reading.oulad_page import changes
from studies import scoreboard
from studies.scoreboard import OULAD
from worlds.project import SMALL, STAGES, Project


def test_the_settings_of_oulad_are_those_of_its_page() -> None:
    page: dict[str, dict[str, Any]] = {}
    for change in changes():
        key, _, text = change.partition("=")
        section, _, name = key.partition(".")
        page.setdefault(section, {}).update(
            {name: yaml.safe_load(text)} if name else yaml.safe_load(text)
        )
    assert page.pop("score") == {"contact_cost": 0}  # the scoreboard makes no list
    assert page["ingest"].pop("path")  # given on the command line
    assert {name: OULAD[name] for name in page} == page
    assert OULAD.keys() - page.keys() == {"tune"}


def test_the_script_of_the_cox_model_is_there() -> None:
    assert scoreboard.COX[1].is_file()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which all stages but the last have run."""
    project = Project(tmp_path_factory.mktemp("scoreboard"), SMALL)
    project.run(*STAGES[:-1])
    return project


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_scoreboard_tunes_and_measures_every_rival_that_can_run(
    done: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoreboard, "COX", (done / "no-python", done / "no-script"))
    with done.inside():
        text, chosen = scoreboard.section("A small world", 1)
        grown = scoreboard.larger_section(chosen, 2)
    for rival in (
        "gradient boosting",
        "logistic regression",
        "recency rule",
        "base rate",
        "oracle",
    ):
        assert text.count(f"| {rival} | ") == 7  # comparison, and one table per cause and horizon
    assert "cox" not in text
    assert "tuned with 1 trials" in text
    control = text.split("### Control: shuffled outcomes")[1]
    # Whether it is 0.5 is tested where there are more churners than in so small a world.
    assert len(re.findall(r"^- \w+ \d+w: 0\.\d{3} \(", control, re.MULTILINE)) == 6
    counted = r"^### Voluntary churn within 4w\n\n([\d,]+) test"
    rows = [
        int(count.replace(",", ""))
        for report in (text, grown)
        for count in re.findall(counted, report, re.MULTILINE)
    ]
    assert rows[1] == pytest.approx(2 * rows[0], rel=0.15)
    assert grown.count("| logistic regression | ") == 3
