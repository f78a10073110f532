"""Values side by side, over channels."""

from __future__ import annotations

from collections.abc import Mapping

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, Reject, Working, op
from netc.ops._checks import bounded
from netc.ops._meet import sides_edit
from netc.ops._merge import several, together
from netc.tensor import TensorType


@op("concat")
class Concat(Layer):
    """Lay the channels of two values or more side by side, in order.

    Shape:  (C1, H, W), (C2, H, W), ... -> (C1 + C2 + ..., H, W); (C1), (C2) -> (C1 + C2)
    MACs:   0: nothing is computed
    Errors: N205 too large; N301 images and features mixed; N302 unequal sides; N303 fewer than two values
    Source: Szegedy et al., arXiv:1409.4842 (DepthConcat); ONNX Concat-13; torch.cat(dim=1)
    """

    merges = True
    examples = (
        ({}, ((2, 4, 5), (3, 4, 5))),
        ({}, ((64, 7, 7), (128, 7, 7), (32, 7, 7), (32, 7, 7))),  # GoogLeNet's first inception module: 256
        ({}, ((3,), (4,))),
        ({}, ((2, 6), (1, 6), (2, 6))),
        ({}, ((1, 2, 3, 4), (2, 2, 3, 4))),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        several("concat", xs)
        for i, x in enumerate(xs[1:], start=1):
            together("concat", xs[0], x, i)
            differ = [(m, n) for m, n in zip(xs[0].sides, x.sides, strict=True) if m != n]
            if differ:
                message = f"`concat` needs equal sides: {xs[0].shape} and {x.shape}"
                raise Reject("N302", message, operand=i, help=sides_edit(xs[0], x, differ))
        return bounded(xs[0].with_(sum(x.c for x in xs)), help="fewer channels in the values that enter")

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        return {"c": Working(" + ".join(f"C{i}" for i in range(1, len(xs) + 1)), " + ".join(str(x.c) for x in xs))}

    def torch(self, *xs: TensorType) -> Call:
        return Inline(f"torch.cat(({', '.join(f'{{{i}}}' for i in range(len(xs)))}), dim=1)")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Concat", *xs, axis=1)
