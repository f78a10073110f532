"""A graph while a pass changes it: layers replaced or taken out, and at the end a whole graph without dead layers."""

from __future__ import annotations

from netc.graph import Graph, Node
from netc.passes.rewriting import needed, rewritten
from netc.tensor import TensorType
from netc.weights import Weights


class Draft:
    """A graph in the making. What it tells of a value is what stands there now, earlier changes included."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._changed: dict[str, Node] = {}
        self._instead: dict[str, str] = {}

    def value(self, name: str) -> str:
        """The value that is read where `name` was."""
        while name in self._instead:
            name = self._instead[name]
        return name

    def maker(self, name: str) -> Node | None:
        """The layer that makes a value; None for an input."""
        name = self.value(name)
        return self._changed.get(name) or self.graph.node.get(name)

    def type(self, name: str) -> TensorType:
        """The type of a value."""
        made = self.maker(name)
        return self.graph.types[self.value(name)] if made is None else made.type

    def types(self, node: Node) -> tuple[TensorType, ...]:
        """The types of what enters a layer."""
        return tuple([self.type(name) for name in node.inputs])

    def put(self, node: Node) -> None:
        """Let a layer stand where the one of its name stood."""
        self._changed[node.name] = node

    def drop(self, node: Node, instead: str) -> None:
        """Take a layer out; who read it reads `instead`, a value made before it."""
        self._instead[node.name] = instead

    def done(self) -> Graph:
        """The graph with the changes and without what nothing reads any more; itself where there are none."""
        if not (self._changed or self._instead):
            return self.graph
        changed, instead = self._changed, self._instead
        read = {self.value(output.value) for output in self.graph.outputs}
        nodes: list[Node | None] = []
        for node in reversed(self.graph.nodes):
            if node.name not in read:
                nodes.append(None)
                continue
            node = changed.get(node.name, node)
            nodes.append(node)
            for name in node.inputs:
                read.add(self.value(name) if name in instead else name)
        nodes.reverse()
        return rewritten(self.graph, nodes, instead)

    def with_weights(self, weights: Weights) -> tuple[Graph, Weights]:
        """What `done` gives, and those of the weights that it has a place for; both themselves without changes."""
        smaller = self.done()
        return (smaller, weights) if smaller is self.graph else (smaller, needed(weights, smaller))
