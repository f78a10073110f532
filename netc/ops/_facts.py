"""What `require` would have to promise of a symbolic size."""

from __future__ import annotations

from netc.tensor import LARGEST, Side, at


def at_least(side: Side, least: int) -> str:
    """The promise that makes a size at least so large; empty where one bound on one symbol is not enough."""
    if isinstance(side, int) or not side.grows() or len(side.symbols()) != 1:
        return ""
    ((name, symbol),) = side.symbols().items()
    small, large = 0, LARGEST  # it grows, so halving finds the first that is enough
    while small < large:
        middle = (small + large) // 2
        small, large = (small, middle) if at(side, {name: middle * symbol.divisor}) >= least else (middle + 1, large)
    return f"{name} >= {small * symbol.divisor}"
