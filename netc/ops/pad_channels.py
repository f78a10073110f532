"""Zero channels after the last."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from netc.op import Call, Count, Layer, OnnxGraph, Operand, Reject, Working, op
from netc.ops._words import call
from netc.tensor import TensorType


@op("pad_channels", positional="c")
class PadChannels(Layer):
    """Append channels of zeros after the last one, up to `c` in all: the shortcut of ResNet's option A.

    All zeros go to the end: channel i of the input is channel i of the output. (Some ports put half of them in front.)

    Shape:  (C, H, W) -> (c, H, W); (C) -> (c)
    MACs:   0: nothing is computed
    Errors: N211 fewer channels than enter
    Source: He et al., arXiv:1512.03385, section 3.3 (option A); ONNX Pad-13; torch.nn.functional.pad
    """

    c: Count = Field(description="output channels, zeros included")

    examples = (
        ({"c": 8}, ((3, 4, 5),)),
        ({"c": 4}, ((4, 3, 3),)),
        ({"c": 7}, ((5,),)),
        ({"c": 3}, ((2, 6),)),
        ({"c": 3}, ((1, 2, 3, 4),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        if self.c < xs[0].c:
            message = f"`pad_channels({self.c})` only adds channels, and {xs[0].c} enter"
            raise Reject("N211", message, at="c", help=f"the smallest is pad_channels({xs[0].c})")
        return xs[0].with_(self.c)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"c": Working("C + zeros", f"{xs[0].c} + {y.c - xs[0].c}")}

    def torch(self, *xs: TensorType) -> Call:
        # F.pad's list starts at the last side, so the channels' pair stands last.
        return call("F.pad", (0, 0) * xs[0].rank + (0, self.c - xs[0].c))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        none = [0] * xs[0].type.rank
        pads = [0, 0, *none, 0, self.c - xs[0].type.c, *none]
        return g.node("Pad", xs[0], g.ints(pads), g.floats(0.0), mode="constant")
