"""What netc says about a user's text: values with a code, places and a way out. Standard library only."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


@dataclass(frozen=True, eq=False)
class Source:
    """One text a user wrote: the name shown to people, and the characters."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        starts.extend(i + 1 for i, character in enumerate(self.text) if character == "\n")
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line counted from 1, without its end."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] if number < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")


class Span(NamedTuple):
    """A stretch of one source: characters `start` (included) to `end` (excluded)."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    @property
    def key(self) -> tuple[str, int, int]:
        """Equal for equal places, so that one mistake is reported once."""
        return self.source.name, self.start, self.end


class Label(NamedTuple):
    """A second place that explains the first, such as where a surprising shape was born."""

    span: Span
    text: str


class Edit(NamedTuple):
    """A change to the text that is safe to apply: put `text` in the place of `span`."""

    span: Span
    text: str


class Diagnostic(NamedTuple):
    """One finding. `span` is the argument at fault, `said` stands under its caret, `notes` give the way there."""

    code: str
    message: str
    span: Span
    said: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    edit: Edit | None = None
    severity: Severity = "error"


_LONGEST = 400


def cut(text: str, most: int = _LONGEST) -> str:
    """A text with its middle taken out where it is long."""
    return text if len(text) <= most else f"{text[: most - 40]}...{text[-37:]}"


@dataclass(slots=True)
class Diagnostics:
    """Collects findings in order of discovery, each place and code once, up to a limit of one at least.

    An error takes a warning's place where there is no other: what is wrong is never hidden by what is odd.
    """

    limit: int = 100
    found: list[Diagnostic] = field(default_factory=list[Diagnostic])
    dropped: int = 0
    errors: int = 0
    """How many errors there are, those that were dropped included."""
    _seen: set[tuple[str, tuple[str, int, int]]] = field(default_factory=set[tuple[str, tuple[str, int, int]]])
    _errors_of: dict[str, int] = field(default_factory=dict[str, int])
    _warnings: int = 0  # of what is kept
    _dropped_errors: int = 0

    def add(self, diagnostic: Diagnostic) -> None:
        """Take a finding; a text of the user's that is thousands of characters long is cut."""
        if len(diagnostic.message) > _LONGEST or len(diagnostic.help) > _LONGEST:
            diagnostic = diagnostic._replace(message=cut(diagnostic.message), help=cut(diagnostic.help))
        key = (diagnostic.code, diagnostic.span.key)
        if key in self._seen:
            return
        self._seen.add(key)
        wrong = diagnostic.severity == "error"
        if wrong:
            self.errors += 1
            self._errors_of[diagnostic.code] = self._errors_of.get(diagnostic.code, 0) + 1
        if len(self.found) >= max(self.limit, 1):
            self.dropped += 1
            if not wrong:
                return
            if not self._warnings:
                self._dropped_errors += 1
                return
            del self.found[max(i for i, each in enumerate(self.found) if each.severity == "warning")]
            self._warnings -= 1
        self.found.append(diagnostic)
        self._warnings += not wrong

    def has(self, code: str, span: Span) -> bool:
        """Whether there is a finding of this code at this place."""
        return (code, span.key) in self._seen

    def errors_of(self, code: str) -> int:
        """How many errors of a code there are, those that were dropped included."""
        return self._errors_of.get(code, 0)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            self.add(diagnostic)

    @property
    def enough(self) -> bool:
        """Whether so many errors were dropped that looking for more is in vain."""
        return self._dropped_errors >= 900


class SpecError(Exception):
    """A spec that cannot be used; carries every finding. Raised by the API where a graph was asked for."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        first = next((d for d in self.diagnostics if d.severity == "error"), None)
        super().__init__(f"{first.span}: {first.code}: {first.message}" if first else "the spec is at fault")


class Fault(Exception):
    """What is wrong outside a spec's text: weights, data, artefacts (N4xx, N5xx) and the environment.

    `exit_code` is 1 where the input is at fault and 3 where the machine is.
    """

    def __init__(self, code: str, message: str, *, help: str = "", exit_code: Literal[1, 3] = 1) -> None:
        super().__init__(f"{message} ({help})" if help else message)
        self.code, self.message, self.help, self.exit_code = code, message, help, exit_code
