"""The tree: what the author wrote. Every node knows its place, `start` (included) to `end` (excluded), in characters.

Plain slotted classes, compared by identity: a file of 100,000 lines makes a million of them. They are written out
because forty dataclasses take longer to make than a small spec takes to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from netc.diagnostic import Diagnostic, Source, Span

DEEPEST = 200
"""Brackets inside brackets, expressions inside expressions, and blocks inside blocks."""


WORDS = frozenset(
    [
        "language",
        "use",
        "let",
        "default",
        "block",
        "net",
        "input",
        "output",
        "from",
        "require",
        "if",
        "else",
        "for",
        "in",
        "is",
        "and",
        "or",
        "not",
        "true",
        "false",
        "train",
        "export",
        "expect",
    ]
)
"""The language's own words; they name nothing."""


class At:
    """A place in the file."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end


class Name(At):
    """A word with its place."""

    __slots__ = ("text",)

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start, self.end, self.text = start, end, text


# --- expressions. `depth`, where a kind has one, counts the expressions inside expressions.


class Number(At):
    __slots__ = ("value",)

    def __init__(self, start: int, end: int, value: int | float) -> None:
        self.start, self.end, self.value = start, end, value


class Dims(At):
    """`1x7`, which is `[1, 7]`."""

    __slots__ = ("values",)

    def __init__(self, start: int, end: int, values: tuple[int, ...]) -> None:
        self.start, self.end, self.values = start, end, values


class Text(At):
    __slots__ = ("value",)

    def __init__(self, start: int, end: int, value: str) -> None:
        self.start, self.end, self.value = start, end, value


class Path(At):
    """`a`, `a.b.0`: a name and what follows its dots."""

    __slots__ = ("parts",)

    def __init__(self, start: int, end: int, parts: tuple[str, ...]) -> None:
        self.start, self.end, self.parts = start, end, parts


class Listing(At):
    __slots__ = ("depth", "items")

    def __init__(self, start: int, end: int, items: tuple[Expr, ...]) -> None:
        self.start, self.end, self.items = start, end, items
        self.depth = 1


class Index(At):
    __slots__ = ("depth", "index", "of")

    def __init__(self, start: int, end: int, of: Expr, index: Expr) -> None:
        self.start, self.end, self.of, self.index = start, end, of, index
        self.depth = 1


class Slice(At):
    __slots__ = ("depth", "high", "low", "of")

    def __init__(self, start: int, end: int, of: Expr, low: Expr | None, high: Expr | None) -> None:
        self.start, self.end, self.of, self.low, self.high = start, end, of, low, high
        self.depth = 1


class Negate(At):
    __slots__ = ("depth", "of")

    def __init__(self, start: int, end: int, of: Expr) -> None:
        self.start, self.end, self.of = start, end, of
        self.depth = 1


class Not(At):
    __slots__ = ("depth", "of")

    def __init__(self, start: int, end: int, of: Expr) -> None:
        self.start, self.end, self.of = start, end, of
        self.depth = 1


class Binary(At):
    """Arithmetic, a comparison, `and`, `or`."""

    __slots__ = ("depth", "left", "op", "right")

    def __init__(self, start: int, end: int, op: str, left: Expr, right: Expr) -> None:
        self.start, self.end, self.op, self.left, self.right = start, end, op, left, right
        self.depth = 1


class Choice(At):
    """`then if test else other`."""

    __slots__ = ("depth", "other", "test", "then")

    def __init__(self, start: int, end: int, then: Expr, test: Expr, other: Expr) -> None:
        self.start, self.end, self.then, self.test, self.other = start, end, then, test, other
        self.depth = 1


class Argument(At):
    __slots__ = ("name", "value")

    def __init__(self, start: int, end: int, name: Name | None, value: Expr) -> None:
        self.start, self.end, self.name, self.value = start, end, name, value


class Call(At):
    """`conv(64, k=7)`; without parentheses `written` is false."""

    __slots__ = ("args", "depth", "name", "written")

    def __init__(self, start: int, end: int, name: Name, args: tuple[Argument, ...], written: bool = True) -> None:
        self.start, self.end, self.name, self.args, self.written = start, end, name, args, written
        self.depth = 1


Expr: TypeAlias = Number | Dims | Text | Path | Listing | Index | Slice | Negate | Not | Binary | Choice | Call


# --- chains


class Label(At):
    """`conv1`, `0` or `"denselayer{i + 1}"` before a colon. A quoted label is the whole path."""

    __slots__ = ("quoted", "text")

    def __init__(self, start: int, end: int, text: str, quoted: bool) -> None:
        self.start, self.end, self.text, self.quoted = start, end, text, quoted


class Braces(At):
    """A group `{ a -> b }`: a block used once."""

    __slots__ = ("body",)

    def __init__(self, start: int, end: int, body: Body) -> None:
        self.start, self.end, self.body = start, end, body


class Fork(At):
    """`{ | a | b }`, or with a merge's name before it `add { | a | b }`, `skip { a }`."""

    __slots__ = ("arms", "barred", "merge")

    def __init__(self, start: int, end: int, merge: Name | None, arms: tuple[Body, ...], barred: bool) -> None:
        self.start, self.end, self.merge, self.arms, self.barred = start, end, merge, arms, barred


class If(At):
    """`if c { } else if d { } else { }` with the tests flattened into a list."""

    __slots__ = ("branches", "other")

    def __init__(self, start: int, end: int, branches: tuple[tuple[Expr, Body], ...], other: Body | None) -> None:
        self.start, self.end, self.branches, self.other = start, end, branches, other


class Is(At):
    """`is [_, 64, 56, 56]`."""

    __slots__ = ("dims",)

    def __init__(self, start: int, end: int, dims: tuple[Expr, ...]) -> None:
        self.start, self.end, self.dims = start, end, dims


class Reuse(At):
    """`@tower`: apply what bears this label again."""

    __slots__ = ("path",)

    def __init__(self, start: int, end: int, path: Path) -> None:
        self.start, self.end, self.path = start, end, path


Core: TypeAlias = Call | Braces | Fork | If | Is | Reuse


class Repeat(At):
    """`* 3`."""

    __slots__ = ("count",)

    def __init__(self, start: int, end: int, count: Expr) -> None:
        self.start, self.end, self.count = start, end, count


class Targets(At):
    """`i, (t, c)`: names to bind, nested as the parentheses are."""

    __slots__ = ("names",)

    def __init__(self, start: int, end: int, names: tuple[Name | Targets, ...]) -> None:
        self.start, self.end, self.names = start, end, names


class Loop(At):
    """`for i, c in enumerate(rows)`."""

    __slots__ = ("over", "targets")

    def __init__(self, start: int, end: int, targets: Targets, over: Expr) -> None:
        self.start, self.end, self.targets, self.over = start, end, targets, over


class Item(At):
    """One stage of a chain: a label, what it does, how often."""

    __slots__ = ("core", "label", "times")

    def __init__(self, start: int, end: int, label: Label | None, core: Core, times: Repeat | Loop | None) -> None:
        self.start, self.end, self.label, self.core, self.times = start, end, label, core, times


class Chain(At):
    """`sources` None: the chain takes what enters its body."""

    __slots__ = ("items", "output", "sources")

    def __init__(
        self, start: int, end: int, sources: tuple[Path, ...] | None, items: tuple[Item, ...], output: Name | None
    ) -> None:
        self.start, self.end, self.sources, self.items, self.output = start, end, sources, items, output


# --- declarations


class Let(At):
    __slots__ = ("targets", "value")

    def __init__(self, start: int, end: int, targets: Targets, value: Expr) -> None:
        self.start, self.end, self.targets, self.value = start, end, targets, value


class Default(At):
    __slots__ = ("call",)

    def __init__(self, start: int, end: int, call: Call) -> None:
        self.start, self.end, self.call = start, end, call


class Require(At):
    __slots__ = ("test", "why")

    def __init__(self, start: int, end: int, test: Expr, why: str) -> None:
        self.start, self.end, self.test, self.why = start, end, test, why


class Body(At):
    __slots__ = ("statements",)

    def __init__(self, start: int, end: int, statements: tuple[Let | Default | Require | Chain, ...]) -> None:
        self.start, self.end, self.statements = start, end, statements


class Parameter(At):
    __slots__ = ("default", "name")

    def __init__(self, start: int, end: int, name: Name, default: Expr | None) -> None:
        self.start, self.end, self.name, self.default = start, end, name, default


class Use(At):
    __slots__ = ("names", "path")

    def __init__(self, start: int, end: int, path: Text, names: tuple[Name, ...]) -> None:
        self.start, self.end, self.path, self.names = start, end, path, names


class Block(At):
    __slots__ = ("body", "name", "params", "takes")

    def __init__(
        self, start: int, end: int, name: Name, params: tuple[Parameter, ...], takes: tuple[Name, ...], body: Body
    ) -> None:
        self.start, self.end, self.name, self.params, self.takes, self.body = start, end, name, params, takes, body


class Type(At):
    __slots__ = ("dims", "dtype")

    def __init__(self, start: int, end: int, dtype: Name, dims: tuple[Expr, ...]) -> None:
        self.start, self.end, self.dtype, self.dims = start, end, dtype, dims


class Pair(At):
    __slots__ = ("key", "value")

    def __init__(self, start: int, end: int, key: Path, value: Expr) -> None:
        self.start, self.end, self.key, self.value = start, end, key, value


class Port(At):
    """An `input` or an `output`."""

    __slots__ = ("attrs", "kind", "name", "type")

    def __init__(self, start: int, end: int, kind: str, name: Name, type: Type, attrs: tuple[Pair, ...]) -> None:
        self.start, self.end, self.kind, self.name, self.type, self.attrs = start, end, kind, name, type, attrs


class Section(At):
    __slots__ = ("kind", "pairs", "target")

    def __init__(self, start: int, end: int, kind: str, target: Name | None, pairs: tuple[Pair, ...]) -> None:
        self.start, self.end, self.kind, self.target, self.pairs = start, end, kind, target, pairs


Member: TypeAlias = Port | Section | Let | Default | Require | Chain


class Net(At):
    __slots__ = ("members", "name", "params")

    def __init__(
        self, start: int, end: int, name: Name, params: tuple[Parameter, ...], members: tuple[Member, ...]
    ) -> None:
        self.start, self.end, self.name, self.params, self.members = start, end, name, params, members


class Variant(At):
    """`net ResNet152 = ResNet(depths = [3, 8, 36, 3]) { ... }`."""

    __slots__ = ("base", "name", "sections")

    def __init__(self, start: int, end: int, name: Name, base: Call, sections: tuple[Section, ...]) -> None:
        self.start, self.end, self.name, self.base, self.sections = start, end, name, base, sections


Statement: TypeAlias = Use | Let | Default | Block | Net | Variant | Section


class Comment(At):
    __slots__ = ("text",)

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start, self.end, self.text = start, end, text


@dataclass(slots=True, eq=False)
class File:
    """A parsed text. `damaged` holds the places of statements that did not parse and were set aside."""

    source: Source
    language: int
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]
    damaged: tuple[At, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    def span(self, at: At) -> Span:
        """The place of a node of this file, for a diagnostic."""
        return Span(self.source, at.start, at.end)

    def touched(self, at: At) -> bool:
        """Whether a node stands where a statement was set aside, in its place."""
        return any(d.start <= at.start < d.end for d in self.damaged)

    def hurt(self, at: At) -> bool:
        """Whether a statement inside this node was set aside."""
        return any(at.start <= d.start and d.end <= at.end for d in self.damaged)
