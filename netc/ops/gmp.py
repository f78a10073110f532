"""Global max pooling."""

from __future__ import annotations

from collections.abc import Mapping

from netc.op import EVERYTHING, Call, Kept, Layer, OnnxGraph, Operand, Reaches, Working, op, size_bytes
from netc.ops._checks import image
from netc.ops._words import call
from netc.ops._working import sides
from netc.tensor import TensorType


@op("gmp")
class Gmp(Layer):
    """Keep each channel's largest element of the whole image; the sides stay, as 1.

    Shape:  (C, H, W) -> (C, 1, 1)
    MACs:   0: comparisons
    Errors: N201 not an image
    Source: Oquab et al. 2015 (CVPR); ONNX GlobalMaxPool-1; torch.nn.AdaptiveMaxPool2d(1)
    """

    saves = ("input",)
    examples = (({}, ((5, 7, 4),)), ({}, ((3, 9),)), ({}, ((2, 3, 4, 5),)), ({}, ((4, 1, 1),)))

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("gmp", xs[0], "leave it out: features have no sides to look over")
        return x.with_(sides=(1,) * x.rank)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return ((EVERYTHING,) * y.rank,)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return sides(y, [Working("1", "1")] * y.rank)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(True, False, 2 * size_bytes(y))  # where each largest element was, in 64 bits

    def torch(self, *xs: TensorType) -> Call:
        return call(f"F.adaptive_max_pool{xs[0].rank}d", 1)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("GlobalMaxPool", xs[0])
