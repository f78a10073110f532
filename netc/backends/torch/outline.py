"""The graph as the torch back end reads it: how torch says each node, and which values some output needs."""

from __future__ import annotations

import re

from netc.backends.torch.alike import alike
from netc.backends.torch.owners import Owners
from netc.graph import Graph, Node
from netc.op import Call, Inline, Module


class Outline:
    """Of a graph: `calls` and `operands` by node, `same` and `last` by value.

    `same` is the value that an identity hands on, `last` the last node that reads a value, past all where it leaves.

    Raises: Fault N440 as Owners does, N425 as `alike` does.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.operands = [graph.operands(node) for node in graph.nodes]
        said: dict[str, Call] = {}
        calls: list[Call] = []
        for node, operands in zip(graph.nodes, self.operands, strict=True):
            first = graph.alike[node.name]
            if first not in said:
                said[first] = node.op.torch(*operands)
            calls.append(said[first])
        self.calls = alike(graph, calls)
        self._spoken: dict[int, list[int]] = {}
        self.owners = Owners(graph, self.calls)
        self.heads = any(output.train_only for output in graph.outputs)
        self._find_last_reads()

    def _find_last_reads(self) -> None:
        # Of values that some output needs. What an identity gives is what enters it, under one name.
        nodes = self.graph.nodes
        self.same = {i.name: i.name for i in self.graph.inputs}
        for node, call in zip(nodes, self.calls, strict=True):
            self.same[node.name] = self.same[node.inputs[0]] if call == Inline("{0}") else node.name
        self.fed = [(output, self.same[output.value]) for output in self.graph.outputs]
        self.last = {value: len(nodes) for _, value in self.fed}
        for index in reversed(range(len(nodes))):
            if nodes[index].name in self.last:
                for operand in self.spoken(index):
                    self.last.setdefault(self.same[nodes[index].inputs[operand]], index)

    def spoken(self, index: int) -> list[int]:
        """The operands that a node's line speaks of: of others only the shape counted."""
        call = self.calls[index]
        if id(call) not in self._spoken:
            said = call.before if isinstance(call, Module) else call.text
            self._spoken[id(call)] = sorted({int(number) for number in re.findall(r"\{(\d+)\}", said)})
        return self._spoken[id(call)]

    def owned(self, index: int) -> bool:
        """Whether the node's weights lie under its own name."""
        return self.owners.node.get(self.graph.nodes[index].weights) == index

    def computed(self, node: Node) -> bool:
        """Whether a line computes the node: some output needs it, and it is more than the identity."""
        return node.name in self.last and self.same[node.name] == node.name
