"""Largest of values."""

from __future__ import annotations

from netc.op import Call, Inline, op
from netc.ops._merge import Elementwise
from netc.tensor import TensorType

MOST = 50
"""Calls inside one another: Python reads no more than 200 brackets so."""


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
        values = [f"{{{i}}}" for i in range(len(xs))]
        if len(values) > MOST:
            return Inline(f"torch.stack(torch.broadcast_tensors({', '.join(values)})).amax(0)")
        text = values[0]
        for value in values[1:]:
            text = f"torch.maximum({text}, {value})"
        return Inline(text)
