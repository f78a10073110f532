"""Product of values."""

from __future__ import annotations

from netc.op import Call, Inline, op
from netc.ops._merge import Elementwise
from netc.tensor import TensorType


@op("mul")
class Mul(Elementwise):
    """Multiply two values or more: a gate of (C, 1, 1) weights whole channels.

    Shape:  equal shapes, or a side of size 1 that is repeated: (C, H, W), (C, 1, 1) -> (C, H, W)
    MACs:   0: elementwise
    Errors: N301 unequal shapes; N303 fewer than two values
    Source: Hu et al., arXiv:1709.01507 (gates); ONNX Mul-14; torch.mul
    """

    onnx_kind = "Mul"
    saves = ("input",)
    examples = (
        ({}, ((4, 5, 6), (4, 5, 6))),
        ({}, ((4, 5, 6), (4, 1, 1), (4, 5, 1))),
        ({}, ((3,), (3,), (3,))),
        ({}, ((2, 1, 3), (2, 4, 1))),
        ({}, ((2, 3, 1, 4), (2, 3, 2, 4))),
    )

    def torch(self, *xs: TensorType) -> Call:
        return Inline(" * ".join(f"{{{i}}}" for i in range(len(xs))))
