"""Absolute value."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("abs")
class Abs(Layer):
    """Drop the sign: y = |x|.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Jarrett et al. 2009 (ICCV), rectification; ONNX Abs-13; torch.abs
    """

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("torch.abs({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Abs", xs[0])
