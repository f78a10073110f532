"""The same elements in another shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from netc.op import EVERYTHING, Call, Count, Layer, OnnxGraph, Operand, Reach, Reaches, Reject, Working, listed, op
from netc.ops._words import call, spell
from netc.ops._working import LETTERS
from netc.tensor import TensorType


@op("reshape", positional="shape")
class Reshape(Layer):
    """Lay the elements of each example out anew, channel by channel, row by row; the batch stays.

    Shape:  (C, H, W) -> shape, of as many elements
    MACs:   0: nothing moves
    Errors: N209 a size is a symbol; N217 another number of elements
    Source: ONNX Reshape-14; torch.reshape
    """

    shape: Annotated[
        Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)],
        BeforeValidator(listed),
    ] = Field(description="one example's shape: [c], [c, t], [c, h, w] or [c, d, h, w]")

    foreign: ClassVar[Mapping[str, str]] = {"target_shape": "shape", "size": "shape", "dim": "shape"}
    examples = (
        ({"shape": (4, 3, 5)}, ((60,),)),
        ({"shape": (12,)}, ((3, 2, 2),)),
        ({"shape": (2, 6)}, ((3, 2, 2),)),
        ({"shape": (2, 2, 2, 3)}, ((4, 6),)),
        ({"shape": (3, 4)}, ((2, 1, 3, 2),)),
        ({"shape": (7,)}, ((7,),)),
    )

    def infer(self, *xs: TensorType) -> TensorType:
        x = xs[0]
        if not x.static:
            message = f"`reshape` needs a fixed size, and {x.shape} has one known only when the net runs"
            raise Reject("N209", message, help="declare the input's sides as numbers")
        if prod(self.shape) != x.features:
            message = f"`reshape({spell(self.shape)})` has {prod(self.shape)} elements, and {x.shape} has {x.features}"
            raise Reject("N217", message, at="shape", help=f"as many has reshape({spell(self._fitting(x.features))})")
        return x.with_(self.shape[0], self.shape[1:])

    def _fitting(self, elements: int) -> tuple[int, ...]:
        # One number changed, the first one where it will do; else all in one row.
        for i, old in enumerate(self.shape):
            others = prod(self.shape) // old
            if elements % others == 0:
                return (*self.shape[:i], elements // others, *self.shape[i + 1 :])
        return (elements,)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        if (y.c, y.sides) == (xs[0].c, xs[0].sides):
            return super().reach(y, *xs)
        # A feature may have stood anywhere: only of a side of 1 is it known where.
        return (tuple(Reach((range(1),), 0) if side == 1 else EVERYTHING for side in xs[0].sides),)

    def views(self, *xs: TensorType) -> bool:
        return True

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        names = ("c", *LETTERS[y.rank])
        return {name: Working(f"shape[{i}]", str(n)) for i, (name, n) in enumerate(zip(names, self.shape, strict=True))}

    def torch(self, *xs: TensorType) -> Call:
        return call("torch.reshape", (-1, *self.shape))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("Reshape", xs[0], g.ints([0, *self.shape]))  # 0 keeps the batch
