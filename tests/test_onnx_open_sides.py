"""An ONNX file of a net whose sides are symbols: it tells what ONNX Runtime needs to know to fuse as for numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from netc.backends import onnx as backend
from netc.graph import Graph
from tests.graphs import Net, randomised

ort: Any = onnxruntime


def residual(*sides: int | str) -> Graph:
    """A block as DeepLab's, dilated, at half the size of what enters."""
    net = Net("Residual", image=("N", 3, *sides))
    x = net("relu", net("conv", "image", c=16, k=3, stride=2, pad=1))
    y = net("conv", net("relu", net("conv", x, c=16, k=3, pad=2, dilation=2)), c=16, k=1)
    return net.graph(map=net("conv", net("relu", net("add", y, x)), c=16, k=1))


def written(graph: Graph) -> bytes:
    file = io.BytesIO()
    backend.write(graph, randomised(graph), file)
    return file.getvalue()


@pytest.mark.parametrize("sides", [(8, 12), ("H", "W")])
def test_onnx_runtime_adds_within_the_convolution_before(sides: tuple[int | str, ...], tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(written(residual(*sides)), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load_model_from_string((tmp_path / "optimised.onnx").read_bytes())
    kinds = {node.op_type for node in optimised.graph.node}
    assert "Conv" in kinds
    assert not kinds & {"Add", "Relu"}


def test_a_value_is_told_with_its_sides_where_they_follow_from_symbols() -> None:
    graph = residual("H", "W")
    told = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.load_model_from_string(written(graph)).graph.value_info
    }
    assert told == {node.name: ["N", 16, "(H+1)//2", "(W+1)//2"] for node in graph.nodes[:-1]}  # the last is an output


def test_nothing_is_told_that_onnx_infers() -> None:
    assert not onnx.load_model_from_string(written(residual(8, 12))).graph.value_info


def test_a_picture_of_any_size_is_answered() -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(written(residual("H", "W")), options, providers=["CPUExecutionProvider"])
    for h, w in ((1, 1), (7, 4), (32, 33)):
        (map_,) = session.run(None, {"image": np.zeros((2, 3, h, w), np.float32)})
        assert map_.shape == (2, 16, (h + 1) // 2, (w + 1) // 2)
