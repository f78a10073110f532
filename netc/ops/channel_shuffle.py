"""Channels of several groups, dealt in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Inline, Layer, OnnxGraph, Operand, Reject, op
from netc.ops._checks import nearest_divisor
from netc.ops._words import call
from netc.tensor import TensorType


@op("channel_shuffle", positional="groups")
class ChannelShuffle(Layer):
    """Cut the channels into `groups` and take one of each in turn, so that the next grouped convolution sees them all.

    Output channel j is input channel (j mod groups) * C / groups + j div groups.

    Shape:  unchanged
    MACs:   0: nothing is computed
    Errors: N202 groups do not divide
    Source: Zhang et al., arXiv:1707.01083, section 3.1; ONNX Gather-13; torch.nn.ChannelShuffle
    """

    groups: Count = Field(description="how many groups the channels are cut into")

    foreign: ClassVar[Mapping[str, str]] = {"group": "groups"}
    examples = (
        ({"groups": 3}, ((12, 4, 5),)),
        ({"groups": 2}, ((6,),)),
        ({"groups": 4}, ((4, 7),)),
        ({"groups": 1}, ((5, 3, 3),)),
        ({"groups": 2}, ((8, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if x.c % self.groups:
            nearest = nearest_divisor(self.groups, x.c)
            message = f"{self.groups} groups do not divide {x.c} channels"
            raise Reject("N202", message, at="groups", help=f"the nearest that divides them is {nearest}")
        return x

    def torch(self, *xs: TensorType) -> Call:
        if xs[0].rank:
            return call("F.channel_shuffle", self.groups)
        return Inline(f"{{0}}.unflatten(1, ({self.groups}, -1)).transpose(1, 2).flatten(1)")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        each = xs[0].type.c // self.groups
        order = [group * each + i for i in range(each) for group in range(self.groups)]
        return g.node("Gather", xs[0], g.ints(order), axis=1)
