"""The command `netc` in this process: its exit code, and what it printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netc import cli


class Command:
    """`netc ...`: what it printed last is in `out` and `err`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self.capsys.readouterr()
        code = cli.main([str(each) for each in arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *arguments: str | Path) -> Any:
        """The result of a command that gives it as JSON, whatever the exit code."""
        self(*arguments, "--json")
        assert self.out.count("\n") == 1, self.err
        return json.loads(self.out)
