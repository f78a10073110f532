"""Lines, x -> factor x + shift a channel, go into the linear layer behind or before them, where exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.diagnostic import Fault
from netc.graph import Graph
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.fold_forward import fold_forward
from netc.passes.verify_graph import verify_graph
from netc.weights import Weights
from netc.weights.tensors import Lazy, Made, pieces
from tests.graphs import Net, layer, randomised
from tests.passes.random_nets import answers, same


def backward(graph: Graph) -> Graph:
    return _after(graph, fold_batch_norm)


def forward(graph: Graph) -> Graph:
    return _after(graph, fold_forward)


def _after(graph: Graph, fold: Any) -> Graph:
    weights = randomised(graph)
    folded, changed = fold(graph, weights)
    verify_graph(folded)
    assert list(changed) == [name for name, _ in folded.parameters()]
    same(answers(graph, weights), answers(folded, changed), to=2e-6)
    return folded


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def net(*sides: int | str, c: int = 4) -> Net:
    return Net("Lines", image=("N", c, *(sides or (7, 6))))


LINEAR: list[tuple[str, dict[str, Any]]] = [
    ("conv", {"c": 6, "k": 3, "pad": 1, "groups": 2}),
    ("conv", {"c": 6, "k": 3, "bias": False}),
    ("depthwise", {"k": 3, "mult": 2}),
    ("upconv", {"c": 6, "k": 3, "groups": 2}),
    ("local", {"c": 3, "k": 3, "bias": False}),
    ("fc", {"c": 3, "each": True}),
]


# --- behind


@pytest.mark.parametrize(("kind", "fields"), LINEAR)
@pytest.mark.parametrize("behind", [("scale",), ("bn", "scale"), ("scale", "bn"), ("bn", "bn", "bn")])
def test_a_chain_of_lines_goes_into_the_layer_before_it(
    kind: str, fields: dict[str, Any], behind: tuple[str, ...]
) -> None:
    n = net()
    x = n(kind, "image", **fields)
    for each in behind:
        x = n(each, x)
    folded = backward(n.graph(y=x))
    assert kinds(folded) == [kind]
    assert folded.nodes[0].op.model_dump()["bias"] == ("bn" in behind or fields.get("bias", True))


def test_a_layer_scale_in_either_form_is_folded() -> None:
    for flat in (True, False):
        n = net()
        x = n("scale", n("fc", "image", c=5, each=True), flat=flat)  # ConvNeXt's
        assert kinds(backward(n.graph(y=n("add", x, x)))) == ["fc", "add"]


def test_lines_of_lines_are_one() -> None:
    n = net()
    assert kinds(backward(n.graph(y=n("bn", n("bn", "image"))))) == ["bn"]
    n = net()
    assert kinds(backward(n.graph(y=n("scale", n("bn", "image"))))) == ["bn"]
    n = net()
    assert kinds(backward(n.graph(y=n("scale", n("scale", "image", flat=True))))) == ["scale"]


def test_a_bn_behind_a_scale_stays_and_a_line_whose_weights_are_shared() -> None:
    n = net()
    graph = n.graph(y=n("bn", n("scale", "image")))
    assert backward(graph) is graph
    n = net()
    x = n("scale", n("conv", "image", c=4, k=1), label="s")
    y = n("scale", n("relu", x), weights="s")
    assert backward(graph := n.graph(y=y)) is graph


def test_each_link_of_a_chain_has_one_reader() -> None:
    n = net()
    x = n("bn", n("conv", "image", c=4, k=1))
    folded = backward(n.graph(y=n("scale", x), x=x))
    assert kinds(folded) == ["conv", "scale"]


# --- before


BEFORE: list[tuple[str, dict[str, Any]]] = [
    ("conv", {"c": 6, "k": 3, "groups": 2, "stride": 2}),
    ("conv", {"c": 6, "k": (3, 2), "bias": False, "dilation": 2}),
    ("depthwise", {"k": 3, "mult": 2}),
    ("depthwise", {"k": 2, "bias": False}),
    ("fc", {"c": 3, "each": True}),
    ("fc", {"c": 3, "each": True, "bias": False}),
]


@pytest.mark.parametrize(("kind", "fields"), BEFORE)
def test_a_norm_goes_into_a_layer_behind_it_that_sees_no_padding(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    folded = forward(n.graph(y=n(kind, n("bn", "image"), **fields)))
    assert kinds(folded) == [kind]
    assert folded.nodes[0].op.model_dump()["bias"]


@pytest.mark.parametrize("order", ["chw", "hwc"])
def test_a_norm_goes_through_a_flatten(order: str) -> None:
    n = net()
    folded = forward(n.graph(y=n("fc", n("flatten", n("bn", "image"), order=order), c=3)))
    assert kinds(folded) == (["flatten", "fc"] if order == "chw" else ["bn", "flatten", "fc"])


def test_a_norm_of_features_goes_into_an_fc() -> None:
    n = Net("Features", image=("N", 5))
    assert kinds(forward(n.graph(y=n("fc", n("bn", "image"), c=3)))) == ["fc"]


@pytest.mark.parametrize(("kind", "fields"), [*LINEAR, ("upconv", {"c": 6, "k": 2, "stride": 2, "bias": False})])
def test_a_scale_goes_into_any_linear_layer_padded_or_not(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    folded = forward(n.graph(y=n(kind, n("scale", "image"), **fields)))
    assert kinds(folded) == [kind]
    assert folded.nodes[0].op.model_dump()["bias"] == fields.get("bias", True)


def test_a_symbolic_size_is_no_obstacle() -> None:
    n = net("H", "W")
    assert kinds(forward(n.graph(y=n("conv", n("bn", "image"), c=2, k=3)))) == ["conv"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("conv", {"c": 2, "k": 3, "pad": 1}),  # zeros of the border were not shifted
        ("conv", {"c": 2, "k": 3, "pad": (0, 0, 0, 1)}),
        ("conv", {"c": 2, "k": 2, "pad": "same_upper"}),
        ("depthwise", {"k": 3, "pad": "half"}),
        ("upconv", {"c": 2, "k": 3, "stride": 2}),  # an output pixel is the sum of some of the kernel
        ("local", {"c": 2, "k": 3}),
        ("relu", {}),
    ],
)
def test_a_norm_before_what_would_shift_otherwise_stays(kind: str, fields: dict[str, Any]) -> None:
    n = net()
    graph = n.graph(y=n(kind, n("bn", "image"), **fields))
    assert forward(graph) is graph


def test_a_norm_that_others_read_stays_and_one_before_shared_weights() -> None:
    n = net()
    x = n("bn", "image")
    graph = n.graph(y=n("conv", x, c=2, k=1), x=x)
    assert forward(graph) is graph
    n = net()
    x = n("conv", n("bn", "image"), label="a", c=4, k=1)
    graph = n.graph(y=n("conv", x, weights="a", c=4, k=1))
    assert forward(graph) is graph
    n = net()
    x = n("flatten", n("bn", "image"))
    graph = n.graph(y=n("fc", x, c=2), x=x)
    assert forward(graph) is graph


def test_a_shared_norm_goes_into_each_layer_behind_it() -> None:
    n = net()
    x = n("conv", n("bn", "image", label="norm"), c=4, k=1)
    y = n("conv", n("bn", n("relu", x), weights="norm"), c=4, k=1)
    assert kinds(forward(n.graph(y=y))) == ["conv", "relu", "conv"]


def test_folding_before_is_worked_by_hand() -> None:
    n = Net("Hand", image=("N", 2, 1, 1))
    graph = n.graph(y=n("conv", n("bn", "image", label="b", eps=1.0), label="a", c=1, k=1))
    weights: dict[str, Any] = {
        "b.weight": np.array([4, 6], np.float32),
        "b.bias": np.array([7, 1], np.float32),
        "b.running_mean": np.array([2, 0], np.float32),
        "b.running_var": np.array([3, 8], np.float32),
        "b.num_batches_tracked": np.array(0),
        "a.weight": np.array([10, 100], np.float32).reshape(1, 2, 1, 1),
        "a.bias": np.array([5], np.float32),
    }
    _, changed = fold_forward(graph, weights)
    # s = 4 / 2, 6 / 3; t = 7 - 2 * 2, 1 - 2 * 0; weight 10 * 2, 100 * 2; bias 5 + 10 * 3 + 100 * 1
    assert changed["a.weight"].reshape(-1).tolist() == [20, 200]
    assert changed["a.bias"].tolist() == [135]


@pytest.mark.parametrize("fold", [fold_batch_norm, fold_forward])
def test_a_negative_variance_is_refused_by_name(fold: Any) -> None:
    n = net()
    x = n("conv", n("bn", "image", label="first"), c=4, k=1)
    graph = n.graph(y=n("bn", x, label="second"))
    weights = randomised(graph)
    for name in ("first.running_var", "second.running_var"):
        weights[name][1] = -1
    with pytest.raises(Fault, match=r"(first|second)\.running_var has -1") as caught:
        fold(graph, weights)
    assert caught.value.code == "N405"


def test_a_negative_variance_beside_a_nan_is_refused_by_name() -> None:
    n = net()
    graph = n.graph(y=n("bn", n("conv", "image", c=4, k=1), label="first"))
    weights = randomised(graph)
    weights["first.running_var"][:2] = [np.nan, -1]
    with pytest.raises(Fault, match=r"first\.running_var has -1"):
        fold_batch_norm(graph, weights)


# --- how the weights are made


@pytest.mark.parametrize("fold", [fold_batch_norm, fold_forward])
def test_no_weight_is_made_before_it_is_asked_for(fold: Any) -> None:
    n = net()
    x = n("conv", n("bn", "image"), label="large", c=4, k=1)
    graph = n.graph(y=n("bn", x))
    held = randomised(graph)

    class Watched(Made):
        def pieces(self, of: int = 1) -> Any:
            raise AssertionError("a large weight was read")

    weights: Weights = Lazy(
        {
            name: Watched(array.shape, array.dtype) if name == "large.weight" else lambda array=array: array
            for name, array in held.items()
        }
    )
    _, changed = fold(graph, weights)
    with pytest.raises(AssertionError, match="was read"):
        changed["large.weight"]


@pytest.mark.parametrize("of", [1, 7, 12])
def test_weights_made_piece_by_piece_are_those_made_whole(of: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.weights.tensors.PIECE", 40)  # elements
    n = net(c=6)
    x = n("conv", n("bn", "image"), label="a", c=8, k=3, groups=2)
    graph = n.graph(y=n("bn", n("fc", n("flatten", n("bn", x, label="inner")), label="f", c=21)))
    weights = randomised(graph)
    folded, changed = fold_forward(*fold_batch_norm(graph, weights))
    same(answers(graph, weights), answers(folded, changed), to=2e-6)
    assert isinstance(changed, Lazy)
    for name in ("a.weight", "a.bias", "f.weight", "f.bias"):
        held = [(piece, piece.copy()) for piece in pieces(changed.maker(name), of)]
        assert all(np.array_equal(piece, copy) for piece, copy in held), name  # none changed while the next was made
        assert np.array_equal(np.concatenate([piece for piece, _ in held]), changed[name].reshape(-1)), name
        assert all(piece.size % of == 0 for piece, _ in held[:-1]), name


def test_equal_layers_stay_one() -> None:
    n = net()
    x, op = "image", layer("conv", c=4, k=1, bias=False)
    for _ in range(3):
        x = n("relu", n("bn", n("conv", x, c=4, k=1, bias=False)))
    graph = n.graph(y=x)
    nodes = tuple(node._replace(op=op) if node.op == op else node for node in graph.nodes)
    folded = backward(Graph(graph.name, graph.inputs, graph.outputs, nodes, graph.regions))
    assert len({id(node.op) for node in folded.nodes if node.op.kind == "conv"}) == 1
