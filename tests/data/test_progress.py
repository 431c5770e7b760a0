"""Progress: every step once, and a few lines where there is no terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from data.progress import LINES, progress

if TYPE_CHECKING:
    import pytest

LOGGER = logging.getLogger("test")


def test_a_log_gets_a_few_plain_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress(range(156), "weeks", LOGGER)) == list(range(156))
    assert len(caplog.messages) == LINES
    assert caplog.messages[-1] == "weeks: 156 of 156"


def test_a_short_loop_says_each_step_and_an_empty_one_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress(["a", "b"], "steps", LOGGER)) == ["a", "b"]
        assert list(progress([], "steps", LOGGER)) == []
    assert caplog.messages == ["steps: 1 of 2", "steps: 2 of 2"]


def test_a_terminal_gets_a_bar(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with caplog.at_level(logging.INFO):
        assert list(progress(range(3), "weeks", LOGGER)) == [0, 1, 2]
    assert caplog.messages == []
    assert "weeks" in capsys.readouterr().err
