"""From an image to features."""

from __future__ import annotations

from netc.op import Call, Layer, OnnxGraph, Operand, Reject, op
from netc.ops._checks import bounded
from netc.ops._words import call
from netc.tensor import TensorType


@op("flatten")
class Flatten(Layer):
    """Lay an image out as one row of features, channel by channel, row by row.

    Shape:  (C, H, W) -> (C * H * W)
    MACs:   0: nothing moves
    Errors: N205 too large; N209 a size is a symbol
    Source: ONNX Flatten-13; torch.flatten(x, 1)
    """

    examples = (({}, ((16, 5, 5),)), ({}, ((3, 7),)), ({}, ((2, 3, 4, 5),)), ({}, ((6,),)))

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        # C x 1 x W with a symbolic W has as many features as W says: only numbers make a number.
        if not x.static:
            message = f"`flatten` needs a fixed size, and {x.shape} has one known only when the net runs"
            raise Reject("N209", message, help=f"gap -> flatten has {x.c} features at any size")
        return bounded(x.with_(x.features, ()), help="gap, or a pooling, before `flatten`")

    def torch(self, *xs: TensorType) -> Call:
        return call("torch.flatten", 1)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Flatten", xs[0], axis=1)
