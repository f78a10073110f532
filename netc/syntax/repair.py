"""What `parse` does about errors: broken statements are set aside, so that one run reports every independent error."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from netc.diagnostic import Diagnostic, Edit, Source, Span
from netc.syntax.build import Refused
from netc.syntax.mistakes import advice, pasted
from netc.syntax.parse import LANGUAGE, empty, read, too_large
from netc.syntax.recover import Damage, Unbalanced, Word, brackets, statement, words
from netc.syntax.tree import At, File

_BUDGET = 2_000_000  # characters parsed again for recovery: a large file gets fewer second readings
_MOST_ERRORS = 25


def repaired(source: Source, largest: int, deepest: int) -> File:
    """The tree of a text without the statements that are none, and a diagnostic for each of those."""
    text = source.text
    if len(text) > largest:
        return _broken(source, too_large(Source(source.name, ""), largest))
    foreign = pasted(text)
    if foreign is not None:
        file, error = read(source, text, deepest)
        if file is None or error is not None:
            start = len(text) - len(text.lstrip())
            end = start + len(text[start : start + 40].split()[0])
            return _broken(source, Diagnostic("N109", foreign.message, Span(source, start, end), help=foreign.help))
    damaged: list[At] = []
    diagnostics: list[Diagnostic] = []
    rounds = min(_MOST_ERRORS, _BUDGET // max(1, len(text)))
    wrong = brackets(text, deepest)
    while wrong is not None:
        said = _bracket(source, wrong, deepest)
        diagnostics.append(said)
        round_ = isinstance(wrong, Unbalanced) and wrong.bracket.text in "()[]"
        damage = statement(words(text), said.span.start) if round_ and len(diagnostics) < rounds else None
        if damage is None or damage.end <= said.span.start:
            return _broken(source, *diagnostics)
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
        wrong = brackets(text, deepest)
    while True:
        file, stopped = read(source, text, deepest)
        if stopped is None:
            break
        error = _said(source, text, stopped)
        damage = statement(words(text), error.span.start) if len(diagnostics) + 1 < rounds else None
        if damage is not None and any(d.start <= damage.start and damage.end <= d.end for d in damaged):
            return _broken(source, *diagnostics)  # what stood in for a broken statement does not fit either
        diagnostics.append(error)
        if damage is None:
            return _broken(source, *diagnostics)
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
    assert file is not None
    found = (*file.diagnostics, *diagnostics)
    if not file.statements and not found:
        found = (empty(source),)
    return replace(file, damaged=tuple(damaged), diagnostics=found)


def _broken(source: Source, *diagnostics: Diagnostic) -> File:
    return File(source, LANGUAGE, (), (), (At(0, len(source.text)),), diagnostics)


def _without(text: str, damage: Damage) -> str:
    gone = "".join("\n" if c == "\n" else " " for c in text[damage.start + len(damage.filler) : damage.end])
    return text[: damage.start] + damage.filler + gone + text[damage.end :]


def _bracket(source: Source, wrong: Unbalanced | Word, deepest: int) -> Diagnostic:
    if isinstance(wrong, Word):
        return Diagnostic(
            "N105",
            f"brackets are nested deeper than {deepest}",
            Span(source, wrong.start, wrong.end),
            help="give the inner part a name: block part() { ... }; --max-depth raises the limit",
        )
    bracket, other = wrong.bracket, wrong.other
    span = Span(source, bracket.start, bracket.end)
    if other is not None:
        line = source.position(other.start)[0]
        return Diagnostic(
            "N106",
            f"`{bracket.text}` is closed by `{other.text}` on line {line}",
            span,
            said="opened here",
            help="close it where its part ends",
        )
    if bracket.text in "{([":
        return Diagnostic("N106", f"this `{bracket.text}` is never closed", span, help="close it where its part ends")
    return Diagnostic("N106", f"this `{bracket.text}` closes nothing", span, help="take it out, or open its partner")


def _said(source: Source, text: str, error: UnexpectedInput | Refused) -> Diagnostic:
    if isinstance(error, Refused):
        return Diagnostic(error.code, error.message, Span(source, error.start, error.end), help=error.help)
    start, found, accepts = _stopped(text, error)
    said = advice(text, start, found, accepts)
    span = Span(source, start, start + max(1, len(found)))
    return Diagnostic("N101", said.message, span, help=said.help, edit=_edit(source, start, found, accepts))


def _edit(source: Source, start: int, found: str, accepts: set[str]) -> Edit | None:
    """What puts a slip of the pen right beyond doubt: other quotes, a `;` at a line's end, `===`, a comma left out."""
    line = source.text[start:].partition("\n")[0]
    before = source.text[:start].rpartition("\n")[2]
    close = {"'": "'", "\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019"}.get(found)
    if close is not None:
        inside, closed, _ = line[1:].partition(close)
        plain = closed and inside.isprintable() and not set(inside) & set("\"\\'\u201c\u201d")
        return Edit(Span(source, start, start + len(inside) + 2), f'"{inside}"') if plain else None
    if found == ";" and re.fullmatch(r";\s*(#.*)?", line):
        return Edit(Span(source, start, start + 1), "")
    if found == "=" and before.endswith("=="):
        return Edit(Span(source, start, start + 1), "")
    argument = re.match(r"[A-Za-z_]\w*\s*=(?!=)", line)
    if argument and "COMMA" in accepts and "RPAR" in accepts and re.search(r"[\w\])\"]\s+$", before):
        return Edit(Span(source, start - len(before) + len(before.rstrip()), start), ", ")
    return None


def _stopped(text: str, error: UnexpectedInput) -> tuple[int, str, set[str]]:
    """Where the parser stopped, what stood there, and the names of what could have."""
    if isinstance(error, UnexpectedToken):
        token = cast(Token, error.token)  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part
        accepts: set[str] = error.accepts or error.expected or set()
        if token.type == "$END":
            return len(text.rstrip()), "", accepts
        return token.start_pos or 0, str(token), accepts
    assert isinstance(error, UnexpectedCharacters)
    start = cast(int, error.pos_in_stream)  # pyright: ignore[reportUnknownMemberType] -- as above
    return start, text[start], set(error.allowed or ())
