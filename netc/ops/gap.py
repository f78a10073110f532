"""Global average pooling."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from netc.op import EVERYTHING, Call, Layer, OnnxGraph, Operand, Reaches, Working, op
from netc.ops._checks import image
from netc.ops._words import call
from netc.ops._working import sides
from netc.tensor import TensorType

LARGE = 32 * 32
"""Places beyond which a side is averaged after the other: ONNX Runtime's pooling adds up one after another, in float32.
Its mean over 228 x 228 numbers from 0 to 1 was 9e-6 off, a side after the other 2e-7, and no slower."""


@op("gap")
class Gap(Layer):
    """Average each channel over the whole image; the sides stay, as 1.

    Shape:  (C, H, W) -> (C, 1, 1)
    MACs:   0: additions
    Errors: N201 not an image
    Source: Lin et al., arXiv:1312.4400, 3.2; ONNX GlobalAveragePool-1, ReduceMean-18; torch.nn.AdaptiveAvgPool2d(1)
    """

    examples = (({}, ((5, 7, 4),)), ({}, ((3, 9),)), ({}, ((2, 3, 4, 5),)), ({}, ((4, 1, 1),)), ({}, ((2, 33, 32),)))

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("gap", xs[0], "leave it out: features have no sides to average over")
        return x.with_(sides=(1,) * x.rank)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return ((EVERYTHING,) * y.rank,)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return sides(y, [Working("1", "1")] * y.rank)

    def torch(self, *xs: TensorType) -> Call:
        return call(f"F.adaptive_avg_pool{xs[0].rank}d", 1)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        places = [side for side in xs[0].type.sides if isinstance(side, int)]
        if len(places) < 2 or prod(places) <= LARGE:
            return g.node("GlobalAveragePool", xs[0])
        x, axes = xs[0].name, range(2, 2 + xs[0].type.rank)
        for axis in reversed(axes):
            if g.opset < 18:
                x = g.node("ReduceMean", x, axes=[axis], keepdims=1)
            else:
                x = g.node("ReduceMean", x, g.ints([axis]), keepdims=1)
        return x
