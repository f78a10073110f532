"""ONNX's own judgement of what a graph was lowered to: its checker, and the shapes that it infers beside ours."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from netc.backends.onnx import wire
from netc.backends.onnx.lowering import Lowered, dims
from netc.tensor import TensorType


def whole(lowered: Lowered, model: bytes) -> onnx.ModelProto:
    """Check the skeleton: `model` are the fields before its graph. Gives it as ONNX's own message.

    Raises: AssertionError, a bug of ours, where ONNX infers another shape than the layer's rule.
    """
    data = model + wire.block(wire.GRAPH, lowered.skeleton())
    _check(data, {lowered.names[node.name]: (node.name, node.type) for node in lowered.source.nodes})
    return onnx.ModelProto.FromString(data)


def each(lowered: Lowered, model: bytes) -> None:
    """Check every way of lowering a layer of another package once, by itself: a net of a thousand layers has a few.

    A layer that is checked so takes the types that its rule was asked with: nodes, attributes, types and shapes are
    judged as `whole` does. What is left to our own care is which value a node reads, and that names are unique.

    Raises: as `whole` does.
    """
    nodes: list[bytes] = []
    inputs: list[bytes] = []
    outputs: list[bytes] = []
    expected: dict[str, tuple[str, TensorType]] = {}
    for index, (node, lowering) in enumerate(lowered.of_others()):
        if not lowering.steps:
            continue

        def name(stand_in: str, index: int = index) -> str:
            return f"{index}{stand_in}" if stand_in.startswith("<") else stand_in

        types = [operand.type for operand in lowering.operands]
        params = node.op.params(*types)
        inputs += [wire.value(name(x.name), x.type.dtype, dims(x.type)) for x in lowering.operands]
        inputs += [wire.value(name(n), params[p].dtype, params[p].shape) for n, p in lowering.params.items()]
        for step in lowering.steps:
            read = [wire.text(1, name(each)) for each in step.inputs]
            made = wire.text(2, name(step.output)) + wire.text(4, step.kind)
            nodes.append(b"".join([*read, made, step.attributes]))
        outputs.append(wire.value(name(lowering.result), node.type.dtype, dims(node.type)))
        expected[name(lowering.result)] = node.name, node.type
    graph = wire.graph(
        lowered.source.name,
        nodes,
        lowered.constants.tensors(),
        b"".join([wire.block(wire.INPUT, value) for value in inputs]),
        b"".join([wire.block(wire.OUTPUT, value) for value in outputs]),
    )
    _check(model + wire.block(wire.GRAPH, graph), expected)


def _check(data: bytes, expected: Mapping[str, tuple[str, TensorType]]) -> None:
    onnx.checker.check_model(data)  # pyright: ignore[reportUnknownMemberType] -- typed in part
    model = onnx.ModelProto.FromString(data)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")  # what we declare would hide what ONNX finds
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    found_in = (*inferred.value_info, *inferred.output, *inferred.input)
    types = {info.name: info.type.tensor_type for info in found_in}
    for value, (node, type) in expected.items():
        if value not in types or not types[value].HasField("shape"):
            continue  # what ONNX does not know it cannot contradict
        found = [dim.dim_value for dim in types[value].shape.dim]
        ours = [size if isinstance(size, int) else 0 for size in dims(type)]
        same = len(found) == len(ours) and all(a == b or not a or not b for a, b in zip(found, ours, strict=True))
        assert same, f"{node}: ONNX infers {found}, and the layer's rule {type}"
