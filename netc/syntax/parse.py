"""Text to tree. `parse` never raises for what a user wrote: it sets broken statements aside and reports each."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from netc.diagnostic import Diagnostic, Source, Span
from netc.syntax import table
from netc.syntax.build import TooLarge
from netc.syntax.mistakes import advice, pasted
from netc.syntax.recover import Damage, Unbalanced, Word, brackets, statement, words
from netc.syntax.tree import At, Comment, File

LANGUAGE = 1
"""The newest version of the language that this compiler reads."""

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes; a spec beyond this is refused before it is read."""

DEEPEST = 200
"""Brackets inside brackets, and blocks inside blocks."""

_BUDGET = 2_000_000  # characters parsed again for recovery: a large file gets fewer second readings
_MOST_ERRORS = 25


def decode(name: str, data: bytes) -> Source | Diagnostic:
    """The text of a file's bytes, or what is wrong with them: N102 empty, N103 not text, N104 too large."""
    if len(data) > LARGEST_FILE:
        source = Source(name, "")
        return Diagnostic(
            "N104",
            f"the file has {len(data):,} bytes; a spec has at most {LARGEST_FILE:,}",
            Span(source, 0, 0),
            help="use repeats (`unit(64) * 3`) and blocks; weights do not belong in a spec",
        )
    if b"\0" in data:
        return Diagnostic("N103", "the file holds a NUL byte at offset " f"{data.index(0)}: it is binary, not a spec", Span(Source(name, ""), 0, 0), help="a spec is UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Diagnostic("N103", f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}", Span(Source(name, ""), 0, 0), help="save it as UTF-8")
    source = Source(name, text)
    if not text.strip():
        return Diagnostic("N102", "the file is empty", Span(source, 0, 0), help="start with: net Name(classes = 10) { input image: f32[N, 1, 28, 28] ... }")
    return source


def parse(source: Source) -> File:
    """The tree of a text with a diagnostic for every statement that is not one."""
    found = words(source.text)
    wrong = brackets(found, DEEPEST)
    foreign = pasted(source.text)
    if foreign is not None:
        first = found[0] if found else Word("", 0, 0)
        said = Diagnostic("N109", foreign.message, Span(source, first.start, first.end), help=foreign.help)
        file, errors = _read(source, source.text)
        return file if file is not None and not errors else _broken(source, said)
    text = source.text
    damaged: list[At] = []
    diagnostics: list[Diagnostic] = []
    rounds = max(1, min(_MOST_ERRORS, _BUDGET // max(1, len(text))))
    while wrong is not None:
        said = _bracket(source, wrong)
        round_ = isinstance(wrong, Unbalanced) and wrong.bracket.text in "()[]"
        damage = statement(found, said.span.start) if round_ and len(diagnostics) < rounds else None
        diagnostics.append(said)
        if damage is None or damage.end <= said.span.start:
            return _broken(source, *diagnostics)
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
        found = words(text)
        wrong = brackets(found, DEEPEST)
    file: File | None = None
    while True:
        file, error = _read(source, text)
        if error is None or len(diagnostics) >= rounds:
            break
        diagnostics.append(error)
        damage = statement(found, error.span.start)
        if damage is None or any(d.start <= damage.start and damage.end <= d.end for d in damaged):
            break
        damaged.append(At(damage.start, damage.end))
        text = _without(text, damage)
        found = words(text)
    if file is None:
        file = File(source, LANGUAGE, (), ())
    if not file.statements and not diagnostics:
        diagnostics.append(Diagnostic("N102", "the file holds no block and no net, only comments", Span(source, 0, 0), help="start with: net Name(classes = 10) { ... }"))
    return replace(file, damaged=tuple(damaged), diagnostics=(*file.diagnostics, *diagnostics))


def _broken(source: Source, *diagnostics: Diagnostic) -> File:
    return File(source, LANGUAGE, (), (), (At(0, len(source.text)),), diagnostics)


def _without(text: str, damage: Damage) -> str:
    gone = "".join("\n" if c == "\n" else " " for c in text[damage.start + len(damage.filler) : damage.end])
    return text[: damage.start] + damage.filler + gone + text[damage.end :]


def _bracket(source: Source, wrong: Unbalanced | Word) -> Diagnostic:
    if isinstance(wrong, Word):
        return Diagnostic("N105", f"brackets are nested deeper than {DEEPEST}", Span(source, wrong.start, wrong.end), help="give the inner part a name: block part() { ... }")
    bracket, other = wrong.bracket, wrong.other
    span = Span(source, bracket.start, bracket.end)
    if other is not None:
        line = source.position(other.start)[0]
        return Diagnostic("N106", f"`{bracket.text}` is closed by `{other.text}` on line {line}", span, said="opened here", help="close it where its part ends")
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
    except (TooLarge, VisitError) as error:
        large = error if isinstance(error, TooLarge) else error.orig_exc
        if not isinstance(large, TooLarge):
            raise
        return None, Diagnostic("N107", "this number has too many digits", Span(source, large.start, large.end), help="no size is beyond 2147483647")
    except RecursionError:
        return None, Diagnostic("N105", f"the text is nested deeper than {DEEPEST}", Span(source, 0, 0))
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
