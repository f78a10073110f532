"""A part of an image, as large as another value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import NOTHING, Call, Inline, Layer, OnnxGraph, Operand, Reach, Reaches, Reject, Working, op, per_side
from netc.ops._checks import image
from netc.ops._like import onnx_sides, sized_like
from netc.ops._proof import exceeds, fits, promise
from netc.ops._window import NotNegatives
from netc.ops._words import one, spell
from netc.ops._working import same_as
from netc.tensor import Side, TensorType, at


@op("crop")
class Crop(Layer):
    """Cut out of an image as much as the value `like` has, from pixel `offset` of each side on.

    That `like`'s side and the offset are within the image is proved, for symbolic sizes from what `require` promises.

    Shape:  (C, H, W), like (C', H', W') -> (C, H', W')
    MACs:   0: nothing is computed
    Errors: N121 no `like`; N201 not an image; N204 a list's length; N223 beyond the image, or perhaps; N308 `like` of
            another batch or of other sides
    Source: Long et al., arXiv:1411.4038, and Ronneberger et al., arXiv:1505.04597; Caffe's Crop layer (axis 2); ONNX
            Slice-13; x[:, :, top:top + height, left:left + width]
    """

    offset: NotNegatives = Field(default=0, description="the first pixel kept: one number, or one a side ([y, x])")

    values: ClassVar[tuple[str, ...]] = ("like",)
    foreign: ClassVar[Mapping[str, str]] = {
        "offsets": "offset",
        "size": "the size is that of a value: write `like = x`, with x a label",
        "axis": "it cuts every side and no channels; `slice` cuts channels: leave `axis` out",
    }
    examples = (
        ({}, ((3, 6, 7), (2, 4, 5))),
        ({"offset": 2}, ((3, 6, 7), (3, 4, 5))),
        ({"offset": (0, 3)}, ((2, 5, 8), (1, 5, 2))),
        ({"offset": 1}, ((2, 9), (4, 3))),
        ({"offset": (1, 0, 2)}, ((1, 3, 4, 5), (2, 2, 4, 2))),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("crop", xs[0], "put it before `flatten`; `slice` cuts features")
        if len(xs) == 1:
            raise Reject("N121", "`crop` needs `like` (the value whose sides it takes)", help="add like=...")
        sides = sized_like("crop", x, xs[1])
        offsets = per_side(self.offset, x.rank, "offset")
        cuts = list(zip(sides, offsets, x.sides, strict=True))
        beyond = [(m, o, n) for m, o, n in cuts if not fits(m, o, n)]
        if beyond:
            at = "offset" if any(offsets) else "like"
            raise Reject("N223", self._message(x, xs[1], beyond), at=at, operand=1, help=self._help(cuts, beyond))
        return x.with_(sides=sides)

    def _message(self, x: TensorType, like: TensorType, beyond: list[tuple[Side, int, Side]]) -> str:
        small, large = (value.shape.partition("x")[2] for value in (like, x))
        start = f" from {spell(self.offset)} on" if self.offset else ""
        said = f"`crop` cuts {small} out of {large}{start}"
        for m, o, n in beyond:
            if isinstance(m, int) and isinstance(n, int):
                return f"{said}, and {_sum(m, o)} is more than {n}"
        for m, o, n in beyond:
            sizes = exceeds(m, o, n)
            if sizes is not None:
                where = ", ".join(f"{name}={value}" for name, value in sizes.items())
                return f"{said}, and {_sum(at(m, sizes), o)} is more than {at(n, sizes)} at {where}"
        m, o, n = beyond[0]
        return f"{said}, and {_sum(m, o)} <= {n} cannot be proved"

    def _help(self, cuts: list[tuple[Side, int, Side]], beyond: list[tuple[Side, int, Side]]) -> str:
        if all(isinstance(m, int) and isinstance(n, int) for m, _, n in beyond):
            fits = [n - m if isinstance(m, int) and isinstance(n, int) else o for m, o, n in cuts]
            if min(fits) >= 0:
                return f"the largest that fits is offset={spell(one(list(map(min, fits, [o for _, o, _ in cuts]))))}"
            return "`like` is the larger of the two: crop it instead, like this one, or upsample(like = ...) this one"
        promises = [promise(m, o, n) for m, o, n in beyond]
        if all(promises):
            facts = " and ".join(dict.fromkeys(fact for each in promises for fact in each))
            return f'`require {facts}, "why"` is enough'
        return "give both values sides of the same symbols, or declare the sides as numbers"

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        offsets = per_side(self.offset, y.rank, "offset")
        return tuple(Reach((range(o, o + 1),)) for o in offsets), (NOTHING,) * y.rank

    def views(self, *xs: TensorType) -> bool:
        return True

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return same_as(y, xs[1])

    def torch(self, *xs: TensorType) -> Call:
        offsets = per_side(self.offset, xs[0].rank, "offset")
        cuts: list[str] = []
        for i, o in enumerate(offsets, start=2):
            # With the spaces that formatters give what is not a number alone.
            cuts.append(f"{o or ''} : {f'{o} + ' if o else ''}{{1}}.shape[{i}]".lstrip())
        return Inline(f"{{0}}[:, :, {', '.join(cuts)}]")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        rank = xs[0].type.rank
        offsets = per_side(self.offset, rank, "offset")
        starts, ends = g.ints(offsets), onnx_sides(g, xs[1])
        if xs[1].type.static:
            ends = g.ints([m + o for m, o in zip(xs[1].type.sides, offsets, strict=True) if isinstance(m, int)])
        elif any(offsets):
            ends = g.node("Add", ends, starts)
        return g.node("Slice", xs[0], starts, ends, g.ints(range(2, 2 + rank)))


def _sum(m: Side, o: int) -> str:
    return f"{m} + {o}" if o else str(m)
