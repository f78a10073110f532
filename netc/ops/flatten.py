"""From an image to features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import EVERYTHING, Call, Inline, Layer, OnnxGraph, Operand, Reach, Reaches, Reject, Working, op
from netc.ops._checks import bounded
from netc.ops._working import places
from netc.tensor import TensorType


@op("flatten")
class Flatten(Layer):
    """Lay an image out as one row of features: channel by channel, row by row, unless `order` says otherwise.

    An `fc` whose weights were trained elsewhere reads the features in that place's order. Its letters go from the
    outermost to the innermost: `chw` is torch's, Caffe's and ONNX's, `hwc` TensorFlow's and Keras's. For one side and
    for three, `hwc` is the sides in order and then the channels, `whc` the sides the other way round and then these.

    Shape:  (C, H, W) -> (C * H * W)
    MACs:   0: nothing moves
    Errors: N205 too large; N209 a size is a symbol
    Source: ONNX Flatten-13, Transpose-13; torch.flatten(x, 1)
    """

    order: Literal["chw", "hwc", "whc"] = Field(default="chw", description="which element follows which")

    foreign: ClassVar[Mapping[str, str]] = {
        "data_format": "write order=chw for channels_first, order=hwc for channels_last",
        "start_dim": "it flattens all of an example: leave `start_dim` out",
        "axis": "it flattens all of an example: leave `axis` out",
    }
    examples = (
        ({}, ((16, 5, 5),)),
        ({}, ((3, 7),)),
        ({}, ((2, 3, 4, 5),)),
        ({}, ((6,),)),
        ({"order": "hwc"}, ((3, 4, 5),)),
        ({"order": "whc"}, ((3, 4, 5),)),
        ({"order": "hwc"}, ((3, 7),)),
        ({"order": "whc"}, ((2, 3, 4, 5),)),
        ({"order": "hwc"}, ((6,),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        # C x 1 x W with a symbolic W has as many features as W says: only numbers make a number.
        if not x.static:
            message = f"`flatten` needs a fixed size, and {x.shape} has one known only when the net runs"
            raise Reject("N209", message, help=f"gap -> flatten has {x.c} features at any size")
        return bounded(x.with_(x.features, ()), help="gap, or a pooling, before `flatten`")

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        # A feature may have stood anywhere: only of a side of 1 is it known where.
        return (tuple(Reach((range(1),), 0) if side == 1 else EVERYTHING for side in xs[0].sides),)

    def views(self, *xs: TensorType) -> bool:
        return not self._order(xs[0])

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x = xs[0]
        if not x.rank:
            return {}
        shape, count = places(x)
        return {"c": Working(f"C {shape}", f"{x.c} * {count}")}

    def torch(self, *xs: TensorType) -> Call:
        order = self._order(xs[0])
        return Inline(f"{{0}}.permute{order}.flatten(1)" if order else "torch.flatten({0}, 1)")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        order = self._order(xs[0].type)
        return g.node("Flatten", g.node("Transpose", xs[0], perm=order) if order else xs[0], axis=1)

    def _order(self, x: TensorType) -> tuple[int, ...]:
        # The dimensions as they have to lie, the batch first; empty where they lie so already.
        sides = range(2, 2 + x.rank)
        if self.order == "chw" or not x.rank:
            return ()
        return (0, *(sides if self.order == "hwc" else reversed(sides)), 1)
