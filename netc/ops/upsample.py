"""A larger image by interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import (
    ELEMENT,
    NOTHING,
    Attribute,
    Call,
    Inline,
    Kept,
    Layer,
    OnnxGraph,
    Operand,
    Reach,
    Reaches,
    Reject,
    Sides,
    Working,
    op,
    per_side,
)
from netc.ops._checks import bounded, image
from netc.ops._like import onnx_sides, sized_like
from netc.ops._proof import fits
from netc.ops._words import one
from netc.ops._working import letters, number, same_as, sides
from netc.tensor import Side, TensorType, at

_LARGEST_FACTOR = 40
"""torch computes row i of a nearest enlargement as floor(i * float32(1 / s)), which is i // s for s up to 40; 41, 47,
55, ... round to one row less at multiples of s. ONNX Runtime divides by s, which is exact."""


# No variable of `forward` starts with an underscore, and so none hides the function.
_NEAREST = '''\
def _nearest(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize by taking row floor(i n / m) of n as row i of m, where F.interpolate's float32 would miss some."""
    for dim, m in enumerate(size, start=2):
        x = x.index_select(dim, torch.arange(m, device=x.device) * x.shape[dim] // m)
    return x'''


@op("upsample", positional="factor")
class Upsample(Layer):
    """Enlarge an image by whole factors, or to the size of the value `like`, without weights.

    `nearest` repeats pixels: row i of H' is row floor(i H / H') of H, in whole numbers. `bilinear` interpolates between
    pixels (with one side it is linear, with three trilinear); with `corners` the corner pixels' centres meet.

    Shape:  (C, H, W) -> (C, factor H, factor W); like (C', H', W') -> (C, H', W')
    MACs:   0: interpolation is not counted
    Errors: N121 neither factor nor `like`; N122 corners of `nearest`; N124 both factor and `like`; N201 not an image;
            N204 a list's length; N205 too large; N308 `like` of another batch or of other sides
    Source: ONNX Resize-13 (asymmetric and floor; half_pixel; align_corners); torch.nn.functional.interpolate
    """

    factor: Sides | None = Field(default=None, description="how many times as large, one number or one a side")
    mode: Literal["nearest", "bilinear"] = Field(default="nearest", description="pixels repeated, or interpolated")
    corners: bool = Field(default=False, description="whether the corner pixels' centres are the result's corners")

    values: ClassVar[tuple[str, ...]] = ("like",)
    foreign: ClassVar[Mapping[str, str]] = {
        "scale_factor": "factor",
        "scale": "factor",
        "scales": "factor",
        "stride": "factor",
        "align_corners": "corners",
        "interpolation": "mode",
        "size": "write a factor, or the size of a value: `like = x`, with x a label",
        "antialias": "it does not smooth what it makes smaller: leave `antialias` out",
    }
    examples = (
        ({"factor": 2}, ((3, 4, 5),)),
        ({"factor": (3, 1)}, ((2, 4, 5),)),
        ({"factor": 2, "mode": "bilinear"}, ((3, 4, 5),)),
        ({"factor": (2, 3), "mode": "bilinear", "corners": True}, ((2, 4, 5),)),
        ({"factor": 41}, ((2, 5),)),
        ({}, ((3, 4, 5), (2, 8, 10))),
        ({}, ((3, 4, 5), (2, 7, 10))),  # a feature pyramid's odd sides
        ({}, ((3, 20, 14), (2, 24, 2))),  # where ONNX Runtime's Resize takes a row too early, and one too late
        ({}, ((2, 3, 4), (1, 3, 4))),
        ({"mode": "bilinear"}, ((2, 5, 4), (1, 9, 1))),
        ({"mode": "bilinear", "corners": True}, ((2, 5, 4), (1, 3, 1))),
        ({"factor": 3}, ((2, 5),)),
        ({"factor": 3, "mode": "bilinear"}, ((2, 5),)),
        ({"mode": "bilinear", "corners": True}, ((2, 5), (3, 8))),
        ({"factor": (1, 2, 3)}, ((2, 2, 3, 2),)),
        ({"factor": 2, "mode": "bilinear"}, ((2, 2, 3, 2),)),
        ({}, ((2, 2, 3, 2), (2, 3, 5, 3))),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("upsample", xs[0], "put it before `flatten`")
        if self.corners and self.mode == "nearest":
            raise Reject(
                "N122",
                "`corners` is about `mode=bilinear`, and the mode is nearest",
                at="corners",
                help="mode=bilinear",
            )
        if len(xs) == 1 and self.factor is None:
            raise Reject(
                "N121", "`upsample` needs a factor, or a value whose sides it takes", help="upsample(2), or like=..."
            )
        if len(xs) > 1 and self.factor is not None:
            raise Reject(
                "N124",
                "`upsample` takes a factor or `like`, and both are here",
                at="factor",
                help="take one of them out",
            )
        if len(xs) > 1:
            return x.with_(sides=sized_like("upsample", x, xs[1]))
        factors = per_side(self.factor or 1, x.rank, "factor")
        sides = tuple(n * s for n, s in zip(x.sides, factors, strict=True))
        return bounded(x.with_(sides=sides), at="factor", help="a smaller factor")

    def _factors(self, *xs: TensorType) -> tuple[tuple[int, ...], bool] | None:
        """The whole factors that enlarge each side at least as far as it goes, and whether a row too much is cut off
        then; None where there are no such factors.
        """
        if len(xs) == 1:
            return per_side(self.factor or 1, xs[0].rank, "factor"), False
        found = [_factor(n, m) for n, m in zip(xs[0].sides, xs[1].sides, strict=True)]
        factors = tuple(each[0] for each in found if each is not None)
        return (factors, any(each[1] for each in found if each)) if len(factors) == len(found) else None

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        found = self._factors(*xs)
        made: list[Reach | None] = []
        for i, (n, m) in enumerate(zip(xs[0].sides, y.sides, strict=True)):
            if found is not None and not (self.mode == "bilinear" and (found[1] or self.corners)):
                made.append(self._reads(1, found[0][i]))
            elif isinstance(n, int) and isinstance(m, int):
                made.append(self._reads(n - 1, m - 1) if self.corners else self._reads(n, m))
            else:
                made.append(None)
        return (tuple(made), *[(NOTHING,) * y.rank] * (len(xs) - 1))

    def _reads(self, n: int, m: int) -> Reach:
        """What a result of m pixels for every n reads, with `corners` of m steps from pixel to pixel."""
        if m == 0:
            return ELEMENT  # the one pixel of a side is the first one's
        ratio = Fraction(n, m)
        half = Fraction(0 if self.corners else 1, 2)
        reads: list[range] = []
        for i in range(ratio.denominator):
            place = i * ratio if self.mode == "nearest" else (i + half) * ratio - half
            reads.append(range(floor(place), (floor(place) if self.mode == "nearest" else ceil(place)) + 1))
        return Reach(tuple(reads), ratio.numerator)

    def views(self, *xs: TensorType) -> bool:
        found = self._factors(*xs)
        return found is not None and set(found[0]) == {1}

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        found = self._factors(*xs)
        gathers = self.mode == "nearest" and (found is None or max(found[0]) > _LARGEST_FACTOR)
        return Kept(False, False, sum(8 * at(side, {}) for side in y.sides) if gathers else 0)  # the rows' numbers

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x = xs[0]
        if len(xs) > 1:
            return same_as(y, xs[1])
        each = zip(letters(y), x.sides, per_side(self.factor or 1, y.rank, "factor"), strict=True)
        return sides(y, [Working(f"factor {letter}", f"{s} * {number(n)}") for letter, n, s in each])

    def torch(self, *xs: TensorType) -> Call:
        x, found = xs[0], self._factors(*xs)
        if found is not None and set(found[0]) == {1}:
            return Inline("{0}")
        if self.mode == "bilinear":
            size = f"scale_factor={one(found[0])}" if found and not found[1] else "size={1}.shape[2:]"
            mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[x.rank]
            return Inline(
                f'F.interpolate({{0}}, {size}, mode="{mode}"{", align_corners=True" if self.corners else ""})'
            )
        if found is not None and max(found[0]) <= _LARGEST_FACTOR:
            ends = [
                f":{m}" if isinstance(m, int) else f": {{1}}.shape[{i}]" for i, m in enumerate(xs[-1].sides, start=2)
            ]
            cut = f"[:, :, {', '.join(ends)}]" if found[1] else ""
            return Inline(f"F.interpolate({{0}}, scale_factor={one(found[0])}){cut}")
        size = "{1}.shape[2:]"
        if len(xs) == 1:
            factors = per_side(self.factor or 1, x.rank, "factor")
            parts = [f"{{0}}.shape[{i}] * {s}" for i, s in enumerate(factors, start=2)]
            size = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        return Inline(f"_nearest({{0}}, {size})", _NEAREST)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        x, found = xs[0], self._factors(*(each.type for each in xs))
        if found is not None and set(found[0]) == {1}:
            return x.name
        if self.mode == "bilinear":
            fits = "align_corners" if self.corners else "half_pixel"
            words = {"mode": "linear", "coordinate_transformation_mode": fits}
            factors = found[0] if found is not None and not found[1] else None
            return _resize(g, x, factors, xs[-1], words)
        if found is None:
            return self._gathered(g, *xs)
        words = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        y = _resize(g, x, found[0], xs[-1], words)
        if not found[1]:
            return y
        rank = x.type.rank
        return g.node("Slice", y, g.ints([0] * rank), onnx_sides(g, xs[1]), g.ints(range(2, 2 + rank)))

    def _gathered(self, g: OnnxGraph, *xs: Operand) -> str:
        # Resize divides in float32 and takes a wrong row where i H / H' is whole: 20 rows from 24 at i = 18, for one.
        y, x, like = xs[0].name, xs[0], xs[1]
        for axis, (n, m) in enumerate(zip(x.type.sides, like.type.sides, strict=True), start=2):
            if isinstance(n, int) and isinstance(m, int):
                rows = g.ints([i * n // m for i in range(m)])
            else:
                old, new = (g.node("Shape", each, start=axis, end=axis + 1) for each in (x, like))
                zero, step = (g.node("Squeeze", g.ints([number])) for number in (0, 1))
                count = g.node("Range", zero, g.node("Squeeze", new), step)
                rows = g.node("Div", g.node("Mul", count, old), new)
            y = g.node("Gather", y, rows, axis=axis)
        return y


def _resize(
    g: OnnxGraph, x: Operand, factors: tuple[int, ...] | None, like: Operand, words: Mapping[str, Attribute]
) -> str:
    """Resize by whole factors, or to the sides of `like`."""
    if factors is None:
        sizes = g.node("Concat", g.node("Shape", x, start=0, end=2), onnx_sides(g, like), axis=0)
        return g.node("Resize", x, "", "", sizes, **words)
    return g.node("Resize", x, "", g.floats([1, 1, *factors]), **words)


def _factor(n: Side, m: Side) -> tuple[int, bool] | None:
    """The whole factor s from a side n to m, and whether m may be less than s n, by a row."""
    for s in range(1, _LARGEST_FACTOR + 1):
        if n * s == m:
            return s, False
    # floor(i n / (2 n - 1)) is i // 2, as floor(i n / 2 n) is.
    return (2, True) if fits(m, 0, n * 2) and fits(n * 2 - 1, 0, m) else None
