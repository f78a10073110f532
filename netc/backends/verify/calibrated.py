"""Weights under which a deep net keeps float32's rounding small, so that an error of ours stands out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from netc.backends.verify.network import answers, network
from netc.graph import Graph
from netc.ops.add import Add
from netc.ops.bn import Bn
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.fc import Fc
from netc.ops.upconv import Upconv
from netc.weights import Array, Weights

EXAMPLES = 4
LINEAR = (Conv, Depthwise, Fc, Upconv)


def calibrated(graph: Graph, weights: Weights, feed: Mapping[str, Array]) -> dict[str, Array]:
    """The weights, fitted to what the net makes of the feed's first examples.

    Each batch norm has the statistics of what enters it; a channel that hardly varies would be amplified without end,
    and its variance counts as a tenth of the mean one. A net without batch norm has layers that answer with mean 0 and
    variance 1 (Mishkin & Matas, arXiv:1511.06422), where weights are applied once.
    """
    net = network(graph, weights, np.float64)
    found = {name: weights[name] for name, _ in graph.parameters()}

    def statistics(name: str, norm: torch.nn.Module, operands: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(_channels(operands[0]), 1)
        variance = variance.maximum(variance.mean() / 10)
        _put(found, f"{name}.running_mean", dict(norm.named_buffers())["running_mean"], mean)
        _put(found, f"{name}.running_var", dict(norm.named_buffers())["running_var"], variance)

    def scale(name: str, layer: torch.nn.Module, _: Any, answer: torch.Tensor) -> torch.Tensor:
        tensors = dict(layer.named_parameters())
        variance, mean = torch.var_mean(_channels(answer), 1)
        scale = variance.mean().sqrt().clamp_min(1e-12)
        ones = (1, -1, *[1] * (answer.dim() - 2))
        _put(found, f"{name}.weight", tensors["weight"], tensors["weight"] / scale)
        if "bias" not in tensors:
            return answer / scale
        _put(found, f"{name}.bias", tensors["bias"], (tensors["bias"] - mean) / scale)
        return (answer - mean.view(ones)) / scale

    norms = {node.weights for node in graph.nodes if isinstance(node.op, Bn)}
    applied = Counter(node.weights for node in graph.nodes)
    for name in norms:
        hook: Any = partial(statistics, name)
        net.get_submodule(name).register_forward_pre_hook(hook)
    for node in graph.nodes if not norms else ():
        if isinstance(node.op, LINEAR) and applied[node.weights] == 1:
            hook = partial(scale, node.weights)
            net.get_submodule(node.weights).register_forward_hook(hook)
    few = {name: array[:EXAMPLES] for name, array in feed.items()}
    answers(graph, net, few, np.float64)
    return found


def eased(graph: Graph, weights: Weights) -> dict[str, Array]:
    """The weights with batch norms that let hundreds of layers follow each other; they are to be calibrated then.

    A norm before an addition is divided by the root of their number, as residual nets are begun without any (Zhang et
    al., arXiv:1901.09321). Any other is raised by 1, so that most of what enters a relu passes it: the less is cut off,
    the less a layer amplifies differences.
    """
    found = {name: weights[name] for name, _ in graph.parameters()}
    added = {name for node in graph.nodes if isinstance(node.op, Add) for name in node.inputs}
    count = sum(isinstance(node.op, Add) for node in graph.nodes)
    for node in graph.nodes:
        if not isinstance(node.op, Bn):
            continue
        if node.name in added:
            found[f"{node.weights}.weight"] = weights[f"{node.weights}.weight"] / np.float32(count**0.5)
        else:
            found[f"{node.weights}.bias"] = weights[f"{node.weights}.bias"] + np.float32(1)
    return found


def _channels(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(0, 1).flatten(1)


def _put(found: dict[str, Array], name: str, tensor: torch.Tensor, value: torch.Tensor) -> None:
    # What is rounded to float32 is what the net goes on with.
    found[name] = value.numpy().astype(np.float32)
    tensor.copy_(value.float())
