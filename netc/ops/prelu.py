"""Rectified linear unit with a learned slope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Module, OnnxGraph, Operand, Param, Working, op
from netc.ops._init import INIT, InitialFactor, Learned
from netc.ops._norm import a_channel
from netc.tensor import TensorType


@op("prelu")
class Prelu(Learned):
    """Keep what is positive, and multiply what is negative by a learned slope: y = max(x, 0) + a min(x, 0).

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: He et al., arXiv:1502.01852, where slopes start at 0.25, as here; ONNX PRelu-16; torch.nn.PReLU
    """

    shared: bool = Field(default=False, description="whether all channels share one slope")
    init: InitialFactor = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        "channel_shared": "shared",
        "num_parameters": "there is a slope a channel, or one with `shared=true`: leave `num_parameters` out",
        "shared_axes": "a slope is shared by all sides already: leave `shared_axes` out",
    }
    examples = (
        ({}, ((4, 3, 5),)),
        ({"shared": True}, ((4, 3, 5),)),
        ({}, ((6,),)),
        ({"shared": True}, ((6,),)),
        ({}, ((3, 7),)),
        ({}, ((2, 2, 3, 4),)),
    )

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"weight": Param((1 if self.shared else xs[0].c,))}

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"parameters": Working("1", "1") if self.shared else Working("d", str(y.c))}

    def torch(self, *xs: TensorType) -> Call:
        return Module("nn.PReLU", () if self.shared else (xs[0].c,))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("PRelu", xs[0], g.param("weight") if self.shared else a_channel(g, "weight", xs[0].type))
