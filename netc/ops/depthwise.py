"""Depthwise convolution over one to three sides."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Kept, OnnxGraph, Operand, Param, Reaches, Sides, Working, op, per_side
from netc.ops._checks import bounded, image
from netc.ops._init import INIT, InitialKernel, Learned
from netc.ops._window import CONV_FOREIGN, Pad
from netc.ops._working import places
from netc.ops.conv import Conv
from netc.tensor import TensorType


@op("depthwise")
class Depthwise(Learned):
    """Convolve each channel alone with `mult` learned kernels: a conv with as many groups as channels.

    Shape:  (C, H, W) -> (C * mult, H', W'),  H' = (H + top + bottom - dilation (k - 1) - 1) // stride + 1
    MACs:   C * mult * H' * W' * kh * kw per image; the bias is not counted
    Errors: N201 not an image; N203 kernel larger than the padded image; N204 a list's length; N205 too large; N207
            pad=half with an even kernel; N208 same_* on a symbolic size
    Source: Howard et al., arXiv:1704.04861, section 3.1; ONNX Conv-11; torch.nn.Conv1d, Conv2d, Conv3d with groups
    """

    k: Sides = Field(description="kernel size, one number or one a side")
    mult: Count = Field(default=1, description="output channels made of each input channel")
    stride: Sides = Field(default=1, description="step between two places of the kernel")
    pad: Pad = Field(
        default=0,
        description="zeros around the image: a number, one a side, both ends of each ([top, bottom, left, right]), "
        "`half` (dilation * (k - 1) // 2), `same_upper` or `same_lower`",
    )
    dilation: Sides = Field(default=1, description="step between two elements of the kernel")
    bias: bool = Field(default=True, description="whether a learned number is added to each channel")
    init: InitialKernel = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        **{name: ours for name, ours in CONV_FOREIGN.items() if ours not in ("c", "groups")},
        "depth_multiplier": "mult",
        "multiplier": "mult",
        "groups": "a depthwise convolution has as many groups as channels enter: leave `groups` out",
        "c": "it has `mult` output channels for each one that enters: write `mult`, or leave it out",
        "out_channels": "it has `mult` output channels for each one that enters: write `mult`, or leave it out",
    }
    examples = (
        ({"k": 3, "pad": 1, "bias": False}, ((8, 7, 6),)),  # MobileNet's
        ({"k": 5, "stride": 2, "pad": "half"}, ((4, 9, 12),)),
        ({"k": 3, "mult": 2, "dilation": (2, 1)}, ((3, 8, 7),)),
        ({"k": (3, 2), "pad": (0, 1, 2, 0)}, ((2, 5, 6),)),
        ({"k": 7, "pad": "same_lower", "stride": 3}, ((3, 10),)),
        ({"k": (1, 3, 2), "mult": 3, "stride": (2, 1, 1)}, ((2, 3, 4, 5),)),
    )

    def _conv(self, x: TensorType) -> Conv:
        words = {name: getattr(self, name) for name in ("k", "stride", "pad", "dilation", "bias")}
        return Conv.model_construct(c=x.c * self.mult, groups=x.c, **words)

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("depthwise", xs[0], "put it before `flatten`")
        bounded(x.with_(x.c * self.mult), at="mult", help="a smaller mult")
        return self._conv(x).infer(x)

    def params(self, *xs: TensorType) -> dict[str, Param]:
        return self._conv(xs[0]).params(*xs)

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        return self._conv(xs[0]).macs(y, *xs)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return self._conv(xs[0]).reach(y, *xs)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return self._conv(xs[0]).kept(y, *xs)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x, area = xs[0], prod(per_side(self.k, y.rank, "k"))
        shape, count = places(y, "'")
        learned = Working("d2 (s + 1)", f"{y.c} ({area} + 1)") if self.bias else Working("d2 s", f"{y.c} * {area}")
        return {
            **self._conv(x).working(y, x),
            "parameters": learned,
            "macs": Working(f"d2 {shape} s", f"{y.c} * {count} * {area}"),
            "c": Working("mult d1", f"{self.mult} * {x.c}"),
        }

    def torch(self, *xs: TensorType) -> Call:
        return self._conv(xs[0]).torch(*xs)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return self._conv(xs[0].type).onnx(g, *xs)
