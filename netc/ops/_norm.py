"""What normalisations without running statistics, and factors a channel, share."""

from __future__ import annotations

from netc.op import OnnxGraph
from netc.tensor import TensorType

NORM_FOREIGN = {
    "epsilon": "eps",
    "num_channels": "the channels are known from what enters: leave `num_channels` out",
    "normalized_shape": "the shape is known from what enters: leave `normalized_shape` out",
}


def a_channel(g: OnnxGraph, name: str, x: TensorType) -> str:
    """The layer's tensor `name` of shape (C), reshaped to (C, 1, 1) so that it meets the channels of `x`."""
    return g.node("Unsqueeze", g.param(name), g.ints(range(1, 1 + x.rank))) if x.rank else g.param(name)
