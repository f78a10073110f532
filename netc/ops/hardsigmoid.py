"""Sigmoid made of straight lines."""

from __future__ import annotations

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("hardsigmoid")
class Hardsigmoid(Layer):
    """Squash into [0, 1]: y = min(max(x / 6 + 1 / 2, 0), 1).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Howard et al., arXiv:1905.02244, section 5.2; ONNX HardSigmoid-6, whose own slope is 1/5, with its 1/6
            always written; torch.nn.Hardsigmoid
    """

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return Inline("F.hardsigmoid({0})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("HardSigmoid", xs[0], alpha=1 / 6, beta=0.5)
