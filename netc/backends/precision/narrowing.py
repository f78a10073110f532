"""A model's nodes in another precision: casts where it changes, and the constants and weights to go with it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import onnx
from onnx import defs, helper, numpy_helper

from netc.backends.onnx.lowering import unique
from netc.backends.precision.widths import Width
from netc.diagnostic import Fault

FLOAT = onnx.TensorProto.FLOAT
NEWEST = 26  # the opsets that ONNX Runtime takes end here

Form = Literal["half", "single"]


def narrowed(
    model: onnx.ModelProto, width: Width, weights: Collection[str], single: Collection[str] = ()
) -> onnx.ModelProto:
    """A model in another precision; `weights` are those of its inputs that are none: their types there follow.

    Nodes named in `single` compute in f32, on weights that stay f32; so do those that no opset lets take `width`.

    Raises: Fault N420 for a layer that takes this precision at a newer opset only.
    """
    return _Narrowing(model, width, frozenset(weights), single).model()


class _Narrowing:
    """A model whose weights stand among its inputs, node by node."""

    def __init__(self, before: onnx.ModelProto, width: Width, weights: frozenset[str], single: Collection[str]) -> None:
        self.before, self.width, self.weights = before, width, weights
        self.opset = next(each.version for each in before.opset_import if not each.domain)
        graph = onnx.shape_inference.infer_shapes(before, check_type=True, strict_mode=True, data_prop=True).graph
        values = (*graph.input, *graph.output, *graph.value_info)
        self.constants = {each.name: each for each in graph.initializer if each.data_type == FLOAT}
        self.floats = {info.name for info in values if info.type.tensor_type.elem_type == FLOAT} | {*self.constants}
        self.leaving = {each.name for each in graph.output}
        self.taken = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
        self.forms: dict[str, Form] = {node.name: self._form(node, single) for node in graph.node}
        self.names: dict[tuple[str, Form], str] = {}  # what a value is called in the forms that it has so far
        self.nodes: list[onnx.NodeProto] = []
        self.halves: list[onnx.TensorProto] = []  # constants

    def model(self) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(self.before)
        narrow = self._narrow_weights()
        for each in made.graph.input:
            if each.name in narrow:
                each.type.tensor_type.elem_type = self.width.number
            self.names[each.name, "half" if each.name in narrow else "single"] = each.name
        for name in self.constants:
            self.names[name, "single"] = name
        for node in self.before.graph.node:
            self._add(node)
        read = {name for node in self.nodes for name in node.input}
        constants = [each for each in self.before.graph.initializer if each.name in read]
        del made.graph.node[:], made.graph.initializer[:]
        made.graph.node.extend(self.nodes)
        made.graph.initializer.extend((*constants, *self.halves))
        return made

    def _add(self, node: onnx.NodeProto) -> None:
        form = self.forms[node.name]
        ins, outs = self._places(node)
        made = onnx.NodeProto()
        made.CopyFrom(node)
        for place in ins:
            made.input[place] = self._named(node.input[place], form, node)
        self.nodes.append(made)
        for place in outs:
            name = node.output[place]
            self.names[name, form] = name
            if form == "half" and name in self.leaving:
                made.output[place] = self.names[name, form] = unique(f"{name}/{self.width.word}", self.taken)
                self.names[name, "single"] = name
                self._cast(made.output[place], name, FLOAT, node)

    def _named(self, name: str, form: Form, reader: onnx.NodeProto) -> str:
        # The value in a form, made of the other where it has only that.
        found = self.names.get((name, form))
        if found is not None:
            return found
        word, number = (self.width.word, self.width.number) if form == "half" else ("f32", FLOAT)
        made = unique(f"{name}/{word}", self.taken)
        self.names[name, form] = made
        if name in self.constants:
            array = self.width.cast(numpy_helper.to_array(self.constants[name]))
            half = onnx.TensorProto(name=made, dims=array.shape, data_type=number, raw_data=array.tobytes())
            self.halves.append(half)
        else:
            self._cast(self.names[name, "single" if form == "half" else "half"], made, number, reader)
        return made

    def _cast(self, old: str, new: str, number: int, beside: onnx.NodeProto) -> None:
        label = unique(f"{new}/Cast", self.taken) if new in self.leaving else new
        self.nodes.append(helper.make_node("Cast", [old], [new], label, beside.doc_string, to=number))

    def _form(self, node: onnx.NodeProto, single: Collection[str]) -> Form:
        if node.name in single or not self._places(node)[0]:  # what makes floats of whole numbers makes f32
            return "single"
        opset = next((each for each in range(self.opset, NEWEST + 1) if self._takes(node, each)), None)
        if opset is not None and opset > self.opset:
            raise Fault(
                "N420",
                f"{node.op_type} takes {self.width.word} from opset {opset} on, and the export's is {self.opset}: "
                f"{node.name} at {node.doc_string}",
                help=f"write opset = {self.width.opset} in the export section, or pass --opset {self.width.opset}",
            )
        return "single" if opset is None else "half"

    def _takes(self, node: onnx.NodeProto, opset: int) -> bool:
        schema = _schema(node, opset)
        allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
        ins, outs = self._places(node)
        words = [*(_type(schema.inputs, i) for i in ins), *(_type(schema.outputs, i) for i in outs)]
        return all(self.width.tensor in allowed[word] for word in words)

    def _places(self, node: onnx.NodeProto) -> tuple[list[int], list[int]]:
        # Of operands and results whose type is the node's to choose: a Resize's scales, say, are f32 by definition.
        schema = _schema(node, self.opset)

        def free(names: Sequence[str], formal: Sequence[defs.OpSchema.FormalParameter]) -> list[int]:
            return [i for i, n in enumerate(names) if n in self.floats and _type(formal, i) != "tensor(float)"]

        return free(node.input, schema.inputs), free(node.output, schema.outputs)

    def _narrow_weights(self) -> frozenset[str]:
        # A weight that any f32 node reads stays f32, and a half node beside it gets a cast.
        whole = {
            name
            for node in self.before.graph.node
            for place, name in enumerate(node.input)
            if self.forms[node.name] == "single" or place not in self._places(node)[0]
        }
        return (self.weights & self.floats) - whole


def _schema(node: onnx.NodeProto, opset: int) -> defs.OpSchema:
    return defs.get_schema(node.op_type, opset, node.domain)


def _type(formal: Sequence[defs.OpSchema.FormalParameter], place: int) -> str:
    return formal[min(place, len(formal) - 1)].type_str  # the last may stand for several
