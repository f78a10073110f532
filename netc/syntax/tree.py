"""The tree: what the author wrote. Every node knows its place, `start` (included) to `end` (excluded), in characters.

Plain slotted classes, compared by identity: a file of 100,000 lines makes a million of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from netc.diagnostic import Diagnostic, Source, Span


@dataclass(slots=True, eq=False)
class At:
    """A place in the file."""

    start: int
    end: int


@dataclass(slots=True, eq=False)
class Name(At):
    """A word with its place."""

    text: str


# --- expressions


@dataclass(slots=True, eq=False)
class Number(At):
    value: int | float


@dataclass(slots=True, eq=False)
class Dims(At):
    """`1x7`, which is `[1, 7]`."""

    values: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Text(At):
    value: str


@dataclass(slots=True, eq=False)
class Path(At):
    """`a`, `a.b.0`: a name and what follows its dots."""

    parts: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Listing(At):
    items: tuple[Expr, ...]


@dataclass(slots=True, eq=False)
class Index(At):
    of: Expr
    index: Expr


@dataclass(slots=True, eq=False)
class Slice(At):
    of: Expr
    low: Expr | None
    high: Expr | None


@dataclass(slots=True, eq=False)
class Negate(At):
    of: Expr


@dataclass(slots=True, eq=False)
class Not(At):
    of: Expr


@dataclass(slots=True, eq=False)
class Binary(At):
    """Arithmetic, a comparison, `and`, `or`."""

    op: str
    left: Expr
    right: Expr


@dataclass(slots=True, eq=False)
class Choice(At):
    """`then if test else other`."""

    then: Expr
    test: Expr
    other: Expr


@dataclass(slots=True, eq=False)
class Argument(At):
    name: Name | None
    value: Expr


@dataclass(slots=True, eq=False)
class Call(At):
    """`conv(64, k=7)`; without parentheses `written` is false."""

    name: Name
    args: tuple[Argument, ...]
    written: bool = True


Expr: TypeAlias = Number | Dims | Text | Path | Listing | Index | Slice | Negate | Not | Binary | Choice | Call


# --- chains


@dataclass(slots=True, eq=False)
class Label(At):
    """`conv1`, `0` or `"denselayer{i + 1}"` before a colon. A quoted label is the whole path."""

    text: str
    quoted: bool


@dataclass(slots=True, eq=False)
class Braces(At):
    """A group `{ a -> b }`: a block used once."""

    body: Body


@dataclass(slots=True, eq=False)
class Fork(At):
    """`{ | a | b }`, or with a merge's name before it `add { | a | b }`, `skip { a }`."""

    merge: Name | None
    arms: tuple[Body, ...]
    barred: bool


@dataclass(slots=True, eq=False)
class If(At):
    """`if c { } else if d { } else { }` with the tests flattened into a list."""

    branches: tuple[tuple[Expr, Body], ...]
    other: Body | None


@dataclass(slots=True, eq=False)
class Is(At):
    """`is [_, 64, 56, 56]`."""

    dims: tuple[Expr, ...]


@dataclass(slots=True, eq=False)
class Reuse(At):
    """`@tower`: apply what bears this label again."""

    path: Path


Core: TypeAlias = Call | Braces | Fork | If | Is | Reuse


@dataclass(slots=True, eq=False)
class Repeat(At):
    """`* 3`."""

    count: Expr


@dataclass(slots=True, eq=False)
class Targets(At):
    """`i, (t, c)`: names to bind, nested as the parentheses are."""

    names: tuple[Name | Targets, ...]


@dataclass(slots=True, eq=False)
class Loop(At):
    """`for i, c in enumerate(rows)`."""

    targets: Targets
    over: Expr


@dataclass(slots=True, eq=False)
class Item(At):
    """One stage of a chain: a label, what it does, how often."""

    label: Label | None
    core: Core
    times: Repeat | Loop | None


@dataclass(slots=True, eq=False)
class Chain(At):
    """`sources` None: the chain takes what enters its body."""

    sources: tuple[Path, ...] | None
    items: tuple[Item, ...]
    output: Name | None


# --- declarations


@dataclass(slots=True, eq=False)
class Let(At):
    targets: Targets
    value: Expr


@dataclass(slots=True, eq=False)
class Default(At):
    call: Call


@dataclass(slots=True, eq=False)
class Require(At):
    test: Expr
    why: str


@dataclass(slots=True, eq=False)
class Body(At):
    statements: tuple[Let | Default | Require | Chain, ...]


@dataclass(slots=True, eq=False)
class Parameter(At):
    name: Name
    default: Expr | None


@dataclass(slots=True, eq=False)
class Use(At):
    path: Text
    names: tuple[Name, ...]


@dataclass(slots=True, eq=False)
class Block(At):
    name: Name
    params: tuple[Parameter, ...]
    takes: tuple[Name, ...]
    body: Body


@dataclass(slots=True, eq=False)
class Type(At):
    dtype: Name
    dims: tuple[Expr, ...]


@dataclass(slots=True, eq=False)
class Pair(At):
    key: Path
    value: Expr


@dataclass(slots=True, eq=False)
class Port(At):
    """An `input` or an `output`."""

    kind: str
    name: Name
    type: Type
    attrs: tuple[Pair, ...]


@dataclass(slots=True, eq=False)
class Section(At):
    kind: str
    target: Name | None
    pairs: tuple[Pair, ...]


Member: TypeAlias = Port | Section | Let | Default | Require | Chain


@dataclass(slots=True, eq=False)
class Net(At):
    name: Name
    params: tuple[Parameter, ...]
    members: tuple[Member, ...]


@dataclass(slots=True, eq=False)
class Variant(At):
    """`net ResNet152 = ResNet(depths = [3, 8, 36, 3]) { ... }`."""

    name: Name
    base: Call
    sections: tuple[Section, ...]


Statement: TypeAlias = Use | Let | Default | Block | Net | Variant | Section


@dataclass(slots=True, eq=False)
class Comment(At):
    text: str


@dataclass(slots=True, eq=False)
class File:
    """A parsed text. `damaged` holds the places of statements that did not parse and were set aside."""

    source: Source
    language: int
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]
    damaged: tuple[At, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = field(default=())

    def span(self, at: At) -> Span:
        """The place of a node of this file, for a diagnostic."""
        return Span(self.source, at.start, at.end)

    def hurt(self, at: At) -> bool:
        """Whether a statement inside this node was set aside."""
        return any(at.start <= d.start and d.end <= at.end for d in self.damaged)
