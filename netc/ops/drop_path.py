"""Dropout of whole examples, also called stochastic depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from netc.op import Call, Inline, Kept, Layer, OnnxGraph, Operand, op, size_bytes
from netc.tensor import TensorType


@op("drop_path", positional="p")
class DropPath(Layer):
    """In training, set a whole example to 0 with probability `p`, else scale it by 1 / (1 - p); else the identity.

    At the end of a residual body it skips the body, example by example.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Huang et al., arXiv:1603.09382, inverted as in Larsson et al., arXiv:1605.07648, and timm's DropPath; at
            inference ONNX Identity-14, which a pass removes
    """

    p: Annotated[float, Field(ge=0, lt=1)] = Field(description="the fraction dropped, not the one kept")

    inference_identity: ClassVar[bool] = True
    foreign: ClassVar[Mapping[str, str]] = {
        "drop_prob": "p",
        "rate": "p",
        "survival_prob": "`p` is the fraction dropped: survival_prob=0.8 is p=0.2",
        "keep_prob": "`p` is the fraction dropped: keep_prob=0.8 is p=0.2",
        "mode": "it drops whole examples of a batch, torchvision's mode `row`: leave `mode` out",
    }
    examples = (({"p": 0.1}, ((4, 3, 5),)), ({"p": 0.5}, ((6,),)), ({"p": 0}, ((3, 7),)), ({"p": 0.2}, ((2, 2, 3, 4),)))

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(False, False, size_bytes(y.with_(1, ())))  # a factor an example

    def torch(self, *xs: TensorType) -> Call:
        ones = "1, " * xs[0].rank + "1"
        return Inline(f"{{0}} * F.dropout({{0}}.new_ones({{0}}.shape[0], {ones}), {self.p!r}, {{training}})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Identity", xs[0])
