"""What to write where two shapes do not meet: an edit that works if one layer can do it, else the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.ops._words import one, spell
from netc.tensor import Side, Symbol, TensorType, at, counterexample

Pairs = Sequence[tuple[Side, Side]]


def channels_edit(a: TensorType, b: TensorType, differ: Pairs) -> str:
    """For unlike channels, and the sides that `differ` too: a 1x1 convolution, strided where that is enough."""
    if not differ:
        layer = f"conv({a.c}, k=1)" if b.rank else f"fc({a.c})"
        return f"{layer} on the second gives it {a.c} channels"
    found = _shrink(a, b, lambda n, s: (n - 1) // s + 1)
    if found:
        steps, which, small = found
        return f"conv({small.c}, k=1, stride={steps}) on the {which} gives {small.shape}"
    return f"conv({a.c}, k=1) on the second gives it {a.c} channels; {sides_edit(a, b, differ)}"


def sides_edit(a: TensorType, b: TensorType, differ: Pairs) -> str:
    """For unlike sides: a pooling of the larger, the divisor that makes symbols meet, or what a padding would do."""
    symbolic = [(m, n) for m, n in differ if not (isinstance(m, int) and isinstance(n, int))]
    if symbolic:
        return _divisors(symbolic)
    found = _shrink(a, b, lambda n, s: n // s)
    if found:
        steps, which, _ = found
        return f"maxpool(k={steps}) on the {which} gives it the other's size"
    return f"{differ[0][0]} is not {differ[0][1]}: pad=half keeps the size that an odd, unpadded kernel loses"


def _shrink(a: TensorType, b: TensorType, shrunk: Callable[[int, int], int]) -> tuple[str, str, TensorType] | None:
    # The whole steps that bring one value's sides to the other's: as text, whose, and the type to reach.
    for large, small, which in ((a, b, "first"), (b, a, "second")):
        steps: list[int] = []
        for n, goal in zip(large.sides, small.sides, strict=True):
            if n == goal:
                steps.append(1)
            elif isinstance(n, int) and isinstance(goal, int):
                steps.extend([s for s in (n // goal, n // goal + 1) if s and shrunk(n, s) == goal][:1])
        if len(steps) == large.rank:
            return spell(one(steps)), which, small
    return None


def _divisors(differ: Pairs) -> str:
    # Where sizes differ and a promise that makes all of them equal: half of it would only move the error.
    told: list[str] = []
    facts: list[str] = []
    for m, n in differ:
        sizes = counterexample(m, n)
        if sizes is None:
            return f"{m} and {n} cannot be proved equal"
        symbols: dict[str, Symbol] = {}
        for side in (m, n):
            symbols |= {} if isinstance(side, int) else side.symbols()
        where = ", ".join(f"{name}={value}" for name, value in sizes.items())
        told.append(f"at {where} they are {at(m, sizes)} and {at(n, sizes)}")
        by = _equal(m, n, symbols)
        if by is None:
            return told[0]
        facts.extend(f"{s.name} % {s.divisor * by} == 0" for s in symbols.values())
    return f'{told[0]}; `require {" and ".join(dict.fromkeys(facts))}, "why"` makes them equal'


def _equal(m: Side, n: Side, symbols: dict[str, Symbol]) -> int | None:
    # The least power of two at whose multiples the sizes are equal, as far as eight of them tell.
    for by in (2, 4, 8, 16, 32, 64, 128):
        tries = [{s.name: s.divisor * by * step for s in symbols.values()} for step in range(1, 9)]
        if all(at(m, each) == at(n, each) for each in tries):
            return by
    return None
