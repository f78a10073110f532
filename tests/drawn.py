"""Random configurations of every layer kind: a strategy each of the layer and of what enters it.

A strategy may draw what the layer refuses, where the rule is too intricate to be said twice.
"""

from __future__ import annotations

from math import prod
from typing import Any

from hypothesis import Phase
from hypothesis import strategies as st

from netc.tensor import TensorType
from tests import drawn_weighted
from tests.drawing import image_of, per_side, value_of
from tests.one_layer import Case, image, layer

# Without `explain`, whose tracing takes minutes over torch where something fails.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
FACTOR = st.floats(0.01, 3)


def anything(draw: st.DrawFn) -> TensorType:
    """Features or a small image."""
    return value_of(draw, draw(st.integers(1, 6)))


@st.composite
def convs(draw: st.DrawFn) -> Case:
    groups = draw(st.integers(1, 3))
    x = image_of(draw, groups * draw(st.integers(1, 3)))
    words = st.sampled_from(["half", "same_upper", "same_lower"])
    ends = st.tuples(*[st.integers(0, 3)] * (2 * x.rank))
    op = layer(
        "conv",
        c=groups * draw(st.integers(1, 3)),
        k=per_side(draw, x.rank, 1, 4),
        stride=per_side(draw, x.rank, 1, 3),
        pad=draw(words | ends | st.just(per_side(draw, x.rank, 0, 3))),
        dilation=per_side(draw, x.rank, 1, 3),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return op, (x,)


@st.composite
def upconvs(draw: st.DrawFn) -> Case:
    groups = draw(st.integers(1, 3))
    x = image_of(draw, groups * draw(st.integers(1, 3)))
    op = layer(
        "upconv",
        c=groups * draw(st.integers(1, 3)),
        k=per_side(draw, x.rank, 1, 4),
        stride=per_side(draw, x.rank, 1, 3),
        pad=draw(st.just("half") | st.just(per_side(draw, x.rank, 0, 2))),
        out_pad=per_side(draw, x.rank, 0, 2),
        dilation=per_side(draw, x.rank, 1, 3),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return op, (x,)


def _pool(draw: st.DrawFn, x: TensorType) -> dict[str, Any]:
    fields = {
        "k": per_side(draw, x.rank, 1, 4),
        "pad": draw(st.just("half") | st.just(per_side(draw, x.rank, 0, 2))),
        "round": draw(st.sampled_from(["floor", "ceil"])),
    }
    return {**fields, "stride": per_side(draw, x.rank, 1, 5)} if draw(st.booleans()) else fields


@st.composite
def maxpools(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 2)))
    return layer("maxpool", **_pool(draw, x), dilation=per_side(draw, x.rank, 1, 3)), (x,)


@st.composite
def avgpools(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 2)))
    return layer("avgpool", **_pool(draw, x), count_pad=draw(st.booleans())), (x,)


@st.composite
def images(draw: st.DrawFn, kind: str, **fields: st.SearchStrategy[Any]) -> Case:
    """A layer that takes images only."""
    x = image_of(draw, draw(st.integers(1, 6)))
    return layer(kind, **{name: draw(each) for name, each in fields.items()}), (x,)


@st.composite
def values(draw: st.DrawFn, kind: str, **fields: st.SearchStrategy[Any]) -> Case:
    """A layer that takes features as well."""
    return layer(kind, **{name: draw(each) for name, each in fields.items()}), (anything(draw),)


@st.composite
def fcs(draw: st.DrawFn) -> Case:
    each = draw(st.booleans())
    c = draw(st.integers(1, 12))
    x = value_of(draw, c) if each else image(c)
    return layer("fc", c=draw(st.integers(1, 12)), bias=draw(st.booleans()), each=each), (x,)


@st.composite
def merges(draw: st.DrawFn, kind: str) -> Case:
    """Several values, with sides of 1 here and there, which broadcast."""
    x = anything(draw)
    count = 2 if kind == "sub" else draw(st.integers(2, 4))
    some = [x.with_(sides=tuple(draw(st.sampled_from([n, 1])) for n in x.sides)) for _ in range(count)]
    return layer(kind), tuple(some)


@st.composite
def concats(draw: st.DrawFn) -> Case:
    x = anything(draw)
    return layer("concat"), tuple(x.with_(c) for c in draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))


@st.composite
def subsamples(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 3)))
    return layer("subsample", stride=per_side(draw, x.rank, 1, 4)), (x,)


@st.composite
def pads(draw: st.DrawFn) -> Case:
    x = image_of(draw, draw(st.integers(1, 3)))
    ends = st.tuples(*[st.integers(0, 3)] * (2 * x.rank))
    pad = draw(ends | st.just(per_side(draw, x.rank, 0, 3)))
    return layer("pad", pad=pad, mode=draw(st.sampled_from(["zeros", "reflect", "replicate"]))), (x,)


@st.composite
def padded_channels(draw: st.DrawFn) -> Case:
    x = anything(draw)
    return layer("pad_channels", c=x.c + draw(st.integers(0, 5))), (x,)


@st.composite
def reshapes(draw: st.DrawFn) -> Case:
    # The same factors, cut elsewhere and in another order.
    factors = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))

    def shape() -> tuple[int, ...]:
        order = draw(st.permutations(factors))
        cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=3)))
        return tuple(prod(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True))

    return layer("reshape", shape=shape()), (image(*shape()),)


@st.composite
def slices(draw: st.DrawFn) -> Case:
    x = anything(draw)
    start = draw(st.integers(0, x.c - 1))
    return layer("slice", start=start, stop=draw(st.none() | st.integers(start + 1, x.c))), (x,)


@st.composite
def shuffles(draw: st.DrawFn) -> Case:
    groups = draw(st.integers(1, 5))
    return layer("channel_shuffle", groups=groups), (value_of(draw, groups * draw(st.integers(1, 4))),)


@st.composite
def splits(draw: st.DrawFn) -> Case:
    each = draw(st.integers(1, 4) | st.lists(st.integers(1, 3), min_size=1, max_size=4))
    c = each * draw(st.integers(1, 3)) if isinstance(each, int) else sum(each)
    return layer("split", parts=each), (value_of(draw, c),)


PLAIN = ("relu", "relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "abs", "softmax", "log_softmax", "id")

DRAWN: dict[str, st.SearchStrategy[Case]] = {
    "conv": convs(),
    "upconv": upconvs(),
    "maxpool": maxpools(),
    "avgpool": avgpools(),
    "gap": images("gap"),
    "gmp": images("gmp"),
    "fc": fcs(),
    "bn": values("bn", eps=st.floats(1e-6, 1), decay=st.floats(0, 0.999)),
    "lrn": images("lrn", n=st.sampled_from([1, 3, 5, 7, 9]), alpha=FACTOR, beta=FACTOR, k=st.floats(0.5, 4)),
    **{kind: values(kind) for kind in PLAIN},
    "leaky_relu": values("leaky_relu", slope=st.floats(-1, 2)),
    "elu": values("elu", alpha=FACTOR),
    "gelu": values("gelu", approximate=st.sampled_from(["none", "tanh"])),
    "dropout": values("dropout", p=st.floats(0, 0.9)),
    "drop_path": values("drop_path", p=st.floats(0, 0.9)),
    "l2norm": values("l2norm", eps=st.sampled_from([1e-12, 1e-5, 0.5, 1])),
    **{kind: merges(kind) for kind in ("add", "sub", "mul", "maximum")},
    "concat": concats(),
    "flatten": values("flatten", order=st.sampled_from(["chw", "hwc", "whc"])),
    "reshape": reshapes(),
    "slice": slices(),
    "split": splits(),
    "channel_shuffle": shuffles(),
    "pad": pads(),
    "pad_channels": padded_channels(),
    "subsample": subsamples(),
    **drawn_weighted.DRAWN,
}
"""By kind; a test holds that there is one for every registered kind."""

OFTEN = {"conv": 4, "upconv": 4, "maxpool": 3, "avgpool": 3}
"""How many times as often to draw: of these, much is refused."""
