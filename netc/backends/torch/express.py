"""One row of numbers as an expression of others: `4 * width` where each number is four times that of `width`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations, permutations
from math import isclose
from typing import NamedTuple

from netc.backends.torch.holes import ABSENT, Function, Literal
from netc.backends.torch.signatures import Kind

Row = Sequence[Literal]
"""A value for each application of a class."""


class Known(NamedTuple):
    """A name and its row, which may hold what is no literal; `kind` is empty where it may count anything."""

    name: str
    row: Sequence[Hashable]
    kind: Kind = ""


class Found(NamedTuple):
    """An expression and the names in it."""

    text: str
    names: tuple[str, ...]


def expressed(row: Row, kind: Kind, known: Sequence[Known]) -> Found | None:
    """The simplest expression of the row, None where there is none."""
    for each in known:
        if _equal(row, kind, each):
            return Found(each.name, (each.name,))
    whole = [each for each in known if _alike(kind, each.kind) and all(type(value) is int for value in each.row)]
    found = next(
        (Found(text, names) for text, names, made in _formulas(whole, kind, len(row)) if fits(row, made)), None
    )
    return found or (_further(row, known) if kind == "real" else None)


def _further(row: Row, known: Sequence[Known]) -> Found | None:
    # A rate that is so much higher than another.
    present = [i for i, each in enumerate(row) if each is not ABSENT]
    for each in known:
        if len(present) > 2 and all(isinstance(value, float) for value in each.row):
            more = [float(row[i]) - float(each.row[i]) for i in present]  # pyright: ignore[reportArgumentType] -- floats
            if more[0] > 0 and all(isclose(value, more[0], rel_tol=1e-9) for value in more):
                return Found(f"{each.name} + {round(more[0], 12)!r}", (each.name,))
    return None


def fits(row: Row, made: Sequence[Hashable]) -> bool:
    """Whether the values are equal, 1 and 1.0 and True apart, where there are any; floats may be rounded."""
    return all(a is ABSENT or _same(a, b) for a, b in zip(row, made, strict=True))


def _same(a: Hashable, b: Hashable) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return isclose(a, b, rel_tol=1e-9)
    return type(a) is type(b) and a == b


def _alike(kind: Kind, other: Kind) -> bool:
    return other in ("", "other", kind) or (kind == "other" and other == "channels")


def _equal(row: Row, kind: Kind, known: Known) -> bool:
    if not _alike(kind, known.kind):
        return False
    if kind == "function":
        # A layer given as an argument is known by what tells it from others.
        pairs = {(str(a), b) for a, b in zip(row, known.row, strict=True) if isinstance(a, Function)}
        opaque = all(isinstance(b, tuple | Function) for _, b in pairs)
        return opaque and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    return fits(row, known.row)


def _formulas(known: Sequence[Known], kind: Kind, count: int) -> Iterator[tuple[str, tuple[str, ...], list[int]]]:
    rows = [(each.name, [int(n) for n in each.row]) for each in known]  # pyright: ignore[reportArgumentType] -- whole
    if kind == "count":
        for name, a in rows:
            yield f"{name} - 1", (name,), [n - 1 for n in a]
            yield f"{name} + 1", (name,), [n + 1 for n in a]
    if kind not in ("channels", "other"):
        return
    for name, a in rows:
        for factor in (2, 3, 4, 6, 8, 16):
            yield f"{factor} * {name}", (name,), [factor * n for n in a]
        for part in (2, 3, 4, 8, 16):
            yield f"{name} // {part}", (name,), [n // part for n in a]
    # A row of two numbers fits too many formulas of two names.
    if count < 3 or kind == "other":
        return
    for (x, a), (y, b) in combinations(rows, 2):
        yield f"{x} * {y}", (x, y), [m * n for m, n in zip(a, b, strict=True)]
        yield f"{x} + {y}", (x, y), [m + n for m, n in zip(a, b, strict=True)]
    for (x, a), (y, b) in permutations(rows, 2):
        yield f"{x} - {y}", (x, y), [m - n for m, n in zip(a, b, strict=True)]
