"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Kept, Module, OnnxGraph, Operand, Param, Reject, Working, op, size_bytes
from netc.ops._init import INIT, InitialMatrix, Learned
from netc.ops._words import unlike
from netc.ops._working import places
from netc.tensor import TensorType


@op("fc", positional="c")
class Fc(Learned):
    """Connect every feature to each of `c` units: y = W x + b; with `each`, at each position of an image by itself.

    Shape:  (C) -> (c); with `each`, (C, H, W) -> (c, H, W)
    MACs:   C * c per example, with `each` per position; the bias is not counted
    Errors: N201 an image enters; N209 an image whose size is a symbol enters (both without `each`)
    Source: ONNX Gemm-13, Conv-11 with a 1x1 kernel for `each`; torch.nn.Linear
    """

    c: Count = Field(description="output units")
    bias: bool = Field(default=True, description="whether a learned number is added to each unit")
    each: bool = Field(default=False, description="whether it works on the channels at each position")
    init: InitialMatrix = INIT

    saves = ("input",)
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
        ({"c": 4, "each": True}, ((3, 5, 2),)),  # ConvNeXt's pointwise layers
        ({"c": 3, "each": True, "bias": False}, ((5, 7),)),
        ({"c": 2, "each": True}, ((4, 2, 3, 4),)),
        ({"c": 5, "each": True}, ((6,),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if self.each:
            return x.with_(self.c)
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
        return xs[0].c * y.features

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        # With sides, the channels are brought to the end, and that is a copy.
        return Kept(False, False, size_bytes(xs[0])) if xs[0].rank else super().kept(y, *xs)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x = xs[0]
        learned = macs = Working("d2 d1", f"{self.c} * {x.c}")
        if self.bias:
            learned = Working("d2 (d1 + 1)", f"{self.c} ({x.c} + 1)")
        if x.rank:
            shape, count = places(x)
            macs = Working(f"d2 {shape} d1", f"{self.c} * {count} * {x.c}")
        return {"parameters": learned, "macs": macs, "c": Working("d2", str(self.c))}

    def torch(self, *xs: TensorType) -> Call:
        # torch's works on the last dimension, where the channels are brought and taken back from.
        moved = ("{0}.movedim(1, -1)", "{0}.movedim(-1, 1)") if xs[0].rank else ()
        return Module("nn.Linear", (xs[0].c, self.c), unlike(True, bias=self.bias), *moved)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        weight, bias = g.param("weight"), [g.param("bias")] if self.bias else []
        if rank := xs[0].type.rank:
            kernel = g.node("Unsqueeze", weight, g.ints(range(2, 2 + rank)))
            return g.node("Conv", xs[0], kernel, *bias, kernel_shape=[1] * rank)
        # torch keeps the weight as (units, features), which Gemm reads transposed.
        return g.node("Gemm", xs[0], weight, *bias, transB=1)
