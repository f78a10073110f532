"""Convolution over one to three sides."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

from pydantic import Field

from netc.op import (
    Call,
    Count,
    Kept,
    Module,
    OnnxGraph,
    Operand,
    Param,
    Reaches,
    Sides,
    Working,
    op,
    per_side,
    size_bytes,
)
from netc.ops._checks import bounded, divides, image
from netc.ops._init import INIT, InitialKernel, Learned
from netc.ops._window import CONV_FOREIGN, Pad, Window, window
from netc.ops._words import one, unlike
from netc.ops._working import places, shared
from netc.tensor import TensorType


@op("conv", positional="c")
class Conv(Learned):
    """Convolve an image with `c` learned kernels.

    Shape:  (C, H, W) -> (c, H', W'),  H' = (H + top + bottom - dilation (k - 1) - 1) // stride + 1
    MACs:   c * H' * W' * C / groups * kh * kw per image; the bias is not counted
    Errors: N201 not an image; N202 groups do not divide; N203 kernel larger than the padded image; N204 a list's
            length; N205 too large; N207 pad=half with an even kernel; N208 same_* on a symbolic size
    Source: Dumoulin & Visin, arXiv:1603.07285; ONNX Conv-11; torch.nn.Conv1d, Conv2d, Conv3d
    """

    c: Count = Field(description="output channels")
    k: Sides = Field(description="kernel size, one number or one a side")
    stride: Sides = Field(default=1, description="step between two places of the kernel")
    pad: Pad = Field(
        default=0,
        description="zeros around the image: a number, one a side, both ends of each ([top, bottom, left, right]), "
        "`half` (dilation * (k - 1) // 2), `same_upper` or `same_lower`",
    )
    dilation: Sides = Field(default=1, description="step between two elements of the kernel")
    groups: Count = Field(default=1, description="parts that input and output channels are cut into")
    bias: bool = Field(default=True, description="whether a learned number is added to each channel")
    init: InitialKernel = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = CONV_FOREIGN
    examples = (
        ({"c": 6, "k": 5, "pad": 2}, ((1, 28, 28),)),  # LeNet-5 c1
        ({"c": 8, "k": 3, "stride": 2, "pad": "half", "bias": False}, ((4, 9, 12),)),
        ({"c": 8, "k": (1, 7), "pad": (0, 3)}, ((4, 5, 9),)),
        ({"c": 6, "k": 3, "pad": (0, 1, 2, 0), "groups": 2}, ((4, 7, 8),)),
        ({"c": 4, "k": 3, "stride": 2, "pad": "same_upper"}, ((3, 8, 7),)),
        ({"c": 4, "k": (2, 4), "pad": "same_lower"}, ((3, 6, 6),)),
        ({"c": 4, "k": 3, "dilation": (2, 3), "pad": "half", "groups": 4}, ((4, 9, 9),)),
        ({"c": 5, "k": 3, "pad": (2, 0)}, ((2, 11),)),
        ({"c": 5, "k": 4, "stride": 3, "dilation": 2}, ((2, 17),)),
        ({"c": 4, "k": (3, 1, 2), "stride": (1, 2, 1), "pad": (1, 0, 1)}, ((2, 5, 6, 4),)),
        ({"c": 2, "k": 2, "pad": "same_upper"}, ((2, 3, 4, 3),)),
    )

    def _window(self, x: TensorType) -> Window:
        return window(x, self.k, self.stride, self.pad, self.dilation, pairs=True)

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("conv", xs[0], f"put it before `flatten`, or write fc({self.c})")
        divides(self.groups, x.c, self.c)
        sides = self._window(x).over(x, self.pad)
        return bounded(x.with_(self.c, sides), at="pad", help="pad less")

    def params(self, *xs: TensorType) -> dict[str, Param]:
        weight = Param((self.c, xs[0].c // self.groups, *per_side(self.k, xs[0].rank, "k")))
        return {"weight": weight, "bias": Param((self.c,))} if self.bias else {"weight": weight}

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        return y.features * (xs[0].c // self.groups) * prod(per_side(self.k, y.rank, "k"))

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (self._window(xs[0]).reach(),)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        w = self._window(xs[0])
        if not w.uneven:
            return super().kept(y, *xs)
        pairs = zip(xs[0].sides, w.pads, strict=True)
        return Kept(False, False, size_bytes(xs[0].with_(sides=tuple(n + begin + end for n, (begin, end) in pairs))))

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x, k = xs[0], per_side(self.k, y.rank, "k")
        learned = shared(self.c, x.c, k, self.bias, self.groups)
        (shape, area), (inner, part) = places(y, "'"), ("d1 / g", f"{x.c} / {self.groups}")
        if self.groups == 1:
            inner, part = "d1", str(x.c)
        macs = Working(f"d2 {shape} {inner} s", f"{self.c} * {area} * {part} * {prod(k)}")
        return {"parameters": learned, "macs": macs, "c": Working("d2", str(self.c)), **self._window(x).working(y, x)}

    def torch(self, *xs: TensorType) -> Call:
        w = self._window(xs[0])
        even = {} if w.uneven else unlike(0, padding=one([p for p, _ in w.pads]))
        words = {
            **unlike(1, stride=one(w.stride)),
            **even,
            **unlike(1, dilation=one(w.dilation), groups=self.groups),
            **unlike(True, bias=self.bias),
        }
        # torch's convolutions take one number a side, so different ends are padded before; F.pad's last side is first.
        ends = tuple(end for pair in reversed(w.pads) for end in pair)
        before = f"F.pad({{0}}, {ends})" if w.uneven else "{0}"
        return Module(f"nn.Conv{xs[0].rank}d", (xs[0].c, self.c, one(w.k)), words, before)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        inputs = [xs[0], g.param("weight"), *([g.param("bias")] if self.bias else [])]
        return g.node("Conv", *inputs, **self._window(xs[0].type).onnx(), group=self.groups)
