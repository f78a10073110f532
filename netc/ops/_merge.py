"""What the elementwise merges share: how shapes meet, and how several values become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netc.op import ELEMENT, Kept, Layer, OnnxGraph, Operand, Reach, Reaches, Reject, size_bytes
from netc.ops._meet import channels_edit, sides_edit
from netc.tensor import Side, TensorType


class Elementwise(Layer):
    """A merge of equal shapes, element by element; a side of size 1 is repeated to meet a larger one."""

    merges = True
    onnx_kind: ClassVar[str]

    def infer(self, *xs: TensorType) -> TensorType:
        several(self.kind, xs, self.exactly)
        met = xs[0]
        for i, x in enumerate(xs[1:], start=1):
            together(self.kind, met, x, i)
            differ = [(m, n) for m, n in zip(met.sides, x.sides, strict=True) if m != n and 1 not in (m, n)]
            if met.c != x.c or differ:
                message = f"`{self.kind}` needs equal shapes: {met.shape} and {x.shape}"
                help = channels_edit(met, x, differ) if met.c != x.c else sides_edit(met, x, differ)
                raise Reject("N301", message, operand=i, help=help)
            met = met.with_(sides=tuple(map(_broadcast, met.sides, x.sides)))
        return met

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        repeated = Reach((range(1),), 0)
        return tuple(
            tuple(repeated if n == 1 and m != 1 else ELEMENT for n, m in zip(x.sides, y.sides, strict=True)) for x in xs
        )

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        # torch works on two at a time: what the first ones give enters the next step.
        between = sum(size_bytes(self.infer(*xs[:i])) for i in range(2, len(xs))) if self.saves else 0
        return super().kept(y, *xs)._replace(more=between)

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        met = g.node(self.onnx_kind, xs[0], xs[1])
        for x in xs[2:]:
            met = g.node(self.onnx_kind, met, x)
        return met


def _broadcast(m: Side, n: Side) -> Side:
    return n if m == 1 else m


def several(kind: str, xs: Sequence[TensorType], exactly: int | None = None) -> None:
    """Raises Reject N303 where a merge gets too few values, or not exactly as many as it takes."""
    if len(xs) >= 2 and exactly in (None, len(xs)):
        return
    takes = "2 values or more" if exactly is None else f"exactly {exactly} values"
    message = f"`{kind}` takes {takes}, and {len(xs)} {'enters' if len(xs) == 1 else 'enter'}"
    raise Reject("N303", message, help=f"from a, b -> {kind}")


def together(kind: str, a: TensorType, b: TensorType, i: int) -> None:
    """Raises Reject N301 where two values differ in their batch or in how many sides they have."""
    if a.batch != b.batch:
        message = f"`{kind}` needs equal batches: {a.batch} and {b.batch}"
        raise Reject("N301", message, operand=i, help="give both inputs the same batch symbol")
    if a.rank != b.rank:
        message = f"`{kind}` needs equal shapes: {a.shape} ({a.rank} sides) and {b.shape} ({b.rank} sides)"
        help = "gap -> flatten makes features" if 0 in (a.rank, b.rank) else "give both inputs as many sides"
        raise Reject("N301", message, operand=i, help=help)
