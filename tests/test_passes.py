"""Passes: the same answers from a smaller graph, and a structure that is checked after each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch

from netc import api, passes
from netc.backends.torch import as_tensor, module
from netc.diagnostic import Fault
from netc.graph import Graph, Requirement
from netc.ops.bn import Bn
from netc.passes.deploy import deploy
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.identity import drop_identities
from netc.passes.verify_graph import verify_graph
from netc.weights import Weights
from tests.graphs import Net, bottleneck, randomised, resnet


def answers(graph: Graph, weights: Weights, seed: int = 0) -> dict[str, npt.NDArray[np.float64]]:
    """What the graph computes at inference, in float64 torch."""
    net = module(graph, weights).double().eval()
    random = np.random.RandomState(seed)
    xs = [as_tensor(random.standard_normal((3, *[cast(int, d) for d in i.type.dims[1:]]))) for i in graph.inputs]
    with torch.no_grad():
        y: Any = net(*xs)
    named = cast(dict[str, Any], y if isinstance(y, dict) else {graph.outputs[0].name: y})
    return {name: tensor.numpy() for name, tensor in named.items()}


def same(graph: Graph, weights: Weights, after: Graph, changed: Weights) -> None:
    """Both graphs compute the same, up to the rounding of weights to float32 once."""
    a, b = answers(graph, weights), answers(after, changed)
    assert set(a) == set(b)
    for name, values in a.items():
        np.testing.assert_allclose(b[name], values, rtol=0, atol=2e-6 * np.abs(values).max())


def heads() -> Graph:
    net = Net("Heads", image=("N", 3, 8, 8), hint=("N", 4, 1, 1))
    x = net("relu", net("conv", "image", label="stem", c=4, k=3))
    with net.block("aux", "head"):
        a = net("fc", net("flatten", net("mul", x, "hint")), label="fc", c=5)
    y = net("dropout", net("flatten", net("gap", net("id", x, label="trunk"))))
    return net.graph(train_only=("aux",), scores=net("fc", y, label="fc", c=5), aux=a)


def test_deploy_leaves_out_what_only_training_needs() -> None:
    graph = heads()
    after, weights = deploy(graph, randomised(graph))
    verify_graph(after)
    assert [o.name for o in after.outputs] == ["scores"]
    assert [i.name for i in after.inputs] == ["image"]  # `hint` fed the head alone
    assert [n.name for n in after.nodes] == ["stem", "relu", "trunk", "gap", "flatten", "dropout", "fc"]
    assert list(weights) == ["stem.weight", "stem.bias", "fc.weight", "fc.bias"]
    assert [(r.start, r.stop) for r in after.regions] == [(0, 7), (2, 2)]


def test_deploy_keeps_an_input_that_alone_binds_a_symbol() -> None:
    net = Net("Bound", image=("N", 3, 4, 4), other=("N", 3, "H", 4))
    y = net("conv", "image", label="a", c=2, k=1)
    aux = net("conv", "other", label="b", c=2, k=1)
    fact = Requirement([">", "H", 3], "H > 3", "")
    assert len(deploy(net.graph(train_only=("aux",), y=y, aux=aux), {})[0].inputs) == 1
    assert len(deploy(net.graph(train_only=("aux",), requires=(fact,), y=y, aux=aux), {})[0].inputs) == 2


def test_deploy_keeps_weights_whose_first_application_went() -> None:
    net = Net("Shared", image=("N", 3, 4, 4))
    aux = net("conv", "image", label="a", c=3, k=1)
    y = net("conv", net("relu", "image"), label="b", weights="a", c=3, k=1)
    graph = net.graph(train_only=("aux",), y=y, aux=aux)
    weights = randomised(graph)
    after, kept = deploy(graph, weights)
    assert list(kept) == ["a.weight", "a.bias"]
    assert np.array_equal(answers(after, kept)["y"], answers(graph, weights)["y"])


def test_identities_go_and_readers_read_what_entered() -> None:
    graph, weights = deploy(heads(), randomised(heads()))
    after, kept = drop_identities(graph, weights)
    verify_graph(after)
    assert [n.name for n in after.nodes] == ["stem", "relu", "gap", "flatten", "fc"]
    same(graph, weights, after, kept)


def test_an_identity_may_be_all_there_is() -> None:
    net = Net("Nothing", image=("N", 3, 4, 4))
    graph = net.graph(y=net("dropout", net("id", "image")))
    after, _ = drop_identities(graph, {})
    verify_graph(after)
    assert after.nodes == ()
    assert after.outputs[0].value == "image"


@pytest.mark.parametrize(
    "layer",
    [
        {"kind": "conv", "c": 6, "k": 3},
        {"kind": "conv", "c": 6, "k": 3, "groups": 2, "pad": 1, "bias": False},
        {"kind": "upconv", "c": 6, "k": 2, "stride": 2},
        {"kind": "upconv", "c": 6, "k": 3, "groups": 2, "bias": False},
        {"kind": "upconv", "c": 4, "k": 3, "groups": 4},
        {"kind": "depthwise", "k": 3, "mult": 2, "bias": False},
        {"kind": "depthwise", "k": (1, 3), "pad": "half"},
        {"kind": "local", "c": 6, "k": 3, "stride": 2},
        {"kind": "local", "c": 3, "k": (2, 3), "bias": False},
    ],
)
def test_a_batch_norm_behind_a_convolution_is_folded(layer: dict[str, Any]) -> None:
    net = Net("Fold", image=("N", 4, 7, 5))
    layer = dict(layer)
    y = net("bn", net(layer.pop("kind"), "image", label="a", **layer), label="b", eps=0.01)
    graph = net.graph(y=net("relu", y))
    weights = randomised(graph)
    after, kept = passes.run(graph, weights)
    assert [n.name for n in after.nodes] == ["a", "relu"]
    assert list(kept) == ["a.weight", "a.bias"]
    assert all(a.dtype == np.float32 for a in kept.values())
    same(graph, weights, after, kept)


def test_a_batch_norm_behind_a_fully_connected_layer_is_folded() -> None:
    net = Net("Fold", features=("N", 4))
    graph = net.graph(y=net("bn", net("dropout", net("fc", "features", label="a", c=3)), label="b"))
    weights = randomised(graph)
    after, kept = passes.run(graph, weights)
    assert [n.name for n in after.nodes] == ["a"]
    same(graph, weights, after, kept)


def test_folding_is_worked_by_hand() -> None:
    net = Net("Hand", image=("N", 1, 1, 1))
    graph = net.graph(y=net("bn", net("conv", "image", label="a", c=1, k=1), label="b", eps=1.0))
    one = {n: np.full(p.shape, 0, np.float32) for n, p in graph.parameters()}
    one |= {
        "a.weight": np.full((1, 1, 1, 1), 3, np.float32),
        "a.bias": np.array([5], np.float32),
        "b.weight": np.array([4], np.float32),
        "b.bias": np.array([7], np.float32),
        "b.running_mean": np.array([2], np.float32),
        "b.running_var": np.array([3], np.float32),
    }
    _, kept = fold_batch_norm(graph, one)
    # s = 4 / sqrt(3 + 1) = 2; weight 2 * 3 = 6; bias 7 + 2 * (5 - 2) = 13
    assert (kept["a.weight"].item(), kept["a.bias"].item()) == (6, 13)


def test_what_others_read_or_share_is_not_folded() -> None:
    net = Net("Kept", image=("N", 3, 6, 6))
    a = net("conv", "image", label="a", c=3, k=1)
    y = net("bn", a, label="a_bn")  # a has a second reader, `add`
    b = net("bn", net("conv", y, label="b", c=3, k=1), label="b_bn")
    c = net("bn", net("conv", b, label="c", weights="b", c=3, k=1), label="c_bn")  # shares the conv
    d = net("bn", net("conv", c, label="d", c=3, k=1), label="d_bn", weights="b_bn")  # shares the norm
    e = net("conv", d, label="e", c=3, k=1)
    f = net("bn", net("maxpool", net("bn", "image", label="first"), k=1), label="pooled")
    graph = net.graph(y=net("add", net("bn", e, label="e_bn"), a, f), e=e)  # e is an output itself
    weights = randomised(graph)
    after, kept = fold_batch_norm(graph, weights)
    # c's norm is its own, but its convolution is b's.
    assert [n.name for n in after.nodes] == [n.name for n in graph.nodes]
    assert {n: a.tobytes() for n, a in kept.items()} == {n: a.tobytes() for n, a in weights.items()}


def test_a_negative_variance_is_refused_by_name() -> None:
    net = Net("Bad", image=("N", 3, 6, 6))
    graph = net.graph(y=net("bn", net("conv", "image", label="a", c=2, k=1), label="norm"))
    weights = randomised(graph)
    weights["norm.running_var"][1] = -1
    with pytest.raises(Fault, match=r"norm.running_var has -1") as caught:
        fold_batch_norm(graph, weights)
    assert caught.value.code == "N405"


def test_resnet50_folds_all_its_53_batch_norms(root: Path) -> None:
    graph = api.load(f"{root}/specs/resnet.cnn:ResNet50")
    after, _ = passes.run(graph, randomised(graph))
    assert sum(isinstance(n.op, Bn) for n in graph.nodes) == 53
    assert not any(isinstance(n.op, Bn) for n in after.nodes)
    # and the source of what is left is a net of blocks still
    assert {r.block for r in after.regions if r.stop > r.start} >= {"bottleneck", "project"}


def test_a_residual_net_answers_the_same_after_the_pipeline() -> None:
    graph = resnet((2, 1), 32, 10).graph(scores="fc")
    weights = randomised(graph)
    after, kept = passes.run(graph, weights)
    same(graph, weights, after, kept)


def test_passes_leave_what_they_were_given() -> None:
    graph = resnet((1,), 32, 10).graph(scores="fc")
    weights = randomised(graph)
    before = {n: a.tobytes() for n, a in weights.items()}
    passes.run(graph, weights)
    assert {n: a.tobytes() for n, a in weights.items()} == before
    assert len(graph.nodes) == len(resnet((1,), 32, 10).nodes)


def tiny() -> Graph:
    net = Net("Tiny", image=("N", 3, 8, 8))
    return net.graph(y=bottleneck(net, "image", "b", 2, project=True))


def test_a_broken_graph_is_named_with_the_passes_that_ran() -> None:
    graph = tiny()
    first, second, *rest = graph.nodes

    def broken(changed: Graph) -> str:
        def change(_graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
            return changed, weights

        with pytest.raises(AssertionError) as caught:
            passes.run(graph, {}, [deploy, change])
        return str(caught.value)

    said = broken(replace(graph, nodes=(second, first, *rest)))
    assert "b.bn1" in said
    assert "reads b.conv1, which nothing before it makes" in said
    assert "(after deploy -> change)" in said
    assert "the name is taken" in broken(replace(graph, nodes=(first, first, *rest)))
    assert "its rule says" in broken(replace(graph, nodes=(first._replace(type=graph.inputs[0].type), second, *rest)))
    assert "which does not exist" in broken(replace(graph, outputs=(graph.outputs[0]._replace(value="none"),)))
    root, block, *inner = graph.regions
    assert "is not within its parent" in broken(replace(graph, regions=(root, block._replace(stop=99), *inner)))
    assert "outside its region" in broken(replace(graph, regions=(root, block._replace(start=5), *inner)))


def test_every_spec_of_the_zoo_passes(root: Path) -> None:
    for spec in sorted((root / "specs").glob("*.cnn")):
        for graph in api.check(spec).graphs.values():
            if len(graph.nodes) < 1000:
                verify_graph(graph)
