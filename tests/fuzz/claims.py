"""What holds for every text, right or wrong. Imports neither torch nor onnx, so that a fuzzer starts quickly."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType

from netc import api, errors, render
from netc.api import Checked
from netc.diagnostic import Diagnostic, Source, Span
from netc.elaborate.budget import Limits
from netc.passes.verify_graph import verify_graph
from tests.conftest import ROOT

SMALL = Limits(nodes=3000, depth=40, steps=60_000)
"""Bounds under which every check is fast; what happens at a bound does not depend on where it lies."""
HANG_S = 10
"""Processor seconds after which a check counts as a hang. Under SMALL a check takes milliseconds."""
HERE = ROOT / "specs" / "fuzz.cnn"
"""Where a text is said to lie: what it uses may be found, and nothing outside of `specs/` may."""
LONGEST_WORDS = 2000


class Hang(Exception):
    """A check that took too long."""


def claims(text: str) -> Checked:
    """Assert what every text is promised, and give what the check found."""
    checked = check(text)
    for diagnostic in checked.diagnostics:
        well_formed(diagnostic)
    _rendered(checked.diagnostics)
    assert said(check(text)) == said(checked), "two checks of one text differ"
    if checked.ok:
        assert sum(len(graph.nodes) for graph in checked.graphs.values()) <= SMALL.nodes
        for graph in checked.graphs.values():
            verify_graph(graph)
    _edits(text, checked)
    return checked


def check(text: str) -> Checked:
    """The check of a text. Raises Hang where it takes too long, and whatever it raises."""
    with _within(HANG_S):
        return api.check_text(Source("fuzz.cnn", text), HERE, limits=SMALL)


def said(checked: Checked) -> tuple[object, ...]:
    """Findings as values that compare by content."""
    return (checked.dropped, *(_content(d) for d in checked.diagnostics))


def _content(d: Diagnostic) -> tuple[object, ...]:
    labels = tuple((label.span.key, label.text) for label in d.labels)
    return d.severity, d.code, d.span.key, d.message, d.said, d.notes, d.help, labels


@cache
def _has_page(code: str) -> bool:
    return bool(errors.page(code))


def well_formed(diagnostic: Diagnostic) -> None:
    """A finding has a code with a page, words, and places inside of their texts."""
    assert _has_page(diagnostic.code), f"{diagnostic.code} has no page"
    assert diagnostic.code.startswith("W") == (diagnostic.severity == "warning"), diagnostic
    assert diagnostic.message.strip(), diagnostic
    edited = [diagnostic.edit.span] if diagnostic.edit is not None else []
    for span in (diagnostic.span, *(label.span for label in diagnostic.labels), *edited):
        _inside(span, diagnostic)
    for words in (diagnostic.message, diagnostic.said, diagnostic.help, *diagnostic.notes):
        assert len(words) <= LONGEST_WORDS, f"{diagnostic.code} says {len(words)} characters: {words[:200]}"


def _inside(span: Span, diagnostic: Diagnostic) -> None:
    # A text that ends too early is pointed at behind its last character.
    assert 0 <= span.start <= span.end <= len(span.source.text) + 1, (span.key, diagnostic)


def _rendered(diagnostics: Sequence[Diagnostic]) -> None:
    for diagnostic in diagnostics:
        shown = render.plain(render.text(diagnostic))
        assert diagnostic.code in shown
        assert all(line.isprintable() for line in shown.split("\n")), shown
        assert json.loads(render.as_json(render.record(diagnostic)))["code"] == diagnostic.code
        github = render.github(diagnostic)
        assert "\n" not in github and "\r" not in github, github  # noqa: PT018 -- one claim: it is a line
    log = json.loads(render.sarif(diagnostics, "0"))
    assert len(log["runs"][0]["results"]) == len(diagnostics)


def _edits(text: str, checked: Checked) -> None:
    """An edit that a finding offers makes that finding go away."""
    for diagnostic in checked.diagnostics:
        edit = diagnostic.edit
        if edit is None or edit.span.source.text != text:
            continue
        changed = text[: edit.span.start] + edit.text + text[edit.span.end :]
        assert changed != text, f"the edit changes nothing: {diagnostic}"
        moved = len(changed) - len(text) if edit.span.end <= diagnostic.span.start else 0
        again = [(d.code, d.span.start, d.message) for d in check(changed).diagnostics]
        same = (diagnostic.code, diagnostic.span.start + moved, diagnostic.message)
        assert same not in again, f"{same} is found again after {edit.text!r}"


@contextmanager
def _within(seconds: float) -> Generator[None]:
    # The process's own time: a neighbour that takes the processor is no hang.
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
