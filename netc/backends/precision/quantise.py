"""int8 in ONNX's own words: QuantizeLinear and DequantizeLinear around the float nodes, by ONNX Runtime's quantiser.

Weights are symmetric int8 with a scale a channel, activations uint8 with one scale each, biases int32. ONNX Runtime
fuses these into its integer kernels; another runtime computes the same file in float.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import numpy_helper

from netc.backends.precision.widths import F32
from netc.graph import Graph
from netc.weights import Array

Method = Literal["minmax", "percentile"]
PERCENTILE = 99.99

# What ONNX Runtime's CPU computes in integers. Others stay in float between a pair of casts.
WEIGHTED = ("Conv", "Gemm", "MatMul")
ELEMENTWISE = ("Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid")
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool")
MOVES = (
    "Concat",
    "Flatten",
    "Reshape",
    "Transpose",
    "Slice",
    "Gather",
    "Resize",
    "Squeeze",
    "Unsqueeze",
    "Split",
    "Pad",
)
OPS = (*WEIGHTED, *ELEMENTWISE, *POOLS, *MOVES)


def prepare(path: Path, out: Path) -> onnx.ModelProto:
    """Write an f32 file as the quantiser takes it: with the types of all values, and weights that a node reshapes done.

    Gives the model. Raises: OSError.
    """
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    model = onnx.load(path)
    _reshape_weights(model.graph)
    model = onnx.shape_inference.infer_shapes(model)
    add_infer_metadata(model)
    onnx.save(model, out)
    return model


def ranges(path: Path, feeds: Iterable[Mapping[str, Array]], method: Method) -> Any:
    """The range of every value of a prepared file over the feeds, as the quantiser takes them.

    Another file lies beside it meanwhile. Raises: as ONNX Runtime does.
    """
    from onnxruntime.quantization import calibrate

    library: Any = calibrate
    minmax = method == "minmax"
    with contextlib.redirect_stdout(io.StringIO()):  # it tells how it gets on
        calibrator = library.create_calibrator(
            path,
            augmented_model_path=str(path.with_suffix(".augmented")),
            calibrate_method=library.CalibrationMethod.MinMax if minmax else library.CalibrationMethod.Percentile,
            extra_options={"symmetric": False, "percentile": PERCENTILE},
        )
        for feed in feeds:
            calibrator.collect_data(_Once(feed))
        return calibrator.compute_data()


def quantised(path: Path, found: Any, floats: Collection[str]) -> onnx.ModelProto:
    """A prepared file in int8, but for the nodes named in `floats`; `found` are its ranges."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load(path)
    producer = model.producer_name, model.producer_version
    quantiser = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=found,
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(floats),
        op_types_to_quantize=list(OPS),
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
    made: onnx.ModelProto = quantiser.quantize_model()
    made.producer_name, made.producer_version = producer
    del made.metadata_props[:], made.graph.value_info[:]
    return made


def always_float(model: onnx.ModelProto, graph: Graph) -> set[str]:
    """Nodes that are never int8: of layers that need f32's digits, and with weights that are no constants."""
    constants = {each.name for each in model.graph.initializer}
    layers = {node.name for node in graph.nodes if node.op.single}
    return {
        node.name
        for node in model.graph.node
        if layer_of(node.name, layers) or (node.op_type in WEIGHTED and not constants.intersection(node.input[1:2]))
    }


def layer_of(name: str, layers: Collection[str]) -> str:
    """The layer that an ONNX node is part of: a layer's nodes have its name, or that and what they do. "" if none."""
    while name and name not in layers:
        name = name.rpartition("/")[0]
    return name


class _Once:
    """One batch, for ONNX Runtime's calibrator."""

    def __init__(self, feed: Mapping[str, Array]) -> None:
        self.feed: Mapping[str, Array] | None = feed

    def get_next(self) -> dict[str, Array] | None:
        feed, self.feed = self.feed, None
        return None if feed is None else dict(feed)


def _reshape_weights(graph: onnx.GraphProto) -> None:
    # A fully connected layer on an image is a convolution whose kernel is an Unsqueeze of the weights.
    tensors = {each.name: each for each in graph.initializer}
    read = [name for node in graph.node for name in node.input]
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = tensors.get(node.input[0]) if node.op_type == "Unsqueeze" else None
        axes = tensors.get(node.input[1]) if weight is not None else None
        if weight is None or axes is None or weight.data_type != F32.number or read.count(weight.name) > 1:
            kept.append(node)
            continue
        dims = list(weight.dims)
        for axis in sorted(numpy_helper.to_array(axes).tolist()):
            dims.insert(axis, 1)
        del weight.dims[:]
        weight.dims.extend(dims)
        for reader in graph.node:
            for place, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[place] = weight.name
    del graph.node[:]
    graph.node.extend(kept)
