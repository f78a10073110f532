"""Transposed convolution over one to three sides."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Module, OnnxGraph, Operand, Param, Reach, Reaches, Reject, Sides, Working, op, per_side
from netc.ops._checks import bounded, divides, image
from netc.ops._init import INIT, InitialKernel, Learned
from netc.ops._window import CONV_FOREIGN, Even, NotNegatives, Window, window
from netc.ops._words import one, spell, times, unlike
from netc.ops._working import letters, number, places, shared, sides
from netc.tensor import TensorType, high


@op("upconv", positional="c")
class Upconv(Learned):
    """Enlarge an image with `c` learned kernels: each input pixel adds its kernel to the output, `stride` apart.

    Shape:  (C, H, W) -> (c, H', W'),  H' = (H - 1) stride - 2 pad + dilation (k - 1) + 1 + out_pad
    MACs:   C * H * W * c / groups * kh * kw per image; the bias is not counted
    Errors: N201 not an image; N202 groups do not divide; N204 a list's length; N205 too large; N207 pad=half with an
            even kernel; N212 out_pad not smaller than the stride; N213 pad trims everything away
    Source: Dumoulin & Visin, arXiv:1603.07285; ONNX ConvTranspose-11; torch.nn.ConvTranspose1d, 2d, 3d
    """

    c: Count = Field(description="output channels")
    k: Sides = Field(description="kernel size, one number or one a side")
    stride: Sides = Field(default=1, description="distance in the output between two neighbours of the input")
    pad: Even = Field(default=0, description="trimmed from both ends: a number, one a side, or `half`")
    out_pad: NotNegatives = Field(default=0, description="added to the end of a side, to choose among possible sizes")
    dilation: Sides = Field(default=1, description="step between two elements of the kernel")
    groups: Count = Field(default=1, description="parts that input and output channels are cut into")
    bias: bool = Field(default=True, description="whether a learned number is added to each channel")
    init: InitialKernel = INIT

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {**CONV_FOREIGN, "output_padding": "out_pad"}
    examples = (
        ({"c": 4, "k": 2, "stride": 2}, ((8, 5, 6),)),
        ({"c": 6, "k": 3, "stride": 2, "pad": "half", "out_pad": 1, "groups": 2, "bias": False}, ((4, 5, 4),)),
        ({"c": 3, "k": (3, 4), "stride": (1, 2), "pad": (0, 1), "dilation": (2, 1)}, ((2, 4, 5),)),
        ({"c": 3, "k": 4, "stride": 2, "pad": 1}, ((2, 7),)),
        ({"c": 2, "k": 2, "stride": 2, "out_pad": (1, 0, 1)}, ((3, 2, 3, 2),)),
    )

    def _window(self, x: TensorType) -> Window:
        return window(x, self.k, self.stride, self.pad, self.dilation)

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("upconv", xs[0], "put it before `flatten`")
        divides(self.groups, x.c, self.c)
        w, extra = self._window(x), per_side(self.out_pad, x.rank, "out_pad")
        if any(more >= s for more, s in zip(extra, w.stride, strict=True)):  # torch would take a larger dilation, too
            message = f"`out_pad={spell(self.out_pad)}` must be smaller than the stride, {spell(one(w.stride))}"
            most = spell(one([s - 1 for s in w.stride]))
            raise Reject("N212", message, at="out_pad", help=f"the largest is out_pad={most}")
        pairs = zip(x.sides, w.stride, w.extent, extra, strict=True)
        full = tuple((n - 1) * s + reach + more for n, s, reach, more in pairs)
        sides = tuple(n - 2 * p for n, (p, _) in zip(full, w.pads, strict=True))
        if any(n is not None and n < 1 for n in map(high, sides)):
            fits = (min(n for n in map(high, full) if n is not None) - 1) // 2
            message = f"`pad={spell(self.pad)}` trims {times(full)} result to {times(sides).split()[1]}"
            raise Reject("N213", message, at="pad", help=f"the largest that leaves something is pad={fits}")
        return bounded(x.with_(self.c, sides), at="stride", help="a smaller stride")

    def params(self, *xs: TensorType) -> dict[str, Param]:
        weight = Param((xs[0].c, self.c // self.groups, *per_side(self.k, xs[0].rank, "k")))
        return {"weight": weight, "bias": Param((self.c,))} if self.bias else {"weight": weight}

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        return xs[0].features * (self.c // self.groups) * prod(per_side(self.k, y.rank, "k"))

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        w = self._window(xs[0])
        found: list[Reach] = []
        for k, s, d, (p, _) in zip(w.k, w.stride, w.dilation, w.pads, strict=True):
            # Input i adds element j of its kernel to output s i - p + d j.
            found.append(Reach(tuple(_divided(range(o + p - d * (k - 1), o + p + 1, d), s) for o in range(s))))
        return (tuple(found),)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x, w = xs[0], self._window(xs[0])
        extra = per_side(self.out_pad, x.rank, "out_pad")
        made: list[Working] = []
        for i, letter in enumerate(letters(x)):
            numbers = f"({number(x.sides[i])} - 1) * {w.stride[i]} - 2 * {w.pads[i][0]} + {w.extent[i]} + {extra[i]}"
            reach = "dilation (k - 1) + 1" if w.dilation[i] > 1 else "k"
            made.append(Working(f"({letter} - 1) stride - 2 pad + {reach} + out_pad", numbers))
        (shape, count), (inner, part) = places(x), ("d2 / g", f"{self.c} / {self.groups}")
        if self.groups == 1:
            inner, part = "d2", str(self.c)
        return {
            "parameters": shared(self.c, x.c, w.k, self.bias, self.groups),
            "macs": Working(f"d1 {shape} {inner} s", f"{x.c} * {count} * {part} * {prod(w.k)}"),
            "c": Working("d2", str(self.c)),
            **sides(y, made),
        }

    def torch(self, *xs: TensorType) -> Call:
        w, extra = self._window(xs[0]), per_side(self.out_pad, xs[0].rank, "out_pad")
        words = {
            **unlike(1, stride=one(w.stride)),
            **unlike(0, padding=one([p for p, _ in w.pads]), output_padding=one(extra)),
            **unlike(1, groups=self.groups),
            **unlike(True, bias=self.bias),
            **unlike(1, dilation=one(w.dilation)),
        }
        return Module(f"nn.ConvTranspose{xs[0].rank}d", (xs[0].c, self.c, one(w.k)), words)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        inputs = [xs[0], g.param("weight"), *([g.param("bias")] if self.bias else [])]
        extra = per_side(self.out_pad, xs[0].type.rank, "out_pad")
        words = {**self._window(xs[0].type).onnx(), **({"output_padding": extra} if any(extra) else {})}
        return g.node("ConvTranspose", *inputs, **words, group=self.groups)


def _divided(places: range, by: int) -> range:
    """Those of some places that a number divides, divided by it."""
    found = [place // by for place in places if place % by == 0]
    if not found:
        return range(0)
    return range(found[0], found[-1] + 1, found[1] - found[0] if len(found) > 1 else 1)
