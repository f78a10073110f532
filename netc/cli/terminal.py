"""Printing: the result on standard output, everything else on standard error, colour where a terminal wants it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from netc import render
from netc.diagnostic import Diagnostic

_STYLES = {"error": "bold red", "warning": "bold yellow", "place": "blue", "second": "cyan", "help": "bold green"}


def out(line: str) -> None:
    """Print a line of the result."""
    print(line, file=sys.stdout)


def err(line: str) -> None:
    """Print a line that is not the result."""
    print(line, file=sys.stderr)


def paint(lines: list[render.Line], file: TextIO | None = None) -> None:
    """Print styled lines, by default to standard output."""
    file = file or sys.stdout
    if not file.isatty() or "NO_COLOR" in os.environ:
        print(render.plain(lines), file=file)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, _STYLES.get(style, "")) for style, text in line)))


def say(code: str, message: str, help: str) -> None:
    """Print what is wrong and the way out."""
    lines: list[render.Line] = [[("error", f"error[{code}]" if code else "error"), ("", f": {message}")]]
    if help:
        lines.append([("", "  = "), ("help", "help: "), ("", help)])
    paint(lines, sys.stderr)


def say_findings(diagnostics: Sequence[Diagnostic]) -> None:
    """Print findings to standard error, where they are not the result."""
    for diagnostic in diagnostics:
        paint(render.text(diagnostic), sys.stderr)
    err(render.summary(diagnostics))
