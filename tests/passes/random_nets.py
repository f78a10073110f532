"""Random nets of a few layers, rich in what passes look for: pads before windows, norms around convolutions, slices of
concats, values with several readers, shared weights, heads for training, symbolic sides.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st

from netc.backends.torch import as_tensor, module
from netc.graph import Graph
from netc.op import Reject
from netc.tensor import at
from netc.weights import Weights
from tests.graphs import Net, layer

SIZES = {"H": 11, "W": 9}
Array = npt.NDArray[Any]


def _sides(draw: st.DrawFn, rank: int, low: int, high: int) -> int | tuple[int, ...]:
    return draw(st.integers(low, high) | st.tuples(*[st.integers(low, high)] * rank))


class _Maker:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        rank = draw(st.sampled_from([2, 2, 2, 1, 3]))
        free = draw(st.booleans()) and rank == 2
        sides = ("H", "W") if free else tuple(draw(st.integers(4, 7)) for _ in range(rank))
        self.net = Net("Random", image=("N", draw(st.sampled_from([1, 2, 4, 6])), *sides))
        self.values = ["image"]
        self.shared: list[tuple[str, str, dict[str, Any], int]] = []  # kind, weights, fields, channels that enter

    def pick(self) -> str:
        # Mostly the last one: chains are what passes fold.
        return self.values[-1] if self.draw(st.integers(0, 3)) else self.draw(st.sampled_from(self.values))

    def add(self, kind: str, *xs: str, **fields: Any) -> str:
        type = layer(kind, **{k: v for k, v in fields.items() if k not in ("label", "weights")}).infer(
            *map(self.net.type, xs)
        )
        if any(at(side, SIZES) < 1 for side in type.sides):
            raise Reject("N203", "smaller than nothing at the sizes of the test")
        made = self.net(kind, *xs, **fields)
        self.values.append(made)
        return made

    def windowed(self, x: str, kind: str) -> str:
        draw, type = self.draw, self.net.type(x)
        rank = type.rank
        if not rank:
            raise Reject("N201", "no image")
        fields: dict[str, Any] = {"k": _sides(draw, rank, 1, 3), "stride": _sides(draw, rank, 1, 2)}
        ends = st.tuples(*[st.integers(0, 2)] * (2 * rank))
        if kind in ("conv", "depthwise", "local"):
            words = ["half", "same_upper", "same_lower"] if type.static else ["half"]
            fields |= {"pad": draw(st.just(0) | st.sampled_from(words) | ends), "bias": draw(st.booleans())}
        if kind in ("conv", "depthwise"):
            fields["dilation"] = draw(st.sampled_from([1, 1, 2]))
        if kind == "depthwise":
            fields["mult"] = draw(st.integers(1, 2))
        if kind in ("conv", "upconv"):
            groups = draw(st.sampled_from([g for g in (1, 1, 2, 3) if type.c % g == 0]))
            fields |= {"groups": groups, "c": groups * draw(st.integers(1, 3)), "bias": draw(st.booleans())}
        if kind == "local":
            fields["c"] = draw(st.integers(1, 3))
        if kind == "upconv":
            fields["pad"] = draw(st.integers(0, 1))
        if kind in ("maxpool", "avgpool"):
            fields |= {"pad": draw(st.integers(0, 1)), "round": draw(st.sampled_from(["floor", "floor", "ceil"]))}
        if kind == "avgpool":
            fields["count_pad"] = draw(st.booleans())
        made = self.add(kind, x, **fields)
        if kind in ("conv", "depthwise"):
            self.shared.append((kind, made, fields, type.c))
        return made

    def again(self, x: str) -> str:
        # Weights applied once more.
        fitting = [each for each in self.shared if each[3] == self.net.type(x).c]
        if not fitting or not self.net.type(x).rank:
            raise Reject("N000", "nothing to share")
        kind, weights, fields, _ = self.draw(st.sampled_from(fitting))
        if isinstance(fields["pad"], str) and fields["pad"] != "half":
            raise Reject("N000", "a padding of its own")
        return self.add(kind, x, weights=weights, **fields)

    def shaped(self, x: str) -> str:
        draw, type = self.draw, self.net.type(x)
        if draw(st.booleans()):
            return self.add("flatten", x, order=draw(st.sampled_from(["chw", "hwc", "whc"])))
        if not type.static:
            raise Reject("N209", "symbols")
        factors = draw(st.permutations([n for n in type.dims[1:] if isinstance(n, int)]))
        rest = int(np.prod(factors[1:], dtype=int))
        return self.add(
            "reshape", x, shape=draw(st.sampled_from([(type.features,), (factors[0], rest), (rest, factors[0])]))
        )

    def fully(self, x: str) -> str:
        c, bias = self.draw(st.integers(1, 4)), self.draw(st.booleans())
        if self.net.type(x).rank and self.draw(st.booleans()):
            return self.add("fc", x, c=c, bias=bias, each=True)
        if self.net.type(x).rank:
            x = self.add("flatten", x, order=self.draw(st.sampled_from(["chw", "hwc", "whc"])))
        return self.add("fc", x, c=c, bias=bias)

    def merged(self, x: str) -> str:
        draw, type = self.draw, self.net.type(x)
        kind = draw(st.sampled_from(["add", "sub", "mul", "maximum", "concat", "concat"]))
        if kind == "concat":
            fits = [v for v in self.values if self.net.type(v)[2:] == type[2:]]
        else:
            fits = [v for v in self.values if self.net.type(v) == type]
        others = draw(st.lists(st.sampled_from(fits), min_size=1, max_size=1 if kind == "sub" else 2))
        return self.add(kind, x, *others)

    def cut(self, x: str) -> str:
        c = self.net.type(x).c
        start = self.draw(st.integers(0, c - 1))
        return self.add("slice", x, start=start, stop=self.draw(st.none() | st.integers(start + 1, c)))

    def cut_and_laid(self, x: str) -> str:
        c = self.net.type(x).c
        at = self.draw(st.integers(1, c))
        parts = [self.add("slice", x, start=a, stop=b) for a, b in ((0, at), (at, c)) if b > a]
        return self.add("concat", *parts, *([x] if len(parts) == 1 or self.draw(st.booleans()) else []))

    def one(self, x: str) -> str:
        # A constant, softmax over one channel, and what layers make of it, added to something.
        draw, type = self.draw, self.net.type(x)
        made = self.add("softmax", self.add("slice", x, start=0, stop=1))
        if type.static and type.rank and draw(st.booleans()):
            pad = draw(st.sampled_from([0, (1, 0) * type.rank]))
            k = 2 if pad else 1
            made = self.add("local", made, c=type.c, k=k, pad=pad, bias=draw(st.booleans()))
        elif type.c > 1:
            made = self.add("concat", *[made] * type.c)
        if draw(st.booleans()):
            made = self.add(draw(st.sampled_from(["add", "sub", "mul"])), made, made)
        more = [made] if draw(st.booleans()) else []
        pair = (x, made) if draw(st.integers(0, 3)) else (made, x)
        return self.add("add", *pair, *more) if draw(st.booleans()) else self.add("sub", *pair)

    def pad(self, x: str) -> str:
        draw, rank = self.draw, self.net.type(x).rank
        mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate"]))
        if not rank:
            raise Reject("N201", "no image")
        ends = tuple(draw(st.integers(0, 2)) for _ in range(2 * rank)) if draw(st.booleans()) else 1
        return self.add("pad", x, pad=ends, mode=mode)

    def padded(self, x: str) -> str:
        draw = self.draw
        if draw(st.booleans()):
            x = self.add(draw(st.sampled_from(["relu", "sigmoid", "bn", "tanh"])), x)
        kind = draw(st.sampled_from(["conv", "depthwise", "local", "maxpool", "avgpool", "maxpool", "avgpool"]))
        if kind in ("maxpool", "avgpool") and self.net.type(x).rank and draw(st.booleans()):
            # What a pooling can take over: the same on both ends, and at most half of its window.
            padded = self.add("pad", x, pad=1, mode=draw(st.sampled_from(["zeros", "zeros", "replicate"])))
            return self.add(kind, padded, k=draw(st.integers(2, 3)), stride=draw(st.integers(1, 2)))
        return self.windowed(self.pad(x), kind)

    def stepped(self, x: str) -> str:
        draw, rank = self.draw, self.net.type(x).rank
        if not rank:
            raise Reject("N201", "no image")
        if draw(st.booleans()):
            x = self.windowed(x, draw(st.sampled_from(["conv", "depthwise", "maxpool", "avgpool"])))
            return self.add("subsample", x, stride=_sides(draw, rank, 1, 2))
        x = self.add("subsample", x, stride=_sides(draw, rank, 1, 2))
        kind = draw(st.sampled_from(["conv", "depthwise", "subsample"]))
        if kind == "subsample":
            return self.add("subsample", x, stride=_sides(draw, rank, 1, 2))
        return self.add(kind, x, k=1, stride=_sides(draw, rank, 1, 2), **({"c": 2} if kind == "conv" else {}))

    def normed(self, x: str) -> str:
        draw = self.draw
        kind = draw(st.sampled_from(["conv", "conv", "depthwise", "upconv", "local", "fc"]))
        norm, first = draw(st.sampled_from(["bn", "bn", "scale"])), draw(st.booleans())
        x = self.add(norm, x) if first else x
        x = self.fully(x) if kind == "fc" else self.windowed(x, kind)
        return x if first else self.add(norm, x)

    def like(self, x: str) -> str:
        draw, type = self.draw, self.net.type(x)
        same = [v for v in self.values if self.net.type(v).rank == type.rank]
        kind = draw(st.sampled_from(["upsample", "crop"]))
        return self.add(kind, x, draw(st.sampled_from(same)))

    def step(self) -> None:
        draw, x = self.draw, self.pick()
        rank = self.net.type(x).rank
        plain: dict[str, dict[str, Any]] = {
            **{kind: {} for kind in ("relu", "bn", "bn", "scale", "id", "dropout", "gap", "sigmoid", "abs", "prelu")},
            "drop_path": {"p": 0.2},
            "scale": {"flat": draw(st.booleans())},
            "pad_channels": {"c": self.net.type(x).c + draw(st.integers(0, 1))},
            "channel_shuffle": {"groups": draw(st.sampled_from([1, 2, 3]))},
            "subsample": {"stride": _sides(draw, rank, 1, 3)} if rank else {"stride": 1},
            "upsample": {"factor": draw(st.integers(1, 2))},
        }
        kind = draw(st.sampled_from(KINDS))
        if kind in WINDOWED:
            self.windowed(x, kind)
        elif kind in plain:
            self.add(kind, x, **plain[kind])
        else:
            steps: dict[str, Callable[[str], str]] = {
                "again": self.again,
                "shaped": self.shaped,
                "fully": self.fully,
                "merged": self.merged,
                "cut": self.cut,
                "cut_and_laid": self.cut_and_laid,
                "one": self.one,
                "pad": self.pad,
                "padded": self.padded,
                "stepped": self.stepped,
                "normed": self.normed,
                "like": self.like,
            }
            steps[kind](x)


WINDOWED = ("conv", "depthwise", "local", "upconv", "maxpool", "avgpool")
KINDS = (
    *(
        "normed",
        "normed",
        "padded",
        "padded",
        "stepped",
        "one",
        "one",
        "shaped",
        "fully",
        "cut",
        "cut_and_laid",
        "merged",
    ),
    *("conv", "conv", "depthwise", "local", "upconv", "maxpool", "avgpool", "again", "like"),
    *("bn", "bn", "scale", "relu", "pad", "subsample", "gap", "id", "dropout", "drop_path"),
    *("pad_channels", "channel_shuffle", "upsample", "sigmoid", "abs", "prelu"),
)


class Drawn:
    """A random net, which shows itself layer by layer where a test fails."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __repr__(self) -> str:
        inputs = [f"{each.name}: {each.type}" for each in self.graph.inputs]
        nodes = [
            f"{n.name} = {n.op.kind}({n.op}) of {', '.join(n.inputs)}: {n.type}" + f", weights {n.weights}" * n.shared
            for n in self.graph.nodes
        ]
        outputs = [f"{o.name} = {o.value}{' for training' * o.train_only}" for o in self.graph.outputs]
        return "\n".join(["a net", *inputs, *nodes, *outputs])


@st.composite
def nets(draw: st.DrawFn) -> Drawn:
    """A net of up to 14 layers, some in a block, with one to three outputs, the last of which may be for training."""
    maker = _Maker(draw)
    for number in range(draw(st.integers(1, 14))):
        block = maker.net.block(f"b{number}", "block") if draw(st.integers(0, 5)) == 0 else nullcontext()
        with block, suppress(Reject):
            maker.step()
    made = [value for value in maker.values if value != "image"] or [maker.net("relu", "image")]
    read = {name for node in maker.net.nodes for name in (node.inputs[:1] if node.op.values else node.inputs)}
    blocks = any(node.region for node in maker.net.nodes)
    unread = [value for value in made if blocks and value not in read]  # torch has no module for a block for nothing
    outputs = {made[-1], *unread, *draw(st.lists(st.sampled_from(made), max_size=2))}
    named = {f"y{i}": value for i, value in enumerate(sorted(outputs, key=made.index))}
    heads = tuple(list(named)[:1]) if len(named) > 1 and draw(st.booleans()) else ()
    return Drawn(maker.net.graph(train_only=heads, outputs=named))


def answers(graph: Graph, weights: Weights, seed: int = 0) -> dict[str, Array]:
    """What a graph computes at inference, in float64 torch, by output; of an input `u8`, pixels."""
    net = module(graph, weights).double().eval()
    random = np.random.RandomState(seed)
    xs: list[Any] = []
    for each in graph.inputs:
        sides = [side if isinstance(side, int) else side.at(SIZES) for side in each.type.dims[1:]]
        drawn = random.standard_normal((2, *sides))
        pixels = np.clip(np.rint(128 + 48 * drawn), 0, 255)
        xs.append(as_tensor(pixels if each.type.dtype == "u8" else drawn))
    with torch.no_grad():
        y: Any = net(*xs)
    alone = next(each.name for each in graph.outputs if not each.train_only)
    named = cast(dict[str, Any], y if isinstance(y, dict) else {alone: y})
    return {name: tensor.numpy() for name, tensor in named.items()}


def same(before: dict[str, Array], after: dict[str, Array], to: float = 2e-5) -> None:
    """Fails where outputs differ by more than a weight's rounding to float32."""
    assert set(before) == set(after)
    for name, values in before.items():
        assert after[name].shape == values.shape
        scale = float(np.abs(values).max(initial=0))
        np.testing.assert_allclose(after[name], values, rtol=0, atol=to * scale + 1e-9, err_msg=name)
