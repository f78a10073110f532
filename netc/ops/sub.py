"""Difference of two values."""

from __future__ import annotations

from netc.op import Call, Inline, op
from netc.ops._merge import Elementwise
from netc.tensor import TensorType


@op("sub")
class Sub(Elementwise):
    """Take the second value from the first.

    Shape:  equal shapes, or a side of size 1 that is repeated: (C, H, W), (C, 1, 1) -> (C, H, W)
    MACs:   0: elementwise
    Errors: N301 unequal shapes; N303 not exactly two values
    Source: ONNX Sub-14; torch.sub
    """

    exactly = 2
    onnx_kind = "Sub"
    examples = (
        ({}, ((4, 5, 6), (4, 5, 6))),
        ({}, ((4, 5, 6), (4, 1, 1))),
        ({}, ((3,), (3,))),
        ({}, ((2, 1), (2, 4))),
        ({}, ((2, 3, 1, 4), (2, 3, 2, 4))),
    )

    def torch(self, *xs: TensorType) -> Call:
        return Inline("{0} - {1}")
