"""Measured statistics: what leaves a batch norm is what training would see."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from netc.backends.torch import module
from netc.backends.verify.calibrated import calibrated, eased
from netc.graph import Graph
from netc_runtime.golden import golden_input
from tests.graphs import Net, randomised


def two_norms() -> Graph:
    net = Net("Small", image=("N", 3, 12, 12))
    x = net("relu", net("bn", net("conv", "image", label="a", c=6, k=3), label="first"))
    x = net("bn", net("conv", x, label="b", c=5, k=3), label="second")
    return net.graph(map=x)


def test_statistics_are_those_of_torch_in_training_mode() -> None:
    graph = two_norms()
    weights = randomised(graph)
    pictures = golden_input(3, (4, 3, 12, 12))
    found = calibrated(graph, weights, {"image": pictures})
    theirs = module(graph, weights).double().train()
    for name in ("first", "second"):
        cast(Any, theirs.get_submodule(name)).momentum = 1.0  # the running statistics are the last batch's
    theirs(torch.from_numpy(pictures.astype(np.float64)))
    state = theirs.state_dict()
    for name in ("first.running_mean", "first.running_var"):
        np.testing.assert_allclose(found[name], state[name].numpy(), rtol=1e-5, atol=1e-6)
    # In training torch divides by the deviation of all 400 numbers, where the running one is of 400 - 1.
    np.testing.assert_allclose(found["second.running_mean"], state["second.running_mean"].numpy(), rtol=2e-3)
    assert np.array_equal(found["a.weight"], weights["a.weight"])


def test_a_channel_that_does_not_vary_is_not_amplified_without_end() -> None:
    graph = two_norms()
    weights = randomised(graph)
    weights["a.weight"][2] = 0
    found = calibrated(graph, weights, {"image": golden_input(3, (4, 3, 12, 12))})
    others = np.delete(found["first.running_var"], 2)
    # The mean is over all six channels, one of which is 0.
    np.testing.assert_allclose(found["first.running_var"][2], others.sum() / 6 / 10, rtol=1e-5)


def test_layers_of_a_net_without_batch_norm_answer_with_unit_variance() -> None:
    net = Net("Sigmoids", image=("N", 1, 8, 8))
    x = net("flatten", "image")
    for name in ("a", "b", "c"):
        x = net("sigmoid", net("fc", x, label=name, c=20))
    graph = net.graph(a="a", b="b", c="c", y=net("conv", "image", label="d", c=3, k=3, bias=False))
    pictures = golden_input(3, (4, 1, 8, 8))
    found = calibrated(graph, randomised(graph), {"image": pictures})
    with torch.inference_mode():
        answers = module(graph, found).double().eval()(torch.from_numpy(pictures.astype(np.float64)))
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(answers[name].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(answers[name].var(0).mean(), 1, rtol=1e-5)
    # Without a bias the mean stays.
    np.testing.assert_allclose(answers["y"].transpose(0, 1).flatten(1).var(1).mean(), 1, rtol=1e-5)


def test_eased_norms_are_smaller_before_an_addition_and_raised_elsewhere() -> None:
    net = Net("Residual", image=("N", 4, 8, 8))
    x = "image"
    for block in range(4):
        y = net("relu", net("bn", net("conv", x, label=f"a{block}", c=4, k=3, pad=1), label=f"first{block}"))
        y = net("bn", net("conv", y, label=f"b{block}", c=4, k=3, pad=1), label=f"second{block}")
        x = net("relu", net("add", x, y))
    graph = net.graph(map=x)
    weights = randomised(graph)
    found = eased(graph, weights)
    np.testing.assert_array_equal(found["second3.weight"], weights["second3.weight"] / 2)  # four additions
    np.testing.assert_array_equal(found["second3.bias"], weights["second3.bias"])
    np.testing.assert_array_equal(found["first2.bias"], weights["first2.bias"] + 1)
    np.testing.assert_array_equal(found["first2.weight"], weights["first2.weight"])
