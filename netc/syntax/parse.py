"""Text to tree. `parse` never raises for what a user wrote: it sets broken statements aside and reports each."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from netc.diagnostic import Diagnostic, Source, Span
from netc.syntax import table
from netc.syntax.build import Refused
from netc.syntax.mistakes import advice, pasted
from netc.syntax.recover import Damage, Unbalanced, Word, brackets, statement, words
from netc.syntax.tree import DEEPEST, At, Comment, File

LANGUAGE = 1
"""The newest version of the language that this compiler reads."""

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes; a spec beyond this is refused before it is read."""

_BUDGET = 2_000_000  # characters parsed again for recovery: a large file gets fewer second readings
_MOST_ERRORS = 25


def decode(name: str, data: bytes) -> Source | Diagnostic:
    """The text of a file's bytes, or what is wrong with them: N102 empty, N103 not text, N104 too large."""
    if len(data) > LARGEST_FILE:
        return _too_large(Source(name, ""), len(data))
    if b"\0" in data:
        return Diagnostic(
            "N103",
            f"the file holds a NUL byte at offset {data.index(0)}: it is binary, not a spec",
            Span(Source(name, ""), 0, 0),
            help="a spec is UTF-8 text",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Diagnostic(
            "N103",
            f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}",
            Span(Source(name, ""), 0, 0),
            help="save it as UTF-8",
        )
    source = Source(name, text)
    return source if text.strip() else _empty(source)


def parse(source: Source) -> File:
    """The tree of a text with a diagnostic for every statement that is not one."""
    text = source.text
    if len(text) > LARGEST_FILE:
        return _broken(source, _too_large(Source(source.name, ""), len(text)))
    foreign = pasted(text)
    if foreign is not None:
        file, error = _read(source, text)
        if file is None or error is not None:
            start = len(text) - len(text.lstrip())
            end = start + len(text[start : start + 40].split()[0])
            return _broken(source, Diagnostic("N109", foreign.message, Span(source, start, end), help=foreign.help))
    damaged: list[At] = []
    diagnostics: list[Diagnostic] = []
    rounds = min(_MOST_ERRORS, _BUDGET // max(1, len(text)))
    wrong = brackets(text, DEEPEST)
    while wrong is not None:
        said = _bracket(source, wrong)
        diagnostics.append(said)
        round_ = isinstance(wrong, Unbalanced) and wrong.bracket.text in "()[]"
        damage = statement(words(text), said.span.start) if round_ and len(diagnostics) < rounds else None
        if damage is None or damage.end <= said.span.start:
            return _broken(source, *diagnostics)
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
        wrong = brackets(text, DEEPEST)
    while True:
        file, error = _read(source, text)
        if error is None:
            break
        diagnostics.append(error)
        damage = statement(words(text), error.span.start) if len(diagnostics) < rounds else None
        if damage is None or any(d.start <= damage.start and damage.end <= d.end for d in damaged):
            return _broken(source, *diagnostics)
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
    assert file is not None
    found = (*file.diagnostics, *diagnostics)
    if not file.statements and not found:
        found = (_empty(source),)
    return replace(file, damaged=tuple(damaged), diagnostics=found)


def _too_large(source: Source, size: int) -> Diagnostic:
    return Diagnostic(
        "N104",
        f"the file has {size:,} bytes; a spec has at most {LARGEST_FILE:,}",
        Span(source, 0, 0),
        help="use repeats (`unit(64) * 3`) and blocks; weights do not belong in a spec",
    )


def _empty(source: Source) -> Diagnostic:
    what = "is empty" if not source.text.strip() else "holds no block and no net, only comments"
    help_ = "start with: net Name(classes = 10) { input image: f32[N, 1, 28, 28] ... }"
    return Diagnostic("N102", f"the file {what}", Span(source, 0, 0), help=help_)


def _broken(source: Source, *diagnostics: Diagnostic) -> File:
    return File(source, LANGUAGE, (), (), (At(0, len(source.text)),), diagnostics)


def _without(text: str, damage: Damage) -> str:
    gone = "".join("\n" if c == "\n" else " " for c in text[damage.start + len(damage.filler) : damage.end])
    return text[: damage.start] + damage.filler + gone + text[damage.end :]


def _bracket(source: Source, wrong: Unbalanced | Word) -> Diagnostic:
    if isinstance(wrong, Word):
        return Diagnostic(
            "N105",
            f"brackets are nested deeper than {DEEPEST}",
            Span(source, wrong.start, wrong.end),
            help="give the inner part a name: block part() { ... }",
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


class _Reader:
    """One parser and the comments of the text it is reading."""

    def __init__(self) -> None:
        self.comments: list[Comment] = []
        self.lark: Lark = table.load(self._comment)

    def _comment(self, token: Token) -> Token:
        start = token.start_pos or 0
        self.comments.append(Comment(start, start + len(token), str(token)))
        return token


@cache
def _reader() -> _Reader:
    return _Reader()


def _read(source: Source, text: str) -> tuple[File | None, Diagnostic | None]:
    reader = _reader()
    reader.comments = []
    try:
        header, statements = reader.lark.parse(text)  # pyright: ignore[reportAssignmentType, reportUnknownVariableType, reportUnknownMemberType, reportGeneralTypeIssues] -- Builder.start's pair; Lark promises a Tree
    except UnexpectedInput as error:
        return None, _syntax_error(source, text, error)
    except (Refused, VisitError) as error:
        refused = error if isinstance(error, Refused) else error.orig_exc
        if not isinstance(refused, Refused):
            raise
        where = Span(source, refused.start, refused.end)
        return None, Diagnostic(refused.code, refused.message, where, help=refused.help)
    version = LANGUAGE if header is None else header.value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] -- as above
    file = File(source, version, statements, tuple(reader.comments))  # pyright: ignore[reportUnknownArgumentType] -- as above
    if header is not None and version != LANGUAGE:
        return replace(
            file,
            diagnostics=(
                Diagnostic(
                    "N108",
                    f"the file is written in language {version}; this netc reads language {LANGUAGE}",
                    Span(source, header.start, header.end),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] -- as above
                    help="install a newer netc" if version > LANGUAGE else "write language 1",  # pyright: ignore[reportUnknownArgumentType] -- as above
                ),
            ),
        ), None
    return file, None


def _syntax_error(source: Source, text: str, error: UnexpectedInput) -> Diagnostic:
    if isinstance(error, UnexpectedToken):
        token: Token = error.token
        ended = token.type == "$END"
        start = len(text.rstrip()) if ended else token.start_pos or 0
        found = "" if ended else str(token)
        accepts: set[str] = error.accepts or error.expected or set()
    else:
        assert isinstance(error, UnexpectedCharacters)
        start, found = error.pos_in_stream, text[error.pos_in_stream]
        accepts = set(error.allowed or ())
    said = advice(text, start, found, accepts)
    return Diagnostic("N101", said.message, Span(source, start, start + max(1, len(found))), help=said.help)
