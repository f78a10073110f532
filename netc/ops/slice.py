"""Some of the channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Count, Inline, Layer, OnnxGraph, Operand, Reject, Working, op
from netc.ops._window import NotNegative
from netc.tensor import TensorType


@op("slice")
class Slice(Layer):
    """Keep the channels from `start` up to, not including, `stop`; both count from 0 and from the front.

    Shape:  (C, H, W) -> (stop - start, H, W); (C) -> (stop - start)
    MACs:   0: nothing is computed
    Errors: N215 there are no such channels
    Source: ONNX Slice-13; x[:, start:stop]
    """

    start: NotNegative = Field(default=0, description="the first channel kept, from 0")
    stop: Count | None = Field(default=None, description="the first channel no longer kept; C where not given")

    foreign: ClassVar[Mapping[str, str]] = {
        "begin": "start",
        "end": "stop",
        "axis": "it cuts channels; `crop` cuts sides: leave `axis` out",
        "dim": "it cuts channels; `crop` cuts sides: leave `dim` out",
        "step": "it keeps every channel between `start` and `stop`: leave `step` out",
    }
    examples = (
        ({"start": 1, "stop": 3}, ((4, 3, 5),)),
        ({"stop": 2}, ((6,),)),
        ({"start": 2}, ((3, 7),)),
        ({}, ((2, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        c = xs[0].c
        if self.start >= c:
            message = f"`slice` starts at channel {self.start}, and {c} enter, numbered from 0"
            raise Reject("N215", message, at="start", help=f"the last channel is start={c - 1}")
        if self.stop is None:
            return xs[0].with_(c - self.start)
        if self.stop > c:
            message = f"`slice` stops at channel {self.stop}, and {c} enter"
            raise Reject("N215", message, at="stop", help=f"the largest is stop={c}, or leave `stop` out")
        if self.stop <= self.start:
            message = f"`slice` from {self.start} up to {self.stop} keeps no channel"
            raise Reject("N215", message, at="stop", help=f"the smallest is stop={self.start + 1}")
        return xs[0].with_(self.stop - self.start)

    def views(self, *xs: TensorType) -> bool:
        return True

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"c": Working("stop - start", f"{self.start + y.c} - {self.start}")}

    def torch(self, *xs: TensorType) -> Call:
        return Inline(f"{{0}}[:, {self.start or ''}:{self.stop or ''}]")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        stop = xs[0].type.c if self.stop is None else self.stop
        return g.node("Slice", xs[0], g.ints([self.start]), g.ints([stop]), g.ints([1]))
