"""What a net's text promises of its symbols: `require H % 16 == 0` makes `H // 16` exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from netc.diagnostic import Diagnostic, Diagnostics, Span
from netc.elaborate.expr import Context, Poisoned, bind, evaluate
from netc.elaborate.files import Env, Unit
from netc.graph import Requirement
from netc.op import Need
from netc.syntax import tree as t
from netc.tensor import LARGEST, Size, Symbol

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(slots=True)
class _Promise:
    divisor: int = 1
    low: int = 1
    high: int | None = None


def promised(names: list[str], stated: list[t.Let | t.Require], unit: Unit, env: Env) -> dict[str, Symbol]:
    """The symbols with what conjunctions of `S % k == 0`, `S >= k`, `S <= k` and their kin say of them."""
    promises = {name: _Promise() for name in names}
    bare = {name: Size.of(Symbol(name)) for name in names}
    # Read on the side: what cannot be evaluated here is reported where the body is elaborated.
    ctx = Context(unit, env.inside(), Diagnostics(), free=bare.get)
    for each in stated:
        if isinstance(each, t.Require):
            _read(each.test, promises, ctx)
            continue
        try:
            bind(each.targets, evaluate(each.value, ctx), ctx.env, unit, ctx.found)
        except Poisoned:
            continue
    return {n: Symbol(n, p.divisor, p.low, p.high) for n, p in promises.items()}


def _read(test: t.Expr, promises: dict[str, _Promise], ctx: Context) -> None:
    if not isinstance(test, t.Binary):
        return
    if test.op == "and":
        _read(test.left, promises, ctx)
        _read(test.right, promises, ctx)
        return
    if test.op not in _FLIPPED:
        return
    left, op, right = test.left, test.op, test.right
    number = _number(right, ctx)
    if number is None:
        left, op, number = right, _FLIPPED[op], _number(left, ctx)
    if number is None:
        return
    if isinstance(left, t.Binary) and left.op == "%" and op == "==" and number == 0:
        promise, divisor = _symbol(left.left, promises), _number(left.right, ctx)
        # Past what any size is, a promise is refused: its digits would only grow.
        if promise is not None and divisor is not None and divisor > 0 and promise.divisor <= LARGEST:
            promise.divisor = lcm(promise.divisor, divisor)
        return
    promise = _symbol(left, promises)
    if promise is None:
        return
    if op in (">=", ">", "=="):
        promise.low = max(promise.low, number + (op == ">"))
    if op in ("<=", "<", "=="):
        most = number - (op == "<")
        promise.high = most if promise.high is None else min(promise.high, most)


def _symbol(expr: t.Expr, promises: dict[str, _Promise]) -> _Promise | None:
    return promises.get(expr.parts[0]) if isinstance(expr, t.Path) and len(expr.parts) == 1 else None


def _number(expr: t.Expr, ctx: Context) -> int | None:
    try:
        value = evaluate(expr, ctx)
    except Poisoned:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def smallest(facts: Mapping[Size, tuple[Need, Span]], found: Diagnostics) -> list[Requirement]:
    """Sizes that have to be at least 1, as requirements: one least size a symbol where one symbol decides.

    A size that no image makes 1 is an error at the layer that made it.
    """
    least: dict[str, tuple[int, str]] = {}
    others: list[Requirement] = []
    for size, (need, where) in facts.items():
        kind = where.text.split("(")[0].strip()
        why = f"`{kind}` at {where} would {need.otherwise}"
        symbols = size.symbols()
        if len(symbols) != 1 or not size.grows():
            others.append(Requirement([">=", size.expr(), 1], f"{size} >= 1", why))
            continue
        name, symbol = next(iter(symbols.items()))
        number = _least(size, symbol)
        if number is None:
            most = LARGEST if symbol.high is None else symbol.high
            message = f"no `{name}` up to {most} is enough here: `{kind}` would {need.otherwise}, as {size} is below 1"
            found.add(Diagnostic(need.code, message, where, help="pool or stride less often"))
        elif name not in least or number > least[name][0]:
            least[name] = (number, why)
    ours = [Requirement([">=", n, number], f"{n} >= {number}", why) for n, (number, why) in least.items()]
    return ours + others


def _least(size: Size, symbol: Symbol) -> int | None:
    """The least value of the symbol at which a growing size is 1 or more, None where there is none."""
    low = -(-symbol.low // symbol.divisor)
    high = (LARGEST if symbol.high is None else symbol.high) // symbol.divisor
    if low > high or size.at({symbol.name: high * symbol.divisor}) < 1:
        return None
    while low < high:
        middle = (low + high) // 2
        if size.at({symbol.name: middle * symbol.divisor}) < 1:
            low = middle + 1
        else:
            high = middle
    return low * symbol.divisor
