"""Evaluates expressions at compile time. A mistake becomes a diagnostic at its place, and the expression poisoned."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

from netc.diagnostic import Diagnostic, Diagnostics, Edit
from netc.elaborate.edits import meant
from netc.elaborate.files import Env, Unit, allowed
from netc.elaborate.names import nearest
from netc.elaborate.values import (
    BlockValue,
    CallValue,
    Condition,
    Items,
    LayerValue,
    Value,
    Word,
    Wrong,
    arithmetic,
    bounded,
    compare,
    kind_of,
    show,
)
from netc.ops import find, kinds
from netc.syntax import tree as t
from netc.syntax.build import ARITHMETIC
from netc.tensor import Expr, Size

MOST_LEVELS = 64
MOST_NODES = 1024
MOST_INTEGER = 2**53 - 1
"""What the runtime reads of a requirement, which is JSON."""
FUNCTIONS = ("len", "sum", "min", "max", "int", "enumerate")


class Poisoned(Exception):
    """What an expression needs was reported already."""


class Context(NamedTuple):
    """What an expression may read. `side` answers `x.c` by its path, None where `x` is no value here."""

    unit: Unit
    env: Env
    found: Diagnostics
    side: Callable[[t.Path], Value | None] | None = None
    words: frozenset[str] | None = None
    """Words of the argument that is evaluated."""
    free: Callable[[str], Value | None] | None = None
    """A last word on unknown names: symbols of an input's type."""
    section: bool = False
    """In a section unknown names are words and calls are kept."""
    unsure: bool = False
    """A part of the text did not parse: an unknown name may be one of its."""


def evaluate(expr: t.Expr, ctx: Context) -> Value:
    """The value of an expression. Raises Poisoned after a diagnostic was added."""
    try:
        # A name is looked up through the lets around it, and a text is compared letter by letter.
        cost = (
            ctx.env.depth >> 8 if isinstance(expr, t.Path) else len(expr.value) >> 6 if isinstance(expr, t.Text) else 0
        )
        ctx.unit.budget.spend(1 + cost, (ctx.unit.file, expr))
        return _evaluate(expr, ctx)
    except Wrong as wrong:
        where = ctx.unit.span(expr)
        edit = Edit(where, wrong.instead) if wrong.instead else None
        ctx.found.add(Diagnostic(wrong.code, str(wrong), where, help=wrong.help, edit=edit))
        raise Poisoned from wrong


def _evaluate(expr: t.Expr, ctx: Context) -> Value:
    match expr:
        case t.Number():
            return expr.value
        case t.Path():
            return _name(expr, ctx)
        case t.Text():
            return expr.value
        case t.Dims():
            return Items.of(expr.values)
        case t.Listing():
            return _list([evaluate(item, ctx) for item in expr.items], expr, ctx)
        case t.Binary():
            return _binary(expr, ctx)
        case t.Negate():
            return arithmetic("*", evaluate(expr.of, ctx), -1)
        case t.Not():
            value = truth(expr.of, ctx)
            return Condition(["not", value.expr]) if isinstance(value, Condition) else not value
        case t.Choice():
            return evaluate(expr.then if certain(expr.test, ctx) else expr.other, ctx)
        case t.Index():
            return _index(expr, ctx)
        case t.Slice():
            return _slice(expr, ctx)
        case t.Call():
            return _call(expr, ctx)


def _name(path: t.Path, ctx: Context) -> Value:
    name = path.parts[0]
    if len(path.parts) > 1:
        value = ctx.side(path) if ctx.side is not None else None
        if value is not None:
            return value
        if ctx.section:
            return Word(".".join(path.parts))
        raise Wrong(
            "N111",
            f"`{'.'.join(path.parts)}` names no value here",
            "write LABEL.c, LABEL.h or LABEL.w for a side of a value above",
        )
    if name in ("true", "false"):
        return name == "true"
    value = ctx.env.get(name)
    if value is not None:
        if ctx.words is not None and name in ctx.words:
            raise Wrong(
                "N113",
                f"`{name}` is a parameter here and a word of this argument: it could mean either",
                "rename the parameter",
            )
        return value
    if ctx.words is not None and name in ctx.words:
        return name
    if ctx.free is not None:
        value = ctx.free(name)
        if value is not None:
            return value
    if name in ctx.unit.blocks:
        return BlockValue(ctx.unit.blocks[name], (), ctx.unit.span(path))
    if ctx.section:
        return Word(name)
    if find(name) is not None:
        return LayerValue(name, (), ctx.unit.span(path))
    if ctx.unsure or ctx.unit.unsure:
        raise Poisoned
    if name in ("True", "False", "None"):
        help_ = f"write {name.lower()}" if name != "None" else "leave the argument out"
        instead = name.lower() if name != "None" else ""
        raise Wrong("N111", f"`{name}` is no parameter, `let`, layer or block here", help_, instead)
    known = [*ctx.env.known(), *(ctx.words or ())]
    help_ = nearest(name, known if ctx.words else [*known, *ctx.unit.blocks, *kinds()])
    if not help_ and ctx.words:
        help_ = f"its words are {', '.join(sorted(ctx.words))}"
    instead = meant(name, known if ctx.words else [*known, *ctx.unit.blocks, *kinds()])
    raise Wrong("N111", f"`{name}` is no parameter, `let`, layer or block here", help_, instead)


def _binary(expr: t.Binary, ctx: Context) -> Value:
    if expr.op in ("and", "or"):
        left = truth(expr.left, ctx)
        if isinstance(left, bool) and left == (expr.op == "or"):
            return left
        right = truth(expr.right, ctx)
        if isinstance(left, bool):
            return right
        if isinstance(right, bool):
            return right if right == (expr.op == "or") else left
        return Condition([expr.op, left.expr, right.expr])
    if expr.op in ("==", "!=", "<", "<=", ">", ">="):
        left, right = evaluate(expr.left, ctx), evaluate(expr.right, ctx)
        if isinstance(left, Items):
            ctx.unit.budget.spend(left.weight, (ctx.unit.file, expr))
        return compare(expr.op, left, right)
    # A long sum leans left: walk down its spine instead of calling once a term.
    spine: list[t.Binary] = []
    first: t.Expr = expr
    while isinstance(first, t.Binary) and first.op in ARITHMETIC:
        spine.append(first)
        first = first.left
    value = evaluate(first, ctx)
    for part in reversed(spine):
        try:
            value = arithmetic(part.op, value, evaluate(part.right, ctx))
        except Wrong as wrong:
            ctx.found.add(Diagnostic(wrong.code, str(wrong), ctx.unit.span(part), help=wrong.help))
            raise Poisoned from wrong
    return value


def truth(expr: t.Expr, ctx: Context) -> bool | Condition:
    """A test's value. Raises Poisoned where it is no test."""
    value = evaluate(expr, ctx)
    if isinstance(value, bool | Condition):
        return value
    wrong = Diagnostic(
        "N130", f"a test is true or false; this is {kind_of(value)}", ctx.unit.span(expr), help="compare it: x != 0"
    )
    ctx.found.add(wrong)
    raise Poisoned


def certain(expr: t.Expr, ctx: Context) -> bool:
    """A test that is decided now. Raises Poisoned where symbols leave it open."""
    value = truth(expr, ctx)
    if isinstance(value, bool):
        return value
    ctx.found.add(
        Diagnostic(
            "N133",
            "this test depends on a symbol, which has no number at compile time",
            ctx.unit.span(expr),
            help="a net has one form for every size: declare the side as a number, or promise it with `require`",
        )
    )
    raise Poisoned


def integer(expr: t.Expr, ctx: Context, what: str) -> int:
    """A whole number. Raises Poisoned."""
    value = evaluate(expr, ctx)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    ctx.found.add(
        Diagnostic("N130", f"{what} is a whole number, not {kind_of(value)} ({show(value)})", ctx.unit.span(expr))
    )
    raise Poisoned


def _items(expr: t.Expr, ctx: Context) -> Items:
    value = evaluate(expr, ctx)
    if isinstance(value, Items):
        return value
    raise Wrong("N130", f"only a list has items; this is {kind_of(value)}")


def _index(expr: t.Index, ctx: Context) -> Value:
    items = _items(expr.of, ctx)
    index = integer(expr.index, ctx, "an index")
    if not -len(items) <= index < len(items):
        raise Wrong(
            "N132",
            f"index {index} is outside of a list of {len(items)}",
            f"the last item is [{len(items) - 1}]" if items else "the list is empty",
        )
    return items[index]


def _list(values: Iterable[Value], expr: t.Expr, ctx: Context) -> Items:
    """A list. Raises Wrong where it is too long, and Stop past the limit of steps."""
    items = Items.of(values)
    ctx.unit.budget.spend(items.weight, (ctx.unit.file, expr))
    return items


def _slice(expr: t.Slice, ctx: Context) -> Value:
    items = _items(expr.of, ctx)
    low = integer(expr.low, ctx, "an index") if expr.low is not None else None
    high = integer(expr.high, ctx, "an index") if expr.high is not None else None
    return _list(items[low:high], expr, ctx)


def _call(expr: t.Call, ctx: Context) -> Value:
    name = expr.name.text
    if name in FUNCTIONS and not ctx.section:
        return _function(name, expr, ctx)
    args = arguments(expr, ctx)
    span = ctx.unit.span(expr)
    if ctx.section or (ctx.words is not None and name in ctx.words):
        return CallValue(name, args, 1.0, span)
    held = ctx.env.get(name)
    block = held.block if isinstance(held, BlockValue) else ctx.unit.blocks.get(name)
    if isinstance(held, LayerValue):
        _placed(expr, _positional(held.kind), ctx)
        return LayerValue(held.kind, merged(held.args, args), span)
    if block is not None:
        _placed(expr, tuple(param.name.text for param in block.tree.params), ctx, every=True)
        return BlockValue(block, merged(held.args, args) if isinstance(held, BlockValue) else args, span)
    if find(name) is not None:
        _placed(expr, _positional(name), ctx)
        return LayerValue(name, args, span)
    if ctx.unsure or ctx.unit.unsure:
        raise Poisoned
    known = [*(ctx.words or ()), *FUNCTIONS, *ctx.unit.blocks, *kinds()]
    raise Wrong("N110", f"`{name}` is no layer, block or function", nearest(name, known))


def arguments(call: t.Call, ctx: Context) -> tuple[tuple[str | None, Value], ...]:
    """The arguments of a call that is kept as a value; names only, the layer's own rules come later."""
    from netc.elaborate.layers import words_of

    args: list[tuple[str | None, Value]] = []
    for arg in call.args:
        name = arg.name.text if arg.name is not None else None
        inner = ctx
        if not ctx.section:
            words = None if call.name.text in ctx.unit.blocks else words_of(call.name.text, name)
            inner = ctx._replace(words=words)
        args.append((name, evaluate(arg.value, inner)))
    return tuple(args)


def _positional(kind: str) -> tuple[str, ...]:
    cls = find(kind)
    return (cls.positional,) if cls is not None and cls.positional is not None else ()


def _placed(call: t.Call, order: tuple[str, ...], ctx: Context, *, every: bool = False) -> None:
    """See that each argument of a call that is kept as a value has a place of its own. `order` are the names of those
    without one; where it is `every` name, there are no others. Raises Poisoned after a finding.
    """
    given: set[str] = set()
    unnamed = 0
    for arg in call.args:
        code, said, help_ = "", "", ""
        name = arg.name.text if arg.name is not None else order[unnamed] if unnamed < len(order) else ""
        unnamed += arg.name is None
        if not name:
            takes = f"{len(order) or 'no'} argument{'' if len(order) == 1 else 's'}{'' if every else ' without a name'}"
            code, said = "N123", f"`{call.name.text}` takes {takes}; this is one too many"
        elif every and name not in order:
            code, said, help_ = "N120", f"`{call.name.text}` takes no `{name}`", nearest(name, order)
        elif name in given:
            code, said, help_ = "N124", f"`{name}` is given twice", "take one of them out"
        if code:
            ctx.found.add(Diagnostic(code, said, ctx.unit.span(arg.name or arg.value), help=help_))
            raise Poisoned
        given.add(name)


def merged(
    held: tuple[tuple[str | None, Value], ...], given: tuple[tuple[str | None, Value], ...]
) -> tuple[tuple[str | None, Value], ...]:
    """Arguments of a layer or block value with those of its call on top."""
    named = {name for name, _ in given if name is not None}
    positional = any(name is None for name, _ in given)
    kept = tuple((n, v) for n, v in held if not (n in named or (n is None and positional)))
    return (
        *(a for a in kept if a[0] is None),
        *(a for a in given if a[0] is None),
        *(a for a in kept if a[0] is not None),
        *(a for a in given if a[0] is not None),
    )


def _function(name: str, call: t.Call, ctx: Context) -> Value:
    for arg in call.args:
        if arg.name is not None:
            raise Wrong("N120", f"`{name}` takes its arguments by position")
    values = [evaluate(arg.value, ctx) for arg in call.args]
    if name == "int":
        if len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool):
            return bounded(int(values[0]))
        raise Wrong("N130", "`int` takes one number")
    if name == "enumerate":
        if len(values) in (1, 2) and isinstance(values[0], Items) and all(isinstance(v, int) for v in values[1:]):
            start = cast(int, values[1]) if len(values) == 2 else 0
            return _list((Items.of((i, v)) for i, v in enumerate(values[0], start)), call, ctx)
        raise Wrong("N130", "`enumerate` takes a list, and perhaps the number to start from")
    if name == "len":
        if len(values) == 1 and isinstance(values[0], Items):
            return len(values[0])
        raise Wrong("N130", "`len` takes one list")
    items = values[0] if len(values) == 1 and isinstance(values[0], Items) else Items.of(values)
    ctx.unit.budget.spend(len(items), (ctx.unit.file, call))
    if name != "sum" and not items:
        raise Wrong("N130", f"`{name}` of nothing has no value")
    total: Value = 0 if name == "sum" else items[0]
    for item in items if name == "sum" else items[1:]:
        if name == "sum":
            total = arithmetic("+", total, item)
            continue
        less = compare("<", item, total)
        if isinstance(less, Condition):
            raise Wrong("N133", f"`{name}` of symbolic sizes has no number at compile time")
        total = item if less == (name == "min") else total
    return total


def bind(targets: t.Targets, value: Value, env: Env, unit: Unit, found: Diagnostics) -> None:
    """Bind names to a value, taking lists apart as the targets say. Raises Poisoned after a diagnostic."""
    if len(targets.names) == 1:
        _bind_one(targets.names[0], value, env, unit, found)
        return
    if not isinstance(value, Items) or len(value) != len(targets.names):
        found.add(
            Diagnostic(
                "N134",
                f"{len(targets.names)} names take a list of {len(targets.names)}; this is {kind_of(value)}",
                unit.span(targets),
            )
        )
        raise Poisoned
    for target, item in zip(targets.names, value, strict=True):
        _bind_one(target, item, env, unit, found)


def _bind_one(target: t.Name | t.Targets, value: Value, env: Env, unit: Unit, found: Diagnostics) -> None:
    if isinstance(target, t.Targets):
        bind(target, value, env, unit, found)
    elif allowed(target.text, unit.span(target), found):
        env.names[target.text] = value
        stage = isinstance(value, LayerValue | BlockValue)
        if stage and (target.text in unit.blocks or find(target.text) is not None):
            hides_a_stage(target, unit, found)


def hides_a_stage(name: t.Name, unit: Unit, found: Diagnostics) -> None:
    """Report a name that holds a layer or block and is another one's."""
    message = f"`{name.text}` is a layer's or block's name: as a stage it could mean either"
    found.add(Diagnostic("N113", message, unit.span(name), help=f"choose another name, such as {name.text}_"))


def target_names(targets: t.Targets) -> list[t.Name]:
    """Every name that targets bind."""
    names: list[t.Name] = []
    for target in targets.names:
        names.extend(target_names(target) if isinstance(target, t.Targets) else [target])
    return names


def bind_let(let: t.Let, env: Env, unit: Unit, found: Diagnostics, ctx: Context | None = None) -> None:
    """`let a, b = pair` into `env`; its names are poisoned where the value is wrong."""
    try:
        bind(let.targets, evaluate(let.value, ctx or Context(unit, env, found)), env, unit, found)
    except Poisoned:
        unit.unsure = True


def turns(over: t.Expr, ctx: Context, most: int) -> list[Value] | range:
    """What a loop goes through: a list's items, or 0 to n - 1. Raises Poisoned."""
    value = evaluate(over, ctx)
    if isinstance(value, Items):
        return list(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        if value > most:
            ctx.found.add(
                Diagnostic(
                    "N161",
                    f"{value:,} turns; a net has at most {most:,} nodes",
                    ctx.unit.span(over),
                    help="repeat less often",
                )
            )
            raise Poisoned
        return range(value)
    ctx.found.add(
        Diagnostic(
            "N130",
            f"a loop goes through a list or counts to a number from 0; this is {kind_of(value)} ({show(value)})",
            ctx.unit.span(over),
        )
    )
    raise Poisoned


class _Term(NamedTuple):
    """A number that symbols leave open, as the manifest writes it."""

    expr: Expr


def as_expr(test: t.Expr, ctx: Context) -> Expr | None:
    """A test on symbols as the author wrote it, for the manifest: names stay, what is known is worked out.

    None where no symbol decides it. Raises Wrong and Poisoned, and Wrong where the runtime would refuse to read it.
    """
    left = _left_open(test, ctx, 0)
    if not isinstance(left, Condition):
        return None
    _readable(left.expr)
    return left.expr


def _left_open(expr: t.Expr, ctx: Context, depth: int) -> Value | _Term:
    if depth > MOST_LEVELS:
        raise _too_deep()
    if isinstance(expr, t.Not):
        of = _test_left_open(expr.of, ctx, depth + 1)
        return Condition(["not", of.expr]) if isinstance(of, Condition) else not of
    if not isinstance(expr, t.Binary):
        value = evaluate(expr, ctx)
        return _Term(value.expr()) if isinstance(value, Size) else value
    if expr.op in ("and", "or"):
        first = _test_left_open(expr.left, ctx, depth + 1)
        if isinstance(first, bool):
            return first if first == (expr.op == "or") else _test_left_open(expr.right, ctx, depth + 1)
        second = _test_left_open(expr.right, ctx, depth + 1)
        if isinstance(second, bool):
            return second if second == (expr.op == "or") else first
        return Condition([expr.op, first.expr, second.expr])
    if expr.op not in ARITHMETIC:
        evaluate(expr, ctx)  # a side that `and` and `or` passed by was not checked yet
    left, right = _left_open(expr.left, ctx, depth + 1), _left_open(expr.right, ctx, depth + 1)
    if isinstance(left, _Term) or isinstance(right, _Term):
        if expr.op == "/":
            raise Wrong("N130", "a division in a `require` on symbols may not be whole", "write // for its floor")
        both: Expr = [expr.op, _whole(left), _whole(right)]
        return _Term(both) if expr.op in ARITHMETIC else Condition(both)
    return (arithmetic if expr.op in ARITHMETIC else compare)(expr.op, left, right)


def _test_left_open(expr: t.Expr, ctx: Context, depth: int) -> bool | Condition:
    value = _left_open(expr, ctx, depth)
    return value if isinstance(value, bool | Condition) else truth(expr, ctx)


def _whole(value: Value | _Term) -> Expr:
    if isinstance(value, _Term):
        return value.expr
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Wrong("N130", f"a `require` on symbols compares whole numbers, not {kind_of(value)}")


def _too_deep() -> Wrong:
    return Wrong("N105", f"a `require` on symbols is nested {MOST_LEVELS} deep at most", "make it two")


def _readable(expr: Expr) -> None:
    """Raise Wrong where a requirement is more than the runtime reads."""
    nodes, level = 0, [expr]
    for depth in itertools.count():
        if not level:
            return
        if depth > MOST_LEVELS:
            raise _too_deep()
        nodes += len(level)
        if nodes > MOST_NODES:
            raise Wrong("N214", f"a `require` on symbols has {MOST_NODES:,} parts at most", "make it two")
        for each in level:
            if isinstance(each, int) and abs(each) > MOST_INTEGER:
                raise Wrong("N107", f"{each} is too large for a `require` on symbols", "no size is beyond 2147483647")
        level = [part for each in level if isinstance(each, list) for part in each[1:]]
