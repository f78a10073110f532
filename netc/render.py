"""Diagnostics for people and machines: terminal text, JSON, GitHub annotations, SARIF. Standard library only.

Terminal text is made of styled pieces, so that colour is the command line's choice and plain text needs no library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from netc.diagnostic import Diagnostic, Edit, Source, Span

SCHEMA = 1
Piece: TypeAlias = tuple[str, str]
"""A style (`error`, `warning`, `place`, `second`, `help`, or nothing) and a text."""
Line: TypeAlias = list[Piece]

_WIDEST = 160  # characters of a source line that are shown around a mark
_BEFORE = 40  # of them before the mark, where the line is longer


class _Mark(NamedTuple):
    span: Span
    text: str
    primary: bool


def plain(lines: Iterable[Line]) -> str:
    """Styled lines as text."""
    return "\n".join("".join(text for _, text in line).rstrip() for line in lines)


def text(diagnostic: Diagnostic) -> list[Line]:
    """One finding as an editor's neighbour would explain it: message, place with carets, way here, way out."""
    style = diagnostic.severity
    lines: list[Line] = [[(style, f"{diagnostic.severity}[{diagnostic.code}]"), ("", f": {clean(diagnostic.message)}")]]
    marks = [
        _Mark(diagnostic.span, diagnostic.said, True),
        *(_Mark(label.span, label.text, False) for label in diagnostic.labels),
    ]
    width = max((len(str(m.span.line)) for m in marks), default=1)
    sources: dict[tuple[str, str], list[_Mark]] = {}
    for mark in marks:
        sources.setdefault((mark.span.source.name, mark.span.source.text), []).append(mark)
    for number, group in enumerate(sources.values()):
        arrow = "-->" if number == 0 else ":::"
        lines.append([("place", f"  {arrow} {clean(_place(group[0].span))}")])
        if group[0].span.source.text:
            lines.extend(_excerpt(group[0].span.source, group, width, style))
    lines.extend([("place", " " * (width + 1) + " = "), ("", clean(note))] for note in diagnostic.notes)
    if diagnostic.help:
        lines.append([("place", " " * (width + 1) + " = "), ("help", "help: "), ("", clean(diagnostic.help))])
    return lines


def _place(span: Span) -> str:
    return str(span) if span.source.text else span.source.name


def clean(words: str) -> str:
    """A stranger's words on one line: what would drive the terminal is shown, never sent."""
    return words if words.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def _excerpt(source: Source, marks: Sequence[_Mark], width: int, style: str) -> list[Line]:
    by_line: dict[int, list[_Mark]] = {}
    for mark in marks:
        by_line.setdefault(mark.span.line, []).append(mark)
    lines: list[Line] = []
    before: int | None = None
    for number in sorted(by_line):
        if before is not None and number > before + 1:
            lines.append([("place", " " * width + " ...")])
        before = number
        for shift, group in _windows(source.line(number), by_line[number]):
            lines.append([("place", f" {number:>{width}} | "), ("", _shown(source.line(number), shift))])
            lines.extend(_carets(source.line(number), mark, shift, width, style) for mark in group)
    return lines


def _windows(whole: str, marks: Sequence[_Mark]) -> list[tuple[int, list[_Mark]]]:
    # The parts of a line that are shown, by first character, and their marks from right to left; a short line is one.
    found: list[tuple[int, list[_Mark]]] = []
    for mark in sorted(marks, key=lambda m: m.span.column):
        if not found or (len(whole) > _WIDEST and mark.span.column > found[-1][0] + _WIDEST):
            found.append((max(0, mark.span.column - 1 - _BEFORE) if len(whole) > _WIDEST else 0, []))
        found[-1][1].insert(0, mark)
    return found


def _shown(whole: str, shift: int) -> str:
    part = whole[shift : shift + _WIDEST].replace("\t", " ")
    return part if part.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in part)


def _carets(whole: str, mark: _Mark, shift: int, width: int, style: str) -> Line:
    shown = _shown(whole, shift)
    start = mark.span.column - 1 - shift
    end = min(start + mark.span.end - mark.span.start, len(shown))
    carets = ("^" if mark.primary else "-") * max(1, columns(shown[start:end]))
    words = " " * columns(shown[:start]) + carets + (f" {clean(mark.text)}" if mark.text else "")
    return [("place", f" {'':>{width}} | "), (style if mark.primary else "second", words)]


def columns(part: str) -> int:
    """How many columns of a terminal a text takes: Chinese characters and most pictures take two, accents none."""
    if part.isascii():
        return len(part)
    from unicodedata import category, east_asian_width

    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in ("W", "F") else 1 for c in part)


def summary(diagnostics: Sequence[Diagnostic], dropped: int = 0) -> str:
    """`2 errors, 1 warning`."""
    counts = [(sum(1 for d in diagnostics if d.severity == s), s) for s in ("error", "warning")]
    words = [f"{n} {s}{'s' if n != 1 else ''}" for n, s in counts if n]
    return ", ".join(words) + (f" (and {dropped} more)" if dropped else "")


# --- for machines


def _span(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {"file": span.source.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column}


def record(diagnostic: Diagnostic) -> dict[str, Any]:
    """One finding as JSON values."""
    found: dict[str, Any] = {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_span(diagnostic.span),
        "said": diagnostic.said,
        "labels": [{"text": label.text, **_span(label.span)} for label in diagnostic.labels],
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }
    if diagnostic.edit is not None:
        found["edit"] = {"text": diagnostic.edit.text, **_span(diagnostic.edit.span)}
    return found


def as_json(value: dict[str, Any]) -> str:
    """A result as one line of JSON with the schema's number."""
    return _dumped({"schema": SCHEMA, **value})


def _dumped(value: Any) -> str:
    # Pure ASCII; the one control character that JSON leaves as it is goes the way of the others.
    import json  # slow to import, and people read text

    return json.dumps(value).replace("\x7f", "\\u007f")


def github(diagnostic: Diagnostic) -> str:
    """A workflow command that GitHub shows beside the line."""
    line, column = diagnostic.span.source.position(diagnostic.span.start)
    words = [diagnostic.message, f"help: {diagnostic.help}"] if diagnostic.help else [diagnostic.message]
    message = "\n".join(clean(each) for each in words)
    place = (
        f"file={_property(clean(diagnostic.span.source.name))},line={line},col={column},title=netc {diagnostic.code}"
    )
    return f"::{diagnostic.severity} {place}::{_data(message)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def sarif(
    diagnostics: Sequence[Diagnostic], version: str, page: Callable[[str], str | None] = lambda _code: None
) -> str:
    """A SARIF 2.1.0 log, for code scanning. `page` gives a code's page as Markdown, for the rules' descriptions."""
    codes = sorted({d.code for d in diagnostics})
    results = [
        {
            "ruleId": d.code,
            "ruleIndex": codes.index(d.code),
            "level": d.severity,
            "message": {"text": "\n".join([d.message, *d.notes, *([f"help: {d.help}"] if d.help else [])])},
            "locations": [_location(d.span)],
            **({"relatedLocations": [_location(label.span, label.text) for label in d.labels]} if d.labels else {}),
            **({"fixes": [_fix(d.edit, d.help)]} if d.edit is not None else {}),
        }
        for d in diagnostics
    ]
    driver = {"name": "netc", "version": version, "rules": [_rule(code, page(code)) for code in codes]}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return _dumped(log)


def _rule(code: str, page: str | None) -> dict[str, Any]:
    if page is None:
        return {"id": code}
    first, _, rest = page.partition("\n")
    title = first.removeprefix("# ").removeprefix(f"{code}: ")
    prose = rest.partition("```")[0].strip()
    return {
        "id": code,
        "shortDescription": {"text": title},
        "fullDescription": {"text": " ".join(prose.split())},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": "warning" if code.startswith("W") else "error"},
    }


def _fix(edit: Edit, help: str) -> dict[str, Any]:
    replacement = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
    return {
        "description": {"text": help or f"write {edit.text}"},
        "artifactChanges": [{"artifactLocation": _artifact(edit.span), "replacements": [replacement]}],
    }


def _location(span: Span, words: str = "") -> dict[str, Any]:
    found = {"physicalLocation": {"artifactLocation": _artifact(span), "region": _region(span)}}
    return {**found, "message": {"text": words}} if words else found


def _artifact(span: Span) -> dict[str, str]:
    from urllib.parse import quote

    return {"uri": quote(span.source.name, errors="surrogateescape")}


def _region(span: Span) -> dict[str, int]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
