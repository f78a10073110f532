"""Layers with the same weights are one module in torch, so what makes the module must not differ between them."""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends import python_text as text
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Call, Module


def alike(graph: Graph, calls: Sequence[Call]) -> list[Call]:
    """The calls, one a node; where inputs of two sizes pad a shared module in two ways, each pads before it instead.

    Raises: Fault N425 where shared modules differ in more than that.
    """
    found = list(calls)
    first: dict[str, int] = {}
    differing: set[str] = set()
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        if not isinstance(call, Module):
            continue
        at = first.setdefault(node.weights, index)
        if _made(found[at]) != _made(call):
            differing.add(node.weights)
    if not differing:
        return found
    for index, node in enumerate(graph.nodes):
        call = found[index]
        if node.weights in differing and isinstance(call, Module):
            found[index] = call = _padded_before(call)
            at = first[node.weights]
            if _made(found[at]) != _made(call):
                raise Fault(
                    "N425",
                    f"{text.plain(node.name)} at {text.place(node.where)} has the weights of "
                    f"{text.plain(graph.nodes[at].name)}, and torch has no module that is both",
                    help="give it weights of its own, or inputs of the same rank",
                )
    return found


def _made(call: Call) -> object:
    return (call.target, call.args, dict(call.kwargs), call.define) if isinstance(call, Module) else None


def _padded_before(call: Module) -> Module:
    pad = call.kwargs.get("padding")
    if pad is None or not call.target.startswith("nn.Conv") or call.before != "{0}":
        return call
    rank = int(call.target[-2])
    each = pad if isinstance(pad, tuple) else (pad,) * rank
    ends = tuple(end for side in reversed(each) for end in (side, side))  # F.pad's last side is first
    kwargs = {word: value for word, value in call.kwargs.items() if word != "padding"}
    return call._replace(kwargs=kwargs, before=f"F.pad({{0}}, {ends})")
