"""What a half-precision file computes where sums are kept in f32: every value rounded as soon as it is made.

ONNX Runtime's CPU computes f16 in f32 and rounds at few places, and bf16 not at all. So the file is rewritten: every
node computes in f32, and what it makes is cast to the half and back. That is the arithmetic of accelerators.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from netc.backends.precision.widths import Width

FLOAT = onnx.TensorProto.FLOAT


def rounded(model: onnx.ModelProto, width: Width) -> onnx.ModelProto:
    """The model in f32, whose values are after every node what they are in `width`. It takes the model's place."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    halves = {info.name for info in graph.value_info if info.type.tensor_type.elem_type == width.number}
    nodes = [each for node in model.graph.node for each in _rounding(node, halves, width)]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if tensor.data_type == width.number:
            stored = np.frombuffer(tensor.raw_data, width.dtype).reshape(tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(width.exact(stored), tensor.name))
    return model


def _rounding(node: onnx.NodeProto, halves: set[str], width: Width) -> list[onnx.NodeProto]:
    if node.op_type == "Cast" and node.input[0] in halves:  # to f32, which it is here
        return [helper.make_node("Identity", node.input, node.output, node.name)]
    after: list[onnx.NodeProto] = []
    for place, name in enumerate(node.output):
        if name in halves:
            exact, half = f"{name}/exact", f"{name}/rounded"
            if node.op_type == "Cast":  # to a half: rounded already
                exact = half
            else:
                after.append(helper.make_node("Cast", [exact], [half], half, to=width.number))
            after.append(helper.make_node("Cast", [half], [name], f"{name}/rounded/f32", to=FLOAT))
            node.output[place] = exact
    return [node, *after]
