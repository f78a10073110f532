"""The structure every pass must leave: what is broken here is a bug of netc's, and named."""

from __future__ import annotations

from netc.graph import Graph


def verify_graph(graph: Graph, after: str = "") -> None:
    """Assert what every graph is: names are unique, values are made before they are read, types are what the layers'
    rules say, layers that share weights need equal ones, and regions nest and hold the nodes that say so.

    Raises: AssertionError with the name of the node, the region or the output; `after` says which passes ran.
    """
    said = f" (after {after})" if after else ""
    types = {i.name: i.type for i in graph.inputs}
    assert len(types) == len(graph.inputs), f"{graph.name}: two inputs have one name{said}"
    shapes: dict[str, object] = {}
    for index, node in enumerate(graph.nodes):
        at = f"{node.name} at {node.where}{said}"
        assert node.name not in types, f"{at}: the name is taken"
        for name in node.inputs:
            assert name in types, f"{at}: reads {name}, which nothing before it makes"
        operands = tuple(types[name] for name in node.inputs)
        inferred = node.op.infer(*operands)
        assert inferred == node.type, f"{at}: is {node.type}, and its rule says {inferred}"
        params = node.op.params(*operands)
        if params:
            assert shapes.setdefault(node.weights, params) == params, (
                f"{at}: does not fit the weights of {node.weights}"
            )
        region = graph.regions[node.region]
        assert region.start <= index < region.stop, f"{at}: lies outside its region {region.name or graph.name}"
        types[node.name] = node.type
    for index, region in enumerate(graph.regions):
        around = graph.regions[region.parent] if index else region
        inside = around.start <= region.start <= region.stop <= around.stop
        assert inside, f"region {region.name}: is not within its parent{said}"
    for output in graph.outputs:
        assert output.value in types, f"output {output.name}: reads {output.value}, which does not exist{said}"
        found = types[output.value]
        assert found == output.type, f"output {output.name}: is {output.type}, and {output.value} is {found}{said}"
