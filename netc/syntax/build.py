"""Turns a stream of Lark's callbacks into the tree, while parsing. One method a grammar rule, named for it."""

from __future__ import annotations

from math import inf
from typing import Any, cast

from lark import Token, Transformer

from netc.syntax import tree as t

# Lark hands each rule its children: tokens and what the rules below returned. Their types follow from the grammar.
Children = list[Any]


class TooLarge(Exception):
    """A number with more digits than any size has; carries its place."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__("number")
        self.start, self.end = start, end


def _start(token: Token) -> int:
    return cast(int, token.start_pos)


def _end(token: Token) -> int:
    return cast(int, token.end_pos)


def _name(token: Token) -> t.Name:
    return t.Name(_start(token), _end(token), str(token))


def _names(children: Children) -> tuple[t.Name, ...]:
    return tuple(_name(c) for c in children if isinstance(c, Token) and c.type == "NAME")


def _first(child: Any) -> int:
    return _start(child) if isinstance(child, Token) else child.start


def _last(child: Any) -> int:
    return _end(child) if isinstance(child, Token) else child.end


class Builder(Transformer[Token, t.File]):
    """Embedded in the parser, so that no Lark tree is ever built."""

    def __init__(self) -> None:
        super().__init__(visit_tokens=False)

    # --- expressions

    def number(self, c: Children) -> t.Number:
        token = c[0]
        if len(token) > 40:
            raise TooLarge(token.start_pos, token.end_pos)
        value = int(token) if token.type == "INT" else float(token)
        if value == inf:
            raise TooLarge(token.start_pos, token.end_pos)
        return t.Number(token.start_pos, token.end_pos, value)

    def dims(self, c: Children) -> t.Dims:
        token = c[0]
        if len(token) > 40:
            raise TooLarge(token.start_pos, token.end_pos)
        return t.Dims(token.start_pos, token.end_pos, tuple(int(n) for n in token.split("x")))

    def string(self, c: Children) -> t.Text:
        return t.Text(c[0].start_pos, c[0].end_pos, c[0][1:-1])

    def path(self, c: Children) -> t.Path:
        return t.Path(c[0].start_pos, c[-1].end_pos, tuple(map(str, c)))

    def value(self, c: Children) -> t.Path:
        return c[0]

    def list(self, c: Children) -> t.Listing:
        return t.Listing(c[0].start_pos, c[-1].end_pos, tuple(x for x in c if isinstance(x, t.At)))

    def paren(self, c: Children) -> t.Expr:
        # A name or a call in parentheses is itself; the place grows to hold them.
        inner = c[1]
        return inner

    def index(self, c: Children) -> t.Index:
        return t.Index(c[0].start, c[-1].end_pos, c[0], c[2])

    def slice(self, c: Children) -> t.Slice:
        colon = next(i for i, x in enumerate(c) if isinstance(x, Token) and x == ":")
        low = next((x for x in c[2:colon] if isinstance(x, t.At)), None)
        high = next((x for x in c[colon:] if isinstance(x, t.At)), None)
        return t.Slice(c[0].start, c[-1].end_pos, c[0], cast("t.Expr | None", low), cast("t.Expr | None", high))

    def neg(self, c: Children) -> t.Expr:
        of = c[-1]
        start = _first(c[0]) if len(c) > 1 else of.start - 1
        return t.Negate(start, of.end, of)

    def neg_not(self, c: Children) -> t.Not:
        return t.Not(c[-1].start - 4, c[-1].end, c[-1])

    def or_(self, c: Children) -> t.Binary:
        return t.Binary(c[0].start, c[-1].end, "or", c[0], c[-1])

    def and_(self, c: Children) -> t.Binary:
        return t.Binary(c[0].start, c[-1].end, "and", c[0], c[-1])

    def _binary(self, c: Children) -> t.Binary:
        return t.Binary(c[0].start, c[2].end, str(c[1]), c[0], c[2])

    cmp = sum = term = _binary

    def ifexpr(self, c: Children) -> t.Choice:
        return t.Choice(c[0].start, c[-1].end, c[0], c[1], c[2])

    def fcall(self, c: Children) -> t.Call:
        args = c[2] if isinstance(c[2], tuple) else ()
        return t.Call(c[0].start_pos, c[-1].end_pos, _name(c[0]), cast("tuple[t.Argument, ...]", args))

    call = fcall

    def args(self, c: Children) -> tuple[t.Argument, ...]:
        return tuple(c) if c[-1] is not None else tuple(c[:-1])

    def arg(self, c: Children) -> t.Argument:
        name, value = c
        if name is None:
            return t.Argument(value.start, value.end, None, value)
        return t.Argument(name.start_pos, value.end, _name(name), value)

    # --- chains

    def label(self, c: Children) -> t.Label:
        token = c[0]
        quoted = token.type == "STRING"
        return t.Label(token.start_pos, token.end_pos, token[1:-1] if quoted else str(token), quoted)

    def bare(self, c: Children) -> t.Call:
        return t.Call(c[0].start_pos, c[0].end_pos, _name(c[0]), (), False)

    def reuse(self, c: Children) -> t.Reuse:
        return t.Reuse(c[0].start_pos, c[1].end, c[1])

    def braces(self, c: Children) -> t.Braces:
        return t.Braces(c[0].start_pos, c[2].end_pos, c[1])

    def fork(self, c: Children) -> t.Fork:
        arms = tuple(x for x in c if isinstance(x, t.Body))
        return t.Fork(c[0].start_pos, c[-1].end_pos, None, arms, True)

    def named(self, c: Children) -> t.Fork:
        arms = tuple(x for x in c if isinstance(x, t.Body))
        barred = any(isinstance(x, Token) and x == "|" for x in c)
        return t.Fork(c[0].start_pos, c[-1].end_pos, _name(c[0]), arms, barred)

    def arm(self, c: Children) -> t.Body:
        return c[0]

    def cond(self, c: Children) -> t.If:
        branches: list[tuple[t.Expr, t.Body]] = [(c[1], c[3])]
        other: t.Body | None = None
        end = c[4].end_pos
        tail = next((x for x in c[5:] if isinstance(x, t.If | t.Braces)), None)
        if isinstance(tail, t.If):
            # `else if` is right recursive in the grammar: the innermost is built first, and each outer test goes in front.
            return t.If(c[0].start_pos, tail.end, (branches[0], *tail.branches), tail.other)
        if tail is not None:
            other, end = tail.body, tail.end
        return t.If(c[0].start_pos, end, tuple(branches), other)

    def else_(self, c: Children) -> t.Braces:
        return t.Braces(c[0].start_pos, c[2].end_pos, c[1])

    def is_(self, c: Children) -> t.Is:
        return t.Is(c[0].start_pos, c[-1].end_pos, tuple(x for x in c if isinstance(x, t.At)))  # pyright: ignore[reportArgumentType] -- the grammar puts expressions there

    def repeat(self, c: Children) -> t.Repeat:
        return t.Repeat(c[-1].start, c[-1].end, c[-1])

    def loop(self, c: Children) -> t.Loop:
        return t.Loop(c[0].start, c[1].end, c[0], c[1])

    def targets(self, c: Children) -> t.Targets:
        names = tuple(_name(x) if isinstance(x, Token) else x for x in c)
        return t.Targets(names[0].start, names[-1].end, names)

    def item(self, c: Children) -> t.Item:
        label, core, times = c if len(c) == 3 else (None, *c)
        last = times or core
        return t.Item((label or core).start, last.end, label, core, times)

    def bare_cond(self, c: Children) -> t.Item:
        return t.Item(c[0].start, c[0].end, None, c[0], None)

    def source(self, c: Children) -> t.Path:
        return c[0]

    def open_chain(self, c: Children) -> t.Chain:
        items = tuple(x for x in c if isinstance(x, t.Item))
        return self._chain(c, None, items)

    if_chain = open_chain

    def from_chain(self, c: Children) -> t.Chain:
        sources = tuple(x for x in c if isinstance(x, t.Path))
        items = tuple(x for x in c if isinstance(x, t.Item))
        return self._chain(c, sources, items)

    def _chain(self, c: Children, sources: tuple[t.Path, ...] | None, items: tuple[t.Item, ...]) -> t.Chain:
        last = next(x for x in reversed(c) if x is not None)
        output = _name(last) if isinstance(last, Token) and last.type == "NAME" else None
        return t.Chain(_first(c[0]), _last(last), sources, items, output)

    # --- declarations

    def let(self, c: Children) -> t.Let:
        return t.Let(c[0].start_pos, c[3].end, c[1], c[3])

    def default(self, c: Children) -> t.Default:
        return t.Default(c[0].start_pos, c[1].end, c[1])

    def require(self, c: Children) -> t.Require:
        return t.Require(c[0].start_pos, c[3].end_pos, c[1], c[3][1:-1])

    def body(self, c: Children) -> t.Body:
        return t.Body(c[0].start, c[-1].end, tuple(c))

    def param(self, c: Children) -> t.Parameter:
        name, default = c
        return t.Parameter(name.start_pos, default.end if default else name.end_pos, _name(name), default)

    def params(self, c: Children) -> tuple[t.Parameter, ...]:
        return tuple(x for x in c if isinstance(x, t.Parameter))

    def use(self, c: Children) -> t.Use:
        path = t.Text(c[1].start_pos, c[1].end_pos, c[1][1:-1])
        return t.Use(c[0].start_pos, c[-1].end_pos, path, _names(c[2:]))

    def takes(self, c: Children) -> tuple[t.Name, ...]:
        return _names(c)

    def block(self, c: Children) -> t.Block:
        tuples = [x for x in c if isinstance(x, tuple)]
        params = next((x for x in tuples if x and isinstance(x[0], t.Parameter)), ())
        takes = next((x for x in tuples if x and isinstance(x[0], t.Name)), ())
        return t.Block(c[0].start_pos, c[-1].end_pos, _name(c[1]), params, takes, c[-2])  # pyright: ignore[reportArgumentType] -- told apart just above

    def net(self, c: Children) -> t.Net:
        params = next((x for x in c if isinstance(x, tuple)), ())
        members = tuple(x for x in c if isinstance(x, t.Port | t.Section | t.Let | t.Default | t.Require | t.Chain))
        return t.Net(c[0].start_pos, c[-1].end_pos, _name(c[1]), cast("tuple[t.Parameter, ...]", params), members)

    def variant(self, c: Children) -> t.Variant:
        last = next(x for x in reversed(c) if x is not None)
        return t.Variant(c[0].start_pos, _last(last), _name(c[1]), c[3], tuple(x for x in c if isinstance(x, t.Section)))

    def type(self, c: Children) -> t.Type:
        return t.Type(c[0].start_pos, c[-1].end_pos, _name(c[0]), tuple(x for x in c if isinstance(x, t.At)))  # pyright: ignore[reportArgumentType] -- the grammar puts expressions there

    def attrs(self, c: Children) -> tuple[t.Pair, ...]:
        return tuple(x for x in c if isinstance(x, t.Pair))

    def _port(self, c: Children) -> t.Port:
        attrs = c[4] or ()
        end = attrs[-1].end if attrs else c[3].end
        return t.Port(c[0].start_pos, end, str(c[0]), _name(c[1]), c[3], attrs)

    input = output = _port

    def pair(self, c: Children) -> t.Pair:
        return t.Pair(c[0].start, c[1].end, c[0], c[1])

    def section(self, c: Children) -> t.Section:
        target = c[1] if isinstance(c[1], Token) and c[1].type == "NAME" else None
        pairs = tuple(x for x in c if isinstance(x, t.Pair))
        return t.Section(c[0].start_pos, c[-1].end_pos, str(c[0]), _name(target) if target else None, pairs)

    def header(self, c: Children) -> t.Number:
        return t.Number(c[0].start_pos, c[0].end_pos, int(c[0][:9]))

    def start(self, c: Children) -> tuple[t.Number | None, tuple[t.Statement, ...]]:
        statements = tuple(x for x in c[1:] if x is not None)
        return c[0], statements
