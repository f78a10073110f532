"""Layers without state as modules: `F.relu(x)` is nn.ReLU() where it stands in an nn.Sequential."""

from __future__ import annotations

import re

# Arguments after the first are the same in both forms, in number, order and name.
MODULES = {
    "F.adaptive_avg_pool1d": "nn.AdaptiveAvgPool1d",
    "F.adaptive_avg_pool2d": "nn.AdaptiveAvgPool2d",
    "F.adaptive_avg_pool3d": "nn.AdaptiveAvgPool3d",
    "F.adaptive_max_pool1d": "nn.AdaptiveMaxPool1d",
    "F.adaptive_max_pool2d": "nn.AdaptiveMaxPool2d",
    "F.adaptive_max_pool3d": "nn.AdaptiveMaxPool3d",
    "F.avg_pool1d": "nn.AvgPool1d",
    "F.avg_pool2d": "nn.AvgPool2d",
    "F.avg_pool3d": "nn.AvgPool3d",
    "F.channel_shuffle": "nn.ChannelShuffle",
    "F.dropout": "nn.Dropout",
    "F.elu": "nn.ELU",
    "F.gelu": "nn.GELU",
    "F.hardsigmoid": "nn.Hardsigmoid",
    "F.hardswish": "nn.Hardswish",
    "F.leaky_relu": "nn.LeakyReLU",
    "F.local_response_norm": "nn.LocalResponseNorm",
    "F.log_softmax": "nn.LogSoftmax",
    "F.max_pool1d": "nn.MaxPool1d",
    "F.max_pool2d": "nn.MaxPool2d",
    "F.max_pool3d": "nn.MaxPool3d",
    "F.relu": "nn.ReLU",
    "F.relu6": "nn.ReLU6",
    "F.silu": "nn.SiLU",
    "F.softmax": "nn.Softmax",
    "torch.flatten": "nn.Flatten",
    "torch.sigmoid": "nn.Sigmoid",
    "torch.tanh": "nn.Tanh",
}
FUNCTIONS = {module: function for function, module in MODULES.items()}


def as_module(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The module's class and its arguments' texts, for an expression over the operand `{0}`; None where torch has none.

    `F.max_pool2d({0}, 3, stride=2)` is `nn.MaxPool2d` with `3` and `stride=2`.
    """
    inner = r"(?:[^(){}]|\([^(){}]*\))*?"
    found = re.fullmatch(rf"((?:F|torch)\.\w+)\(\{{0\}}(?:, ({inner}))?(, \{{training\}})?\)", text)
    if found is None or found[1] not in MODULES or (found[3] is not None) != (found[1] == "F.dropout"):
        return None
    return MODULES[found[1]], tuple(re.split(r", (?![^(]*\))", found[2])) if found[2] else ()
