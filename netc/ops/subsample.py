"""Every n-th pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from netc.op import Call, Inline, Layer, OnnxGraph, Operand, Reach, Reaches, Sides, Working, op, per_side
from netc.ops._checks import image
from netc.ops._working import letters, number, sides
from netc.tensor import TensorType


@op("subsample", positional="stride")
class Subsample(Layer):
    """Keep every `stride`-th pixel, the first included: the shortcut of ResNet's option A.

    Shape:  (C, H, W) -> (C, H', W'),  H' = (H - 1) // stride + 1
    MACs:   0: nothing is computed
    Errors: N201 not an image; N204 a list's length
    Source: He et al., arXiv:1512.03385, section 3.3 (option A); ONNX Slice-13; x[:, :, ::stride, ::stride]
    """

    stride: Sides = Field(description="step, one number or one a side")

    foreign: ClassVar[Mapping[str, str]] = {"strides": "stride", "step": "stride", "factor": "stride"}
    examples = (
        ({"stride": 2}, ((4, 8, 7),)),
        ({"stride": (1, 3)}, ((2, 3, 9),)),
        ({"stride": 4}, ((2, 3),)),
        ({"stride": (2, 1, 2)}, ((2, 3, 2, 5),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("subsample", xs[0], "put it before `flatten`")
        steps = per_side(self.stride, x.rank, "stride")
        return x.with_(sides=tuple((n - 1) // s + 1 for n, s in zip(x.sides, steps, strict=True)))

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (tuple(Reach(step=s) for s in per_side(self.stride, y.rank, "stride")),)

    def views(self, *xs: TensorType) -> bool:
        return True

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        each = zip(letters(y), xs[0].sides, per_side(self.stride, y.rank, "stride"), strict=True)
        return sides(y, [Working(f"({a} - 1) // stride + 1", f"({number(n)} - 1) // {s} + 1") for a, n, s in each])

    def torch(self, *xs: TensorType) -> Call:
        steps = per_side(self.stride, xs[0].rank, "stride")
        return Inline(f"{{0}}[:, :, {', '.join(f'::{s}' for s in steps)}]")

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        steps = per_side(self.stride, xs[0].type.rank, "stride")
        starts, ends = g.ints([0] * len(steps)), g.ints([2**63 - 1] * len(steps))
        return g.node("Slice", xs[0], starts, ends, g.ints(range(2, 2 + len(steps))), g.ints(steps))
