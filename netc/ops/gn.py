"""Group normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Epsilon, Kept, Module, Need, OnnxGraph, Operand, Param, Reject, Working, op, size_bytes
from netc.ops._checks import nearest_divisor
from netc.ops._init import INIT, InitialFactor, Learned
from netc.ops._norm import NORM_FOREIGN, a_channel
from netc.ops._words import unlike
from netc.tensor import Side, TensorType, high


@op("gn", positional="groups")
class Gn(Learned):
    """Normalise each example's groups of channels by their mean and variance, then scale and shift each channel.

    Shape:  unchanged; (C) or (C, sides)
    MACs:   0: elementwise
    Errors: N202 groups do not divide the channels; N222 a group of a single number
    Source: Wu & He, arXiv:1803.08494; torch.nn.GroupNorm; ONNX InstanceNormalization-6 over (groups, rest), since
            GroupNormalization is new in opset 18 and another in 21
    """

    groups: Count = Field(description="parts that the channels are cut into")
    eps: Epsilon = Field(default=1e-5, description="added to the variance")
    init: InitialFactor = INIT

    single = True
    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {**NORM_FOREIGN, "num_groups": "groups", "group": "groups"}
    examples = (
        ({"groups": 2}, ((6, 5, 7),)),
        ({"groups": 4, "eps": 0.001}, ((4, 3, 4),)),  # as many as channels: instance normalisation
        ({"groups": 1}, ((3, 4, 4),)),  # one: layer normalisation over channels and sides
        ({"groups": 2}, ((6,),)),
        ({"groups": 3, "eps": 0.1}, ((6, 9),)),
        ({"groups": 2}, ((4, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if x.c % self.groups:
            nearest = nearest_divisor(self.groups, x.c)
            message = f"{self.groups} groups do not divide {x.c} channels"
            raise Reject("N202", message, at="groups", help=f"the nearest that divides is gn({nearest})")
        if x.c == self.groups and all(high(side) == 1 for side in x.sides):
            message = f"{self.groups} groups of {x.shape} are single numbers, each of which becomes 0"
            least = next((p for p in range(2, isqrt(x.c) + 1) if x.c % p == 0), x.c)
            help = f"the most is gn({x.c // least})" if x.c > 1 else "take it out"
            raise Reject("N222", message, at="groups", help=help)
        return x

    def needs(self, *xs: TensorType) -> tuple[Need, ...]:
        x = xs[0]
        if x.c != self.groups:
            return ()
        # No side is empty, so that one of them is 2 or more where their sum is more than their number.
        total: Side = -x.rank
        for side in x.sides:
            total += side
        return (Need(total, "N222", "make 0 of each number"),)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return {"weight": Param((xs[0].c,)), "bias": Param((xs[0].c,))}

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(True, False, 2 * size_bytes(y.with_(self.groups, ())))  # each group's mean and standard deviation

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"parameters": Working("2 d", f"2 * {y.c}")}

    def torch(self, *xs: TensorType) -> Call:
        return Module("nn.GroupNorm", (self.groups, xs[0].c), unlike(1e-5, eps=self.eps))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        parts = g.node("Reshape", xs[0], g.ints([0, self.groups, -1]))
        ones, zeros = g.floats([1.0] * self.groups), g.floats([0.0] * self.groups)
        even = g.node("InstanceNormalization", parts, ones, zeros, epsilon=float(self.eps))
        whole = g.node("Reshape", even, g.node("Shape", xs[0]))
        scaled = g.node("Mul", whole, a_channel(g, "weight", xs[0].type))
        return g.node("Add", scaled, a_channel(g, "bias", xs[0].type))
