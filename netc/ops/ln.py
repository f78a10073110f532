"""Layer normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

from pydantic import Field

from netc.op import Call, Epsilon, Kept, Module, OnnxGraph, Operand, Param, Reject, Working, op, size_bytes
from netc.ops._init import INIT, InitialFactor, Learned
from netc.ops._norm import NORM_FOREIGN
from netc.ops._words import unlike
from netc.ops._working import places
from netc.tensor import TensorType

_CHANNEL_NORM = '''\
class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position, which come first where torch takes the last sides."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)'''


@op("ln")
class Ln(Learned):
    """Normalise the channels of each position by their mean and variance, or all elements of an example; then scale
    and shift.

    Shape:  unchanged; (C) or (C, sides); weight and bias are (C), with over=all (C, sides)
    MACs:   0: elementwise
    Errors: N221 over=all on a symbolic size; N222 a single number
    Source: Ba et al., arXiv:1607.06450; over channels as in ConvNeXt (arXiv:2201.03545); ONNX LayerNormalization-17;
            torch.nn.LayerNorm
    """

    over: Literal["channels", "all"] = Field(
        default="channels", description="`channels` at each position, or `all`: channels and sides together"
    )
    eps: Epsilon = Field(default=1e-5, description="added to the variance")
    init: InitialFactor = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        **NORM_FOREIGN,
        "axis": "write `over=channels` or `over=all`",
        "dim": "write `over=channels` or `over=all`",
    }
    examples = (
        ({}, ((6, 5, 7),)),
        ({"eps": 1e-6}, ((4, 3, 3),)),  # ConvNeXt's
        ({"over": "all", "eps": 0.01}, ((3, 4, 5),)),
        ({}, ((5,),)),
        ({"over": "all"}, ((7,),)),
        ({}, ((4, 9),)),
        ({"over": "all"}, ((2, 6),)),
        ({}, ((3, 2, 3, 4),)),
        ({"over": "all"}, ((1, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if self.over == "all" and not x.static:
            message = (
                f"`ln(over=all)` has a weight for each element, and {x.shape} has a size known only when the net runs"
            )
            raise Reject(
                "N221", message, at="over", help=f"ln, over the {x.c} channels of each position, takes any size"
            )
        if (x.features if self.over == "all" else x.c) == 1:
            raise Reject("N222", f"`ln` over the one number of {x.shape} gives 0, whatever enters", help="take it out")
        return x

    def _shape(self, x: TensorType) -> tuple[int, ...]:
        return (x.c, *cast("tuple[int, ...]", x.sides)) if self.over == "all" else (x.c,)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        shape = self._shape(xs[0])
        return {"weight": Param(shape), "bias": Param(shape)}

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        # A mean and a standard deviation at each position, or one an example.
        return Kept(True, False, 2 * size_bytes(y.with_(1, () if self.over == "all" else y.sides)))

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        if self.over == "all" and y.rank:
            shape, count = places(y)
            return {"parameters": Working(f"2 d {shape}", f"2 * {y.c} * {count}")}
        return {"parameters": Working("2 d", f"2 * {y.c}")}

    def torch(self, *xs: TensorType) -> Call:
        shape = self._shape(xs[0])
        made = Module("nn.LayerNorm", (shape if len(shape) > 1 else xs[0].c,), unlike(1e-5, eps=self.eps))
        if self.over == "all" or not xs[0].rank:
            return made
        return made._replace(target="ChannelNorm", define=_CHANNEL_NORM)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        rank, words = xs[0].type.rank, {"axis": 1 if self.over == "all" else -1, "epsilon": float(self.eps)}
        if self.over == "all" or not rank:
            return g.node("LayerNormalization", xs[0], g.param("weight"), g.param("bias"), **words)
        last = g.node("Transpose", xs[0], perm=[0, *range(2, 2 + rank), 1])
        made = g.node("LayerNormalization", last, g.param("weight"), g.param("bias"), **words)
        return g.node("Transpose", made, perm=[0, 1 + rank, *range(1, 1 + rank)])
