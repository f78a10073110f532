"""Answers written as they come: as a table, as one JSON value, or as a JSON object a line."""

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from netc_runtime.cli import output
from netc_runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from netc_runtime.pictures import ImageResult
    from netc_runtime.session import Model
    from netc_runtime.show import Json

FORMATS = ("text", "json", "ndjson")
BLOCK = 1000  # answers of a table whose columns are aligned together; so many are held, and no more
TICK_S = 0.1


def write(
    results: "Iterator[tuple[ImageResult, dict[str, Any]]]",
    format: str | None,
    model: "Model",
    subject: str,
    *,
    fail_fast: bool,
) -> int:
    """Write each answer, with what else it says; give the exit code, that of the worst fault.

    Faults go to standard error as well. With `fail_fast` the first of them is the last answer. What was answered before
    an interrupt, or before a fault of no single picture, is written whole.

    Raises: what `output.write_text` raises, and what the results do.
    """
    from netc_runtime import show

    report = model.report()
    form = {"text": _Table(subject), "json": _Json(report.file, report.device), "ndjson": _Lines()}[format or "text"]
    progress = _Progress(subject)
    code = count = 0
    try:
        for result, besides in results:
            count += 1
            if result.fault is not None:
                code = max(code, result.fault.exit_code)
                progress.clear()
                output.say(result.fault)
            # As JSON values at once: a mask of every picture need not be kept.
            if text := form.add({**show.answer(result, subject), **besides}):
                progress.clear()
                output.write_text(text)
            progress.say(count)
            if result.fault is not None and fail_fast:
                break
    except (KeyboardInterrupt, RuntimeFault):
        progress.clear()
        if count:
            output.write_text(form.end())
        raise
    progress.clear()
    output.write_text(form.end())
    return code


class _Form(Protocol):
    """How answers become text: what each adds, "" where it waits for others, and what ends it all."""

    def add(self, answer: "Json") -> str: ...

    def end(self) -> str: ...


class _Table(_Form):
    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._held: list[Json] = []
        self._begun = False

    def add(self, answer: "Json") -> str:
        self._held.append(answer)
        return self.end() if len(self._held) == BLOCK else ""

    def end(self) -> str:
        from netc_runtime import show

        table = show.answers_table(self._held, self._subject, header=not self._begun)
        self._held.clear()
        self._begun = self._begun or bool(table)
        return table + "\n" if table else ""


class _Json(_Form):
    """One value, the very text of `output.print_json`."""

    def __init__(self, model: str, device: str) -> None:
        self._between = json.dumps({"schema": 1, "model": model, "device": device})[:-1] + ', "results": ['

    def add(self, answer: "Json") -> str:
        text, self._between = self._between + json.dumps(answer), ", "
        return text

    def end(self) -> str:
        begun = self._between == ", "
        return ("" if begun else self._between) + "]}\n"


class _Lines(_Form):
    def add(self, answer: "Json") -> str:
        return json.dumps({"schema": 1, **answer}) + "\n"

    def end(self) -> str:
        return ""


class _Progress:
    """How many there are so far, on a terminal's standard error; elsewhere, and among lines of a terminal, nothing."""

    def __init__(self, subject: str) -> None:
        streams = sys.stdout is not None and sys.stdout.isatty()
        self._line = output.Progress() if sys.stderr is not None and sys.stderr.isatty() and not streams else None
        self._subject = subject
        self._begun = self._told = time.monotonic()

    def say(self, count: int) -> None:
        now = time.monotonic()
        if self._line is not None and now - self._told >= TICK_S:
            rate = count / (now - self._begun)
            self._line.say(f"{self._subject}s", f"{count:,}, {rate:,.0f}/s")
            self._told = now

    def clear(self) -> None:
        if self._line is not None:
            self._line.clear()
