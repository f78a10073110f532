"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Layer, Module, OnnxGraph, Operand, Param, Reject, op
from netc.ops._words import unlike
from netc.tensor import TensorType


@op("fc", positional="c")
class Fc(Layer):
    """Connect every feature to each of `c` units: y = W x + b.

    Shape:  (C) -> (c)
    MACs:   C * c per example; the bias is not counted
    Errors: N201 an image enters; N209 an image whose size is a symbol enters
    Source: ONNX Gemm-13; torch.nn.Linear
    """

    c: Count = Field(description="output units")
    bias: bool = Field(default=True, description="whether a learned number is added to each unit")

    foreign: ClassVar[Mapping[str, str]] = {
        "units": "c",
        "out_features": "c",
        "num_output": "c",
        "in_features": "the input's features are known from what enters: leave `in_features` out",
        "use_bias": "bias",
        "bias_term": "bias",
        "activation": "an activation is a stage of its own: `-> relu`",
    }
    examples = (
        ({"c": 120}, ((400,),)),  # LeNet-5 c5
        ({"c": 7, "bias": False}, ((5,),)),
        ({"c": 1}, ((1,),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if x.static and x.rank:
            message = f"`fc` takes features, and {'a signal' if x.rank == 1 else 'an image'} of {x.shape} enters"
            raise Reject("N201", message, help=f"flatten -> fc({self.c})")
        if not x.static:
            message = f"`fc` needs a fixed number of features, and {x.shape} has a size known only when the net runs"
            raise Reject("N209", message, help=f"gap -> flatten -> fc({self.c}) has {x.c} features at any size")
        return x.with_(self.c)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        weight = Param((self.c, xs[0].c))
        return {"weight": weight, "bias": Param((self.c,))} if self.bias else {"weight": weight}

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        return xs[0].c * y.c

    def torch(self, *xs: TensorType) -> Call:
        return Module("nn.Linear", (xs[0].c, self.c), unlike(True, bias=self.bias))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        # torch keeps the weight as (units, features), which Gemm reads transposed.
        return g.node("Gemm", xs[0], g.param("weight"), *([g.param("bias")] if self.bias else []), transB=1)
