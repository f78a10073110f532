"""Exponential linear unit."""

from __future__ import annotations

from pydantic import Field

from netc.op import Call, Layer, OnnxGraph, Operand, PositiveFloat32, op
from netc.ops._words import call, unlike
from netc.tensor import TensorType


@op("elu", positional="alpha")
class Elu(Layer):
    """Keep what is positive and level off below: y = x where x > 0, else alpha * (exp(x) - 1).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Clevert et al., arXiv:1511.07289; ONNX Elu-6; torch.nn.ELU
    """

    alpha: PositiveFloat32 = Field(default=1.0, description="how far below zero it levels off")

    saves = ("input",)
    examples = (({}, ((4, 3, 5),)), ({"alpha": 0.5}, ((6,),)), ({"alpha": 2}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.elu", **unlike(1.0, alpha=self.alpha))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Elu", xs[0], alpha=float(self.alpha))
