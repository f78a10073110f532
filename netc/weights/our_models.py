"""Models that netc built, as sources of weights: whether their tensors are still what they were built from.

Their tensors have the net's names, but passes may have changed the numbers: a batch norm that is folded is missing and
so is noticed, a scale of the pixels or another order of features is not.
"""

from __future__ import annotations

from netc.diagnostic import Fault
from netc.graph import Graph
from netc.ops.flatten import Flatten
from netc.weights.examine import digest
from netc.weights.stored import Found
from netc.weights.tensors import Weights, chosen

COUNTER = "num_batches_tracked"
_WAY_OUT = "use the weights that the model was built from"


def refuse_changed(found: Found, graph: Graph) -> None:
    """Raises: Fault N448 for a model whose tensors are others than the net's under the same names."""
    if found.manifest is None:
        return
    embedded = found.manifest.get("embed")
    why = ""
    if isinstance(embedded, list) and "preprocess" in embedded:
        why = "takes raw pixels: its first layer is scaled for them"
    elif found.manifest.get("precision", "f32") != "f32":
        why = f"has its numbers in {found.manifest['precision']}"
    elif any(isinstance(node.op, Flatten) and node.op.order != "chw" for node in graph.nodes):
        why = "has the features behind a `flatten` in another order than the net"
    if why:
        raise Fault("N448", f"{found.name}: this model of netc's {why}", help=_WAY_OUT)


def refuse_other(found: Found, graph: Graph, weights: Weights) -> None:
    """Raises: Fault N448 where the model tells a digest of what it was built from, and the weights have another.

    torch's counters count there and are in no model: a net with batch norms cannot be told so.
    """
    if found.manifest is None:
        return
    deployed = {node.weights for node in graph.nodes if node.name in graph.deployed}
    names = [n for n, _ in graph.parameters() if n in deployed or n.rpartition(".")[0] in deployed]
    if any(name.endswith(COUNTER) for name in names) or any(name not in weights for name in names):
        return
    if digest(chosen(weights, names)) != found.manifest.get("weights_blake3"):
        raise Fault("N448", f"{found.name}: its tensors are not those that this model was built from", help=_WAY_OUT)
