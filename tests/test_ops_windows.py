"""Windows of random arguments: what they refuse, torch refuses as well, and `same` is what ONNX means by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from netc.op import Inline, Layer, Module, Reject
from netc.tensor import TensorType
from tests.drawn import DRAWN, PHASES
from tests.one_layer import Case, arrays, in_torch, layer, net, randomised


@pytest.mark.parametrize("kind", ["conv", "upconv", "maxpool", "avgpool"])
def test_a_refusal_is_torchs_and_its_help_works(kind: str) -> None:
    @settings(max_examples=150, phases=PHASES)
    @given(case=DRAWN[kind])
    def run(case: Case) -> None:
        op, (x,) = case
        refused = _inferred(op, x)
        if isinstance(refused, Reject):
            _judge(op, x, refused)

    run()


def _judge(op: Layer, x: TensorType, refused: Reject) -> None:
    """A refusal is right when torch refuses as well; its help, where it is an edit, is one that works."""
    assert refused.code in ("N203", "N206", "N207", "N212", "N213"), refused
    if refused.code not in ("N207", "N212") and "padding only" not in str(refused):  # rules that torch does not have
        with pytest.raises((RuntimeError, ValueError)):
            _torch_unchecked(op, x)
    edits = dict(re.findall(r"\b(k|pad|dilation|out_pad)=(\[[\d, ]+\]|\d+)", refused.help))
    assert edits
    values = {name: tuple(map(int, re.findall(r"\d+", text))) for name, text in edits.items()}
    fields = {**op.model_dump(), **{name: v[0] if len(v) == 1 else v for name, v in values.items()}}
    # Another fault of the same layer may come to light; the same one may not.
    again = _inferred(layer(op.kind, **fields), x)
    assert not isinstance(again, Reject) or (again.code, again.message) != (refused.code, refused.message)


def _inferred(op: Layer, x: TensorType) -> TensorType | Reject:
    try:
        return op.infer(x)
    except Reject as refused:
        return refused


def _torch_unchecked(op: Layer, x: TensorType) -> None:
    call = op.torch(x)
    value = torch.asarray(arrays([x])[0])
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "x": value}
    if isinstance(call, Module):
        made = eval(call.target, names)(*call.args, **call.kwargs)
        y = made(eval(call.before.replace("{0}", "x"), names))
    else:
        assert isinstance(call, Inline)
        y = eval(call.text.replace("{0}", "x"), names)
    # Some of torch's kernels answer with an empty image where others refuse.
    if y.numel() == 0:
        raise RuntimeError("empty")


@given(case=DRAWN["conv"], word=st.sampled_from(["same_upper", "same_lower"]))
@settings(max_examples=100, phases=PHASES)
def test_same_is_what_onnx_means_by_it(case: Case, word: str) -> None:
    op, (x,) = case
    # ONNX Runtime computes no padding for dilated kernels.
    op = layer("conv", **{**op.model_dump(), "pad": word, "dilation": 1, "bias": False})
    graph = net(op, x)
    module, inputs = randomised(graph), arrays([x])
    expected = _auto_pad(op.model_dump(), module.state_dict()["layer.weight"].numpy(), inputs[0], word.upper())
    np.testing.assert_allclose(in_torch(module, inputs), expected, rtol=1e-5, atol=2e-5)


def _auto_pad(fields: dict[str, Any], weight: Any, x: Any, word: str) -> Any:
    """A convolution whose padding ONNX Runtime computes."""

    def each(value: int | Sequence[int]) -> list[int]:
        return [value] * (x.ndim - 2) if isinstance(value, int) else list(value)

    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=each(fields["stride"]),
        group=fields["groups"],
        auto_pad=word,
    )
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in (("x", x), ("w", weight))]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "same", tensors, [y]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    session: Any = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x, "w": weight})[0]
