"""Gaussian error linear unit."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import Call, Layer, OnnxGraph, Operand, op
from netc.ops._words import call, unlike
from netc.tensor import TensorType


@op("gelu")
class Gelu(Layer):
    """Weigh each element by how likely a normal number is below it: y = x * Phi(x) = x / 2 * (1 + erf(x / sqrt(2))).

    With `approximate=tanh`: y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Hendrycks & Gimpel, arXiv:1606.08415; ONNX Gelu-20, before that Erf-13 or Tanh-13; torch.nn.GELU
    """

    approximate: Literal["none", "tanh"] = Field(default="none", description="`tanh` for the approximation with tanh")

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {"tanh": "write approximate=tanh"}
    examples = (
        ({}, ((4, 3, 5),)),
        ({"approximate": "tanh"}, ((6,),)),
        ({"approximate": "tanh"}, ((3, 7),)),
        ({}, ((2, 2, 3, 4),)),
    )

    def torch(self, *xs: TensorType) -> Call:
        return call("F.gelu", **unlike("none", approximate=self.approximate))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        x = xs[0]
        if g.opset >= 20:
            return g.node("Gelu", x, approximate=self.approximate)
        if self.approximate == "tanh":
            cube = g.node("Mul", g.node("Mul", x, x), x)
            inner = g.node("Add", x, g.node("Mul", cube, g.floats(0.044715)))
            share = g.node("Tanh", g.node("Mul", inner, g.floats(sqrt(2 / pi))))
        else:
            share = g.node("Erf", g.node("Div", x, g.floats(sqrt(2))))
        return g.node("Mul", g.node("Mul", x, g.node("Add", share, g.floats(1.0))), g.floats(0.5))
