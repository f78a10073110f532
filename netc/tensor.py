"""Sizes that may be symbols, with exact arithmetic, and the type of a tensor. Standard library only.

A size is a plain `int`, or a `Size`: a sum of symbols and floors with rational coefficients that is
provably whole. `H // 8` becomes `H/8` where a `require H % 16 == 0` proves it, and stays `floor(H/8)` elsewhere, so
that equal sizes have equal normal forms and `==` is a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import floor, gcd
from typing import NamedTuple, TypeAlias, cast

Expr: TypeAlias = (
    int | str | list["Expr"]
)  # what the manifest carries: a number, a symbol, or [operator, operand, operand]

LARGEST = (
    2**31 - 1
)  # a side, a channel count or a unit count beyond this is a mistake; ONNX Runtime indexes with 32 bits


Tuples: TypeAlias = "int | str | tuple[Tuples, ...]"


def in_tuples(expr: Expr) -> Tuples:
    """An expression as the runtime's reader makes it: in tuples."""
    return tuple(map(in_tuples, expr)) if isinstance(expr, list) else expr


def named_in(expr: Expr) -> set[str]:
    """The symbols of an expression."""
    if isinstance(expr, list):
        return {name for each in expr[1:] for name in named_in(each)}
    return {expr} if isinstance(expr, str) else set()


class Symbol(NamedTuple):
    """A size that inputs bind. `divisor`, `low` and `high` are what `require` promises of it."""

    name: str
    divisor: int = 1
    low: int = 1
    high: int | None = None

    def __str__(self) -> str:
        return self.name


class Floor(NamedTuple):
    """floor(size / by), kept whole where nothing proves the division exact."""

    size: Size
    by: int

    def __str__(self) -> str:
        text = str(self.size)
        return f"({text})//{self.by}" if any(c in text for c in "+-*/ ") else f"{text}//{self.by}"


class TooLong(Exception):
    """A formula of sizes that grew beyond what any net needs."""

    def __init__(self) -> None:
        super().__init__("the formula of a size grows too long")


_MOST_TERMS = 32
_MOST_FACTOR = 2**80
_MOST_NESTED = 16


def _nested(size: Size) -> int:
    return 1 + max((_nested(a.size) for a, _ in size.terms if isinstance(a, Floor)), default=0)


Atom: TypeAlias = Symbol | Floor


@dataclass(frozen=True, slots=True)
class Size:
    """A whole number known by its formula: the terms' sum plus a constant. Made by arithmetic on symbols."""

    terms: tuple[tuple[Atom, Fraction], ...]
    constant: Fraction = Fraction(0)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A type of every layer holds the batch, and is looked up by it: a fraction's hash takes a power.
        object.__setattr__(self, "_hash", hash((self.terms, self.constant)))

    def __hash__(self) -> int:
        return self._hash

    @staticmethod
    def of(symbol: Symbol) -> Size:
        return Size(((symbol, Fraction(1)),))

    def __add__(self, other: Side) -> Side:
        if isinstance(other, int):
            return Size(self.terms, self.constant + other)
        sums = dict(self.terms)
        for atom, factor in other.terms:
            sums[atom] = sums.get(atom, Fraction(0)) + factor
        return _normal(sums, self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> Side:
        return self * -1

    def __sub__(self, other: Side) -> Side:
        return self + -other

    def __rsub__(self, other: int) -> Side:
        return -self + other

    def __mul__(self, factor: int) -> Side:
        if not isinstance(factor, int):  # pyright: ignore[reportUnnecessaryIsInstance] -- text may multiply two symbols
            return NotImplemented
        return _normal({atom: f * factor for atom, f in self.terms}, self.constant * factor)

    __rmul__ = __mul__

    def __floordiv__(self, by: int) -> Side:
        if not isinstance(by, int):  # pyright: ignore[reportUnnecessaryIsInstance] -- text may divide two symbols
            return NotImplemented
        if by <= 0:
            raise ZeroDivisionError("a size is divided by a positive number only")
        return _floor_divide(self, by)

    def __mod__(self, by: int) -> Side:
        return self - (self // by) * by

    def at(self, sizes: Mapping[str, int]) -> int:
        """The number for given symbols. Raises KeyError with the name of a symbol that is missing."""
        total = self.constant
        for atom, factor in self.terms:
            value = sizes[atom.name] if isinstance(atom, Symbol) else atom.size.at(sizes) // atom.by
            total += factor * value
        assert total.denominator == 1, f"{self} is not whole at {sizes}: a divisor fact does not hold"
        return int(total)

    def symbols(self) -> dict[str, Symbol]:
        """Every symbol the formula reads, by name."""
        found: dict[str, Symbol] = {}
        for atom, _ in self.terms:
            found |= {atom.name: atom} if isinstance(atom, Symbol) else atom.size.symbols()
        return found

    def bounds(self) -> tuple[int, int | None]:
        """The least and the greatest value that the symbols' facts admit (None: unbounded), not always tight.

        The least is -2^62 where it is unbounded below, which no image size is.
        """
        low: Fraction | None = self.constant
        high: Fraction | None = self.constant
        for atom, factor in self.terms:
            least, most = _atom_bounds(atom)
            at_low, at_high = (least, most) if factor > 0 else (most, least)
            low = None if low is None or at_low is None else low + factor * at_low
            high = None if high is None or at_high is None else high + factor * at_high
        if low is None:
            low = Fraction(-(2**62))
        return _ceil(low), None if high is None else floor(high)

    def grows(self) -> bool:
        """Whether no symbol makes it smaller by growing, as far as the signs of the formula tell."""
        return all(f > 0 and (isinstance(a, Symbol) or a.size.grows()) for a, f in self.terms)

    def expr(self) -> Expr:
        """The formula as the manifest's JSON tree, over the symbols."""
        denominator = self.constant.denominator
        for _, factor in self.terms:
            denominator = denominator * factor.denominator // gcd(denominator, factor.denominator)
        total: Expr = int(self.constant * denominator)
        for atom, factor in self.terms:
            value: Expr = atom.name if isinstance(atom, Symbol) else ["//", atom.size.expr(), atom.by]
            times = int(factor * denominator)
            term: Expr = value if times == 1 else ["*", value, times]
            total = term if total == 0 else ["+", term, total]
        return total if denominator == 1 else ["//", total, denominator]

    def __str__(self) -> str:
        words = ""
        for atom, factor in self.terms:
            sign = "-" if factor < 0 else ("+" if words else "")
            size = abs(factor)
            text = str(atom)
            if size != 1:
                wrapped = f"({text})" if isinstance(atom, Floor) else text
                text = f"{size.numerator}*{wrapped}" if size.numerator != 1 else wrapped
                text += f"/{size.denominator}" if size.denominator != 1 else ""
            words += f"{sign}{text}"
        if self.constant:
            words += f"{'-' if self.constant < 0 else '+'}{abs(self.constant)}"
        return words

    __repr__ = __str__


Side: TypeAlias = int | Size


def _ceil(value: Fraction) -> int:
    return -floor(-value)


def _atom_bounds(atom: Atom) -> tuple[Fraction | None, Fraction | None]:
    if isinstance(atom, Symbol):
        low = -(-atom.low // atom.divisor) * atom.divisor
        return Fraction(low), None if atom.high is None else Fraction(atom.high)
    low, high = atom.size.bounds()
    return Fraction(low // atom.by), None if high is None else Fraction(high // atom.by)


def _normal(sums: Mapping[Atom, Fraction], constant: Fraction) -> Side:
    terms = tuple(sorted(((a, f) for a, f in sums.items() if f), key=lambda term: str(term[0])))
    if terms:
        if len(terms) > _MOST_TERMS or max(abs(constant), *(abs(f) for _, f in terms)) > _MOST_FACTOR:
            raise TooLong
        return Size(terms, constant)
    assert constant.denominator == 1
    return int(constant)


@lru_cache(maxsize=1 << 16)
def _floor_divide(size: Size, by: int) -> Side:
    # floor((whole * by + rest) / by) = whole + floor(rest / by): every term that divides exactly leaves the floor.
    whole: dict[Atom, Fraction] = {}
    rest: dict[Atom, Fraction] = {}
    for atom, factor in size.terms:
        quotient = factor / by
        divisor = atom.divisor if isinstance(atom, Symbol) else 1
        if (quotient * divisor).denominator == 1:
            whole[atom] = quotient
        elif (factor * divisor).denominator == 1:
            times = floor(quotient)
            whole[atom] = Fraction(times)
            rest[atom] = factor - times * by
        else:
            rest[atom] = factor
    if not rest:
        return _normal(whole, Fraction(floor(size.constant / by)))
    times = floor(size.constant / by)
    inner = Size(
        tuple(sorted(((a, f) for a, f in rest.items() if f), key=lambda t: str(t[0]))), size.constant - times * by
    )
    if len(inner.terms) == 1 and isinstance(inner.terms[0][0], Floor) and inner.terms[0][1] == 1:
        # floor((floor(a / m) + c) / n) = floor((a + c m) / (m n))
        nested = inner.terms[0][0]
        assert inner.constant.denominator == 1
        whole_part = _normal(whole, Fraction(times))
        return whole_part + (nested.size + int(inner.constant) * nested.by) // (nested.by * by)
    if by > _MOST_FACTOR or _nested(inner) > _MOST_NESTED:
        raise TooLong
    floored: dict[Atom, Fraction] = {Floor(inner, by): Fraction(1)}
    for atom, factor in whole.items():
        floored[atom] = floored.get(atom, Fraction(0)) + factor
    return _normal(floored, Fraction(times))


def low(side: Side) -> int:
    """The least value a size can have."""
    return side if isinstance(side, int) else side.bounds()[0]


def high(side: Side) -> int | None:
    """The greatest value a size can have, None where nothing bounds it."""
    return side if isinstance(side, int) else side.bounds()[1]


def at(side: Side, sizes: Mapping[str, int]) -> int:
    """The number of a size for given symbols."""
    return side if isinstance(side, int) else side.at(sizes)


def counterexample(a: Side, b: Side, differ: Callable[[int, int], bool] = lambda x, y: x != y) -> dict[str, int] | None:
    """Small sizes that the facts admit and at which `a` and `b` differ: the arithmetic that an error shows."""
    symbols: dict[str, Symbol] = {}
    for side in (a, b):
        if not isinstance(side, int):
            symbols |= side.symbols()
    for step in range(1, 65):
        sizes = {s.name: (-(-s.low // s.divisor) + step - 1) * s.divisor for s in symbols.values()}
        if any(s.high is not None and sizes[s.name] > s.high for s in symbols.values()):
            return None
        if differ(at(a, sizes), at(b, sizes)):
            return sizes
    return None


class TensorType(NamedTuple):
    """The type of a value: batch, channels (always a number) and the sides of an image, outermost first.

    `sides` is empty after `flatten`, `(width,)` for a signal, `(height, width)`, or `(depth, height, width)`.
    """

    batch: Side
    c: int
    sides: tuple[Side, ...] = ()
    dtype: str = "f32"

    @property
    def dims(self) -> tuple[Side, ...]:
        """Every dimension, the batch first: `(N, C, H, W)`."""
        return (self.batch, self.c, *self.sides)

    @property
    def rank(self) -> int:
        """How many sides an image has: 0 for features, 2 for pictures."""
        return len(self.sides)

    @property
    def static(self) -> bool:
        """Whether all sides are numbers; the batch does not count."""
        return all(isinstance(s, int) for s in self.sides)

    @property
    def features(self) -> int:
        """Elements of one example. Raises ValueError where a side is a symbol."""
        if not self.static:
            raise ValueError(f"{self} has a symbolic side")
        total = self.c
        for side in self.sides:
            total *= cast(int, side)
        return total

    def side(self, name: str) -> Side | None:
        """A side by its letter (n, c, t, d, h, w), None where this value has no such side."""
        if name == "n":
            return self.batch
        if name == "c":
            return self.c
        names = {1: "t", 2: "hw", 3: "dhw"}.get(self.rank, "")
        if self.rank == 1 and name == "w":
            name = "t"
        return self.sides[names.index(name)] if name in names else None

    def with_(self, c: int | None = None, sides: tuple[Side, ...] | None = None) -> TensorType:
        """This type with other channels or sides."""
        return TensorType(self.batch, self.c if c is None else c, self.sides if sides is None else sides, self.dtype)

    def at(self, sizes: Mapping[str, int]) -> TensorType:
        """This type with its symbols replaced by numbers; symbols that `sizes` lacks stay."""

        def known(side: Side) -> Side:
            if isinstance(side, int) or not set(side.symbols()) <= set(sizes):
                return side
            return side.at(sizes)

        return TensorType(known(self.batch), self.c, tuple(known(s) for s in self.sides), self.dtype)

    @property
    def shape(self) -> str:
        """One example's shape as messages say it: `512x28x28`."""
        return "x".join(map(factor, self.dims[1:]))

    def __str__(self) -> str:
        return f"[{', '.join(str(d) for d in self.dims)}]"


def factor(side: Side) -> str:
    """A size as it stands among others that are multiplied: `512`, `H`, `(H-2)`."""
    text = str(side)
    return f"({text})" if any(character in text for character in "+-*/ ") else text
