"""Measured statistics: what leaves a batch norm is what training would see."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from netc.backends.torch import module
from netc.backends.verify.calibrated import calibrated
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
