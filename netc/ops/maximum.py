"""Largest of values."""

from __future__ import annotations

from netc.op import Call, Inline, op
from netc.ops._merge import Elementwise
from netc.tensor import TensorType


@op("maximum")
class Maximum(Elementwise):
    """Keep the largest of two values or more, element by element (maxout).

    Shape:  equal shapes, or a side of size 1 that is repeated: (C, H, W), (C, 1, 1) -> (C, H, W)
    MACs:   0: elementwise
    Errors: N301 unequal shapes; N303 fewer than two values
    Source: Goodfellow et al., arXiv:1302.4389; ONNX Max-13; torch.maximum
    """

    onnx_kind = "Max"
    saves = ("input",)
    examples = (
        ({}, ((4, 5, 6), (4, 5, 6))),
        ({}, ((4, 5, 6), (4, 1, 1), (4, 5, 1))),
        ({}, ((3,), (3,), (3,))),
        ({}, ((2, 1, 3), (2, 4, 1))),
        ({}, ((2, 3, 1, 4), (2, 3, 2, 4))),
    )

    def torch(self, *xs: TensorType) -> Call:
        text = "{0}"
        for i in range(1, len(xs)):
            text = f"torch.maximum({text}, {{{i}}})"
        return Inline(text)
