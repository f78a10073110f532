"""Printing: the result on standard output, everything else on standard error."""

import contextlib
import json
import sys
from typing import TextIO

from netc_runtime.errors import EnvironmentFault, RuntimeFault


def print_json(values: dict[str, object]) -> None:
    """Print one JSON value with the number of its schema; raises as `print_text` does."""
    print_text(json.dumps({"schema": 1, **values}))


def print_text(text: str) -> None:
    """Print the result.

    Raises: EnvironmentFault R405 where it cannot be written; BrokenPipeError where nobody reads it.
    """
    write_text(text + "\n" if text else "")


def write_text(text: str) -> None:
    """Write a part of the result, without an end of line of its own; raises as `print_text` does."""
    if sys.stdout is None:  # the process was started with it closed
        raise EnvironmentFault("R405", "standard output is closed", "open it, or redirect it to a file")
    try:
        print(_encodable(text, sys.stdout), end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        help = "make room, or write elsewhere"
        raise EnvironmentFault("R405", f"standard output cannot be written: {error.strerror}", help) from error


def say(fault: RuntimeFault) -> None:
    """Print a fault on standard error."""
    complain(fault.render())


def complain(text: str) -> None:
    """Print what is not the result on standard error; where nobody listens, the exit code tells the rest."""
    _to_stderr(text + "\n")


class Progress:
    """What is going on: one line of a terminal's standard error that is written over; elsewhere a line a phase."""

    def __init__(self) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0
        self._phase = ""

    def say(self, phase: str, detail: str = "") -> None:
        """Show a phase, and how far it is where a terminal can show it."""
        if self._terminal:
            line = f"{phase}: {detail}" if detail else phase
            _to_stderr("\r" + line.ljust(self._width))
            self._width = len(line)
        elif phase != self._phase:
            complain(phase)
        self._phase = phase

    def clear(self) -> None:
        """Take the line away before the result is printed."""
        if self._terminal and self._width:
            _to_stderr("\r" + " " * self._width + "\r")
            self._width = 0


def _to_stderr(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(_encodable(text, sys.stderr), end="", file=sys.stderr, flush=True)


def _encodable(text: str, file: TextIO) -> str:
    """Give text that a terminal of any encoding can take, whatever labels and file names hold."""
    encoding = file.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
