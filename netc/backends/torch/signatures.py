"""What torch calls the arguments of its layers, and their defaults, without torch: a test holds them against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from netc.op import Argument

Kind = str
"""What a number counts. Only alike ones are expressed by one another: `channels`, `window` (in pixels), `count` (of
modules), `flag`, `real`, `function` or `other`, which may count anything."""


class Signature(NamedTuple):
    """The positional arguments' names, and the keywords with their defaults in the order they are written."""

    positional: tuple[str, ...]
    keywords: Mapping[str, Argument]


_CONV: Mapping[str, Argument] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
_UPCONV: Mapping[str, Argument] = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "groups": 1,
    "bias": True,
    "dilation": 1,
}
SIGNATURES = {
    "nn.Conv": Signature(("in_channels", "out_channels", "kernel_size"), _CONV),
    "nn.ConvTranspose": Signature(("in_channels", "out_channels", "kernel_size"), _UPCONV),
    "nn.BatchNorm": Signature(("num_features",), {"eps": 1e-5, "momentum": 0.1}),
    "nn.Linear": Signature(("in_features", "out_features"), {"bias": True}),
    "nn.GroupNorm": Signature(("num_groups", "num_channels"), {"eps": 1e-5}),
    "nn.LayerNorm": Signature(("normalized_shape",), {"eps": 1e-5}),
    "nn.PReLU": Signature(("num_parameters",), {}),
}

_CHANNELS = """
c channels groups in_channels in_features normalized_shape num_channels num_features num_groups num_parameters
out_channels out_features
"""
CHANNELS = frozenset(_CHANNELS.split())
"""Arguments that count channels."""
WINDOW = frozenset(["dilation", "k", "kernel_size", "output_padding", "padding", "stride"])
"""Arguments that count pixels of a window."""
PLAIN = {
    "num_channels": "channels",
    "num_features": "channels",
    "num_groups": "groups",
    "normalized_shape": "channels",
    "num_parameters": "channels",
    "k": "kernel_size",
    "pad": "padding",
    "c": "channels",
}
"""What a parameter is called that stands for an argument of this name."""
DEFAULTS: Mapping[str, Argument] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
"""Of parameters that stand for an argument of torch's, and whose block says nothing."""


def signature(target: str, define: str = "") -> Signature:
    """Of a layer by its name, the number of sides aside, or by its source; without names where it is not known."""
    base = re.match(r"class \w+\((nn\.\w+)\)", define)
    known = SIGNATURES.get(re.sub(r"\dd$", "", base[1] if base else target))
    if known is not None:
        return known
    taken = re.search(r"def __init__\(\s*self,([^)]*)\)", define)
    return Signature(tuple(re.findall(r"(\w+): (?!.*=)", taken[1])) if taken else (), {})


def kind_of(name: str, value: object) -> Kind:
    """What an argument of this name counts."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, float):
        return "real"
    if not isinstance(value, int) and name not in WINDOW:
        return "other"
    return "channels" if name in CHANNELS else "window" if name in WINDOW else "other"
