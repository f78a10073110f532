"""A graph in ONNX's nodes. Each layer says once how it lowers, for equal layers that take equal types.

Names are the graph's: a node, its value, and `state_dict`'s for the initializers; the outputs have the spec's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.backends.onnx import wire
from netc.diagnostic import Fault, Span
from netc.graph import Graph, Node
from netc.op import Attribute, Operand, Param
from netc.tensor import TensorType


class Step(NamedTuple):
    """An ONNX node: its kind, what it reads and makes, and its attributes as bytes."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: bytes


class Lowering(NamedTuple):
    """How a layer is said in ONNX: steps over names in angle brackets, which stand for others.

    `operands` stand for what enters, `params` for the layer's tensors; `result` is one of these or a step's output.
    What is no such name is a constant's own.
    """

    operands: tuple[Operand, ...]
    params: dict[str, str]
    steps: tuple[Step, ...]
    result: str


class Lowered:
    """A graph in ONNX's nodes, each as bytes; `params` are the tensors that they read, in order.

    Raises: Fault N420 where a layer needs a newer opset, N421 for an input and an output of one name.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        self.source = graph
        self.opset = opset
        self.nodes: list[bytes] = []
        self.params: dict[str, Param] = {}
        self.names = {i.name: i.name for i in graph.inputs}  # the graph's value -> the ONNX value
        self.lowerings: dict[str, tuple[Node, Lowering]] = {}  # by the first of nodes that are alike
        self._known = dict(graph.parameters())
        inputs, outputs = set(self.names), {o.name for o in graph.outputs}
        if inputs & outputs:
            both = min(inputs & outputs)
            raise Fault(
                "N421", f"{graph.name}: an input and an output are both named `{both}`", help="rename one of them"
            )
        self._values = {"", *inputs, *outputs, *self._known}  # names in use, by values and initializers
        self._labels: set[str] = set()  # names in use, by ONNX nodes
        self.constants = Constants(self._values)
        self._places: dict[int, bytes] = {}
        self._refuse_older_opset()
        self._build()

    def of_others(self) -> list[tuple[Node, Lowering]]:
        """The ways of lowering that layers of other packages than netc have."""
        found = self.lowerings.values()
        return [each for each in found if type(each[0].op).__module__.partition(".")[0] != "netc"]

    def _refuse_older_opset(self) -> None:
        newest = max((node.op.opset for node in self.source.nodes), default=0)
        for node in self.source.nodes:
            if node.op.opset > self.opset:
                raise Fault(
                    "N420",
                    f"`{node.op.kind}` needs opset {node.op.opset}, and the export's is {self.opset}: "
                    f"{node.name} at {place(node.where)}",
                    help=f"the lowest opset that has all of {self.source.name}'s layers is {newest}: "
                    f"write opset = {newest} in the export section, or pass --opset {newest}",
                )

    def _build(self) -> None:
        feeds: dict[str, str] = {}  # the graph's value -> the first output it feeds
        for output in self.source.outputs:
            feeds.setdefault(output.value, output.name)
        written: set[str] = set()  # outputs that a layer's last node is
        for node in self.source.nodes:
            lowering = self._lowering(node)
            given = {each.name: self.names[name] for each, name in zip(lowering.operands, node.inputs, strict=True)}
            for stand_in, param in lowering.params.items():
                full = f"{node.weights}.{param}" if param else node.weights
                given[stand_in] = full
                self.params[full] = self._known[full]
            where = self._place(node.where)
            last = lowering.result
            for kind, inputs, output, attributes in lowering.steps:
                if output == last:
                    value = feeds.get(node.name) or unique(node.name, self._values)
                    written.add(value)
                    label = unique(node.name, self._labels)
                else:
                    value = unique(f"{node.name}/{kind}", self._values)
                    label = unique(f"{node.name}/{kind}", self._labels)
                read = [wire.text(1, given.get(name, name)) for name in inputs]
                made = wire.text(2, value) + wire.text(3, label) + wire.text(4, kind)
                self.nodes.append(b"".join([*read, made, attributes, where]))
                given[output] = value
            self.names[node.name] = given.get(last, last)  # of an identity, what enters
        for output in self.source.outputs:
            if output.name not in written:
                label = unique(output.name, self._labels)
                read, made = wire.text(1, self.names[output.value]), wire.text(2, output.name)
                self.nodes.append(
                    read + made + wire.text(3, label) + wire.text(4, "Identity") + self._place(output.where)
                )

    def _lowering(self, node: Node) -> Lowering:
        first = self.source.alike[node.name]
        if first not in self.lowerings:
            self.lowerings[first] = node, lowering(node, self.source.operands(node), self.opset, self.constants)
        return self.lowerings[first][1]

    def _place(self, span: Span) -> bytes:
        if id(span) not in self._places:
            self._places[id(span)] = wire.text(6, place(span))
        return self._places[id(span)]

    def graph(self, initializers: Sequence[bytes] = ()) -> bytes:
        """The ONNX graph with its constants and further initializers; without its weights."""
        return self._graph(initializers, values=self._open_shapes()) if initializers else self._plain

    @cached_property
    def _plain(self) -> bytes:
        return self._graph(values=self._open_shapes())

    def skeleton(self) -> bytes:
        """The ONNX graph whose weights are inputs."""
        return self._graph(inputs=[wire.value(name, param.dtype, param.shape) for name, param in self.params.items()])

    def _open_shapes(self) -> list[bytes]:
        # What ONNX Runtime cannot infer: that sides which follow from symbols are equal. Only then does it add, and cut
        # off, within the convolution that comes before.
        told = {*(i.name for i in self.source.inputs), *(o.name for o in self.source.outputs)}
        found: list[bytes] = []
        for node in self.source.nodes:
            name = self.names[node.name]
            if not node.type.static and name not in told:
                told.add(name)
                found.append(wire.value(name, node.type.dtype, dims(node.type)))
        return found

    def _graph(
        self, initializers: Sequence[bytes] = (), inputs: Sequence[bytes] = (), values: Sequence[bytes] = ()
    ) -> bytes:
        entering = [wire.value(i.name, i.type.dtype, dims(i.type)) for i in self.source.inputs]
        leaving = [wire.value(o.name, o.type.dtype, dims(o.type)) for o in self.source.outputs]
        return wire.graph(
            self.source.name,
            self.nodes,
            [*self.constants.tensors(), *initializers],
            b"".join([wire.block(wire.INPUT, each) for each in (*entering, *inputs)]),
            b"".join(
                [*(wire.block(wire.OUTPUT, each) for each in leaving), *(wire.block(wire.VALUE, v) for v in values)]
            ),
        )


class Constants:
    """Tensors that layers' rules ask for, each of them once, under names that are not taken."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def name(self, array: npt.NDArray[Any]) -> str:
        """What the tensor is called."""
        key = ("i64" if array.dtype.kind == "i" else "f32", array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = unique(f"constant/{len(self._names)}", self._taken)
        return self._names[key]

    def tensors(self) -> list[bytes]:
        """All of them."""
        return [
            wire.tensor(name, dtype, shape) + wire.block(wire.RAW_DATA, data)
            for (dtype, shape, data), name in self._names.items()
        ]


class _Recorder:
    """What a layer's rule writes into; implements `netc.op.OnnxGraph`."""

    def __init__(self, opset: int, constants: Constants) -> None:
        self.opset = opset
        self.params: dict[str, str] = {}
        self.steps: list[Step] = []
        self._constants = constants

    def node(self, kind: str, *inputs: Operand | str, **attributes: Attribute) -> str:
        """As `netc.op.OnnxGraph` says."""
        output = f"<node {len(self.steps)}>"
        names = tuple([each if isinstance(each, str) else each.name for each in inputs])
        self.steps.append(Step(kind, names, output, wire.attributes(attributes)))
        return output

    def param(self, name: str) -> str:
        """As `netc.op.OnnxGraph` says."""
        self.params[f"<param {name}>"] = name
        return f"<param {name}>"

    def ints(self, values: Sequence[int]) -> str:
        """As `netc.op.OnnxGraph` says."""
        return self._constants.name(np.array(values, "<i8").reshape(-1))

    def floats(self, values: Sequence[float] | float, shape: Sequence[int] | None = None) -> str:
        """As `netc.op.OnnxGraph` says."""
        array = np.array(values, "<f4")
        return self._constants.name(array if shape is None else array.reshape(shape))


def lowering(node: Node, types: Sequence[TensorType], opset: int, constants: Constants) -> Lowering:
    """How a layer that takes these types is said in ONNX."""
    recorder = _Recorder(opset, constants)
    operands = tuple([Operand(f"<operand {index}>", type) for index, type in enumerate(types)])
    result = node.op.onnx(recorder, *operands)
    return Lowering(operands, recorder.params, tuple(recorder.steps), result)


def unique(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken; and it is taken from now on."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}/{number}", number + 1
    taken.add(found)
    return found


def place(span: Span) -> str:
    """A place as `file:line`, without the folders, which differ from machine to machine."""
    return f"{span.source.name.replace(chr(92), '/').rpartition('/')[2]}:{span.line}"


def dims(type: TensorType) -> list[int | str]:
    """A value's dimensions as ONNX has them, each a number or a formula as text.

    Of pixels (`u8`) the channels are last; classes (`i64`) have none.
    """
    batch, c, sides = type.batch, type.c, type.sides
    sizes = {"u8": (batch, *sides, c), "i64": (batch, *sides)}.get(type.dtype, (batch, c, *sides))
    return [size if isinstance(size, int) else str(size) for size in sizes]
