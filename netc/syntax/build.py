"""Turns a stream of Lark's callbacks into the tree, while parsing. One method a grammar rule, named for it."""

from __future__ import annotations

from math import inf
from typing import Any, TypeVar, cast

from lark import Token, Transformer

from netc.syntax import tree as t

# Lark hands each rule its children: tokens and what the rules below returned. Their types follow from the grammar.
Children = list[Any]

_E = TypeVar("_E", t.Listing, t.Index, t.Slice, t.Negate, t.Not, t.Binary, t.Choice, t.Call)


_LONGEST_NAME = 200
ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%"})


class Refused(Exception):
    """What the grammar allows and no spec needs: a number of a thousand digits, a thousand `not`s in a row."""

    def __init__(self, code: str, message: str, help: str, start: int, end: int) -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.start, self.end = code, message, help, start, end


def _short(token: Token, most: int) -> Token:
    """A number's token. Raises Refused where it has too many digits."""
    if len(token) > most:
        raise Refused(
            "N107", "this number has too many digits", "no size is beyond 2147483647", _start(token), _end(token)
        )
    return token


def _value(token: Token) -> int | float:
    """A number's value. Raises Refused where it has too many digits, or a `_` elsewhere than between two."""
    _short(token, 40)
    try:
        return int(token) if token.type == "INT" else float(token)
    except ValueError:
        message = f"`{token}` is no number: a `_` stands between two digits"
        raise Refused("N101", message, "take the `_` out", _start(token), _end(token)) from None


def _word(token: Any) -> str:
    """A name's text. Raises Refused where it is too long."""
    if len(token) > _LONGEST_NAME:
        message = f"this name has {len(token):,} letters; a name has at most {_LONGEST_NAME}"
        raise Refused("N107", message, "shorten it", _start(token), _end(token))
    return token.value


def _depth(part: Any) -> int:
    return getattr(part, "depth", 0)


def _start(token: Any) -> int:
    return token.start_pos


def _end(token: Any) -> int:
    return token.end_pos


def _name(token: Any) -> t.Name:
    return t.Name(token.start_pos, token.end_pos, _word(token))


def _names(children: Children) -> tuple[t.Name, ...]:
    return tuple(_name(c) for c in children if isinstance(c, Token) and c.type == "NAME")


def _first(child: Any) -> int:
    return _start(child) if isinstance(child, Token) else child.start


def _last(child: Any) -> int:
    return _end(child) if isinstance(child, Token) else child.end


def _exprs(c: Children) -> tuple[t.Expr, ...]:
    return tuple(cast("t.Expr", x) for x in c if isinstance(x, t.At))


class _Cond:
    """An `if` that grows from its end: `else if` is right recursive, so the innermost test is built first."""

    def __init__(self, end: int, other: t.Body | None) -> None:
        self.start, self.end, self.other = end, end, other
        self.branches: list[tuple[t.Expr, t.Body]] = []

    def tree(self) -> t.If:
        return t.If(self.start, self.end, tuple(reversed(self.branches)), self.other)


class Builder(Transformer[Token, t.File]):
    """Embedded in the parser, so that no Lark tree is ever built."""

    def __init__(self) -> None:
        super().__init__(visit_tokens=False)
        self.deepest = t.DEEPEST

    # --- expressions

    def _nested(self, node: _E, depth: int) -> _E:
        """The node, `depth` expressions deep. Raises Refused where that is too deep."""
        if depth > self.deepest:
            message = f"this expression is nested deeper than {self.deepest}"
            help_ = "give a part of it a name: let part = ...; --max-depth raises the limit"
            raise Refused("N105", message, help_, node.start, node.start + 1)
        node.depth = depth
        return node

    def number(self, c: Children) -> t.Number:
        token = c[0]
        value = _value(token)
        if value == inf:
            _short(token, 0)
        return t.Number(_start(token), _end(token), value)

    def dims(self, c: Children) -> t.Dims:
        token = _short(c[0], 40)
        return t.Dims(_start(token), _end(token), tuple(int(n) for n in token.split("x")))

    def string(self, c: Children) -> t.Text:
        return t.Text(c[0].start_pos, c[0].end_pos, c[0][1:-1])

    def path(self, c: Children) -> t.Path:
        if len(c) > self.deepest:
            message = f"this path has {len(c):,} parts; paths go {self.deepest} deep"
            raise Refused("N105", message, "--max-depth raises the limit", c[0].start_pos, c[0].end_pos)
        return t.Path(c[0].start_pos, c[-1].end_pos, tuple(map(_word, c)))

    def value(self, c: Children) -> t.Path:
        return c[0]

    def list(self, c: Children) -> t.Listing:
        items = _exprs(c)
        return self._nested(t.Listing(c[0].start_pos, c[-1].end_pos, items), 1 + max(map(_depth, items), default=0))

    def paren(self, c: Children) -> t.Expr:
        # An expression in parentheses is itself; its place grows to hold them.
        inner = cast("t.Expr", c[1])
        inner.start, inner.end = _start(c[0]), _end(c[2])
        return inner

    def index(self, c: Children) -> t.Index:
        return self._nested(t.Index(c[0].start, c[-1].end_pos, c[0], c[2]), 1 + max(_depth(c[0]), _depth(c[2])))

    def slice(self, c: Children) -> t.Slice:
        colon = next(i for i, x in enumerate(c) if isinstance(x, Token) and x == ":")
        low = next(iter(_exprs(c[2:colon])), None)
        high = next(iter(_exprs(c[colon:])), None)
        deepest = max(_depth(c[0]), _depth(low), _depth(high))
        return self._nested(t.Slice(c[0].start, c[-1].end_pos, c[0], low, high), 1 + deepest)

    def neg(self, c: Children) -> t.Negate:
        return self._nested(t.Negate(c[0].start_pos, c[1].end, c[1]), 1 + _depth(c[1]))

    def neg_not(self, c: Children) -> t.Not:
        return self._nested(t.Not(c[0].start_pos, c[1].end, c[1]), 1 + _depth(c[1]))

    def or_(self, c: Children) -> t.Binary:
        return self._nested(t.Binary(c[0].start, c[-1].end, "or", c[0], c[-1]), 1 + max(_depth(c[0]), _depth(c[-1])))

    def and_(self, c: Children) -> t.Binary:
        return self._nested(t.Binary(c[0].start, c[-1].end, "and", c[0], c[-1]), 1 + max(_depth(c[0]), _depth(c[-1])))

    def cmp(self, c: Children) -> t.Binary:
        return self._nested(t.Binary(c[0].start, c[2].end, str(c[1]), c[0], c[2]), 1 + max(_depth(c[0]), _depth(c[2])))

    def sum(self, c: Children) -> t.Binary:
        # A long sum leans left and is evaluated in a loop: its terms do not count as nested.
        leans = isinstance(c[0], t.Binary) and c[0].op in ARITHMETIC
        deepest = max(_depth(c[0]) - 1 if leans else _depth(c[0]), _depth(c[2]))
        return self._nested(t.Binary(c[0].start, c[2].end, str(c[1]), c[0], c[2]), 1 + deepest)

    term = sum

    def ifexpr(self, c: Children) -> t.Choice:
        return self._nested(t.Choice(c[0].start, c[-1].end, c[0], c[1], c[2]), 1 + max(map(_depth, c)))

    def fcall(self, c: Children) -> t.Call:
        args = cast("tuple[t.Argument, ...]", c[2] or ())
        call = t.Call(c[0].start_pos, c[-1].end_pos, _name(c[0]), args)
        return self._nested(call, 1 + max((_depth(a.value) for a in args), default=0))

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
        return t.Label(token.start_pos, token.end_pos, token[1:-1] if quoted else _word(token), quoted)

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

    def cond(self, c: Children) -> _Cond:
        tail = next((x for x in c[5:] if isinstance(x, _Cond | t.Braces)), None)
        if isinstance(tail, _Cond):
            found = tail
        else:
            found = _Cond(c[4].end_pos if tail is None else tail.end, tail.body if tail is not None else None)
        found.start = _start(c[0])
        found.branches.append((c[1], c[3]))
        return found

    def else_(self, c: Children) -> t.Braces:
        return t.Braces(c[0].start_pos, c[2].end_pos, c[1])

    def is_(self, c: Children) -> t.Is:
        return t.Is(c[0].start_pos, c[-1].end_pos, _exprs(c))

    def repeat(self, c: Children) -> t.Repeat:
        return t.Repeat(c[0].start_pos, c[-1].end, c[-1])

    def loop(self, c: Children) -> t.Loop:
        return t.Loop(c[0].start_pos, c[3].end, c[1], c[3])

    def targets(self, c: Children) -> t.Targets:
        names = tuple(
            _name(x) if isinstance(x, Token) else x for x in c if not isinstance(x, Token) or x.type == "NAME"
        )
        return t.Targets(_first(c[0]), _last(c[-1]), names)

    def item(self, c: Children) -> t.Item:
        label, core, times = c if len(c) == 3 else (None, *c)
        core = core.tree() if isinstance(core, _Cond) else core
        last = times or core
        return t.Item((label or core).start, last.end, label, core, times)

    def bare_cond(self, c: Children) -> t.Item:
        core = cast(_Cond, c[0]).tree()
        return t.Item(core.start, core.end, None, core, None)

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
        params: tuple[t.Parameter, ...] = c[3] or ()
        takes: tuple[t.Name, ...] = c[5] or ()
        return t.Block(c[0].start_pos, c[-1].end_pos, _name(c[1]), params, takes, c[7])

    def net(self, c: Children) -> t.Net:
        members = tuple(x for x in c if isinstance(x, t.Port | t.Section | t.Let | t.Default | t.Require | t.Chain))
        params = next((cast("tuple[t.Parameter, ...]", x) for x in c if isinstance(x, tuple)), ())
        return t.Net(c[0].start_pos, c[-1].end_pos, _name(c[1]), params, members)

    def variant(self, c: Children) -> t.Variant:
        last = next(x for x in reversed(c) if x is not None)
        return t.Variant(
            c[0].start_pos, _last(last), _name(c[1]), c[3], tuple(x for x in c if isinstance(x, t.Section))
        )

    def type(self, c: Children) -> t.Type:
        return t.Type(c[0].start_pos, c[-1].end_pos, _name(c[0]), _exprs(c))

    def attrs(self, c: Children) -> tuple[tuple[t.Pair, ...], int]:
        return tuple(x for x in c if isinstance(x, t.Pair)), _end(c[-1])

    def _port(self, c: Children) -> t.Port:
        attrs: tuple[tuple[t.Pair, ...], int] = c[4] or ((), c[3].end)
        return t.Port(c[0].start_pos, attrs[1], str(c[0]), _name(c[1]), c[3], attrs[0])

    input = output = _port

    def pair(self, c: Children) -> t.Pair:
        return t.Pair(c[0].start, c[1].end, c[0], c[1])

    def section(self, c: Children) -> t.Section:
        target = c[1] if isinstance(c[1], Token) and c[1].type == "NAME" else None
        pairs = tuple(x for x in c if isinstance(x, t.Pair))
        return t.Section(c[0].start_pos, c[-1].end_pos, str(c[0]), _name(target) if target else None, pairs)

    def header(self, c: Children) -> t.Number:
        return t.Number(c[0].start_pos, c[0].end_pos, cast(int, _value(c[0])))

    def start(self, c: Children) -> tuple[t.Number | None, tuple[t.Statement, ...]]:
        statements = tuple(x for x in c[1:] if x is not None)
        return c[0], statements
