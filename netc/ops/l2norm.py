"""Channels scaled to length 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Epsilon, Kept, Layer, OnnxGraph, Operand, op, size_bytes
from netc.ops._words import call, unlike
from netc.tensor import TensorType


@op("l2norm")
class L2norm(Layer):
    """Divide the channels at each position by their length: y_c = x_c / max(sqrt(sum x^2), eps).

    SSD's and ParseNet's learned factor comes after it: `l2norm -> scale(init=20)`.

    Shape:  unchanged; the sum runs over C
    MACs:   0: elementwise
    Errors: none of its own
    Source: Liu et al., arXiv:1506.04579; ONNX ReduceL2, Max-13 and Div-14 (LpNormalization has no eps);
            torch.nn.functional.normalize
    """

    eps: Epsilon = Field(default=1e-12, description="the least length divided by")

    single = True
    saves = ("input",)
    foreign: ClassVar[Mapping[str, str]] = {
        "epsilon": "eps",
        "p": "the length is the root of the sum of squares, p=2: leave `p` out",
        "dim": "it runs over the channels: leave `dim` out",
        "axis": "it runs over the channels: leave `axis` out",
    }
    examples = (({}, ((4, 3, 5),)), ({"eps": 1}, ((6,),)), ({"eps": 0.5}, ((3, 7),)), ({}, ((2, 2, 3, 4),)))

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(True, False, 2 * size_bytes(y.with_(1)))  # the lengths, and those divided by

    def torch(self, *xs: TensorType) -> Call:
        return call("F.normalize", dim=1, **unlike(1e-12, eps=self.eps))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        # The axes of ReduceL2 became an input with opset 18.
        norm = (
            g.node("ReduceL2", xs[0], g.ints([1]), keepdims=1)
            if g.opset >= 18
            else g.node("ReduceL2", xs[0], axes=[1], keepdims=1)
        )
        return g.node("Div", xs[0], g.node("Max", norm, g.floats(self.eps)))
