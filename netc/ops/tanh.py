"""Hyperbolic tangent."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("tanh")
class Tanh(Layer):
    """Squash into (-1, 1): y = tanh(x).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: ONNX Tanh-13; torch.nn.Tanh
    """

    saves = ("output",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("torch.tanh({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Tanh", xs[0])
