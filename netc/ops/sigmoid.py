"""Logistic sigmoid."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("sigmoid")
class Sigmoid(Layer):
    """Squash into (0, 1): y = 1 / (1 + exp(-x)).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: ONNX Sigmoid-13; torch.nn.Sigmoid
    """

    saves = ("output",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("torch.sigmoid({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Sigmoid", xs[0])
