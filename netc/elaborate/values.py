"""What an expression of the language can be, and what arithmetic does with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from netc.diagnostic import Span
from netc.syntax.tree import DEEPEST
from netc.tensor import Expr, Size, TooLong, high, low

if TYPE_CHECKING:
    from netc.elaborate.files import BlockDef

MOST_ITEMS = 100_000
LARGEST_NUMBER = 2**63
MOST_FLOAT = 1e300


class Items(tuple["Value", ...]):
    """A list of the language. `weight` counts all items inside: sharing cannot make a short text a huge value."""

    weight: int
    depth: int

    @staticmethod
    def of(values: Iterable[Value]) -> Items:
        """A list. Raises Wrong past 100,000 items, those of lists inside included, and past 200 lists in lists."""
        items = Items(values)
        items.weight, items.depth = _measure(items)
        return items


def _measure(parts: Iterable[Value]) -> tuple[int, int]:
    """Weight and depth of a value with these parts. Raises Wrong N130 past what a spec needs."""
    weight = depth = 1
    for part in parts:
        if isinstance(part, Items | LayerValue | BlockValue):
            weight += part.weight
            depth = max(depth, part.depth + 1)
        else:
            weight += 1
    if weight > MOST_ITEMS:
        raise Wrong("N130", f"this value holds more than {MOST_ITEMS:,} items")
    if depth > DEEPEST:
        raise Wrong("N130", f"this value is nested deeper than {DEEPEST}")
    return weight, depth


Arguments: TypeAlias = "tuple[tuple[str | None, Value], ...]"
"""Arguments with their names; None is the positional one's."""


class LayerValue:
    """A layer with some of its arguments: `leaky_relu(0.1)`. Raises Wrong where the arguments are too much."""

    __slots__ = ("args", "depth", "kind", "weight", "where")

    def __init__(self, kind: str, args: Arguments, where: Span) -> None:
        self.kind, self.args, self.where = kind, args, where
        self.weight, self.depth = _measure(v for _, v in args)


class BlockValue:
    """A block with some of its arguments. Raises Wrong where the arguments are too much."""

    __slots__ = ("args", "block", "depth", "weight", "where")

    def __init__(self, block: BlockDef, args: Arguments, where: Span) -> None:
        self.block, self.args, self.where = block, args, where
        self.weight, self.depth = _measure(v for _, v in args)


class Condition(NamedTuple):
    """A test on symbols that is neither proved nor refuted now. As JSON it travels in the artefact."""

    expr: Expr


class Word(NamedTuple):
    """A word of an argument or a section: `ceil`, `rgb`, `accuracy`."""

    text: str


class CallValue(NamedTuple):
    """A call in a section: `sgd(lr = 0.05)`, with the number it is multiplied by: `0.3 * cross_entropy()`."""

    name: str
    args: tuple[tuple[str | None, Value], ...]
    weight: float
    where: Span


Value: TypeAlias = int | float | bool | str | Items | Size | LayerValue | BlockValue | Condition | Word | CallValue


class Wrong(Exception):
    """An expression cannot be evaluated: code, message, help. The evaluator adds the place.

    `instead` is what was meant beyond doubt, and may be put in the place of the whole expression.
    """

    def __init__(self, code: str, message: str, help: str = "", instead: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.instead = code, message, help, instead


def key(value: object) -> object:
    """A hashable stand-in that keeps 1, 1.0 and true apart, which Python's equality does not."""
    if isinstance(value, Items):
        return tuple(key(v) for v in value)
    if isinstance(value, LayerValue):
        return (value.kind, tuple((n, key(v)) for n, v in value.args))
    if isinstance(value, BlockValue):
        return (id(value.block), tuple((n, key(v)) for n, v in value.args))
    if isinstance(value, CallValue):
        return (value.name, tuple((n, key(v)) for n, v in value.args))
    return (value.__class__, value)


def _listed(value: Value) -> bool:
    # In a section a list is a plain tuple; records are tuples too, with classes of their own.
    return isinstance(value, Items) or value.__class__ is tuple


def kind_of(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if _listed(value):
        return f"a list of {len(cast(Items, value))}"
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
    assert isinstance(value, CallValue)
    return f"`{value.name}(...)`"


def show(value: Value) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if _listed(value):
        items = cast(Items, value)
        text = ", ".join(show(v) for v in items[:20])
        return f"[{text}{', ...' if len(items) > 20 else ''}]"
    if isinstance(value, LayerValue | BlockValue | CallValue):
        name = (
            value.name
            if isinstance(value, CallValue)
            else value.kind
            if isinstance(value, LayerValue)
            else value.block.name
        )
        args = ", ".join(show(v) if n is None else f"{n}={show(v)}" for n, v in value.args)
        return f"{name}({args})" if args else name
    if isinstance(value, Word):
        return value.text
    return str(value)


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def bounded(value: int | float) -> int | float:
    """The number. Raises Wrong N107 past 2^63, and where a float overflowed."""
    if not abs(value) <= (LARGEST_NUMBER if isinstance(value, int) else MOST_FLOAT):
        raise Wrong("N107", "this number is too large", "no size is beyond 2147483647")
    return value


def arithmetic(op: str, a: Value, b: Value) -> Value:
    """`+ - * // / %` on numbers and symbolic sizes. Raises Wrong."""
    if _number(a) and _number(b):
        x, y = cast("int | float", a), cast("int | float", b)
        if op in ("/", "//", "%") and y == 0:
            raise Wrong("N131", f"{show(a)} {op} 0: division by zero")
        try:
            return bounded(_NUMBERS[op](x, y))
        except OverflowError:
            raise Wrong("N107", "this number is too large") from None
    if op == "*" and isinstance(b, CallValue) and _number(a):
        return CallValue(b.name, b.args, b.weight * cast(float, a), b.where)
    if isinstance(a, Size) or isinstance(b, Size):
        try:
            return _symbolic(op, a, b)
        except TooLong as error:
            raise Wrong("N214", str(error), "declare the input's sides as numbers") from None
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
