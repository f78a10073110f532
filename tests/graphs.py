"""Graphs built by hand, for tests that should not depend on the language."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from netc import ops
from netc.diagnostic import Source, Span
from netc.graph import Graph, Input, Node, Output, Region, Requirement
from netc.op import Layer
from netc.sections import Export
from netc.tensor import Side, Size, Symbol, TensorType

LINES = 2000


def layer(kind: str, **fields: Any) -> Layer:
    """A layer kind with its arguments."""
    found = ops.find(kind)
    assert found is not None, kind
    return found(**fields)


def side(size: int | str | Symbol) -> Side:
    """A number, or a symbol by its name."""
    if isinstance(size, int):
        return size
    return Size.of(Symbol(size) if isinstance(size, str) else size)


class Net:
    """A graph in the making: `x = net("conv", "image", label="conv1", c=8, k=3)`; blocks are `with net.block(...)`.

    Line numbers follow the place in the block, so that two applications of one block have the same ones.
    """

    def __init__(self, name: str, file: str = "test.cnn", **inputs: tuple[int | str | Symbol, ...]) -> None:
        self.name = name
        self.source = Source(file, "\n" * LINES)
        self.inputs: dict[str, Input] = {}
        for each, dims in inputs.items():
            batch, c, *sides = (side(d) for d in dims)
            assert isinstance(c, int)
            self.inputs[each] = Input(each, TensorType(batch, c, tuple(sides)), self.span(1))
        self.nodes: list[Node] = []
        self.regions = [Region("", name, -1, 0, 0, self.span(1))]
        self.open = [0]
        self.lines: dict[str, int] = {}
        self.path = ""
        self.starts: dict[str, int] = {}

    def span(self, line: int) -> Span:
        return Span(self.source, line - 1, line - 1)

    def type(self, value: str) -> TensorType:
        if value in self.inputs:
            return self.inputs[value].type
        return next(n.type for n in self.nodes if n.name == value)

    def __call__(self, kind: str, *xs: str, label: str = "", weights: str = "", **fields: Any) -> str:
        made = layer(kind, **fields)
        block = self.regions[self.open[-1]].block
        start = self.starts.setdefault(block, 2 + 50 * len(self.starts))
        line = self.lines[self.path] = self.lines.get(self.path, start - 1) + 1
        name = self.path + (label or self.auto(kind))
        type = made.infer(*(self.type(x) for x in xs))
        self.nodes.append(Node(name, made, xs, type, weights or name, self.span(line), self.open[-1]))
        return name

    def auto(self, kind: str) -> str:
        taken = {node.name for node in self.nodes}
        names = (kind if number == 1 else f"{kind}_{number}" for number in range(1, LINES))
        return next(name for name in names if self.path + name not in taken)

    @contextmanager
    def block(self, label: str, block: str) -> Generator[None]:
        """Nodes under `label`; an empty label is a spliced block's."""
        outer, self.path = self.path, self.path + (f"{label}." if label else "")
        name = self.path.removesuffix(".")
        self.regions.append(Region(name, block, self.open[-1], len(self.nodes), 0, self.span(1)))
        self.open.append(len(self.regions) - 1)
        yield
        index = self.open.pop()
        r = self.regions[index]
        self.regions[index] = Region(r.name, r.block, r.parent, r.start, len(self.nodes), r.where)
        self.path = outer

    def graph(
        self,
        train_only: tuple[str, ...] = (),
        requires: tuple[Requirement, ...] = (),
        export: Export | None = None,
        outputs: dict[str, str] | None = None,
        **named: str,
    ) -> Graph:
        """The graph whose outputs are `name=value`."""
        fed = {**(outputs or {}), **named}
        root = self.regions[0]
        regions = (Region("", root.block, -1, 0, len(self.nodes), root.where), *self.regions[1:])
        return Graph(
            self.name,
            tuple(self.inputs.values()),
            tuple(Output(n, v, self.type(v), self.span(1), train_only=n in train_only) for n, v in fed.items()),
            tuple(self.nodes),
            regions,
            requires=requires,
            export=export or Export(),
            texts={self.source.name: self.source.text},
        )


def bottleneck(net: Net, x: str, label: str, width: int, stride: int = 1, project: bool = False) -> str:
    """ResNet's, with torchvision's names."""
    with net.block(label, "bottleneck"):
        y = net("conv", x, label="conv1", c=width, k=1, bias=False)
        y = net("relu", net("bn", y, label="bn1"))
        y = net("conv", y, label="conv2", c=width, k=3, pad=1, stride=stride, bias=False)
        y = net("relu", net("bn", y, label="bn2"))
        y = net("bn", net("conv", y, label="conv3", c=4 * width, k=1, bias=False), label="bn3")
        short = x
        if project:
            with net.block("downsample", "project"):
                short = net("conv", x, label="0", c=4 * width, k=1, stride=stride, bias=False)
                short = net("bn", short, label="1")
        return net("relu", net("add", y, short))


def resnet(depths: tuple[int, ...] = (3, 4, 6, 3), side: int | str = 224, classes: int = 1000) -> Net:
    """ResNet with bottlenecks, up to its last value `fc`; torchvision's v1.5."""
    net = Net("ResNet", image=("N", 3, side, side))
    with net.block("", "trunk"):
        x = net("conv", "image", label="conv1", c=64, k=7, stride=2, pad=3, bias=False)
        x = net("relu", net("bn", x, label="bn1"))
        x = net("maxpool", x, k=3, stride=2, pad=1)
        for i, depth in enumerate(depths):
            for j in range(depth):
                x = bottleneck(net, x, f"layer{i + 1}.{j}", 64 * 2**i, 2 if i and not j else 1, project=not j)
    net("fc", net("flatten", net("gap", x)), label="fc", c=classes)
    return net


def randomised(graph: Graph, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Kaiming weights (arXiv:1502.01852) and random batch-norm statistics: the output depends on the input."""
    random = np.random.RandomState(seed)
    made: dict[str, npt.NDArray[Any]] = {}
    for name, param in graph.parameters():
        if param.dtype != "f32":
            made[name] = np.zeros(param.shape, np.int64)
        elif len(param.shape) > 1:
            fan_in = param.size // param.shape[0]
            made[name] = (random.standard_normal(param.shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        elif name.endswith(("running_var", "weight")):
            made[name] = random.uniform(0.5, 1.5, param.shape).astype(np.float32)
        else:
            made[name] = (0.1 * random.standard_normal(param.shape)).astype(np.float32)
    return made
