"""Pixels that are thrown away are not computed: where a `subsample` meets what can step as far."""

from __future__ import annotations

from typing import Any

import pytest

from netc.graph import Graph
from netc.passes.strides import fold_strides
from netc.passes.verify_graph import verify_graph
from tests.graphs import Net, randomised
from tests.passes.random_nets import answers, same


def after(graph: Graph) -> Graph:
    weights = randomised(graph)
    folded, changed = fold_strides(graph, weights)
    verify_graph(folded)
    same(answers(graph, weights), answers(folded, changed))
    return folded


def net() -> Net:
    return Net("Strides", image=("N", 4, 11, 9))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("conv", {"c": 6, "k": 3, "pad": 1, "groups": 2}),
        ("conv", {"c": 6, "k": (3, 2), "stride": (1, 2), "pad": (0, 1, 2, 0), "dilation": 2}),
        ("conv", {"c": 6, "k": 3, "stride": 2, "pad": "same_upper"}),  # what it pads depends on its step
        ("depthwise", {"k": 3, "pad": "half"}),
        ("maxpool", {"k": 3, "stride": 1, "pad": 1}),
        ("maxpool", {"k": 2}),  # steps by itself
        ("avgpool", {"k": 3, "stride": 2, "pad": 1, "count_pad": False}),
    ],
)
@pytest.mark.parametrize("far", [2, (1, 3)])
def test_what_stands_before_a_subsample_steps_over_what_that_throws_away(
    kind: str, fields: dict[str, Any], far: int | tuple[int, int]
) -> None:
    n = net()
    graph = n.graph(y=n("relu", n("subsample", n(kind, "image", **fields), stride=far)))
    assert [node.op.kind for node in after(graph).nodes] == [kind, "relu"]


def test_the_macs_of_what_is_thrown_away_are_saved() -> None:
    n = Net("Saved", image=("N", 4, 8, 8))
    graph = n.graph(y=n("subsample", n("conv", "image", c=5, k=3, pad=1), stride=2))
    # 8 * 8 and then 4 * 4 places of 4 * 5 kernels of 9
    assert graph.macs() == 8 * 8 * 4 * 5 * 9
    assert after(graph).macs() == 4 * 4 * 4 * 5 * 9


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("conv", {"c": 6, "k": 1}),
        ("conv", {"c": 6, "k": 1, "stride": 2, "groups": 2}),
        ("depthwise", {"k": 1, "mult": 2}),
        ("subsample", {"stride": (3, 1)}),
    ],
)
def test_what_reads_single_pixels_behind_a_subsample_steps_over_them(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    x = n("subsample", "image", stride=(2, 1))
    graph = n.graph(y=n(kind, x, **fields), other=n("relu", x))  # its other reader still has it
    folded = after(graph)
    made = folded.outputs[0].value
    assert folded.node[made].inputs == ("image",)
    assert [node.op.kind for node in folded.nodes] == ["subsample", kind, "relu"]


def test_a_chain_of_subsamples_is_one() -> None:
    n = net()
    x = n("maxpool", n("subsample", "image", stride=2), k=1, stride=2)  # a maximum of one pixel only steps
    folded = after(n.graph(y=n("subsample", x, stride=(1, 2))))
    assert [(node.op.kind, node.op.model_dump()["stride"]) for node in folded.nodes] == [("subsample", (4, 8))]


def test_sides_that_are_symbols_step_too() -> None:
    n = Net("Free", image=("N", 3, "H", "W"))
    folded = after(n.graph(y=n("subsample", n("conv", "image", c=2, k=3, stride=2, pad=1), stride=2)))
    assert [node.op.kind for node in folded.nodes] == ["conv"]


def stays(n: Net, **outputs: str) -> None:
    graph = n.graph(**outputs)  # pyright: ignore[reportArgumentType] -- outputs by name
    assert after(graph) is graph


def test_a_layer_that_others_read_computes_all() -> None:
    n = net()
    x = n("conv", "image", c=2, k=3)
    stays(n, y=n("subsample", x, stride=2), x=x)
    n = net()
    x = n("subsample", n("relu", n("conv", "image", c=2, k=3)), stride=2)
    stays(n, y=x)


def test_a_subsample_that_several_read_is_one_link_of_a_chain_only_for_itself() -> None:
    n = net()
    x = n("subsample", n("conv", "image", c=2, k=1), stride=2)
    folded = after(n.graph(x=x, y=n("subsample", x, stride=2)))
    assert [node.op.kind for node in folded.nodes] == ["conv", "subsample"]


def test_shared_weights_and_poolings_that_round_up_and_larger_kernels_stay() -> None:
    n = net()
    x = n("conv", "image", label="a", c=4, k=3)
    y = n("conv", n("relu", x), weights="a", c=4, k=3)
    stays(n, y=n("subsample", y, stride=2))
    n = net()
    stays(n, y=n("subsample", n("maxpool", "image", k=2, stride=2, round="ceil"), stride=2))
    n = net()
    stays(n, y=n("conv", n("subsample", "image", stride=2), c=4, k=2))
    n = net()
    stays(n, y=n("conv", n("subsample", "image", stride=2), c=4, k=1, pad=1))
    n = net()
    stays(n, y=n("upconv", n("subsample", "image", stride=2), c=4, k=1))
