"""What layers share that take their size from another value: `like = x`."""

from __future__ import annotations

from netc.op import OnnxGraph, Operand, Reject
from netc.tensor import Side, TensorType


def sized_like(kind: str, x: TensorType, like: TensorType) -> tuple[Side, ...]:
    """The sides of `like`. Raises Reject N308 where it has another batch or other than as many sides."""
    if like.batch != x.batch:
        message = f"`{kind}` and its `like` need equal batches: {x.batch} and {like.batch}"
        raise Reject("N308", message, at="like", operand=1, help="give both inputs the same batch symbol")
    if like.rank != x.rank:
        message = f"`{kind}` takes the sides of {like.shape} ({like.rank} sides) for {x.shape} ({x.rank} sides)"
        help = f"name a value of {x.rank} {'side' if x.rank == 1 else 'sides'}"
        raise Reject("N308", message, at="like", operand=1, help=help)
    return like.sides


def onnx_sides(g: OnnxGraph, like: Operand) -> str:
    """The sides of a value as a 1-D tensor: a constant where they are numbers."""
    numbers = [side for side in like.type.sides if isinstance(side, int)]
    return g.ints(numbers) if like.type.static else g.node("Shape", like, start=2)
