"""More pixels around an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from netc.op import Call, Kept, Layer, OnnxGraph, Operand, Reach, Reaches, Reject, Working, op
from netc.ops._checks import bounded, image
from netc.ops._proof import at_least
from netc.ops._window import NotNegatives, window
from netc.ops._words import call, spell, unlike
from netc.ops._working import letters, number, sides
from netc.tensor import TensorType, high, low

TORCH = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
ONNX = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


@op("pad", positional="pad")
class Pad(Layer):
    """Widen an image: with zeros, with its mirror image (the border pixel not repeated), or with its border pixel.

    Shape:  (C, H, W) -> (C, H + top + bottom, W + left + right)
    MACs:   0: nothing is computed
    Errors: N201 not an image; N204 a list's length; N205 too large; N216 a mirror image wider than the image
    Source: ONNX Pad-13, whose `edge` is our `replicate`; torch.nn.functional.pad
    """

    pad: NotNegatives = Field(
        description="pixels added: a number, one a side, or both ends of each ([top, bottom, left, right])"
    )
    mode: Literal["zeros", "reflect", "replicate"] = Field(default="zeros", description="what the new pixels hold")

    foreign: ClassVar[Mapping[str, str]] = {
        "padding": "pad",
        "pads": "pad",
        "padding_mode": "mode",
        "value": "padding is with zeros, a mirror image or the border: leave `value` out",
    }
    examples = (
        ({"pad": 1}, ((3, 4, 5),)),
        ({"pad": (1, 2)}, ((2, 3, 3),)),
        ({"pad": (0, 1, 2, 3)}, ((2, 3, 4),)),
        ({"pad": 3, "mode": "reflect"}, ((3, 4, 5),)),
        ({"pad": (2, 0, 1, 3), "mode": "reflect"}, ((2, 3, 4),)),
        ({"pad": (1, 4), "mode": "reflect"}, ((2, 5),)),
        ({"pad": (0, 1, 2), "mode": "reflect"}, ((1, 2, 3, 4),)),
        ({"pad": (0, 3, 7, 0), "mode": "replicate"}, ((2, 3, 1),)),
        ({"pad": 2, "mode": "replicate"}, ((3, 6),)),
        ({"pad": (1, 0, 0, 2, 3, 1), "mode": "replicate"}, ((2, 2, 3, 2),)),
    )

    def _ends(self, x: TensorType) -> tuple[tuple[int, int], ...]:
        return window(x, 1, 1, self.pad, pairs=True).pads

    def infer(self, *xs: TensorType) -> TensorType:
        x = image("pad", xs[0], "put it before `flatten`")
        ends = self._ends(x)
        if self.mode == "reflect":
            self._reflects(x, ends)
        widened = tuple(n + (begin + end) for n, (begin, end) in zip(x.sides, ends, strict=True))
        return bounded(x.with_(sides=widened), at="pad", help="pad less")

    def _reflects(self, x: TensorType, ends: Sequence[tuple[int, int]]) -> None:
        """Raises Reject N216 where a side is not certainly larger than what is reflected of it."""
        narrow = [(n, max(pair)) for n, pair in zip(x.sides, ends, strict=True) if low(n) <= max(pair)]
        if not narrow:
            return
        side, reach = narrow[0]
        most = high(side)
        message = f"pad {spell(self.pad)} reflects {reach} pixels, and a side of {side} "
        if most is not None and most <= reach:
            message += f"has {most - 1} beside its border" if most > 1 else "has none beside its border"
            raise Reject("N216", message, at="pad", help="mode=replicate repeats the border instead")
        facts = [at_least(n, p + 1) for n, p in narrow]
        help = f'require {" and ".join(facts)}, "the border is reflected"' if all(facts) else "mode=replicate takes any"
        raise Reject("N216", f"{message}may have fewer beside its border", at="pad", help=help)

    def reach(self, y: TensorType, *xs: TensorType) -> tuple[Reaches, ...]:
        return (tuple(Reach((range(-begin, 1 - begin),)) for begin, _ in self._ends(xs[0])),)

    def kept(self, y: TensorType, *xs: TensorType) -> Kept:
        return Kept(self.mode != "zeros", False)

    def working(self, y: TensorType, *xs: TensorType) -> Mapping[str, Working]:
        each = zip(letters(y), xs[0].sides, self._ends(xs[0]), strict=True)
        made = [Working(f"{a} + begin + end", f"{number(n)} + {begin} + {end}") for a, n, (begin, end) in each]
        return sides(y, made)

    def torch(self, *xs: TensorType) -> Call:
        # F.pad's list starts at the last side.
        ends = tuple(end for pair in reversed(self._ends(xs[0])) for end in pair)
        return call("F.pad", ends, **unlike("constant", mode=TORCH[self.mode]))

    def onnx(self, g: OnnxGraph, *xs: Operand) -> str:
        ends = self._ends(xs[0].type)
        begins, stops = [begin for begin, _ in ends], [end for _, end in ends]
        value = g.floats(0.0) if self.mode == "zeros" else ""
        if g.opset < 18:
            pads = g.ints([0, 0, *begins, 0, 0, *stops])
            return g.node("Pad", xs[0], pads, *([value] if value else []), mode=ONNX[self.mode])
        # Without axes ONNX Runtime 1.31 makes such a node part of the pooling behind it, whose own padding is no zero.
        axes = g.ints(range(2, 2 + len(ends)))
        return g.node("Pad", xs[0], g.ints([*begins, *stops]), value, axes, mode=ONNX[self.mode])
