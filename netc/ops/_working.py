"""How layers write their arithmetic out, as the lecture does: `d2 (d1 s + 1)`, s the kernel's area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from netc.op import Working
from netc.tensor import Side, TensorType

LETTERS: Mapping[int, str] = {0: "", 1: "t", 2: "hw", 3: "dhw"}
"""The sides of an image of this rank, as the language calls them."""


def number(side: Side) -> str:
    """A size inside a formula: `224`, `H`, `(H/2+1)`."""
    text = str(side)
    return text if text.isalnum() else f"({text})"


def shared(d2: int, d1: int, k: Sequence[int], bias: bool, groups: int = 1) -> Working:
    """Learned numbers of kernels that all places share: `d2 (d1 s + 1)`."""
    parts, inner = (f" / {groups}", "d1 / g s") if groups > 1 else ("", "d1 s")
    one = f"{d1}{parts} * {prod(k)}"
    if not bias:
        return Working(f"d2 {inner}", f"{d2} * {one}")
    return Working(f"d2 ({inner} + 1)", f"{d2} ({one} + 1)")


def places(x: TensorType, prime: str = "") -> tuple[str, str]:
    """The number of an image's places: `H' W'` and `112 * 112`."""
    return " ".join(f"{a.upper()}{prime}" for a in LETTERS[x.rank]), " * ".join(map(number, x.sides))


def sides(y: TensorType, each: Iterator[Working] | Sequence[Working]) -> dict[str, Working]:
    """Arithmetics, one a side, by the sides' letters."""
    return dict(zip(LETTERS[y.rank], each, strict=True))


def letters(x: TensorType) -> list[str]:
    """The sides' names in formulas: `H`, `W`."""
    return [letter.upper() for letter in LETTERS[x.rank]]


def same_as(y: TensorType, like: TensorType) -> dict[str, Working]:
    """Sides that are another value's."""
    named = zip(letters(y), like.sides, strict=True)
    return sides(y, [Working(f"{letter} of like", number(side)) for letter, side in named])
