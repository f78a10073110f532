"""Proofs that one symbolic size is no larger than another, and what to show where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, product
from math import lcm

from netc.tensor import LARGEST, Expr, Side, Size, Symbol, at, low

_TRIES = {1: 2048, 2: 64, 3: 16}  # of each symbol, by how many there are


def at_most(a: Side, b: Side) -> bool:
    """Whether `a` <= `b` is proved, for sides of values, at every size that the facts admit."""
    if isinstance(a, int) and a <= 1:
        return True  # no side is empty: the elaborator makes a fact of that
    apart = b - a
    if isinstance(apart, int):
        return apart >= 0
    line = _line_low(apart)
    return low(apart) >= 0 or (line is not None and line >= 0)


def exceeds(a: Side, b: Side) -> dict[str, int] | None:
    """Small sizes that the facts admit and at which `a` > `b`, while neither is empty; None where none was found."""
    symbols = _symbols(a, b)
    count = _TRIES.get(len(symbols), 4)
    for values in islice(product(*(_tries(s, count) for s in symbols.values())), 4096):
        sizes = dict(zip(symbols, values, strict=True))
        if at(a, sizes) > at(b, sizes) >= 1:
            return sizes
    return None


def promise(a: Side, b: Side) -> list[str]:
    """What a `require` would have to say so that `a` <= `b` is proved; empty where no simple promise is enough."""
    symbols = _symbols(a, b)
    if len(symbols) == 1:
        ((name, symbol),) = symbols.items()
        least = _first(lambda n: _proved(a, b, {name: symbol._replace(low=n)}))
        if least is not None:
            return [f"{name} >= {least}"]
        most = _first(lambda n: not _proved(a, b, {name: symbol._replace(high=n)}))
        if most is not None and most > symbol.low:
            return [f"{name} <= {most - 1}"]
    for by in (2, 4, 8, 16, 32, 64, 128):
        divisors = {name: lcm(symbol.divisor, by) for name, symbol in symbols.items()}
        if _proved(a, b, {name: symbol._replace(divisor=divisors[name]) for name, symbol in symbols.items()}):
            return [f"{name} % {divisor} == 0" for name, divisor in divisors.items()]
    return []


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


def _proved(a: Side, b: Side, symbols: dict[str, Symbol]) -> bool:
    return at_most(_with(a, symbols), _with(b, symbols))


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
