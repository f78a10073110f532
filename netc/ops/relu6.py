"""Rectified linear unit, cut off at 6."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("relu6")
class Relu6(Layer):
    """Keep what lies between 0 and 6: y = min(max(x, 0), 6).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Howard et al., arXiv:1704.04861; ONNX Clip-13; torch.nn.ReLU6
    """

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("F.relu6({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Clip", xs[0], g.floats(0.0), g.floats(6.0))
