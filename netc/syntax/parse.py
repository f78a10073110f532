"""Text to tree. `parse` never raises for what a user wrote; what an error needs is in `repair.py`, loaded then."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TypeAlias, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, VisitError

from netc.diagnostic import Diagnostic, Source, Span
from netc.syntax import table
from netc.syntax.build import Builder, Refused
from netc.syntax.tree import DEEPEST, Comment, File, Number, Statement

LANGUAGE = 1
"""The newest version of the language that this compiler reads."""

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes; a spec beyond this is refused before it is read."""


def decode(name: str, data: bytes, largest: int = LARGEST_FILE) -> Source | Diagnostic:
    """The text of a file's bytes, or what is wrong with them: N102 empty, N103 not text, N104 too large."""
    if len(data) > largest:
        return too_large(Source(name, ""), largest)
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
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")  # as old systems end lines: a comment would go on to the end of the file
    source = Source(name, text)
    return source if text.strip() else empty(source)


def parse(source: Source, largest: int = LARGEST_FILE, deepest: int = DEEPEST) -> File:
    """The tree of a text with a diagnostic for every statement that is not one.

    `largest` bounds the characters, `deepest` brackets and expressions inside one another.
    """
    text = source.text
    if len(text) <= largest and sum(map(text.count, "{([")) <= deepest:
        file, error = read(source, text, deepest)
        if file is not None and error is None and file.statements:
            return file
    from netc.syntax.repair import repaired

    return repaired(source, largest, deepest)


def too_large(source: Source, largest: int) -> Diagnostic:
    """N104."""
    return Diagnostic(
        "N104",
        f"the file is larger than the {largest:,} bytes that a spec may have",
        Span(source, 0, 0),
        help="use repeats (`unit(64) * 3`) and blocks, or raise the limit with --max-bytes",
    )


def empty(source: Source) -> Diagnostic:
    """N102."""
    what = "is empty" if not source.text.strip() else "holds no block and no net, only comments"
    help_ = "start with: net Name(classes = 10) { input image: f32[N, 1, 28, 28] ... }"
    return Diagnostic("N102", f"the file {what}", Span(source, 0, 0), help=help_)


_Parsed: TypeAlias = tuple[Number | None, tuple[Statement, ...]]


class _Reader:
    """One parser and the comments of the text it is reading."""

    def __init__(self) -> None:
        self.comments: list[Comment] = []
        self.builder = Builder()
        self.lark: Lark = table.load(self._comment, self.builder)

    def _comment(self, token: Token) -> Token:
        start = token.start_pos or 0
        self.comments.append(Comment(start, start + len(token), str(token)))
        return token


@cache
def _reader() -> _Reader:
    return _Reader()


def read(source: Source, text: str, deepest: int = DEEPEST) -> tuple[File | None, UnexpectedInput | Refused | None]:
    """The tree of a text as Lark reads it, or what stopped it. `source` is the text as the author wrote it."""
    reader = _reader()
    reader.comments = []
    reader.builder.deepest = deepest
    try:
        # Lark promises a Tree; what it returns is what Builder.start does.
        header, statements = cast(_Parsed, cast(object, reader.lark.parse(text)))  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part
    except UnexpectedInput as error:
        return None, error
    except (Refused, VisitError) as error:
        refused = error if isinstance(error, Refused) else error.orig_exc
        if not isinstance(refused, Refused):
            raise
        return None, refused
    version = LANGUAGE if header is None else int(header.value)
    file = File(source, version, statements, tuple(reader.comments))
    if header is None or version == LANGUAGE:
        return file, None
    said = Diagnostic(
        "N108",
        f"the file is written in language {version}; this netc reads language {LANGUAGE}",
        Span(source, header.start, header.end),
        help="install a newer netc" if version > LANGUAGE else "write language 1",
    )
    return replace(file, diagnostics=(said,)), None
