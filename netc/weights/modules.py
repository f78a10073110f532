"""Tensors as layers have them: those of one layer together, each in its role, whatever a library calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import NamedTuple

from netc.graph import Graph, Node
from netc.ops.bn import Bn
from netc.ops.conv import Conv
from netc.ops.depthwise import Depthwise
from netc.ops.fc import Fc
from netc.ops.local import Local
from netc.ops.upconv import Upconv
from netc.weights.stored import Found

Shape = tuple[int, ...]
Path = tuple[str, ...]

COUNTER = "num_batches_tracked"
_ROLES = {
    "weight": ("weight", "weights", "kernel", "gamma", "scale", "w", "filters", "depthwise_kernel"),
    "bias": ("bias", "biases", "beta", "offset", "b", "shift"),
    "running_mean": ("running_mean", "moving_mean", "mean"),
    "running_var": ("running_var", "moving_variance", "moving_var", "variance", "var"),
    COUNTER: (COUNTER,),
}
_ROLE = {word: role for role, words in _ROLES.items() for word in words}
_ENDING = re.compile(rf"_({'|'.join(sorted(_ROLE, key=len, reverse=True))})$")
_LINEAR = (Conv, Depthwise, Fc, Local, Upconv)


class Tensor(NamedTuple):
    """A tensor of a layer: its name, and its shape."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Module:
    """A layer that has tensors, by role. `at` counts layers in their order; `fills` are tensors with one value."""

    path: Path
    at: int
    tensors: Mapping[str, Tensor]
    kind: str = ""
    node: Node | None = None
    fills: Mapping[Tensor, float] = field(default_factory=dict[Tensor, float])

    @property
    def name(self) -> str:
        return ".".join(self.path)


def wanted(graph: Graph, *, folded: bool) -> list[Module]:
    """The layers of a net that have tensors, in its order.

    With `folded`, a batch norm behind a layer is one with it: the layer has a bias, and the norm does nothing.
    """
    modules: dict[str, Module] = {}
    into: dict[str, str] = {}  # a batch norm -> the layer that it is folded into
    for node in graph.nodes:
        if node.weights in modules or node.weights in into:
            continue
        params = node.op.params(*graph.operands(node))
        tensors = {
            name or "weight": Tensor(f"{node.weights}.{name}" if name else node.weights, param.shape)
            for name, param in params.items()
        }
        before = graph.node.get(node.inputs[0])
        if folded and isinstance(node.op, Bn) and before is not None and isinstance(before.op, _LINEAR):
            modules[before.weights] = _folded(modules[before.weights], tensors, node.op.eps)
            into[node.weights] = before.weights
        elif tensors:
            path = tuple(node.weights.split("."))
            modules[node.weights] = Module(path, len(modules), tensors, node.op.kind, node)
    return list(modules.values())


def _folded(layer: Module, norm: Mapping[str, Tensor], eps: float) -> Module:
    # weight' = weight * gamma / sqrt(var + eps) is the weight itself, to the last bit, with a variance of 1 - eps.
    fills = {norm["weight"]: 1.0, norm["running_mean"]: 0.0, norm["running_var"]: 1.0 - eps}
    if "bias" in layer.tensors:
        fills[layer.tensors["bias"]] = 0.0
    return Module(
        layer.path, layer.at, {**layer.tensors, "bias": norm["bias"]}, layer.kind, layer.node, {**layer.fills, **fills}
    )


def there(found: Found) -> list[Module]:
    """The layers that a source's names speak of, in its order."""
    modules: dict[Path, dict[str, Tensor]] = {}
    for name, stored in found.tensors.items():
        path, role = found.places.get(name) or split(name)
        of = modules.setdefault(path, {})
        of[role if role not in of else name] = Tensor(name, stored.shape)
    return [Module(path, at, tensors) for at, (path, tensors) in enumerate(modules.items())]


def split(name: str) -> tuple[Path, str]:
    """The path of a tensor's layer, and its role: `a.b.gamma` is the weight of `a.b`; so is `a/b/gamma:0`."""
    plain = re.sub(r":\d+$", "", name)
    separator = "/" if "/" in plain else "."
    parts = plain.split(separator)
    if len(parts) > 1 and parts[-1] in _ROLE:
        return tuple(parts[:-1]), _ROLE[parts[-1]]
    ending = _ENDING.search(plain) if len(parts) == 1 else None
    if ending:
        return tuple(plain[: ending.start()].split("_")), _ROLE[ending[1]]
    return tuple(parts), "weight"


def in_order(found: Found) -> bool:
    """Whether a source's order is that of a model: what belongs together stands together, and not by the alphabet."""
    names = list(found.tensors)
    if not found.ordered or (len(names) > 2 and names == sorted(names)):
        return False
    order = [found.places.get(name, split(name))[0] for name in found.tensors]
    longest = max(map(len, order), default=0)
    for length in range(1, longest + 1):
        starts = [b[:length] for a, b in pairwise([(), *order]) if a[:length] != b[:length] and len(b) >= length]
        if len(starts) != len(set(starts)):
            return False
    return True


def size(shape: Shape) -> int:
    """How many numbers."""
    return prod(shape)
