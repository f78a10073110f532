"""Swish made of straight lines."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("hardswish")
class Hardswish(Layer):
    """Weigh each element by its own hard sigmoid: y = x * min(max(x + 3, 0), 6) / 6.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Howard et al., arXiv:1905.02244, section 5.2; ONNX HardSwish-14; torch.nn.Hardswish
    """

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("F.hardswish({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("HardSwish", xs[0])
