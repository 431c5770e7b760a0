"""The playbook: which action for which reasons, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import BadInputError
from features.catalog import REASON_GROUPS
from retention.playbook import PLAYBOOK, Playbook, load_playbook

SMALL = """
mrr_bands: {small: 0, large: 100000}
actions:
  call: {text: Call them, channel: phone, due_days: 2}
  write: {text: Write to them, channel: email, due_days: 4}
  visit: {text: Visit them, channel: meeting, due_days: 7}
default: {success: call, billing: write}
rules:
  - {queue: success, reason: price, segment: [bank, shop], mrr_band: large, action: visit}
  - {queue: success, reason: [price, plan], action: write}
  - {queue: billing, mrr_band: large, action: visit}
  - {queue: billing, among: tenure, action: call}
  - {queue: billing, reason: price, among: [plan, tenure], action: call}
"""


def playbook(tmp_path: Path, text: str = SMALL) -> Playbook:
    path = tmp_path / "playbook.yaml"
    path.write_text(text, encoding="utf-8")
    return load_playbook(path, {"price", "plan", "tenure"})


@pytest.mark.parametrize(
    ("queue", "reasons", "segment", "mrr", "action"),
    [
        ("success", ["price"], "bank", 100_000, "visit"),
        ("success", ["price"], "bank", 99_999, "write"),
        ("success", ["price"], None, 100_000, "write"),
        ("success", ["plan"], "bank", 100_000, "write"),
        ("success", ["tenure"], "bank", 100_000, "call"),
        ("success", ["tenure", "plan"], "bank", 0, "write"),
        ("success", ["plan", "price"], "bank", 100_000, "write"),
        ("success", [], None, 0, "call"),
        ("billing", ["price"], "bank", 100_000, "visit"),
        ("billing", ["price"], "bank", 0, "write"),
        ("billing", [], "bank", 100_000, "write"),
        ("billing", ["price", "tenure"], None, 0, "call"),
        ("billing", ["tenure", "price"], None, 100_000, "visit"),
        ("billing", ["price", "plan"], None, 0, "call"),
        ("billing", ["plan"], None, 0, "write"),
    ],
)
def test_the_first_rule_that_fits_the_strongest_reason_decides(
    tmp_path: Path, queue: str, reasons: list[str], segment: str | None, mrr: int, action: str
) -> None:
    assert playbook(tmp_path).action(queue, reasons, segment, mrr).name == action


def test_an_action_says_what_where_and_when(tmp_path: Path) -> None:
    action = playbook(tmp_path).action("success", [], None, 0)
    assert (action.text, action.channel, action.due_days) == ("Call them", "phone", 2)


def test_the_playbook_of_the_package_is_sound_and_covers_every_reason_that_can_be_acted_on() -> (
    None
):
    book = load_playbook(PLAYBOOK, REASON_GROUPS)
    covered = {reason for rule in book.rules for reason in rule.reason or ()}
    covered |= {reason for rule in book.rules for reason in rule.among or ()}
    # Neither the age nor the kind of a customer can be changed.
    assert covered == set(REASON_GROUPS) - {"relationship", "profile"}
    used = {rule.action for rule in book.rules} | set(book.default.values())
    assert used == set(book.actions), "an action that no rule leads to"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rules:", "rulez:", "rulez: Extra inputs are not permitted"),
        ("queue: billing", "queue: marketing", r"rules\.2\.queue: .*'success' or 'billing'"),
        ("due_days: 7", "due_days: soon", r"actions\.visit\.due_days: .*integer"),
        ("due_days: 7", "due_days: -1", r"actions\.visit\.due_days: .*greater"),
        ("text: Visit them, ", "", r"actions\.visit\.text: Field required"),
        ("large: 100000", "large: many", r"mrr_bands\.large: .*integer"),
        ("success: call, ", "", "the queue success has no default action"),
        ("billing: write", "billing: sing", "the queue billing is an action that is not defined"),
        ("action: visit}\n  - {queue: success", "action: fly}\n  - {queue: success",
         "rule 1 names the action fly"),
        ("mrr_band: large, action: visit}\n  - ", "mrr_band: huge, action: visit}\n  - ",
         "rule 1 names the MRR band huge"),
        ("reason: [price, plan]", "reason: [price, weather]", "rule 2 names the reason weather"),
        ("among: tenure", "among: weather", "rule 4 names the reason weather"),
        ("reason: price, among: [plan, tenure]", "reason: price, among: tenure",
         "rule 5 can never apply, because rule 4 covers it"),
        ("reason: [price, plan]", "reason: []", r"rules\.1\.reason: .*at least 1"),
        ("queue: billing, ", "queue: success, reason: plan, ",
         "rule 3 can never apply, because rule 2 covers it"),
        ("mrr_bands: {", "mrr_bands: [{", "not valid YAML"),
        (SMALL, "", "Playbook"),
    ],
)  # fmt: skip
def test_a_faulty_playbook_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in SMALL
    with pytest.raises(BadInputError, match=words) as caught:
        playbook(tmp_path, SMALL.replace(old, new))
    message = str(caught.value)
    assert str(tmp_path / "playbook.yaml") in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_missing_playbook_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.yaml cannot be read"):
        load_playbook(tmp_path / "nowhere.yaml")


def test_unknown_reasons_pass_where_no_groups_are_given(tmp_path: Path) -> None:
    path = tmp_path / "playbook.yaml"
    path.write_text(SMALL.replace("plan]", "weather]"), encoding="utf-8")
    assert load_playbook(path).action("success", ["weather"], None, 0).name == "write"


def test_bands_need_no_order(tmp_path: Path) -> None:
    terms = yaml.safe_load(SMALL)
    terms["mrr_bands"] = {"large": 100_000, "small": 0}
    assert playbook(tmp_path, yaml.safe_dump(terms)).action("billing", ["x"], None, 5).name == (
        "write"
    )
