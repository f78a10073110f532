"""Printing: the result on standard output, everything else on standard error, colour where a terminal wants it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator, Sequence
from typing import TextIO

from netc import render
from netc.cli.codes import OutputError
from netc.diagnostic import Diagnostic

# ECMA-48's numbers: 1 bold, 31 red, 32 green, 33 yellow, 34 blue, 36 cyan.
_STYLES = {"error": "1;31", "warning": "1;33", "place": "34", "second": "36", "help": "1;32"}


def out(text: str) -> None:
    """Print lines of the result. Raises OutputError where nothing takes them, BrokenPipeError where nobody reads on."""
    _result(_clean(text))


def err(text: str) -> None:
    """Print lines that are not the result; where nobody listens, the exit code tells the rest."""
    _other(_clean(text))


def verbatim(data: bytes) -> None:
    """Write a file's bytes as the result, to a terminal without what would drive it. Raises as `out` does."""
    with _at_output():
        if sys.stdout.isatty():
            sys.stdout.write(_encodable(_clean(data.decode("utf-8", "replace").replace("\r\n", "\n")), sys.stdout))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)


def clear() -> None:
    """Begin at the top of an empty screen, where the result goes to a terminal. Raises as `out` does."""
    if sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        with _at_output():
            sys.stdout.write("\x1b[2J\x1b[H")  # ECMA-48: erase the screen, cursor to the top left


def flush() -> None:
    """Send what is printed. Raises as `out` does."""
    with _at_output():
        sys.stdout.flush()


def paint(lines: Sequence[render.Line]) -> None:
    """Print styled lines of the result. Raises as `out` does."""
    _result(_painted(lines, sys.stdout))


def say(code: str, message: str, help: str = "") -> None:
    """Print what is wrong and the way out, on standard error."""
    first, *rest = message.split("\n")
    lines: list[render.Line] = [[("error", f"error[{code}]" if code else "error"), ("", f": {first}")]]
    lines.extend([("", line)] for line in rest)
    if help:
        lines.append([("place", "  = "), ("help", "help: "), ("", help)])
    _other(_painted(lines, sys.stderr))


def say_findings(diagnostics: Sequence[Diagnostic]) -> None:
    """Print findings on standard error, where they are not the result."""
    for diagnostic in diagnostics:
        _other(_painted(render.text(diagnostic), sys.stderr) + "\n")
    err(render.summary(diagnostics))


def hush(file: TextIO | None) -> None:
    """Let what a file has not taken go nowhere: Python tries once more at exit, and gives its own exit code."""
    if file is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def _result(text: str) -> None:
    with _at_output():
        print(_encodable(text, sys.stdout), file=sys.stdout)


def _other(text: str) -> None:
    try:
        if sys.stderr is not None:  # as it is where it was closed
            print(_encodable(text, sys.stderr), file=sys.stderr)
    except OSError:
        hush(sys.stderr)


@contextlib.contextmanager
def _at_output() -> Generator[None]:
    if sys.stdout is None:  # as it is where it was closed
        raise OutputError("standard output is closed")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {(error.strerror or str(error)).lower()}") from error


def _painted(lines: Sequence[render.Line], file: TextIO | None) -> str:
    cleaned = [[(style, render.clean(text)) for style, text in line] for line in lines]
    if file is None or not file.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return render.plain(cleaned)
    return "\n".join("".join(_coloured(style, text) for style, text in line) for line in cleaned)


def _coloured(style: str, text: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and text else text


def _clean(text: str) -> str:
    return "\n".join(render.clean(line) for line in text.split("\n"))


def _encodable(text: str, file: TextIO) -> str:
    # A terminal of any encoding can take it, whatever labels and file names hold.
    encoding = file.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
