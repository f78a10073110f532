"""Batch norm's statistics, measured: with ones drawn at random a net of hundreds of layers may amplify rounding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from netc.backends.verify.network import answers, network
from netc.graph import Graph
from netc.ops.bn import Bn
from netc.weights import Array, Weights

EXAMPLES = 4


def calibrated(graph: Graph, weights: Weights, feed: Mapping[str, Array]) -> dict[str, Array]:
    """The weights with each batch norm's statistics those of what enters it, for the feed's first examples.

    A channel that hardly varies would be amplified without end: its variance counts as a tenth of the mean one.
    """
    net = network(graph, weights, np.float64)
    found = {name: weights[name] for name, _ in graph.parameters()}

    def measure(name: str, norm: torch.nn.Module, operands: tuple[torch.Tensor, ...]) -> None:
        x = operands[0].transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(x, 1)
        variance = variance.maximum(variance.mean() / 10)
        for statistic, value in (("running_mean", mean), ("running_var", variance)):
            found[f"{name}.{statistic}"] = value.numpy().astype(np.float32)
            dict(norm.named_buffers())[statistic].copy_(value.float())  # what is measured behind it is what they make

    for name in {node.weights for node in graph.nodes if isinstance(node.op, Bn)}:
        hook: Any = partial(measure, name)
        net.get_submodule(name).register_forward_pre_hook(hook)
    few = {name: array[:EXAMPLES] for name, array in feed.items()}
    answers(graph, net, few, np.float64)
    return found
