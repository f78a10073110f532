"""Proofs that one symbolic size lies within another, and what to show where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, product
from math import lcm

from netc.tensor import LARGEST, Expr, Side, Size, Symbol, at, low

_TRIES = {1: 2048, 2: 64, 3: 16}  # of each symbol, by how many there are


def fits(part: Side, offset: int, whole: Side) -> bool:
    """Whether `part` + `offset` <= `whole` is proved, for sides of values, at every size that the facts admit."""
    if isinstance(part, int) and part + offset <= 1:
        return True  # no side is empty: the elaborator makes a fact of that
    room, spare = whole - part - offset, part - 1
    # For the same reason `spare` is nothing or more: where that is left over when it is taken away, so it was before.
    return any(_not_negative(room - spare * times) for times in range(1 if isinstance(spare, int) else 4))


def _not_negative(side: Side) -> bool:
    if isinstance(side, int):
        return side >= 0
    line = _line_low(side)
    return low(side) >= 0 or (line is not None and line >= 0)


def exceeds(part: Side, offset: int, whole: Side) -> dict[str, int] | None:
    """Small sizes within the facts, at which `part` + `offset` > `whole`, neither empty; None if none is found."""
    symbols = _symbols(part, whole)
    count = _TRIES.get(len(symbols), 4)
    for values in islice(product(*(_tries(s, count) for s in symbols.values())), 4096):
        sizes = dict(zip(symbols, values, strict=True))
        if at(part, sizes) >= 1 and at(part, sizes) + offset > at(whole, sizes) >= 1:
            return sizes
    return None


def promise(part: Side, offset: int, whole: Side) -> list[str]:
    """What a `require` has to say for `part` + `offset` <= `whole` to be proved; empty where nothing simple will do."""
    symbols = _symbols(part, whole)

    def proved(**facts: Symbol) -> bool:
        return fits(_with(part, facts), offset, _with(whole, facts))

    if len(symbols) == 1:
        ((name, symbol),) = symbols.items()
        least = _first(lambda n: proved(**{name: symbol._replace(low=n)}))
        if least is not None:
            return [f"{name} >= {least}"]
        most = _first(lambda n: not proved(**{name: symbol._replace(high=n)}))
        if most is not None and most > symbol.low:
            return [f"{name} <= {most - 1}"]
    for by in (2, 4, 8, 16, 32, 64, 128):
        divisors = {name: lcm(symbol.divisor, by) for name, symbol in symbols.items()}
        if proved(**{name: symbol._replace(divisor=divisors[name]) for name, symbol in symbols.items()}):
            return [f"{name} % {divisor} == 0" for name, divisor in divisors.items()]
    return []


def at_least(side: Side, least: int) -> str:
    """The promise that makes a size at least so large; empty where one bound on one symbol is not enough."""
    if isinstance(side, int) or not side.grows() or len(side.symbols()) != 1:
        return ""
    ((name, symbol),) = side.symbols().items()
    steps = _first(lambda n: at(side, {name: n * symbol.divisor}) >= least)
    return f"{name} >= {steps * symbol.divisor}" if steps is not None else ""


def _line_low(size: Size) -> Fraction | None:
    # The bounds of a sum of floors lose what its parts have in common: H - 2 (H // 2) is at least 0, and H // 2 is
    # unbounded. So each floor is replaced by a straight line on the side that counts, and then symbols cancel.
    factors: dict[Symbol, Fraction] = {}
    least = _line(size, Fraction(1), factors)
    for symbol, factor in factors.items():
        if factor > 0:
            least += factor * -(-symbol.low // symbol.divisor) * symbol.divisor
        elif factor < 0:
            if symbol.high is None:
                return None
            least += factor * (symbol.high // symbol.divisor) * symbol.divisor
    return least


def _line(size: Size, times: Fraction, factors: dict[Symbol, Fraction]) -> Fraction:
    constant = times * size.constant
    for atom, factor in size.terms:
        by = factor * times
        if isinstance(atom, Symbol):
            factors[atom] = factors.get(atom, Fraction(0)) + by
        else:
            # (n - d + 1) / d <= floor(n / d) <= n / d
            constant += _line(atom.size, by / atom.by, factors)
            constant -= max(by, 0) * Fraction(atom.by - 1, atom.by)
    return constant


def _symbols(a: Side, b: Side) -> dict[str, Symbol]:
    return {name: s for side in (a, b) if isinstance(side, Size) for name, s in side.symbols().items()}


def _tries(symbol: Symbol, count: int) -> Iterator[int]:
    least = -(-symbol.low // symbol.divisor) * symbol.divisor
    found = range(least, least + count * symbol.divisor, symbol.divisor)
    return (n for n in found if symbol.high is None or n <= symbol.high)


def _with(side: Side, symbols: dict[str, Symbol]) -> Side:
    return _again(side.expr(), symbols) if isinstance(side, Size) else side


def _again(expr: Expr, symbols: dict[str, Symbol]) -> Side:
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return Size.of(symbols[expr])
    kind, left, right = expr
    a, b = _again(left, symbols), _again(right, symbols)
    if kind == "+":
        return a + b
    assert isinstance(b, int), expr
    return a * b if kind == "*" else a // b


def _first(holds: Callable[[int], bool]) -> int | None:
    # The first number from which on it holds, up to the largest size.
    small, large = 1, LARGEST
    if not holds(large):
        return None
    while small < large:
        middle = (small + large) // 2
        small, large = (small, middle) if holds(middle) else (middle + 1, large)
    return small
