"""A `pad` is its convolution's or its pooling's own, where that is the same."""

from __future__ import annotations

from typing import Any

import pytest

from netc.graph import Graph
from netc.passes.padding import fold_padding
from netc.passes.verify_graph import verify_graph
from tests.graphs import Net, randomised
from tests.passes.random_nets import answers, same


def after(graph: Graph) -> Graph:
    weights = randomised(graph)
    folded, changed = fold_padding(graph, weights)
    verify_graph(folded)
    same(answers(graph, weights), answers(folded, changed))
    return folded


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def net(*sides: int | str) -> Net:
    return Net("Padding", image=("N", 4, *(sides or (7, 6))))


@pytest.mark.parametrize(
    ("kind", "fields", "pad"),
    [
        ("conv", {"c": 6, "k": 3}, 1),
        ("conv", {"c": 6, "k": 3, "pad": (0, 1, 2, 0), "groups": 2, "dilation": 2}, (1, 2, 3, 0)),
        ("conv", {"c": 6, "k": 3, "stride": 2, "pad": "same_lower"}, (0, 1, 0, 1)),
        ("conv", {"c": 3, "k": 1}, 2),
        ("depthwise", {"k": 3, "stride": 2, "pad": "half", "bias": False}, (0, 1, 0, 1)),  # Keras's MobileNet
        ("local", {"c": 2, "k": 2, "pad": (1, 0, 0, 0)}, (0, 1, 0, 2)),
    ],
)
def test_a_convolution_pads_with_the_zeros_before_it(kind: str, fields: dict[str, Any], pad: Any) -> None:
    n = net()
    folded = after(n.graph(y=n(kind, n("pad", "image", pad=pad), **fields)))
    assert kinds(folded) == [kind]
    assert folded.nodes[0].inputs == ("image",)


def test_of_one_and_of_three_sides_and_of_symbols_too() -> None:
    for sides in ((9,), (4, 5, 3), ("H", "W")):
        n = net(*sides)
        assert kinds(after(n.graph(y=n("conv", n("pad", "image", pad=1), c=2, k=2)))) == ["conv"]


@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_a_pad_takes_the_one_before_it(mode: str) -> None:
    n = net()
    folded = after(n.graph(y=n("pad", n("pad", "image", pad=(1, 0, 2, 1), mode=mode), pad=1, mode=mode)))
    assert kinds(folded) == ["pad"]
    assert folded.nodes[0].op.model_dump()["pad"] == (2, 1, 3, 2)


def test_every_reader_takes_it_for_itself() -> None:
    n = net()
    x = n("pad", "image", pad=1)
    folded = after(n.graph(a=n("conv", x, c=2, k=3), b=n("relu", x), c=n("depthwise", x, k=3)))
    assert kinds(folded) == ["pad", "conv", "relu", "depthwise"]
    assert [node.inputs for node in folded.nodes] == [("image",), ("image",), ("pad",), ("image",)]


@pytest.mark.parametrize("count_pad", [True, False])
def test_an_average_takes_zeros_that_count(count_pad: bool) -> None:
    n = net()
    folded = after(n.graph(y=n("avgpool", n("pad", "image", pad=1), k=3, stride=2, count_pad=count_pad)))
    assert kinds(folded) == ["avgpool"]
    assert folded.nodes[0].op.model_dump()["count_pad"]  # they were part of the image


def test_a_maximum_takes_zeros_where_nothing_is_below_zero() -> None:
    # Keras's ResNet-50: ZeroPadding2D behind the first relu
    for positive in ("relu", "sigmoid", "relu6", "softmax", "abs"):
        n = net()
        folded = after(n.graph(y=n("maxpool", n("pad", n(positive, "image"), pad=1), k=3, stride=2)))
        assert kinds(folded) == [positive, "maxpool"]
    n = net()
    x, y = n("relu", "image"), n("sigmoid", "image")
    x = n("maxpool", n("concat", n("add", x, y), y), k=2, stride=1)
    assert "pad" not in kinds(after(n.graph(y=n("maxpool", n("pad", x, pad=(1, 1, 0, 0)), k=2))))


def test_a_maximum_takes_a_repeated_border() -> None:
    n = net()
    assert kinds(after(n.graph(y=n("maxpool", n("pad", "image", pad=1, mode="replicate"), k=3)))) == ["maxpool"]
    n = net()
    x = n("pad", "image", pad=(1, 1, 0, 0), mode="replicate")
    assert kinds(after(n.graph(y=n("maxpool", x, k=4, stride=1, pad=1)))) == ["maxpool"]


STAY: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("conv", {"pad": 1, "mode": "reflect"}, {"c": 2, "k": 3}),
    ("conv", {"pad": 1, "mode": "replicate"}, {"c": 2, "k": 3}),
    ("pad", {"pad": 1, "mode": "reflect"}, {"pad": 1, "mode": "reflect"}),  # the mirror of a mirror
    ("pad", {"pad": 1}, {"pad": 1, "mode": "replicate"}),
    ("avgpool", {"pad": (1, 0, 1, 0)}, {"k": 3}),  # a pooling pads both ends alike
    ("avgpool", {"pad": 2}, {"k": 3}),  # more than half of the window
    ("avgpool", {"pad": 1}, {"k": 3, "pad": 1}),
    ("avgpool", {"pad": 1}, {"k": 5, "pad": 1, "count_pad": False}),  # some zeros count, and some do not
    ("avgpool", {"pad": 1}, {"k": 3, "stride": 2, "round": "ceil"}),
    ("avgpool", {"pad": 1, "mode": "replicate"}, {"k": 3}),
    ("maxpool", {"pad": 1}, {"k": 3}),  # zero is more than what is below it
    ("maxpool", {"pad": 2, "mode": "replicate"}, {"k": 3}),
    ("maxpool", {"pad": 1, "mode": "reflect"}, {"k": 2}),
    ("maxpool", {"pad": 1, "mode": "replicate"}, {"k": 2, "dilation": 2}),  # it may step over the border itself
    ("upconv", {"pad": 1}, {"c": 2, "k": 3}),
    ("relu", {"pad": 1}, {}),
]


@pytest.mark.parametrize(("kind", "pad", "fields"), STAY)
def test_what_would_be_another_thing_stays(kind: str, pad: dict[str, Any], fields: dict[str, Any]) -> None:
    n = net()
    graph = n.graph(y=n(kind, n("pad", "image", **pad), **fields))
    assert after(graph) is graph


def test_a_value_that_may_be_negative_keeps_its_zeros_before_a_maximum() -> None:
    n = net()
    relu = n("relu", "image")
    for x in (n("sub", relu, n("sigmoid", "image")), n("add", relu, "image"), n("leaky_relu", relu), n("bn", relu)):
        n2 = n("maxpool", n("pad", x, pad=1), k=3)
        graph = n.graph(y=n2)
        assert "pad" in kinds(after(graph))


def test_layers_that_share_weights_keep_their_pads() -> None:
    n = net()
    x = n("conv", n("pad", "image", pad=1), label="a", c=4, k=3)
    graph = n.graph(y=n("conv", x, weights="a", c=4, k=3))
    assert after(graph) is graph


def test_a_three_dimensional_average_keeps_the_border_it_needs() -> None:
    # torch's average over three sides holds its window against the image without its padding.
    n = net(2, 5, 5)
    graph = n.graph(y=n("avgpool", n("pad", "image", pad=1), k=3))
    assert after(graph) is graph
