"""What an expression of the language can be, and what arithmetic does with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from netc.diagnostic import Span
from netc.tensor import Expr, Size, high, low

if TYPE_CHECKING:
    from netc.elaborate.files import BlockDef

MOST_ITEMS = 100_000
LARGEST_NUMBER = 2**63


class Items(tuple["Value", ...]):
    """A list of the language. `weight` counts all items inside, so that sharing cannot make a short text a huge value."""

    weight: int

    @staticmethod
    def of(values: Iterable[Value]) -> Items:
        """A list. Raises Wrong past 100,000 items, those of lists inside included."""
        items = Items(values)
        items.weight = 1 + sum(v.weight if isinstance(v, Items) else 1 for v in items)
        if items.weight > MOST_ITEMS:
            raise Wrong("N130", f"this list holds more than {MOST_ITEMS:,} items")
        return items


@dataclass(frozen=True, slots=True)
class LayerValue:
    """A layer with some of its arguments: `leaky_relu(0.1)`. A key of None is the positional argument."""

    kind: str
    args: tuple[tuple[str | None, Value], ...]
    where: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class BlockValue:
    """A block with some of its arguments."""

    block: BlockDef
    args: tuple[tuple[str | None, Value], ...]
    where: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """A test on symbols that is neither proved nor refuted now. As JSON it travels in the artefact."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class Word:
    """A word of an argument or a section: `ceil`, `rgb`, `accuracy`."""

    text: str


@dataclass(frozen=True, slots=True)
class CallValue:
    """A call in a section: `sgd(lr = 0.05)`, with the number it is multiplied by: `0.3 * cross_entropy()`."""

    name: str
    args: tuple[tuple[str | None, Value], ...]
    weight: float
    where: Span = field(compare=False)


Value: TypeAlias = int | float | bool | str | Items | Size | LayerValue | BlockValue | Condition | Word | CallValue


class Wrong(Exception):
    """An expression cannot be evaluated: code, message, help. The evaluator adds the place."""

    def __init__(self, code: str, message: str, help: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


def key(value: object) -> object:
    """A hashable stand-in that keeps 1, 1.0 and true apart, which Python's equality does not."""
    if isinstance(value, tuple):
        return tuple(key(v) for v in cast("tuple[object, ...]", value))
    if isinstance(value, LayerValue):
        return (value.kind, tuple((n, key(v)) for n, v in value.args))
    if isinstance(value, BlockValue):
        return (id(value.block), tuple((n, key(v)) for n, v in value.args))
    return (value.__class__, value)


def kind_of(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Items):
        return f"a list of {len(value)}"
    if isinstance(value, Size):
        return "a symbolic size"
    if isinstance(value, LayerValue):
        return f"the layer `{value.kind}`"
    if isinstance(value, BlockValue):
        return f"the block `{value.block.name}`"
    if isinstance(value, Condition):
        return "a test on symbols"
    if isinstance(value, Word):
        return f"the word `{value.text}`"
    return f"`{value.name}(...)`"


def show(value: Value) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Items):
        text = ", ".join(show(v) for v in value[:20])
        return f"[{text}{', ...' if len(value) > 20 else ''}]"
    if isinstance(value, LayerValue | BlockValue):
        name = value.kind if isinstance(value, LayerValue) else value.block.name
        args = ", ".join(show(v) if n is None else f"{n}={show(v)}" for n, v in value.args)
        return f"{name}({args})" if args else name
    if isinstance(value, Word):
        return value.text
    return str(value)


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounded(value: int | float) -> int | float:
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise Wrong("N107", "this number has too many digits", "no size is beyond 2147483647")
    return value


def arithmetic(op: str, a: Value, b: Value) -> Value:
    """`+ - * // / %` on numbers and symbolic sizes. Raises Wrong."""
    if _number(a) and _number(b):
        x, y = cast("int | float", a), cast("int | float", b)
        if op in ("/", "//", "%") and y == 0:
            raise Wrong("N131", f"{show(a)} {op} 0: division by zero")
        try:
            return _bounded(_NUMBERS[op](x, y))
        except OverflowError:
            raise Wrong("N107", "this number is too large") from None
    if op == "*" and isinstance(b, CallValue) and _number(a):
        return CallValue(b.name, b.args, b.weight * cast(float, a), b.where)
    if isinstance(a, Size) or isinstance(b, Size):
        return _symbolic(op, a, b)
    raise Wrong("N130", f"`{op}` works on numbers, not on {kind_of(a)} and {kind_of(b)}")


def _add(x: int | float, y: int | float) -> int | float:
    return x + y


def _subtract(x: int | float, y: int | float) -> int | float:
    return x - y


def _multiply(x: int | float, y: int | float) -> int | float:
    return x * y


def _divide(x: int | float, y: int | float) -> int | float:
    return x / y


def _floor_divide(x: int | float, y: int | float) -> int | float:
    return x // y


def _remainder(x: int | float, y: int | float) -> int | float:
    return x % y


_NUMBERS = {"+": _add, "-": _subtract, "*": _multiply, "/": _divide, "//": _floor_divide, "%": _remainder}


def _symbolic(op: str, a: Value, b: Value) -> Value:
    for side in (a, b):
        if not isinstance(side, Size) and (not isinstance(side, int) or isinstance(side, bool)):
            raise Wrong("N130", f"`{op}` on a symbolic size takes whole numbers, not {kind_of(side)}")
    x, y = cast("int | Size", a), cast("int | Size", b)
    if op == "+":
        return x + y
    if op == "-":
        return x - y
    if op == "*" and (isinstance(x, int) or isinstance(y, int)):
        return x * y if isinstance(y, int) else y * cast(int, x)
    if op in ("//", "%") and isinstance(x, Size) and isinstance(y, int):
        if y <= 0:
            raise Wrong("N131", f"{x} {op} {y}: a symbolic size is divided by a positive number only")
        return x // y if op == "//" else x % y
    if op == "/":
        raise Wrong("N130", f"{x} / {y} may not be whole", "write // for the floor of the division")
    raise Wrong("N130", f"`{op}` of two symbolic sizes is not linear: {x} {op} {y}")


def compare(op: str, a: Value, b: Value) -> bool | Condition:
    """`== != < <= > >=`. A Condition where symbols leave it open. Raises Wrong."""
    if isinstance(a, Size) or isinstance(b, Size):
        return _compare_sizes(op, a, b)
    if op in ("==", "!="):
        same = key(a) == key(b) or (_number(a) and _number(b) and a == b)
        return same if op == "==" else not same
    if _number(a) and _number(b):
        x, y = cast(float, a), cast(float, b)
        return {"<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[op]
    raise Wrong("N130", f"`{op}` compares numbers, not {kind_of(a)} and {kind_of(b)}")


def _compare_sizes(op: str, a: Value, b: Value) -> bool | Condition:
    for side in (a, b):
        if not isinstance(side, Size) and (not isinstance(side, int) or isinstance(side, bool)):
            raise Wrong("N130", f"`{op}` on a symbolic size takes whole numbers, not {kind_of(side)}")
    x, y = cast("int | Size", a), cast("int | Size", b)
    gap = x - y
    least, most = low(gap), high(gap)
    zero = isinstance(gap, int) and gap == 0
    verdict: bool | None = None
    if op in ("==", "!="):
        if zero:
            verdict = True
        elif least > 0 or (most is not None and most < 0):
            verdict = False
        if verdict is not None and op == "!=":
            verdict = not verdict
    elif op in ("<", ">="):
        verdict = True if most is not None and most < 0 else False if least >= 0 else None
        verdict = verdict if op == "<" or verdict is None else not verdict
    else:
        verdict = True if most is not None and most <= 0 else False if least > 0 else None
        verdict = verdict if op == "<=" or verdict is None else not verdict
    if verdict is not None:
        return verdict
    return Condition([op, x if isinstance(x, int) else x.expr(), y if isinstance(y, int) else y.expr()])
