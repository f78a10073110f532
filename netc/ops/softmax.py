"""Softmax over channels."""

from __future__ import annotations

from netc.op import Call, Layer, OnnxGraph, Operand, op
from netc.ops._words import call
from netc.tensor import TensorType


@op("softmax")
class Softmax(Layer):
    """Turn channels into shares that sum to 1, at each position: y_c = exp(x_c) / sum exp(x).

    A loss takes logits, and `decode = softmax` of an output applies it at inference: a net rarely needs this layer.

    Shape:  unchanged; the sum runs over C
    MACs:   0: elementwise
    Errors: none of its own
    Source: ONNX Softmax-13, with its axis always written; torch.nn.Softmax(dim=1)
    """

    single = True
    saves = ("output",)
    examples = (({}, ((10,),)), ({}, ((4, 3, 5),)), ({}, ((3, 7),)), ({}, ((3, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.softmax", dim=1)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Softmax", xs[0], axis=1)
