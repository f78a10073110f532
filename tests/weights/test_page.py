"""docs/weights.md is run: its net, its Python, and every command of it with what it prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.command import Command
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_is_run_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")  # a table has as many columns as fit
    run = Command(capsys)
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "weights.md", "exec"), {})
            continue
        if kind == "":
            Path("small.cnn").write_text(text)
            continue
        if kind == "sh":
            assert run(*arguments(text)) == 0, run.err
            continue
        command, _, output = text.removeprefix("$ ").partition("\n")
        assert run(*arguments(command)) == 0, run.err
        assert run.out == output


def arguments(command: str) -> list[str]:
    program, *rest = shlex.split(command)
    assert program == "netc"
    return rest


def test_the_page_leads_to_pages_that_are_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).is_file()
    assert {kind for kind, _ in BLOCKS} == {"", "sh", "python", "console"}
