"""One layer as a net of its own, and the roads that lead through it: torch, ONNX, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import nn

from netc.backends import onnx as onnx_backend
from netc.backends import torch as torch_backend
from netc.diagnostic import Source, Span
from netc.graph import Graph, Input, Node, Output, Region
from netc.op import Layer
from netc.ops import find
from netc.tensor import Side, Size, Symbol, TensorType

Shapes = Sequence[tuple[int, ...]]
Array = npt.NDArray[Any]
Case = tuple[Layer, tuple[TensorType, ...]]
"""A layer and the types of what enters it."""

HERE = Span(Source("one_layer.cnn", "x -> layer => y"), 0, 1)
BATCH = Size.of(Symbol("N"))
NAME = "layer"


def layer(kind: str, **fields: object) -> Layer:
    """A layer by its kind and its fields, checked as a spec's arguments are."""
    found = find(kind)
    assert found is not None, kind
    return found.model_validate(fields)


def image(c: int, *sides: Side) -> TensorType:
    """The type of a batch of images, or of features where no side is given."""
    return TensorType(BATCH, c, sides)


def net(op: Layer, *xs: TensorType) -> Graph:
    """A net of one layer. Raises Reject as the layer does."""
    names = tuple(f"x{i}" for i in range(len(xs)))
    y = op.infer(*xs)
    return Graph(
        name="OneLayer",
        inputs=tuple(Input(name, x, HERE) for name, x in zip(names, xs, strict=True)),
        outputs=(Output("y", NAME, y, HERE),),
        nodes=(Node(NAME, op, names, y, NAME, HERE, 0),),
        regions=(Region("", "", 0, 0, 1, HERE),),
    )


def arrays(xs: Sequence[TensorType], batch: int = 2, seed: int = 0) -> list[Array]:
    """Random inputs of static types."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((batch, *x.dims[1:]), np.float32) for x in cast(Sequence[Any], xs)]


def randomised(graph: Graph) -> nn.Module:
    """The net in torch, in evaluation mode, with random weights and random running statistics."""
    module = torch_backend.module(graph).eval()
    rng = np.random.default_rng(1)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.asarray(rng.uniform(0.5, 2.0, tuple(tensor.shape))))
        elif tensor.is_floating_point():
            tensor.copy_(torch.asarray(rng.standard_normal(tuple(tensor.shape))))
    return module


def in_torch(module: nn.Module, inputs: Sequence[Array]) -> Array:
    """What torch computes."""
    with torch.no_grad():
        return cast(torch.Tensor, module(*map(torch.asarray, inputs))).numpy()


def to_onnx(graph: Graph, module: nn.Module, opset: int) -> bytes:
    """The net as the bytes of an ONNX file, with the module's weights."""
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    file = BytesIO()
    onnx_backend.write(graph, weights, file, opset=opset)
    return file.getvalue()


def in_onnxruntime(model: bytes, inputs: Sequence[Array]) -> Array:
    """What ONNX Runtime computes on the CPU."""
    runtime: Any = ort  # without types
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed: Mapping[str, Array] = {each.name: x for each, x in zip(session.get_inputs(), inputs, strict=True)}
    return session.run(None, feed)[0]


def inferred_by_onnx(model: bytes) -> list[int | str]:
    """The dimensions of the output as ONNX's own strict shape inference finds them, without what we declared."""
    loaded = onnx.load_model_from_string(model)
    del loaded.graph.value_info[:]
    loaded.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(loaded, check_type=True, strict_mode=True, data_prop=True)
    dims = inferred.graph.output[0].type.tensor_type.shape.dim
    return [d.dim_param or d.dim_value for d in dims]


def close(found: Array, expected: Array) -> None:
    """Fails where two results of float32 arithmetic differ by more than its rounding, measured on the whole."""
    assert found.dtype == expected.dtype
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5 * scale)
