"""Weights that let an error show."""

from __future__ import annotations

import numpy as np

from netc.backends.verify.cases import SEED
from netc.graph import Graph
from netc.weights import Array


def kaiming(graph: Graph, seed: int = SEED) -> dict[str, Array]:
    """Weights that let a net's output depend on its input: He et al., arXiv:1502.01852, with random statistics."""
    random = np.random.RandomState(seed)
    made: dict[str, Array] = {}
    for name, param in graph.parameters():
        if param.dtype != "f32":
            made[name] = np.zeros(param.shape, np.int64)
        elif len(param.shape) > 1:
            scale = np.sqrt(2 / (param.size // param.shape[0]))
            made[name] = (scale * random.standard_normal(param.shape)).astype(np.float32)
        elif name.endswith(".running_var"):
            made[name] = random.uniform(1, 4, param.shape).astype(np.float32)
        elif name.endswith(".weight"):
            made[name] = random.uniform(0.5, 1.5, param.shape).astype(np.float32)
        else:
            made[name] = (0.1 * random.standard_normal(param.shape)).astype(np.float32)
    return made
