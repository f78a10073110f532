"""Locally connected layer: a convolution whose places share no weights."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar, cast

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
    Reject,
    Sides,
    Start,
    Working,
    op,
    per_side,
    size_bytes,
)
from netc.ops._checks import bounded, image
from netc.ops._init import INIT, InitialPlaces, Learned
from netc.ops._pool import onnx_pad
from netc.ops._window import CONV_FOREIGN, Pad, Window, window
from netc.ops._words import unlike
from netc.ops._working import places
from netc.tensor import TensorType

_LOCAL = '''\
class Local(nn.Module):
    """A convolution with weights of its own at each place: (*places, c, channels, *k); the bias is (c, *places)."""

    def __init__(
        self,
        channels: int,
        c: int,
        places: tuple[int, ...],
        k: tuple[int, ...],
        stride: tuple[int, ...],
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(*places, c, channels, *k))
        self.bias = nn.Parameter(torch.empty(c, *places)) if bias else None
        bound = torch.Size([channels, *k]).numel() ** -0.5  # as torch's convolutions start
        for each in self.parameters():
            nn.init.uniform_(each, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.stride)
        k = self.weight.shape[rank + 2 :]
        for i in range(rank):
            x = x.unfold(2 + i, k[i], self.stride[i])
        patches = x.movedim((0, 1), (rank, rank + 1)).flatten(rank + 1)  # (*places, N, channels * k)
        weight = self.weight.flatten(rank + 1)  # (*places, c, channels * k)
        y = (patches @ weight.transpose(-1, -2)).movedim((rank, rank + 1), (0, 1))
        return y if self.bias is None else y + self.bias'''


@op("local", positional="c")
class Local(Learned):
    """Convolve an image with `c` kernels of its own at each place of the output: unshared weights.

    The weight is (H', W', c, C, kh, kw), the bias (c, H', W'), as in torch7's nn.SpatialConvolutionLocal. The lecture
    counts the same: each of the c * H' * W' units has a weight for each of its C * kh * kw inputs, and one bias.

    Shape:  (C, H, W) -> (c, H', W'),  H' = (H + top + bottom - k) // stride + 1
    MACs:   c * H' * W' * C * kh * kw per image; the bias is not counted
    Errors: N201 not an image; N203 kernel larger than the padded image; N204 a list's length; N205 too large; N207
            pad=half with an even kernel; N221 a size is a symbol
    Source: LeCun 1989, "Generalization and network design strategies"; Taigman et al. 2014 (DeepFace); ONNX Gather-13
            and MatMul-13; keras LocallyConnected1D, LocallyConnected2D
    """

    c: Count = Field(description="output channels")
    k: Sides = Field(description="kernel size, one number or one a side")
    stride: Sides = Field(default=1, description="step between two places of the kernel")
    pad: Pad = Field(
        default=0,
        description="zeros around the image: a number, one a side, both ends of each ([top, bottom, left, right]), "
        "`half`, `same_upper` or `same_lower`",
    )
    bias: bool = Field(default=True, description="whether a learned number is added to each output")
    init: InitialPlaces = INIT

    foreign: ClassVar[Mapping[str, str]] = {
        **{name: ours for name, ours in CONV_FOREIGN.items() if ours not in ("dilation", "groups")},
        "dilation": "kernels without shared weights have no dilation here: leave `dilation` out",
        "groups": "kernels without shared weights have no groups here: leave `groups` out",
        "implementation": "there is one implementation: leave `implementation` out",
    }
    examples = (
        ({"c": 4, "k": 3}, ((2, 5, 6),)),
        ({"c": 3, "k": (3, 2), "stride": (2, 1), "pad": (1, 0)}, ((2, 5, 4),)),
        ({"c": 2, "k": 3, "stride": 2, "pad": "same_upper", "bias": False}, ((3, 6, 6),)),
        ({"c": 5, "k": 3, "stride": 2, "pad": "half"}, ((2, 9),)),
        ({"c": 1, "k": 1}, ((1, 4),)),
        ({"c": 3, "k": (2, 1, 2), "pad": (0, 0, 1, 0, 0, 1)}, ((2, 3, 2, 3),)),
    )

    def _window(self, x: TensorType) -> Window:
        return window(x, self.k, self.stride, self.pad, pairs=True)

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("local", xs[0], f"put it before `flatten`, or write fc({self.c})")
        if not x.static:
            message = f"`local` has weights for each position, and {x.shape} has a size known only when the net runs"
            help = f"conv({self.c}, ...) shares its weights between positions and takes any size"
            raise Reject("N221", message, help=help)
        return bounded(x.with_(self.c, self._window(x).over(x, self.pad)), at="pad", help="pad less")

    def _places(self, x: TensorType) -> tuple[int, ...]:
        return cast("tuple[int, ...]", self._window(x).steps(x))

    def params(self, *xs: TensorType) -> dict[str, Param]:
        places = self._places(xs[0])
        weight = Param((*places, self.c, xs[0].c, *per_side(self.k, xs[0].rank, "k")))
        return {"weight": weight, "bias": Param((self.c, *places))} if self.bias else {"weight": weight}

    def starts(self, *xs: TensorType) -> Mapping[str, Start]:
        starts = super().starts(*xs)
        # torch reads fans off a convolution's shape, (c, C, kh, kw); here the places come first.
        area = prod(per_side(self.k, xs[0].rank, "k"))
        if self.init == "kaiming":
            return {**starts, "weight": Start(f"nn.init.normal_({{0}}, std={(2 / (self.c * area)) ** 0.5!r})")}
        if self.init == "xavier":
            most = (6 / ((xs[0].c + self.c) * area)) ** 0.5
            return {**starts, "weight": Start(f"nn.init.uniform_({{0}}, {-most!r}, {most!r})")}
        return starts

    def macs(self, y: TensorType, *xs: TensorType) -> int:
        return y.features * xs[0].c * prod(per_side(self.k, y.rank, "k"))

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (self._window(xs[0]).reach(),)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        w, area = self._window(xs[0]), prod(per_side(self.k, y.rank, "k"))
        if area == 1 and not any(end for pair in w.pads for end in pair):
            return Kept(True, False)
        return Kept(False, False, size_bytes(y.with_(xs[0].c * area)))  # every window, laid out

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        x, area = xs[0], prod(per_side(self.k, y.rank, "k"))
        shape, count = places(y, "'")
        one = f"{x.c} * {area}"
        learned = Working(f"d2 {shape} d1 s", f"{self.c} * {count} * {one}")
        macs = learned
        if self.bias:
            learned = Working(f"d2 {shape} (d1 s + 1)", f"{self.c} * {count} ({one} + 1)")
        return {"parameters": learned, "macs": macs, "c": Working("d2", str(self.c)), **self._window(x).working(y, x)}

    def torch(self, *xs: TensorType) -> Call:
        w = self._window(xs[0])
        ends = tuple(end for pair in reversed(w.pads) for end in pair)  # F.pad's last side is first
        before = f"F.pad({{0}}, {ends})" if any(ends) else "{0}"
        args = (xs[0].c, self.c, self._places(xs[0]), w.k, w.stride)
        return Module("Local", args, unlike(True, bias=self.bias), before, define=_LOCAL)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        x, w, value = xs[0].type, self._window(xs[0].type), xs[0].name
        rank, places = x.rank, self._places(x)
        if any(end for pair in w.pads for end in pair):
            value = onnx_pad(g, xs[0], w.pads, 0.0)
        for axis, (count, k, s) in enumerate(zip(places, w.k, w.stride, strict=True), start=2):
            value = g.node("Gather", value, g.ints([i * s + j for i in range(count) for j in range(k)]), axis=axis)
        apart = [size for pair in zip(places, w.k, strict=True) for size in pair]
        value = g.node("Reshape", value, g.ints([0, x.c, *apart]))  # (N, C, H', kh, W', kw)
        perm = [*range(2, 2 + 2 * rank, 2), 0, 1, *range(3, 3 + 2 * rank, 2)]
        value = g.node("Transpose", value, perm=perm)  # (H', W', N, C, kh, kw)
        inputs = x.c * prod(w.k)
        # A 0 keeps the dimension that stands there, which is N.
        patches = g.node("Reshape", value, g.ints([*places, 0, inputs]))
        kernels = g.node("Reshape", g.param("weight"), g.ints([*places, self.c, inputs]))
        columns = g.node("Transpose", kernels, perm=[*range(rank), rank + 1, rank])
        y = g.node("MatMul", patches, columns)  # (H', W', N, c)
        y = g.node("Transpose", y, perm=[rank, rank + 1, *range(rank)])
        return g.node("Add", y, g.param("bias")) if self.bias else y
