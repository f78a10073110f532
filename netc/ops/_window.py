"""Window arithmetic that convolutions and poolings share: padding words, output sizes, what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from netc.op import Reach, Reject, Working, listed, per_side
from netc.ops._words import one, spell, times
from netc.ops._working import letters, number, sides
from netc.tensor import LARGEST, Side, TensorType, high

NotNegative: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST)]
NotNegatives: TypeAlias = Annotated[
    NotNegative | Annotated[tuple[NotNegative, ...], Field(min_length=1)], BeforeValidator(listed)
]
"""One number for every side, or one a side; 0 is allowed."""

Even: TypeAlias = NotNegatives | Literal["half"]
"""Padding that is the same on both ends of a side."""

Pad: TypeAlias = NotNegatives | Literal["half", "same_upper", "same_lower"]
"""Any padding: `pad=1`, `[1, 2]` one a side, `[top, bottom, left, right]`, or a word."""

FOREIGN = {
    "kernel_size": "k",
    "kernel": "k",
    "strides": "stride",
    "padding": "pad",
    "pads": "pad",
}
CONV_FOREIGN = {
    **FOREIGN,
    "out_channels": "c",
    "filters": "c",
    "channels": "c",
    "num_output": "c",
    "dilation_rate": "dilation",
    "dilations": "dilation",
    "in_channels": "the input's channels are known from what enters: leave `in_channels` out",
    "group": "groups",
    "use_bias": "bias",
    "bias_term": "bias",
    "padding_mode": "padding is with zeros: leave `padding_mode` out",
    "activation": "an activation is a stage of its own: `-> relu`",
}
POOL_FOREIGN = {
    **FOREIGN,
    "pool_size": "k",
    "ceil_mode": "write `round=ceil` or `round=floor`",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides over an image, one number a side; `pads` are (begin, end) pairs."""

    k: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """How far the window reaches on each side: dilation * (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.k, self.dilation, strict=True))

    def reach(self) -> tuple[Reach, ...]:
        """What a place of the window reads, one a side."""
        each = zip(self.pads, self.extent, self.dilation, self.stride, strict=True)
        return tuple(Reach((range(-begin, extent - begin, d),), s) for (begin, _), extent, d, s in each)

    def working(self, y: TensorType, x: TensorType) -> dict[str, Working]:
        """How the sides of the result are worked out; what rounding up adds stands with the padding."""
        made: list[Working] = []
        for i, letter in enumerate(letters(x)):
            begin, end = self.pads[i]
            k, d, s = self.k[i], self.dilation[i], self.stride[i]
            span = ("dilation (k - 1) - 1", f"{d} ({k} - 1) - 1") if d > 1 else ("k", str(k))
            pad = (" + 2 pad", f" + 2 * {begin}") if begin == end else (" + begin + end", f" + {begin} + {end}")
            symbols, numbers = f"{letter}{pad[0]} - {span[0]}", f"{number(x.sides[i])}{pad[1]} - {span[1]}"
            made.append(Working(f"({symbols}) // stride + 1", f"({numbers}) // {s} + 1"))
        return sides(y, made)

    @property
    def uneven(self) -> bool:
        """Whether some side is padded more on one end."""
        return any(begin != end for begin, end in self.pads)

    def steps(self, x: TensorType) -> tuple[Side, ...]:
        """How many places the window takes on each side of `x`; below 1 where it does not fit."""
        return tuple(
            (n + (begin + end - extent)) // s + 1
            for n, (begin, end), extent, s in zip(x.sides, self.pads, self.extent, self.stride, strict=True)
        )

    def over(self, x: TensorType, pad: int | Sequence[int] | str, *, pools: bool = False) -> tuple[Side, ...]:
        """The output's sides. Raises Reject N203 where the window certainly does not fit.

        `pad` is as it was written, for the message; the pad of a window that `pools` is at most half of it.
        """
        sides = self.steps(x)
        if all(steps is None or steps >= 1 for steps in map(high, sides)):
            return sides
        needed = [max(-(-(e - _most(n)) // 2), 0) for n, e in zip(x.sides, self.extent, strict=True)]
        possible = not pools or all(p <= k // 2 for p, k in zip(needed, self.k, strict=True))
        raise Reject(
            "N203",
            f"{times(self.k)} kernel{self._reach} does not fit in {times(x.sides)} image with pad {spell(pad)}",
            at="k",
            help=f"the smallest padding that fits is pad={spell(one(needed))}"
            if possible
            else f"k={min(map(_most, x.sides))} with dilation=1 fits",
        )

    @property
    def _reach(self) -> str:
        # `5x5` alone would not explain why a dilated kernel does not fit.
        return f" (dilated it spans {times(self.extent).split()[1]})" if set(self.dilation) != {1} else ""

    def onnx(self, pads: Sequence[tuple[int, int]] | None = None) -> dict[str, Sequence[int]]:
        """The window's attributes as ONNX names them; dilations only where there are some."""
        pads = self.pads if pads is None else pads
        # ONNX pads are every side's begin, then every side's end.
        attributes: dict[str, Sequence[int]] = {
            "kernel_shape": self.k,
            "strides": self.stride,
            "pads": [*(begin for begin, _ in pads), *(end for _, end in pads)],
        }
        return attributes if set(self.dilation) == {1} else {**attributes, "dilations": self.dilation}


def _most(side: Side) -> int:
    # Where nothing bounds a side, it is as large as sizes get.
    most = high(side)
    return LARGEST if most is None else most


def window(
    x: TensorType,
    k: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    pad: int | tuple[int, ...] | str,
    dilation: int | tuple[int, ...] = 1,
    *,
    ceil: bool = False,
    pairs: bool = False,
) -> Window:
    """The window of a layer's arguments over `x`; `pairs` lets `pad` name both ends of each side.

    Rounding up is more padding at the end: torch adds a last window that is cut off, unless it starts beyond the image
    and its first padding, so the end grows by stride - 1, and never beyond the window's reach.
    Raises Reject N204, N207 and N208.
    """
    ks, strides = per_side(k, x.rank, "k"), per_side(stride, x.rank, "stride")
    dilations = per_side(dilation, x.rank, "dilation")
    window = Window(ks, strides, dilations, ((0, 0),) * x.rank)
    if isinstance(pad, str):
        ends = _word(pad, x, window)
    elif pairs and isinstance(pad, tuple) and len(pad) == 2 * x.rank:
        ends = tuple(zip(pad[::2], pad[1::2], strict=True))
    else:
        ends = tuple((p, p) for p in per_side(pad, x.rank, "pad"))
    if ceil:
        ends = tuple((p, min(p + s - 1, e - 1)) for (p, _), s, e in zip(ends, strides, window.extent, strict=True))
    return Window(ks, strides, dilations, ends)


def _word(pad: str, x: TensorType, window: Window) -> tuple[tuple[int, int], ...]:
    if pad == "half":
        if any(k % 2 == 0 for k in window.k):
            odd = tuple(k | 1 for k in window.k)
            raise Reject(
                "N207",
                f"`pad=half` needs an odd kernel, which has a middle, and k is {spell(one(window.k))}",
                at="pad",
                help=f"the next odd kernel is k={spell(one(odd))}",
            )
        return tuple((e // 2, e // 2) for e in window.extent)
    if not x.static:
        # pad=half (odd k), or k - 1 in all, also gives ceil(size / stride), whatever the size.
        odd = all(k % 2 for k in window.k)
        ends = [end for e in window.extent for end in ((e - 1) // 2, e // 2)]
        unknown = next(side for side in x.sides if not isinstance(side, int))
        raise Reject(
            "N208",
            f"`pad={pad}` depends on the image's size, and {unknown} of {x.shape} is known only when the net runs",
            at="pad",
            help=f"the same output size, whatever the input's: pad={'half' if odd else spell(ends)}",
        )
    found: list[tuple[int, int]] = []
    for n, s, extent in zip(x.sides, window.stride, window.extent, strict=True):
        assert isinstance(n, int)
        total = max((-(-n // s) - 1) * s + extent - n, 0)  # for an output of ceil(n / s)
        small, large = total // 2, total - total // 2
        found.append((small, large) if pad == "same_upper" else (large, small))
    return tuple(found)
