"""The ONNX back end: the graph as ONNX nodes, checked without the weights, and the weights streamed behind them.

Names are the graph's: a node, its value, and `state_dict`'s for the initializers; the outputs have the spec's names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

import netc
from netc.atomic import replacing
from netc.diagnostic import Fault, Span
from netc.graph import Graph, Node
from netc.op import Attribute, Operand, Param

OPSET = 20
IR_VERSION = 10  # or what a newer opset needs; ONNX Runtime 1.31 takes IR 13 and opset 26 at most
VERSION = netc.__version__
LIMIT = 2**31 - 1  # protobuf's, for one file

Weights = Mapping[str, npt.NDArray[Any]]


def write(
    graph: Graph,
    weights: Weights,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    opset: int = OPSET,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a graph as an ONNX file: to a path, where it appears whole or not at all, or to an open binary file.

    Equal arguments give equal bytes.

    Raises: Fault N401 for a weight that is missing or of the wrong shape or type, N420 where a layer needs a newer
    opset, N421 for an input and an output of one name, N422 for a file beyond 2 GiB; as `netc.atomic.replacing` does.
    """
    if isinstance(target, (str, os.PathLike)):
        with replacing(target) as file:
            write(graph, weights, file, opset=opset, metadata=metadata)
        return
    builder = _Builder(graph, opset)
    builder.check()
    tensors = [(name, _checked(name, param, weights)) for name, param in builder.params.items()]
    body = builder.graph().SerializeToString(deterministic=True)
    heads = [_tensor_head(name, array) for name, array in tensors]
    size = len(body) + sum(len(head) + array.nbytes for head, (_, array) in zip(heads, tensors, strict=True))
    extra = _metadata(metadata or {})
    if size + len(extra) > LIMIT - 2**20:
        raise Fault(
            "N422",
            f"{graph.name}: the ONNX file would have {size / 2**30:.1f} GiB, and protobuf takes 2",
            help="weights in a file of their own (external data) are not built yet",
        )
    # One ModelProto, field by field; the graph's initializers come last in it and never exist as one block of memory.
    target.write(_model(opset).SerializeToString(deterministic=True))
    target.write(_tag(_GRAPH) + _varint(size) + body)
    for head, (_, array) in zip(heads, tensors, strict=True):
        target.write(head)
        target.write(array.reshape(-1).data)
    target.write(extra)


def append_metadata(file: BinaryIO, metadata: Mapping[str, str]) -> None:
    """Add entries to the metadata of an ONNX file just written: protobuf takes a message's fields in any order.

    Raises: Fault N422 where the file grows beyond 2 GiB.
    """
    extra = _metadata(metadata)
    if file.seek(0, os.SEEK_END) + len(extra) > LIMIT:
        raise Fault("N422", "the ONNX file would have more than 2 GiB, and protobuf takes no more")
    file.write(extra)


def skeleton(graph: Graph, opset: int = OPSET) -> onnx.ModelProto:
    """The model without its weights, which stand among the graph's inputs; checked by ONNX and by our own shapes.

    Raises: Fault as `write` does.
    """
    builder = _Builder(graph, opset)
    builder.check()
    return builder.skeleton()


class _Builder:
    """What the layers' lowerings write into; implements `netc.op.OnnxGraph`."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.source = graph
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.params: dict[str, Param] = {}  # those that a lowering asked for
        self.known = dict(graph.parameters())
        self.names = {i.name: i.name for i in graph.inputs}  # the graph's value -> the ONNX value
        inputs, outputs = set(self.names), {o.name for o in graph.outputs}
        if inputs & outputs:
            both = min(inputs & outputs)
            raise Fault(
                "N421", f"{graph.name}: an input and an output are both named `{both}`", help="rename one of them"
            )
        self.values = {"", *inputs, *outputs, *self.known}  # names in use, by values and initializers
        self.labels: set[str] = set()  # names in use, by ONNX nodes
        self.pending: list[onnx.NodeProto] = []
        self.current: Node
        self._build()

    def _build(self) -> None:
        feeds: dict[str, str] = {}  # the graph's value -> the first output it feeds
        for output in self.source.outputs:
            feeds.setdefault(output.value, output.name)
        written: set[str] = set()  # outputs that a layer's last node is
        for node in self.source.nodes:
            if node.op.opset > self.opset:
                raise Fault(
                    "N420",
                    f"`{node.op.kind}` needs opset {node.op.opset}, and the export's is {self.opset}: "
                    f"{node.name} at {_place(node.where)}",
                    help=f"write opset = {node.op.opset} in the export section, or more",
                )
            self.current, self.pending = node, []
            operands = zip(node.inputs, self.source.operands(node), strict=True)
            found = node.op.onnx(self, *(Operand(self.names[name], type) for name, type in operands))
            made = next((each for each in self.pending if found in each.output), None)
            if made is None:
                self.names[node.name] = found  # the layer is the identity
            else:
                name = feeds.get(node.name) or self._unique(node.name, self.values)
                written.add(name)
                self._rename(found, name)
                made.name = self._unique(node.name, self.labels)
                self.names[node.name] = name
            for each in self.pending:
                each.name = each.name or self._unique(f"{node.name}/{each.op_type}", self.labels)
            self.nodes += self.pending
        for output in self.source.outputs:
            if output.name not in written:
                name = self._unique(output.name, self.labels)
                made = helper.make_node("Identity", [self.names[output.value]], [output.name], name=name)
                made.doc_string = _place(output.where)
                self.nodes.append(made)

    def _rename(self, old: str, new: str) -> None:
        for each in self.pending:
            for names in (each.input, each.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new

    @staticmethod
    def _unique(name: str, taken: set[str]) -> str:
        found, number = name, 2
        while found in taken:
            found, number = f"{name}/{number}", number + 1
        taken.add(found)
        return found

    def node(self, kind: str, *inputs: Operand | str, **attributes: Attribute) -> str:
        """As `netc.op.OnnxGraph` says."""
        value = self._unique(f"{self.current.name}/{kind}", self.values)
        names = [each if isinstance(each, str) else each.name for each in inputs]
        made = onnx.NodeProto(op_type=kind, input=names, output=[value], doc_string=_place(self.current.where))
        made.attribute.extend(helper.make_attribute(key, attributes[key]) for key in sorted(attributes))
        self.pending.append(made)
        return value

    def param(self, name: str) -> str:
        """As `netc.op.OnnxGraph` says."""
        full = f"{self.current.weights}.{name}" if name else self.current.weights
        self.params[full] = self.known[full]
        return full

    def ints(self, values: Sequence[int]) -> str:
        """As `netc.op.OnnxGraph` says."""
        return self._constant(np.array(values, "<i8").reshape(-1))

    def floats(self, values: Sequence[float] | float) -> str:
        """As `netc.op.OnnxGraph` says."""
        return self._constant(np.array(values, "<f4"))

    def _constant(self, array: npt.NDArray[Any]) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = self._unique(f"constant/{len(self.constants)}", self.values)
            tensor = onnx.TensorProto(name=name, dims=array.shape, raw_data=array.tobytes())
            tensor.data_type = onnx.TensorProto.INT64 if array.dtype.kind == "i" else onnx.TensorProto.FLOAT
            self.constants[key] = tensor
        return self.constants[key].name

    def graph(self) -> onnx.GraphProto:
        """The ONNX graph with its constants, without its weights."""
        made = onnx.GraphProto(name=self.source.name, node=self.nodes, initializer=self.constants.values())
        made.input.extend(_value(i.name, i.type.dims) for i in self.source.inputs)
        made.output.extend(_value(o.name, o.type.dims) for o in self.source.outputs)
        return made

    def skeleton(self) -> onnx.ModelProto:
        """The model whose weights are inputs."""
        model = _model(self.opset)
        model.graph.CopyFrom(self.graph())
        model.graph.input.extend(_value(name, param.shape) for name, param in self.params.items())
        return model

    def check(self) -> None:
        """Have ONNX check the skeleton, and compare the shapes it infers with ours: a difference is a bug of ours."""
        model = self.skeleton()
        onnx.checker.check_model(model)  # pyright: ignore[reportUnknownMemberType] -- typed in part
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")  # what we declare would hide what ONNX finds
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
        found_in = (*inferred.value_info, *inferred.output, *inferred.input)
        types = {info.name: info.type.tensor_type for info in found_in}
        shapes = {name: type.shape.dim for name, type in types.items() if type.HasField("shape")}
        for node in self.source.nodes:
            dims = shapes.get(self.names[node.name])
            if dims is None:
                continue  # what ONNX does not know it cannot contradict
            found = [dim.dim_value for dim in dims]
            ours = [size if isinstance(size, int) else 0 for size in node.type.dims]
            same = len(found) == len(ours) and all(a == b or not a or not b for a, b in zip(found, ours, strict=True))
            assert same, f"{node.name}: ONNX infers {found}, and the layer's rule {node.type}"


def _model(opset: int) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", opset)]
    return onnx.ModelProto(
        ir_version=max(IR_VERSION, helper.find_min_ir_version_for(imports)),
        producer_name="netc",
        producer_version=VERSION,
        opset_import=imports,
    )


def _value(name: str, dims: Sequence[object]) -> onnx.ValueInfoProto:
    sizes = [size if isinstance(size, int) else str(size) for size in dims]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)


def _place(span: Span) -> str:
    # Without the folders, which differ from machine to machine.
    return f"{span.source.name.replace(chr(92), '/').rpartition('/')[2]}:{span.line}"


def _checked(name: str, param: Param, weights: Weights) -> npt.NDArray[Any]:
    array = weights.get(name)
    if array is None:
        raise Fault("N401", f"the weights lack {name}, {_shape(param.shape)}")
    if tuple(array.shape) != param.shape or array.dtype.newbyteorder("=") != np.float32:
        found = f"{_shape(array.shape)} of {array.dtype}"
        raise Fault("N401", f"the weights' {name} is {found}, expected {_shape(param.shape)} of float32")
    return np.asarray(array, "<f4", order="C")


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


# Protobuf on the wire: a field is a tag, (number << 3 | 2) for bytes, their length as a varint, and the bytes.
_GRAPH, _METADATA_PROPS = 7, 14  # of ModelProto
_INITIALIZER = 5  # of GraphProto
_RAW_DATA = 9  # of TensorProto


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _tag(field: int) -> bytes:
    return _varint(field << 3 | 2)


def _tensor_head(name: str, array: npt.NDArray[Any]) -> bytes:
    # All of an initializer up to its bytes.
    head = onnx.TensorProto(name=name, dims=array.shape, data_type=onnx.TensorProto.FLOAT).SerializeToString()
    head += _tag(_RAW_DATA) + _varint(array.nbytes)
    return _tag(_INITIALIZER) + _varint(len(head) + array.nbytes) + head


def _metadata(entries: Mapping[str, str]) -> bytes:
    found = b""
    for key in sorted(entries):
        entry = onnx.StringStringEntryProto(key=key, value=entries[key]).SerializeToString(deterministic=True)
        found += _tag(_METADATA_PROPS) + _varint(len(entry)) + entry
    return found
