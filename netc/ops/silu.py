"""Sigmoid linear unit, also called swish."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("silu")
class Silu(Layer):
    """Weigh each element by its own sigmoid: y = x / (1 + exp(-x)).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Elfwing et al., arXiv:1702.03118; Ramachandran et al., arXiv:1710.05941 (swish); ONNX Sigmoid-13 and
            Mul-14; torch.nn.SiLU
    """

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("F.silu({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Mul", xs[0], g.node("Sigmoid", xs[0]))
