"""The canonical form of a text: the author's line breaks, and everything else decided.

No token is changed, taken out or moved, but for the commas between the pairs of a section; so the meaning stays.
Comments and blank lines outlive it: a comment stays with its line, or with the line below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from netc.diagnostic import Diagnostic, Source
from netc.syntax import tree as t
from netc.syntax.parse import LANGUAGE, parse

WIDTH = 120
INDENT = 2

_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>"[^"\n]*")
  | (?P<dims>[1-9]\d*x[1-9]\d*(?:x[1-9]\d*)?)
  | (?P<number>\d[\d_]*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d[\d_]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<mark>->|=>|==|!=|<=|>=|//|\S)
    """,
    re.VERBOSE,
)
_KEYWORDS = frozenset({"in", "if", "else", "for", "is", "and", "or", "not", "from", "require", "use", "let", "default"})
_CLOSES = {"}": "{", ")": "(", "]": "["}
_MAY_START = frozenset({"->", "=>", "for", "from"})
"""Tokens that go on with a statement and may start a line."""


def formatted(source: Source) -> str | tuple[Diagnostic, ...]:
    """A text in its canonical form, with the language's version first; or why it is no spec.

    Formatting the result changes nothing, and what the text means stays.
    """
    text = source.text.replace("\r\n", "\n")
    for _ in range(6):  # a line that was broken up may be joined with others by the columns it leaves
        file = parse(Source(source.name, text))
        if file.diagnostics or file.damaged:
            return file.diagnostics
        made = _Layout(file).text()
        if made == text:
            break
        text = made
    return text


class _Token(NamedTuple):
    text: str
    kind: str
    start: int
    breaks: int
    """Line ends between the token before and this one."""


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    end = 0
    for match in _TOKEN.finditer(text):
        word = match.group().rstrip() if match.lastgroup == "comment" else match.group()
        found.append(_Token(word, match.lastgroup or "", match.start(), text.count("\n", end, match.start())))
        end = match.end()
    for i, (arrow, after) in enumerate(pairwise(found)):
        if arrow.text in ("->", "=>") and after.kind != "comment" and after.breaks:
            # A chain is broken before an arrow.
            found[i] = arrow._replace(breaks=max(arrow.breaks, after.breaks))
            found[i + 1] = after._replace(breaks=0)
    return found


def _codes(tokens: Sequence[_Token]) -> list[int]:
    """For each token itself, or the next one that is no comment; how many tokens there are, where none is."""
    found = [len(tokens)] * (len(tokens) + 1)
    for i in range(len(tokens) - 1, -1, -1):
        found[i] = i if tokens[i].kind != "comment" else found[i + 1]
    return found


def _between(tokens: Sequence[_Token], pairs: set[int]) -> list[_Token]:
    """The tokens without the commas between pairs, which are written anew; what follows has their line ends."""
    kept: list[_Token] = []
    stack: list[bool] = []  # of open brackets: whether pairs stand in it
    codes = _codes(tokens)
    breaks = 0
    for i, token in enumerate(tokens):
        if token.kind == "mark" and token.text in _CLOSES.values():
            first = codes[i + 1]
            stack.append(token.text == "{" and first < len(tokens) and tokens[first].start in pairs)
        elif token.kind == "mark" and token.text in _CLOSES:
            stack.pop()
        elif token.text == "," and stack and stack[-1]:
            breaks = max(breaks, token.breaks)
            continue
        kept.append(token._replace(breaks=max(token.breaks, breaks)))
        breaks = 0
    return kept


class _Facts:
    """What the tree says about single characters of the text."""

    def __init__(self, file: t.File) -> None:
        self.source = file.source.text
        self.statements: set[int] = set()  # where one starts
        self.tops: set[int] = {s.start for s in file.statements}
        self.ports: set[int] = set()
        self.variants: set[int] = set()
        self.pairs: set[int] = set()
        self.bars: set[int] = set()
        self.tight: set[int] = set()  # a `=`, an operator or a colon without spaces around it
        self.unary: set[int] = set()  # a minus that belongs to what follows
        queue: list[tuple[t.At, bool]] = [(s, False) for s in file.statements]
        while queue:
            node, staged = queue.pop()
            self._note(node, staged)
            if isinstance(node, t.Default | t.Item):
                staged = True
            elif isinstance(node, t.Section | t.Port | t.Variant | t.Repeat | t.Loop):
                staged = False
            queue += ((part, staged) for name in type(node).__slots__ for part in _parts(getattr(node, name)))

    def _note(self, node: t.At, staged: bool) -> None:
        """`staged`: in a stage, where `k=3` stands without spaces."""
        match node:
            case t.Port():
                self.statements.add(node.start)
                self.ports.add(node.start)
            case t.Variant():
                self.statements.add(node.start)
                self.variants.add(node.start)
            case t.Use() | t.Block() | t.Net() | t.Section() | t.Let() | t.Default() | t.Require() | t.Chain():
                self.statements.add(node.start)
            case t.Pair():
                self.pairs.add(node.start)
            case t.Argument() if node.name is not None and staged and _simple(node.value):
                self.tight.add(self._find("=", node.name.end))
            case t.Binary() if node.op == "/" and isinstance(node.left, t.Number) and isinstance(node.right, t.Number):
                self.tight.add(self._find("/", node.left.end))
            case t.Negate():
                self.unary.add(self._find("-", node.start))
            case t.Slice():
                self.tight.add(self._find(":", node.low.end if node.low is not None else self._find("[", node.of.end)))
            case _:
                pass

    def _find(self, mark: str, at: int) -> int:
        # Comments may stand between any two tokens.
        while True:
            found = self.source.index(mark, at)
            comment = self.source.find("#", at, found)
            if comment < 0:
                return found
            at = self.source.index("\n", comment)


def _parts(value: object) -> Iterator[t.At]:
    if isinstance(value, t.At):
        yield value
    elif isinstance(value, tuple):
        for each in value:  # pyright: ignore[reportUnknownVariableType] -- nodes, and pairs of nodes
            yield from _parts(each)  # pyright: ignore[reportUnknownArgumentType]


def _simple(value: t.Expr) -> bool:
    if isinstance(value, t.Listing):
        return all(map(_simple, value.items))
    if isinstance(value, t.Negate):
        return _simple(value.of)
    if isinstance(value, t.Call):
        return all(_simple(each.value) for each in value.args)
    return isinstance(value, t.Number | t.Dims | t.Text | t.Path | t.Index)


class _Line:
    """One line of the result: its indent, its words with the spaces before them, and how it is aligned."""

    __slots__ = ("blank", "comment", "first", "indent", "kind", "last", "statement", "stops", "top", "words")

    def __init__(self, indent: int, blank: bool, first: int, statement: int) -> None:
        self.indent, self.blank, self.first, self.last, self.statement = indent, blank, first, first, statement
        self.words: list[str] = []
        self.stops: list[int] = []
        """Words that stand below those of the lines around, by index."""
        self.kind = ""
        self.top = False
        self.comment = ""

    def code(self) -> str:
        return " " * self.indent + "".join(self.words)

    def text(self) -> str:
        code = self.code() if self.words else " " * self.indent
        return f"{code}{self.comment}" if not self.words or not self.comment else f"{code}  {self.comment}"


class _Open(NamedTuple):
    """A bracket that is open: where it is, the indent of its line, and of the statement around it."""

    token: int
    indent: int
    statement: int
    fork: bool


class _Layout:
    """The lines of a text."""

    def __init__(self, file: t.File) -> None:
        self.facts = _Facts(file)
        self.tokens = _between(_tokens(file.source.text), self.facts.pairs)
        if not any(token.text == "language" for token in self.tokens[: self._first_code() + 1]):
            version = (_Token("language", "name", -2, 0), _Token(str(LANGUAGE), "number", -1, 0))
            self.tokens = [*version, *self.tokens]
            if len(self.tokens) > 2:
                self.tokens[2] = self.tokens[2]._replace(breaks=2)
        self.codes = _codes(self.tokens)
        header = self._first_code()
        self.facts.statements.add(self.tokens[header].start)
        self.facts.tops.add(self.tokens[header].start)
        self.header = header
        self.closing = _partners(self.tokens)
        self.opening = {close: open_ for open_, close in self.closing.items()}
        self.forks = {i for i in self.closing if self._code_after(i) == "|"}
        # A brace is opened up where its author did so, or a comment does.
        self.broken = {
            i
            for i, j in self.closing.items()
            if self.tokens[i].text == "{" and any(token.breaks for token in self.tokens[i + 1 : j + 1])
        }
        self.forced: set[int] = set()  # tokens that start a line because theirs was too long

    def _first_code(self) -> int:
        return next((i for i, token in enumerate(self.tokens) if token.kind != "comment"), 0)

    def _next_code(self, i: int) -> int:
        last = len(self.tokens) - 1
        return min(self.codes[i + 1], last) if i < last else last

    def _code_after(self, i: int) -> str:
        return self.tokens[self._next_code(i)].text

    def text(self) -> str:
        lines = self._lines()
        for _ in range(12):
            before = len(self.forced) + len(self.broken)
            for line in lines:
                if len(line.code()) > WIDTH:
                    self._break_up(line)
            if len(self.forced) + len(self.broken) == before:
                break
            lines = self._lines()
        _separate(lines)
        _align(lines)
        return "".join(("\n" if line.blank and i else "") + line.text() + "\n" for i, line in enumerate(lines))

    # --- lines

    def _lines(self) -> list[_Line]:
        lines: list[_Line] = []
        stack: list[_Open] = []
        statement = number = 0  # the indent of the statement that goes on, and its number
        for i, token in enumerate(self.tokens):
            starts = token.start in self.facts.statements or self._bar(i, stack)
            number += starts
            if not lines or self._breaks(i, stack):
                indent = self._indent(i, stack, statement)
                blank = token.breaks > 1 and token.text != "}" and not (stack and stack[-1].token == i - 1)
                lines.append(_Line(indent, blank, i, number))
                lines[-1].top = token.start in self.facts.tops
            line = lines[-1]
            if starts or token.start in self.facts.pairs:
                statement = line.indent if token.kind != "comment" else statement
            if token.kind == "comment":
                line.comment = token.text
                continue
            line.words.append(self._word(i, line))
            line.last = i
            if i in self.closing:
                stack.append(_Open(i, line.indent, statement, i in self.forks))
            elif i in self.opening:
                statement = stack.pop().statement
        for line in lines:
            self._stops(line)
        return lines

    def _in_braces(self, stack: Sequence[_Open]) -> bool:
        return bool(stack) and self.tokens[stack[-1].token].text == "{"

    def _bar(self, i: int, stack: Sequence[_Open]) -> bool:
        return self.tokens[i].text == "|" and bool(stack) and stack[-1].fork

    def _breaks(self, i: int, stack: Sequence[_Open]) -> bool:
        token, before = self.tokens[i], self.tokens[i - 1]
        if before.kind == "comment" or i in self.forced:
            return True
        if token.kind == "comment":
            return token.breaks > 0
        if i in self.opening:
            open_ = self.opening[i]
            return open_ in self.broken or (token.text != "}" and token.breaks > 0)
        if stack and stack[-1].token == i - 1 and i - 1 in self.broken:
            return True
        loose = not stack or stack[-1].token in self.broken
        if loose and (self._bar(i, stack) or (token.start in self.facts.statements and before.text != "|")):
            return True
        places = token.text in _MAY_START or token.start in self.facts.pairs or before.text in (",", "(", "[")
        return token.breaks > 0 and places and token.text != ","

    def _indent(self, i: int, stack: Sequence[_Open], statement: int) -> int:
        if i in self.opening:
            return stack[-1].indent
        inside = stack[-1].indent + INDENT if stack else 0
        if self.tokens[i].kind == "comment":
            j = self._next_code(i)
            if j in self.opening or j == i or self.tokens[j].kind == "comment":
                return inside
            return self._indent(j, stack, statement)
        start = self.tokens[i].start
        if self._bar(i, stack) or start in self.facts.pairs:
            return inside
        if start in self.facts.statements:
            return inside + (INDENT if stack and stack[-1].fork else 0)
        if stack and not self._in_braces(stack):
            return inside
        return statement + INDENT

    def _word(self, i: int, line: _Line) -> str:
        token = self.tokens[i]
        if not line.words:
            return token.text
        before = self.tokens[line.last]
        if token.start in self.facts.pairs and line.last not in self.closing:
            return f", {token.text}"
        if before.text == "input" and before.start in self.facts.ports:
            return f"  {token.text}"  # so that its name stands above an output's
        return f" {token.text}" if self._apart(before, token) else token.text

    def _apart(self, before: _Token, token: _Token) -> bool:
        named = before.kind == "name" and before.text not in _KEYWORDS
        if token.text in (",", ")", "]", ".", ":") or before.text in ("(", "[", ".", "@"):
            return False
        if before.text == "{" and token.text == "}":
            return False
        if token.text == "(":
            return not named
        if token.text == "[" and (named or before.text in (")", "]")):
            return False
        return not (token.start in self.facts.tight or before.start in self.facts.tight | self.facts.unary)

    # --- columns

    def _stops(self, line: _Line) -> None:
        """Say which words of a line stand below those of the lines around it."""
        if not line.words:
            return
        start = self.tokens[line.first].start
        words = [i for i in range(line.first, line.last + 1) if self.tokens[i].kind != "comment"]
        texts = [word.strip() for word in line.words]
        whole = self.tokens[line.last].text == "}" and self.opening[line.last] >= line.first
        marks: list[str] = []
        if start in self.facts.ports:
            line.kind, marks = "port", [":", "{"]
        elif start in self.facts.variants:
            line.kind, marks = "variant", ["=", "{"]
        elif start in self.facts.pairs and sum(self.tokens[i].start in self.facts.pairs for i in words) == 1:
            line.kind, marks = "pair", ["="]
        elif self.tokens[line.last].text == "]":
            open_ = self.opening[line.last]
            if open_ > line.first + 2 and [self.tokens[open_ - i].text for i in (2, 1)] == ["->", "is"]:
                line.kind, line.stops = "is", [len(texts) - (line.last - open_ + 3)]
        for mark in marks:
            at = texts.index(mark) + (mark == ":") if mark in texts else len(texts)
            if at >= len(texts) or (mark == "{" and not whole):
                break
            line.stops.append(at)

    # --- lines that are too long

    def _break_up(self, line: _Line) -> None:
        """Mark where a line is to be broken: at its arrows, else in its braces, else behind its commas."""
        first, last = line.first, line.last
        depth = 0
        arrows: list[int] = []
        braces: list[int] = []
        commas: list[int] = []
        columns: dict[int, int] = {}
        column = line.indent
        words = iter(line.words)
        for i in range(first, last + 1):
            token = self.tokens[i]
            if token.kind == "comment":
                continue
            word = next(words)
            columns[i] = column + len(word) - len(word.lstrip(" ,"))
            column += len(word)
            if i in self.opening and self.opening[i] >= first:
                depth -= 1
            if token.text in ("->", "=>") and depth == 0 and i != first:
                arrows.append(i)
            elif token.text == "{" and depth == 0 and i not in self.broken and self.closing[i] > i + 1:
                braces.append(i)
            elif i - 1 >= first and self.tokens[i - 1].text == "," and depth == 1:
                commas.append(i)
            if i in self.closing:
                depth += 1
        inner = line.indent + (0 if self.tokens[first].text in ("->", "=>") else INDENT)
        if arrows and self._fill(arrows, columns, column, inner, must_fit=bool(braces)):
            return
        if braces:
            self.broken.update(braces)
        elif commas:
            self._fill(commas, columns, column, line.indent + INDENT, must_fit=False)

    def _fill(self, places: list[int], columns: dict[int, int], end: int, indent: int, *, must_fit: bool) -> bool:
        """Break before as few of the places as will do. False where a part between two of them is too long."""
        ends = [*(columns[place] for place in places[1:]), end]
        widths = [stop - columns[place] for place, stop in zip(places, ends, strict=True)]
        if must_fit and (columns[places[0]] > WIDTH or any(indent + width > WIDTH for width in widths)):
            return False
        here = columns[places[0]]
        before = len(self.forced)
        for place, width in zip(places, widths, strict=True):
            if here + width - 1 > WIDTH:
                self.forced.add(place)
                here = indent
            here += width
        return len(self.forced) > before


def _partners(tokens: Sequence[_Token]) -> dict[int, int]:
    """Every opening bracket's closing one, by index."""
    found: dict[int, int] = {}
    stack: list[int] = []
    for i, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.text in _CLOSES.values():
            stack.append(i)
        elif token.text in _CLOSES:
            found[stack.pop()] = i
    return found


def _separate(lines: Sequence[_Line]) -> None:
    """Set definitions of several lines, with the comments that belong to them, apart by a blank line."""
    before: int | None = None
    for i, line in enumerate(lines):
        if not line.top:
            continue
        start = i
        while start > 0 and not lines[start - 1].words and not lines[start].blank:
            start -= 1
        end = next((j for j in range(i + 1, len(lines)) if lines[j].top), len(lines))
        several = sum(1 for each in lines[i:end] if each.words) > 1
        if before is not None and (several or before > 1 or lines[i - 1].words == ["language", f" {LANGUAGE}"]):
            lines[start].blank = True
        before = sum(1 for each in lines[i:end] if each.words)


def _align(lines: Sequence[_Line]) -> None:
    def runs(key: str) -> Iterator[list[_Line]]:
        run: list[_Line] = []
        for line in lines:
            if run and (line.kind != key or line.blank or line.indent != run[-1].indent):
                yield run
                run = []
            if line.kind == key:
                run.append(line)
        yield run

    for key in ("port", "variant", "pair"):
        for run in runs(key):
            for stop in range(2):
                _pad([line for line in run if len(line.stops) > stop], stop)
    chains = [line for line in lines if line.kind == "is"]
    for _, chain in groupby(chains, key=lambda line: line.statement):
        _pad(list(chain), 0)
    comments: list[_Line] = []
    for line in [*lines, None]:
        if line is not None and line.words and line.comment and not line.blank:
            comments.append(line)
            continue
        widest = max((len(each.code()) for each in comments), default=0)
        for each in comments:
            each.comment = " " * (widest - len(each.code())) + each.comment
        comments = [line] if line is not None and line.words and line.comment else []


def _pad(lines: Sequence[_Line], stop: int) -> None:
    """Set the words at a stop of some lines below one another, where all of them stay within the width."""
    places = [line.indent + len("".join(line.words[: line.stops[stop]])) for line in lines]
    shifts = [max(places) - place for place in places]
    if any(len(line.code()) + shift > WIDTH for line, shift in zip(lines, shifts, strict=True)):
        return
    for line, shift in zip(lines, shifts, strict=True):
        at = line.stops[stop]
        line.words[at] = " " * shift + line.words[at]
