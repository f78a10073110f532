"""Rectified linear unit with a slope below zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Float32, Layer, OnnxGraph, Operand, op
from netc.ops._words import call
from netc.tensor import TensorType


@op("leaky_relu", positional="slope")
class LeakyRelu(Layer):
    """Keep what is positive and shrink what is not: y = x where x >= 0, else slope * x.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Maas et al. 2013 (ICML workshop), with 0.01; darknet's `leaky` is 0.1, Keras's default 0.3; ONNX
            LeakyRelu-16; torch.nn.LeakyReLU
    """

    slope: Float32 = Field(default=0.01, description="factor of negative elements")

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {"negative_slope": "slope", "alpha": "slope", "leak": "slope"}
    examples = (({}, ((4, 3, 5),)), ({"slope": 0.1}, ((6,),)), ({"slope": 1}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.leaky_relu", self.slope)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("LeakyRelu", xs[0], alpha=float(self.slope))
