"""The logarithm of softmax over channels."""

from __future__ import annotations

from netc.op import Call, Layer, OnnxGraph, Operand, op
from netc.ops._words import call
from netc.tensor import TensorType


@op("log_softmax")
class LogSoftmax(Layer):
    """Turn channels into logarithms of shares that sum to 1, at each position: y_c = x_c - log sum exp(x).

    A loss takes logits: `cross_entropy` applies this itself, and applied twice it changes nothing but time.

    Shape:  unchanged; the sum runs over C
    MACs:   0: elementwise
    Errors: none of its own
    Source: ONNX LogSoftmax-13, with its axis always written; torch.nn.LogSoftmax(dim=1)
    """

    single = True
    saves = ("output",)
    examples = (({}, ((10,),)), ({}, ((4, 3, 5),)), ({}, ((3, 7),)), ({}, ((3, 2, 3, 4),)))

    def torch(self, *xs: TensorType) -> Call:
        return call("F.log_softmax", dim=1)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("LogSoftmax", xs[0], axis=1)
