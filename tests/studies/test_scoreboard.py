"""The scoreboard measures rivals on OULAD as its page has it."""

from __future__ import annotations

from typing import Any

import yaml

from reading.oulad_page import changes
from studies.scoreboard import OULAD


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
