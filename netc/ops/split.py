"""One value as several."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import ClassVar

from pydantic import Field

from netc.op import Layer, Reject, Sides, op
from netc.ops._checks import nearest_divisor
from netc.ops._words import spell
from netc.ops.slice import Slice
from netc.tensor import TensorType

MOST = 10_000
"""Parts of one split: each is a layer."""


@op("split", positional="parts")
class Split(Layer):
    """Cut the channels into parts, in order, each a value of its own: short for as many `slice`s of what enters.

    A label names the parts by their number: after `half: split(2)` there are `half.0` and `half.1`.

    Shape:  (C, H, W) -> (C / parts, H, W), ...; with a list (parts[0], H, W), (parts[1], H, W), ...
    MACs:   0: nothing is computed
    Errors: N202 the parts do not divide the channels; N205 too many parts; N215 the parts of a list are not as many
            channels as enter
    Source: Ma et al., arXiv:1807.11164, section 3 (channel split); ONNX Slice-13; torch.split
    """

    parts: Sides = Field(description="how many equal parts, or the channels of each")

    spreads = True
    foreign: ClassVar[Mapping[str, str]] = {
        "chunks": "parts",
        "sections": "parts",
        "split_size_or_sections": "parts",
        "num_or_size_splits": "parts",
        "dim": "it cuts channels: leave `dim` out",
        "axis": "it cuts channels: leave `axis` out",
    }
    examples = (
        ({"parts": 2}, ((6, 3, 5),)),
        ({"parts": (1, 3)}, ((4,),)),
        ({"parts": (2, 1, 2)}, ((5, 7),)),
        ({"parts": 1}, ((2, 2, 3, 4),)),
    )

    def spread(self, x: TensorType) -> tuple[Layer, ...]:
        if isinstance(self.parts, int):
            if x.c % self.parts:
                message = f"{self.parts} parts do not divide {x.c} channels"
                help = f"the nearest that divides them is {nearest_divisor(self.parts, x.c)}"
                raise Reject("N202", message, at="parts", help=help)
            if self.parts > MOST:
                raise Reject(
                    "N205",
                    f"{self.parts:,} parts, and a split has at most {MOST:,}",
                    at="parts",
                    help="cut it into fewer",
                )
            ends = range(0, x.c + 1, x.c // self.parts)
        else:
            ends = list(accumulate(self.parts, initial=0))
            if ends[-1] != x.c:
                message = f"the parts {spell(self.parts)} have {ends[-1]} channels together, and {x.c} enter"
                rest = x.c - ends[-2]
                last = f"the last part would be {rest}" if rest > 0 else "fewer or smaller parts"
                raise Reject("N215", message, at="parts", help=last)
        return tuple(Slice(start=start, stop=stop) for start, stop in pairwise(ends))
