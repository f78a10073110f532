"""Max pooling over one to three sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import Call, Kept, Layer, Need, OnnxGraph, Operand, Reaches, Reject, Sides, Working, op, size_bytes
from netc.ops._checks import image
from netc.ops._pool import half_at_most, onnx_pad
from netc.ops._window import POOL_FOREIGN, Even, Window, window
from netc.ops._words import call, one, unlike
from netc.tensor import TensorType, high


@op("maxpool")
class Maxpool(Layer):
    """Keep the largest element of each window.

    Shape:  (C, H, W) -> (C, H', W'),  H' = (H + 2 pad - dilation (k - 1) - 1) / stride, rounded, + 1;
            with round=ceil a window that starts beyond H + pad is dropped
    MACs:   0: comparisons
    Errors: N201 not an image; N203 window larger than the padded image; N204 a list's length; N206 padding more than
            half of the window, or a dilated window that may see padding only; N207 pad=half with an even window
    Source: ONNX MaxPool-12; torch.nn.MaxPool1d, MaxPool2d, MaxPool3d
    """

    k: Sides = Field(description="window size, one number or one a side")
    stride: Sides | None = Field(default=None, description="step between two windows; k where not given")
    pad: Even = Field(default=0, description="padding that never wins: a number, one a side, or `half`")
    dilation: Sides = Field(default=1, description="step between two elements of a window")
    round: Literal["floor", "ceil"] = Field(default="floor", description="whether `ceil` adds a last, cut-off window")

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {**POOL_FOREIGN, "dilation_rate": "dilation", "dilations": "dilation"}
    examples = (
        ({"k": 2}, ((3, 8, 7),)),
        ({"k": 3, "stride": 2, "pad": 1}, ((3, 9, 8),)),  # ResNet's
        ({"k": 3, "stride": 2, "round": "ceil"}, ((3, 8, 7),)),  # GoogLeNet's
        ({"k": 2, "stride": 3, "round": "ceil"}, ((2, 6, 7),)),  # the last window starts beyond 6
        ({"k": 2, "stride": 2, "pad": 1, "round": "ceil"}, ((2, 5, 6),)),
        ({"k": (3, 2), "stride": (2, 1), "pad": (1, 0), "dilation": (2, 3)}, ((2, 9, 8),)),
        ({"k": 2, "stride": 4, "dilation": 3, "round": "ceil"}, ((2, 8, 9),)),
        ({"k": 3, "pad": "half", "stride": 1}, ((2, 7),)),
        ({"k": 4, "stride": 3, "pad": 2, "round": "ceil"}, ((2, 9),)),
        ({"k": (1, 2, 3), "stride": 2, "round": "ceil"}, ((2, 4, 5, 6),)),
    )

    def _window(self, x: TensorType) -> Window:
        stride = self.k if self.stride is None else self.stride
        return window(x, self.k, stride, self.pad, self.dilation, ceil=self.round == "ceil")

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("maxpool", xs[0], "put it before `flatten`")
        w = self._window(x)
        half_at_most(w, self.pad)
        sides = w.over(x, self.pad, pools=True)
        for n, (p, _), d in zip(x.sides, w.pads, w.dilation, strict=True):
            most = high(n)
            if p and most is not None and most < d:
                message = f"with dilation {d} and pad {p} a window can step over a side of {n} and see padding only"
                raise Reject("N206", message, at="dilation", help=f"the largest dilation is dilation={most}")
        return x.with_(sides=sides)

    def needs(self, *xs: TensorType) -> tuple[Need, ...]:
        w = self._window(xs[0])
        each = zip(xs[0].sides, w.pads, w.dilation, strict=True)
        return tuple(Need(n - (d - 1), "N206", "see padding only") for n, (p, _), d in each if p)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (self._window(xs[0]).reach(),)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(True, False, 2 * size_bytes(y))  # where each largest element was, in 64 bits

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return self._window(xs[0]).working(y, xs[0])

    def torch(self, *xs: TensorType) -> Call:
        w = self._window(xs[0])
        words = {
            **unlike(one(w.k), stride=one(w.stride)),
            **unlike(0, padding=one([p for p, _ in w.pads])),
            **unlike(1, dilation=one(w.dilation)),
            **unlike(False, ceil_mode=self.round == "ceil"),
        }
        return call(f"F.max_pool{xs[0].rank}d", one(w.k), **words)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        w = self._window(xs[0].type)
        if all(end < k for (_, end), k in zip(w.pads, w.k, strict=True)):
            return g.node("MaxPool", xs[0], **w.onnx())
        # Rounding a dilated window up may need more than k - 1 at the end, which ONNX Runtime refuses as padding.
        return g.node("MaxPool", onnx_pad(g, xs[0], w.pads, float("-inf")), **w.onnx(((0, 0),) * len(w.k)))
