"""Dropout of single elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from netc.op import Call, Inline, Kept, Layer, OnnxGraph, Operand, op, size_bytes
from netc.tensor import TensorType


@op("dropout", positional="p")
class Dropout(Layer):
    """In training, set each element to 0 with probability `p` and scale the others by 1 / (1 - p); else the identity.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: Srivastava et al. 2014 (JMLR 15), inverted as in Caffe and torch.nn.Dropout; at inference ONNX Identity-14,
            which a pass removes
    """

    p: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.5, description="the fraction dropped, not the one kept")

    inference_identity: ClassVar[bool] = True
    foreign: ClassVar[Mapping[str, str]] = {
        "rate": "p",
        "dropout_ratio": "p",
        "ratio": "p",
        "keep_prob": "`p` is the fraction dropped: keep_prob=0.8 is p=0.2",
    }
    examples = (({}, ((4, 3, 5),)), ({"p": 0.2}, ((6,),)), ({"p": 0}, ((3, 7),)))

    def views(self, *xs: TensorType) -> bool:
        return self.p == 0

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(False, False, size_bytes(y) if self.p else 0)  # the mask

    def torch(self, *xs: TensorType) -> Call:
        return Inline(f"F.dropout({{0}}, {self.p!r}, {{training}})")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Identity", xs[0])
