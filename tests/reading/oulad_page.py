"""The command of docs/oulad.md."""

from __future__ import annotations

import re
import shlex

from worlds.project import ROOT


def changes() -> list[str]:
    """Values of the command's ``-S`` options, in order."""
    page = (ROOT / "docs/oulad.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^dvc exp run \\\n(?:.*\\\n)*.*$", page, re.MULTILINE)
    dvc, exp, run, *options = shlex.split(command.replace("\\\n", " "))
    assert (dvc, exp, run) == ("dvc", "exp", "run")
    assert set(options[::2]) == {"-S"}
    return options[1::2]
