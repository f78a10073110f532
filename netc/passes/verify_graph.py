"""The structure every pass must leave: what is broken here is a bug of netc's, and named."""

from __future__ import annotations

from collections.abc import Mapping

from netc.graph import Graph, Node
from netc.op import Param
from netc.tensor import TensorType


def verify_graph(graph: Graph, after: str = "") -> None:
    """Assert what every graph is: names are unique, values are made before they are read, types are what the layers'
    rules say, layers that share weights need equal ones, and regions nest and hold the nodes that say so.

    Raises: AssertionError with the name of the node, the region or the output; `after` says which passes ran.
    """
    said = f" (after {after})" if after else ""
    types = {i.name: i.type for i in graph.inputs}
    assert len(types) == len(graph.inputs), f"{graph.name}: two inputs have one name{said}"
    shapes: dict[str, object] = {}
    asked: dict[tuple[int, ...], tuple[TensorType, Mapping[str, Param]]] = {}
    for index, node in enumerate(graph.nodes):
        assert node.name not in types, f"{_at(node)}{said}: the name is taken"
        for name in node.inputs:
            assert name in types, f"{_at(node)}{said}: reads {name}, which nothing before it makes"
        key = id(node.op), *[id(types[name]) for name in node.inputs]
        if key not in asked:
            operands = [types[name] for name in node.inputs]
            asked[key] = node.op.infer(*operands), node.op.params(*operands)
        inferred, params = asked[key]
        assert inferred == node.type, f"{_at(node)}{said}: is {node.type}, and its rule says {inferred}"
        if params:
            assert shapes.setdefault(node.weights, params) == params, (
                f"{_at(node)}{said}: does not fit the weights of {node.weights}"
            )
        region = graph.regions[node.region]
        assert region.start <= index < region.stop, (
            f"{_at(node)}{said}: lies outside its region {region.name or graph.name}"
        )
        types[node.name] = node.type
    for index, region in enumerate(graph.regions):
        around = graph.regions[region.parent] if index else region
        inside = around.start <= region.start <= region.stop <= around.stop
        assert inside, f"region {region.name}: is not within its parent{said}"
    for output in graph.outputs:
        assert output.value in types, f"output {output.name}: reads {output.value}, which does not exist{said}"
        found = types[output.value]
        assert found == output.type, f"output {output.name}: is {output.type}, and {output.value} is {found}{said}"


def _at(node: Node) -> str:
    return f"{node.name} at {node.where}"
