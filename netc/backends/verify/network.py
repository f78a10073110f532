"""What torch answers: the reference in float64, and float32's own way from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from netc.backends.torch import as_tensor, module
from netc.backends.verify.batches import alike, prescribed, rounds
from netc.backends.verify.float64 import convolve_wisely
from netc.backends.verify.sizes import largest, sides
from netc.graph import Graph
from netc.weights import Array, Weights

LARGEST = 2**25  # elements of one value at once: 256 MiB in float64

Float = type[np.float32] | type[np.float64]


def network(graph: Graph, weights: Weights, kind: Float) -> torch.nn.Module:
    """The net in evaluation mode, with weights of this kind."""
    with torch.device("meta"):
        built = module(graph)
    state = {
        name: as_tensor(weights[name].astype(kind if param.dtype == "f32" else np.int64))
        for name, param in graph.parameters()
    }
    built.load_state_dict(state, assign=True)
    if kind is np.float64:
        convolve_wisely(built)
    return built.eval()


def answers(graph: Graph, network: torch.nn.Module, feed: Mapping[str, Array], kind: Float) -> dict[str, Array]:
    """What a network answers, by output, a few examples at a time."""
    count = len(next(iter(feed.values())))
    step = max(1, LARGEST // largest(graph, feed))
    batches = [alike(graph, slice(start, start + step)) for start in range(0, count, step)]
    whole = prescribed(graph, sides(graph, feed))
    if whole is not None:
        batches = rounds(graph, feed, whole)
    parts: dict[str, list[Array]] = {output.name: [] for output in graph.outputs}
    with torch.inference_mode():
        for batch in batches:
            tensors = [as_tensor(feed[i.name][batch.inputs[i.name]].astype(kind)) for i in graph.inputs]
            answer: Any = network(*tensors)
            if not isinstance(answer, dict):
                answer = {graph.outputs[0].name: answer}
            for name, value in cast(dict[str, torch.Tensor], answer).items():
                parts[name].append(value.numpy())
    return {name: np.concatenate(each) for name, each in parts.items()}
