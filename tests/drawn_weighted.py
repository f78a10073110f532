"""Random configurations of layers that learn or that read a second value's sides: a part of tests.drawn."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st

from netc.tensor import TensorType
from tests.drawing import image_of, per_side, value_of
from tests.one_layer import Case, image, layer

LARGEST_SIDE = {1: 10, 2: 7, 3: 4}
EPS = st.sampled_from([1e-6, 1e-5, 1e-3, 0.1, 1])


def _window(draw: st.DrawFn, x: TensorType) -> dict[str, Any]:
    words = st.sampled_from(["half", "same_upper", "same_lower"])
    ends = st.tuples(*[st.integers(0, 2)] * (2 * x.rank))
    return {
        "k": per_side(draw, x.rank, 1, 4),
        "stride": per_side(draw, x.rank, 1, 3),
        "pad": draw(words | ends | st.just(per_side(draw, x.rank, 0, 3))),
        "bias": draw(st.booleans()),
    }


@st.composite
def depthwises(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 5)), LARGEST_SIDE)
    dilation = per_side(draw, x.rank, 1, 3)
    return layer("depthwise", **_window(draw, x), mult=draw(st.integers(1, 3)), dilation=dilation), (x,)


@st.composite
def locals_(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 3)), LARGEST_SIDE)
    return layer("local", c=draw(st.integers(1, 3)), **_window(draw, x)), (x,)


@st.composite
def lns(draw: st.DrawFn) -> Case:
    x = value_of(draw, draw(st.integers(1, 6)))
    return layer("ln", over=draw(st.sampled_from(["channels", "all"])), eps=draw(EPS)), (x,)


@st.composite
def gns(draw: st.DrawFn) -> Case:
    groups = draw(st.integers(1, 4))
    return layer("gn", groups=groups, eps=draw(EPS)), (value_of(draw, groups * draw(st.integers(1, 4))),)


@st.composite
def values(draw: st.DrawFn, kind: str, **fields: st.SearchStrategy[Any]) -> Case:
    """A layer that takes features as well."""
    x = value_of(draw, draw(st.integers(1, 6)))
    return layer(kind, **{name: draw(each) for name, each in fields.items()}), (x,)


@st.composite
def upsamples(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 3)), LARGEST_SIDE)
    mode, corners = draw(st.sampled_from([("nearest", False), ("bilinear", False), ("bilinear", True)]))
    if draw(st.booleans()):
        return layer("upsample", factor=per_side(draw, x.rank, 1, 4), mode=mode, corners=corners), (x,)
    # Twice as large, an odd row less, or any size, smaller too.
    sides = tuple(
        draw(st.sampled_from([2 * n, 2 * n - 1]) | st.integers(1, 2 * LARGEST_SIDE[x.rank]))
        for n in cast("tuple[int, ...]", x.sides)
    )
    return layer("upsample", mode=mode, corners=corners), (x, image(draw(st.integers(1, 3)), *sides))


@st.composite
def crops(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 3)), LARGEST_SIDE)
    ns = cast("tuple[int, ...]", x.sides)
    sides = tuple(draw(st.integers(1, n)) for n in ns)
    room = [n - m for n, m in zip(ns, sides, strict=True)]
    some = [st.integers(0, most) for most in room]
    offset = draw(st.integers(0, min(room)) | st.tuples(*some))
    return layer("crop", offset=offset), (x, image(draw(st.integers(1, 3)), *sides))


DRAWN: dict[str, st.SearchStrategy[Case]] = {
    "depthwise": depthwises(),
    "local": locals_(),
    "ln": lns(),
    "gn": gns(),
    "prelu": values("prelu", shared=st.booleans()),
    "scale": values("scale", flat=st.booleans()),
    "upsample": upsamples(),
    "crop": crops(),
}
