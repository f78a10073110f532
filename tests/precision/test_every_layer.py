"""Every registered layer, every example it gives, in half precision: nothing here knows a layer by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from netc.backends import onnx as backend
from netc.backends.onnx import emit
from netc.backends.precision.half import Narrowed
from netc.backends.precision.rounded import rounded
from netc.backends.precision.widths import BF16, F16, F32, Width
from tests.one_layer import Array, arrays, close, in_onnxruntime, in_torch, net, randomised
from tests.test_ops import each_case

OPSET = 22  # from which on all of ONNX's layers take bf16


def written(narrowed: Narrowed, weights: dict[str, Array]) -> bytes:
    return b"".join(bytes(chunk) for chunk in emit.chunks(narrowed, narrowed.weights(weights)))


@each_case
@pytest.mark.parametrize("width", [F16, BF16], ids=lambda width: width.word)
def test_a_half_is_the_layer_but_for_rounding(case: Any, width: Width) -> None:
    op, xs = case
    graph = net(op, *xs)
    module = randomised(graph)
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    inputs = arrays(xs)
    lowered = backend.lower(graph, OPSET)

    # The same nodes and casts, all in f32, are the layer itself.
    exact = in_torch(module, inputs)
    close(in_onnxruntime(written(Narrowed(lowered, F32), weights), inputs), exact)

    # With every value rounded they lie a few roundings of the largest number away; so they do in ONNX Runtime's f16.
    data = written(Narrowed(lowered, width), weights)
    files = [rounded(onnx.load_model_from_string(data), width).SerializeToString()]
    files += [data] if width is F16 else []  # its CPU has no bf16
    scale = max(1.0, float(np.abs(exact).max(initial=0)))
    for file in files:
        found = in_onnxruntime(file, inputs)
        assert found.dtype == np.float32
        assert float(np.abs(found - exact).max(initial=0)) <= 8 * width.epsilon * scale
