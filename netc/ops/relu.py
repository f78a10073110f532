"""Rectified linear unit."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("relu")
class Relu(Layer):
    """Keep what is positive: y = max(x, 0).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Nair & Hinton 2010; ONNX Relu-14; torch.nn.ReLU
    """

    saves = ("output",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("F.relu({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Relu", xs[0])
