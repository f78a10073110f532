"""Requirements on sizes as a JSON syntax tree, evaluated without `eval` and within bounds; standard library only."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

from netc_runtime.errors import ManifestError

# An integer, the name of a symbol, or (op, operand) for `not` and (op, operand, operand) for every other operator.
Expr: TypeAlias = "int | str | tuple[Expr, ...]"

MAX_DEPTH = 64
MAX_NODES = 1024
MAX_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly

_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
_ORDER: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_EQUALITY = ("==", "!=")
_LOGIC = ("and", "or")
OPERATORS = (*_ARITHMETIC, *_ORDER, *_EQUALITY, *_LOGIC, "not")


def evaluate(expr: Expr, sizes: Mapping[str, int]) -> int | bool:
    """Evaluate a requirement with Python's meaning of every operator; `//` and `%` floor, `and` and `or` stop early.

    Raises: ManifestError (R113) on an unknown symbol or operator, a division by zero, a number where a truth value
    belongs or the reverse, and on more than 64 levels or 1024 evaluated nodes.
    """
    return _Evaluation(sizes).value(expr, 0)


class _Evaluation:
    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.nodes = 0

    def value(self, expr: Expr, depth: int) -> int | bool:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise _wrong(f"a requirement is larger than {MAX_DEPTH} levels or {MAX_NODES} nodes")
        if isinstance(expr, int):
            return expr
        if isinstance(expr, str):
            if expr not in self.sizes:
                raise _wrong(f"a requirement names `{expr}`, but the inputs bind {', '.join(self.sizes) or 'nothing'}")
            return self.sizes[expr]
        problem = shape_problem(expr)
        if problem is not None:
            raise _wrong(problem)
        op = cast("str", expr[0])
        if op == "not":
            return not self.truth(expr[1], depth, op)
        if op in _LOGIC:
            left = self.truth(expr[1], depth, op)
            return self.truth(expr[2], depth, op) if left == (op == "and") else left
        if op in _EQUALITY:
            left, right = self.value(expr[1], depth + 1), self.value(expr[2], depth + 1)
            if isinstance(left, bool) != isinstance(right, bool):
                raise _wrong(f"`{op}` compares {left} with {right}: a truth value with a number")
            return (left == right) == (op == "==")
        left, right = self.number(expr[1], depth, op), self.number(expr[2], depth, op)
        if op in _ORDER:
            return _ORDER[op](left, right)
        if op in ("//", "%") and right == 0:
            raise _wrong(f"a requirement divides by zero: {left} {op} 0")
        return _ARITHMETIC[op](left, right)

    def truth(self, expr: Expr, depth: int, op: str) -> bool:
        value = self.value(expr, depth + 1)
        if not isinstance(value, bool):
            raise _wrong(f"`{op}` takes truth values, not the number {value}")
        return value

    def number(self, expr: Expr, depth: int, op: str) -> int:
        value = self.value(expr, depth + 1)
        if isinstance(value, bool):
            raise _wrong(f"`{op}` takes numbers, not the truth value {value}")
        return value


def shape_problem(expr: Sequence[object]) -> str | None:
    """Say what is wrong with one operation's operator or number of operands, or nothing."""
    if not expr or not isinstance(expr[0], str) or expr[0] not in OPERATORS:
        return "an operation begins with one of " + " ".join(OPERATORS)
    arity = 1 if expr[0] == "not" else 2
    if len(expr) != arity + 1:
        return f"`{expr[0]}` takes {arity} operand{'s' * (arity > 1)}, not {len(expr) - 1}"
    return None


def symbols(expr: Expr) -> frozenset[str]:
    """Give the names of the symbols that a requirement speaks of."""
    if isinstance(expr, int):
        return frozenset()
    if isinstance(expr, str):
        return frozenset({expr})
    return frozenset[str]().union(*(symbols(operand) for operand in expr[1:]))


def conjuncts(expr: Expr) -> Iterator[Expr]:
    """Give the parts that must all hold: the operands of the outermost `and`s."""
    if isinstance(expr, tuple) and expr[0] == "and":
        for operand in expr[1:]:
            yield from conjuncts(operand)
    else:
        yield expr


def _wrong(message: str) -> ManifestError:
    return ManifestError("R113", message, "compile the spec again; netc writes only requirements that can be evaluated")
