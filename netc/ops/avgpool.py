"""Average pooling over one to three sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import Call, Layer, Need, OnnxGraph, Operand, Reaches, Reject, Sides, Working, op
from netc.ops._checks import image
from netc.ops._pool import half_at_most, onnx_pad
from netc.ops._window import POOL_FOREIGN, Even, Window, window
from netc.ops._words import call, one, times, unlike
from netc.tensor import TensorType, high


@op("avgpool")
class Avgpool(Layer):
    """Average the elements of each window.

    Shape:  (C, H, W) -> (C, H', W'),  H' = (H + 2 pad - k) / stride, rounded, + 1;
            with round=ceil a window that starts beyond H + pad is dropped
    MACs:   0: additions
    Errors: N201 not an image; N203 window larger than the padded image; N204 a list's length; N206 padding more than
            half of the window; N207 pad=half with an even window
    Source: ONNX AveragePool-11; torch.nn.AvgPool1d, AvgPool2d, AvgPool3d. torch counts padding, ONNX's default and
            TensorFlow do not; what a last window has beyond the padding is never counted
    """

    k: Sides = Field(description="window size, one number or one a side")
    stride: Sides | None = Field(default=None, description="step between two windows; k where not given")
    pad: Even = Field(default=0, description="zeros around the image: a number, one a side, or `half`")
    round: Literal["floor", "ceil"] = Field(default="floor", description="whether `ceil` adds a last, cut-off window")
    count_pad: bool = Field(default=True, description="whether padding counts in the average's divisor")

    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {**POOL_FOREIGN, "count_include_pad": "count_pad"}
    examples = (
        ({"k": 2}, ((6, 28, 28),)),  # LeNet-5 s2
        ({"k": 3, "stride": 2, "pad": 1}, ((3, 8, 7),)),
        ({"k": 3, "stride": 2, "pad": 1, "count_pad": False}, ((3, 8, 7),)),
        ({"k": 5, "stride": 3, "round": "ceil"}, ((3, 14, 14),)),  # GoogLeNet's training heads: 4x4
        ({"k": 3, "stride": 2, "pad": 1, "round": "ceil"}, ((3, 8, 9),)),
        ({"k": 3, "stride": 2, "pad": 1, "round": "ceil", "count_pad": False}, ((3, 8, 9),)),
        ({"k": 2, "stride": 3, "pad": (0, 1), "round": "ceil"}, ((3, 6, 7),)),
        ({"k": 3, "stride": 1, "pad": "half"}, ((2, 7),)),
        ({"k": 2, "stride": 3, "round": "ceil", "count_pad": False}, ((2, 6),)),
        ({"k": (2, 3, 2), "stride": (1, 2, 3), "pad": (1, 1, 0), "round": "ceil"}, ((2, 4, 6, 5),)),
    )

    def _window(self, x: TensorType) -> Window:
        stride = self.k if self.stride is None else self.stride
        return window(x, self.k, stride, self.pad, ceil=self.round == "ceil")

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("avgpool", xs[0], "put it before `flatten`")
        w = self._window(x)
        half_at_most(w, self.pad)
        sides = w.over(x, self.pad, pools=True)
        most = [high(n) for n in x.sides]
        if x.rank == 3 and any(n is not None and n < k for n, k in zip(most, w.k, strict=True)):
            message = f"{times(w.k)} window is larger than {times(x.sides)} image; torch's 3-D average ignores the pad"
            largest = min(n for n in most if n is not None)
            raise Reject("N203", message, at="k", help=f"the largest window is k={largest}")
        return x.with_(sides=sides)

    def needs(self, *xs: TensorType) -> tuple[Need, ...]:
        if xs[0].rank != 3:
            return ()
        each = zip(xs[0].sides, self._window(xs[0]).k, strict=True)
        return tuple(Need(n - (k - 1), "N203", "be larger than its image") for n, k in each)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (self._window(xs[0]).reach(),)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return self._window(xs[0]).working(y, xs[0])

    def torch(self, *xs: TensorType) -> Call:
        w = self._window(xs[0])
        words = {
            **unlike(one(w.k), stride=one(w.stride)),
            **unlike(0, padding=one([p for p, _ in w.pads])),
            **unlike(False, ceil_mode=self.round == "ceil"),
        }
        if any(p for p, _ in w.pads):
            words["count_include_pad"] = self.count_pad  # said even where it is torch's default: it is not ONNX's
        return call(f"F.avg_pool{xs[0].rank}d", one(w.k), **words)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        w = self._window(xs[0].type)
        counts = self.count_pad and any(p for p, _ in w.pads)
        if not counts or not w.uneven:
            return g.node("AveragePool", xs[0], **w.onnx(), count_include_pad=int(counts))
        # The padding asked for counts, the end that rounding up adds does not: the first becomes part of the image.
        padded = onnx_pad(g, xs[0], [(p, p) for p, _ in w.pads], 0.0)
        rest = [(0, end - p) for p, end in w.pads]
        return g.node("AveragePool", padded, **w.onnx(rest), count_include_pad=0)
