"""Layers that lay elements out, cut channels or do nothing: gone, or one where several were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from netc import passes
from netc.graph import Graph
from netc.passes import Pass
from netc.passes.channels import merge_channels
from netc.passes.identity import drop_identities
from netc.passes.orders import fold_orders
from netc.passes.shapes import merge_shapes
from netc.passes.verify_graph import verify_graph
from tests.graphs import Net, randomised
from tests.passes.random_nets import answers, same


def after(graph: Graph, each: Pass) -> Graph:
    weights = randomised(graph)
    smaller, changed = each(graph, weights)
    verify_graph(smaller)
    assert list(changed) == [name for name, _ in smaller.parameters()]
    same(answers(graph, weights), answers(smaller, changed), to=0)
    return smaller


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def net(*sides: int | str, c: int = 4) -> Net:
    return Net("Layouts", image=("N", c, *(sides or (6, 5))))


# --- identities

NOTHING: list[tuple[str, dict[str, Any]]] = [
    ("id", {}),
    ("dropout", {}),
    ("drop_path", {"p": 0.1}),
    ("slice", {}),
    ("slice", {"start": 0, "stop": 4}),
    ("subsample", {"stride": 1}),
    ("pad", {"pad": 0, "mode": "reflect"}),
    ("pad_channels", {"c": 4}),
    ("upsample", {"factor": 1}),
    ("channel_shuffle", {"groups": 1}),
    ("channel_shuffle", {"groups": 4}),
    ("reshape", {"shape": (4, 6, 5)}),
    ("maxpool", {"k": 1}),
    ("avgpool", {"k": (1, 1), "stride": 1, "round": "ceil"}),
]


@pytest.mark.parametrize(("kind", "fields"), NOTHING)
def test_what_does_nothing_goes(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    assert kinds(after(n.graph(y=n("sigmoid", n(kind, "image", **fields))), drop_identities)) == ["sigmoid"]


@pytest.mark.parametrize(("kind", "fields"), [*NOTHING[:8], ("crop", {}), ("upsample", {})])
def test_what_does_nothing_to_symbolic_sizes_goes(kind: str, fields: dict[str, Any]) -> None:
    n = net("H", "W")
    like = [n("relu", "image")] if not fields and kind in ("crop", "upsample") else []
    graph = n.graph(y=n("sigmoid", n(kind, "image", *like, **fields)))
    assert kinds(after(graph, drop_identities)) == ["sigmoid"]  # what gave its size alone is gone as well


@pytest.mark.parametrize("kind", ["gap", "gmp", "flatten"])
def test_of_one_pixel_nothing_is_averaged_and_of_features_nothing_laid_out(kind: str) -> None:
    n = net(c=3)
    x = n("gap", "image")
    x = n("flatten", x) if kind == "flatten" else x
    graph = n.graph(y=n("sigmoid", n(kind, x)))
    assert kinds(after(graph, drop_identities)) == [*(["gap"] if kind != "flatten" else ["gap", "flatten"]), "sigmoid"]


@pytest.mark.parametrize("positive", ["relu", "relu6", "abs", "sigmoid", "softmax", "hardsigmoid"])
@pytest.mark.parametrize("kind", ["relu", "abs"])
def test_a_relu_of_what_is_never_negative_goes(positive: str, kind: str) -> None:
    n = net()
    x = n("maxpool", n(positive, "image"), k=2)
    assert kinds(after(n.graph(y=n(kind, x)), drop_identities)) == [positive, "maxpool"]


@pytest.mark.timeout(30)
def test_what_is_read_twice_at_each_of_thirty_layers_is_looked_at_once() -> None:
    n = net()
    x = n("relu", "image")
    for _ in range(30):
        x = n("add", x, x)
    assert kinds(after(n.graph(y=n("relu", x)), drop_identities)) == ["relu", *["add"] * 30]


SOMETHING: list[tuple[str, dict[str, Any]]] = [
    ("slice", {"start": 1}),
    ("subsample", {"stride": (1, 2)}),
    ("channel_shuffle", {"groups": 2}),
    ("reshape", {"shape": (4, 5, 6)}),
    ("maxpool", {"k": 3, "stride": 1, "pad": 1}),
    ("avgpool", {"k": 1, "stride": 2}),
    ("relu", {}),
    ("gap", {}),
    ("flatten", {}),
    ("relu6", {}),
]


@pytest.mark.parametrize(("kind", "fields"), SOMETHING)
def test_what_does_something_stays(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    graph = n.graph(y=n(kind, "image", **fields))
    assert after(graph, drop_identities) is graph


def test_a_relu_of_what_may_be_negative_stays() -> None:
    n = net()
    x = n("relu", "image")
    graph = n.graph(y=n("relu", n("sub", x, n("sigmoid", x))), z=n("relu", n("bn", n("sigmoid", x))))
    assert after(graph, drop_identities) is graph


# --- layouts


def test_layouts_of_layouts_are_one() -> None:
    n = net()
    x = n("reshape", n("flatten", "image"), shape=(8, 15))
    x = n("reshape", x, shape=(2, 5, 12))
    graph = n.graph(y=n("relu", x))
    merged = after(graph, merge_shapes)
    assert kinds(merged) == ["reshape", "relu"]
    assert merged.nodes[0].inputs == ("image",)
    n = net()
    assert kinds(after(n.graph(y=n("flatten", n("reshape", "image", shape=(8, 15)))), merge_shapes)) == ["flatten"]
    n = net()
    assert kinds(after(n.graph(y=n("reshape", n("flatten", "image"), shape=(120,))), merge_shapes)) == ["flatten"]


def test_a_layout_that_comes_back_goes() -> None:
    n = net()
    x = n("reshape", n("flatten", n("gap", "image")), shape=(4, 1, 1))  # Keras's squeeze and excitation
    assert kinds(after(n.graph(y=n("mul", "image", x)), merge_shapes)) == ["gap", "mul"]


def test_an_order_that_moves_nothing_is_the_plain_one() -> None:
    for order in ("hwc", "whc"):
        n = net()
        merged = after(n.graph(y=n("flatten", n("gap", "image"), order=order)), merge_shapes)
        assert merged.nodes[-1].op.model_dump() == {"order": "chw"}
    n = net(6, 5, c=1)
    assert after(n.graph(y=n("flatten", "image", order="hwc")), merge_shapes).nodes[0].op.model_dump()["order"] == "chw"


@pytest.mark.parametrize(("c", "order"), [(1, "whc"), (4, "hwc"), (4, "whc")])
def test_an_order_that_moves_something_stays(c: int, order: str) -> None:
    n = net(c=c)
    x = n("flatten", "image", order=order)
    graph = n.graph(y=n("reshape", x, shape=(c, 5, 6)))
    assert after(graph, merge_shapes) is graph


@pytest.mark.parametrize("order", ["hwc", "whc"])
@pytest.mark.parametrize("sides", [(6, 5), (7,), (2, 3, 4)])
def test_the_weights_of_an_fc_follow_the_order_of_its_flatten(order: str, sides: tuple[int, ...]) -> None:
    n = net(*sides, c=3)
    x = n("flatten", "image", order=order)
    graph = n.graph(a=n("fc", x, label="a", c=5), b=n("fc", x, label="b", c=2, bias=False))
    weights = randomised(graph)
    folded, changed = fold_orders(graph, weights)
    verify_graph(folded)
    same(answers(graph, weights), answers(folded, changed), to=1e-12)  # summed in another order
    assert [node.op.model_dump().get("order") for node in folded.nodes] == ["chw", None, None]
    assert np.array_equal(np.sort(changed["a.weight"], axis=1), np.sort(weights["a.weight"], axis=1))


def test_an_order_that_others_see_stays() -> None:
    n = net()
    x = n("flatten", "image", order="hwc")
    graph = n.graph(y=n("fc", x, c=5), x=x)
    assert after(graph, fold_orders) is graph
    n = net()
    x = n("flatten", "image", order="hwc")
    graph = n.graph(y=n("fc", x, c=5), z=n("relu", x))
    assert after(graph, fold_orders) is graph
    n = net()
    graph = n.graph(y=n("fc", n("flatten", "image", order="hwc"), label="a", c=120))
    shared = n.graph(y=n("fc", n("relu", "a"), weights="a", c=120))
    assert after(shared, fold_orders) is shared
    assert after(graph, fold_orders) is not graph


# --- channels


def test_a_slice_of_a_slice_is_one() -> None:
    n = net(c=9)
    x = n("slice", n("slice", "image", start=2, stop=8), start=1, stop=4)
    merged = after(n.graph(y=x), merge_channels)
    assert [node.op.model_dump() for node in merged.nodes] == [{"start": 3, "stop": 6}]


def test_a_slice_of_a_concat_takes_what_it_covers() -> None:
    def sliced(start: int, stop: int) -> list[str]:
        n = net(c=3)
        a, b, c = n("relu", "image"), n("sigmoid", "image"), n("tanh", "image")
        return kinds(
            after(n.graph(y=n("abs", n("slice", n("concat", a, b, c), start=start, stop=stop))), merge_channels)
        )

    assert sliced(3, 6) == ["sigmoid", "abs"]
    assert sliced(4, 6) == ["sigmoid", "slice", "abs"]
    assert sliced(0, 6) == ["relu", "sigmoid", "concat", "abs"]
    assert sliced(0, 9) == ["relu", "sigmoid", "tanh", "concat", "abs"]
    assert sliced(2, 6) == ["relu", "sigmoid", "tanh", "concat", "slice", "abs"]


def test_a_concat_of_a_concat_is_one_where_nothing_else_reads_that() -> None:
    def merged(others: Callable[[Net, str], dict[str, str]]) -> list[str]:
        n = net()
        x = n("concat", n("relu", "image"), "image")
        return kinds(after(n.graph(y=n("concat", "image", x, "image"), **others(n, x)), merge_channels))  # pyright: ignore[reportArgumentType] -- outputs by name

    assert merged(lambda _n, _x: {}) == ["relu", "concat"]
    assert merged(lambda _n, x: {"x": x}) == ["relu", "concat", "concat"]
    assert merged(lambda n, x: {"x": n("abs", x)}) == ["relu", "concat", "concat", "abs"]


def test_parts_laid_side_by_side_again_are_what_they_were() -> None:
    n = net(c=6)
    parts = [n("slice", "image", start=i, stop=i + 2) for i in (0, 2, 4)]
    merged = after(n.graph(y=n("relu", n("concat", *parts)), z=n("concat", *parts[1:])), merge_channels)
    assert kinds(merged) == ["relu", "slice"]
    n = net(c=6)
    parts = [n("slice", "image", start=i, stop=i + 2) for i in (2, 0, 4)]
    graph = n.graph(y=n("concat", *parts))
    assert after(graph, merge_channels) is graph


# --- what all of them share


def test_weights_that_nothing_needs_any_more_are_gone() -> None:
    n = net()
    a, b = n("conv", "image", label="a", c=2, k=1), n("conv", "image", label="b", c=3, k=1)
    merged = after(
        n.graph(y=n("slice", n("concat", a, b), start=2)), merge_channels
    )  # and `after` looks at the weights
    assert [node.name for node in merged.nodes] == ["b"]


def test_the_net_that_keras_writes_is_as_small_as_ours() -> None:
    # Its ResNet pads in layers of its own, lays out channels last, and reshapes behind its global average.
    n = net(33, 33, c=3)
    x = n("conv", n("pad", "image", pad=3), c=8, k=7, stride=2)
    x = n("relu", n("bn", x))
    x = n("maxpool", n("pad", x, pad=1), k=3, stride=2)
    gate = n("reshape", n("flatten", n("gap", x), order="hwc"), shape=(8, 1, 1))
    x = n("mul", x, n("sigmoid", n("conv", gate, c=8, k=1)))
    x = n("bn", n("dropout", x))
    graph = n.graph(y=n("fc", n("flatten", x, order="hwc"), c=5))
    weights = randomised(graph)
    smaller, changed = passes.run(graph, weights, careful=True)
    same(answers(graph, weights), answers(smaller, changed))
    assert kinds(smaller) == ["conv", "relu", "maxpool", "gap", "conv", "sigmoid", "mul", "flatten", "fc"]
