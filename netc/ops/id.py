"""The identity."""

from __future__ import annotations

from typing import ClassVar

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, op
from netc.tensor import TensorType


@op("id")
class Id(Layer):
    """Hand on what enters: an arm that only skips, or a name for a value.

    Shape:  unchanged
    MACs:   0: elementwise
    Errors: none of its own
    Source: ONNX Identity-14, which a pass removes; torch.nn.Identity
    """

    inference_identity: ClassVar[bool] = True
    examples = (({}, ((4, 3, 5),)), ({}, ((6,),)), ({}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def views(self, *xs: TensorType) -> bool:
        return True

    def torch(self, *xs: TensorType) -> Call:
        return Inline("{0}")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Identity", xs[0])
