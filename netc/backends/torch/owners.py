"""Where each module lies: where its weights are first applied; and the names that torch cannot have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from netc.backends import python_text as text
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Call, Inline, Weight


class Owners:
    """By path: the node that owns a module, and of every prefix the first and the last module below it.

    Raises: Fault N440 where torch cannot have the net's names: an empty component, a layer named like the tensor of
    another layer, or a layer below a name that is a tensor's.
    """

    def __init__(self, graph: Graph, calls: Sequence[Call]) -> None:
        self.node: dict[str, int] = {}
        self.extent: dict[str, tuple[int, int]] = {}
        tensors = Counter(name for name, _ in graph.parameters())
        nameless = {node.weights for node, call in zip(graph.nodes, calls, strict=True) if isinstance(call, Weight)}
        for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
            path = node.weights
            if isinstance(call, Inline) or path in self.node:
                continue
            parts = path.split(".")
            if not all(parts) or "training" in parts or tensors[path] > (path in nameless):
                _refuse(path, f"{text.plain(path)} at {text.place(node.where)}")
            self.node[path] = index
            while path := path.rpartition(".")[0]:
                if path in nameless:
                    at = f"{text.plain(node.weights)} at {text.place(node.where)}"
                    raise Fault(
                        "N440",
                        f"{at}: {text.plain(path)} is a tensor, and nothing lies below one",
                        help="give one of them another label",
                    )
                self.extent[path] = (self.extent.get(path, (index, index))[0], index)


def _refuse(path: str, at: str) -> None:
    parts = path.split(".")
    if not all(parts):
        raise Fault("N440", f"{at}: a part of this path is empty, which no module's name may be in torch")
    help = "give the layer another label"
    if "training" in parts:
        raise Fault("N440", f"{at}: torch keeps `training` for itself", help=help)
    raise Fault("N440", f"{at}: {text.plain(path.rpartition('.')[0])} has a tensor of this name", help=help)
