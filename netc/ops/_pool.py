"""What poolings refuse alike, and the padding that ONNX's do not have."""

from __future__ import annotations

from collections.abc import Sequence

from netc.op import OnnxGraph, Operand, Reject
from netc.ops._window import Window
from netc.ops._words import one, spell, times


def half_at_most(w: Window, pad: int | Sequence[int] | str) -> None:
    """Raises Reject N206 where padding is more than half of the window, as torch does, dilated or not."""
    if any(p > k // 2 for (p, _), k in zip(w.pads, w.k, strict=True)):
        most = spell(one([k // 2 for k in w.k]))
        said = spell(pad) if pad != "half" else f"half, {spell(one([p for p, _ in w.pads]))} here,"
        message = f"pad {said} is more than half of {times(w.k)} window"
        raise Reject("N206", message, at="pad", help=f"the largest is pad={most}")


def onnx_pad(g: OnnxGraph, x: Operand, pads: Sequence[tuple[int, int]], value: float) -> str:
    """Pad the sides of an image, of two leading dimensions."""
    ends = [0, 0, *(begin for begin, _ in pads), 0, 0, *(end for _, end in pads)]
    return g.node("Pad", x, g.ints(ends), g.floats(value), mode="constant")
