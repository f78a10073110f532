"""Every registered layer, every example it gives, down every road: nothing here knows a layer by name."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netc.backends import torch as torch_backend
from netc.op import REGISTRY
from netc.ops import find, kinds
from tests.one_layer import (
    NAME,
    Case,
    arrays,
    image,
    in_onnxruntime,
    in_torch,
    inferred_by_onnx,
    net,
    randomised,
    to_onnx,
)
from tests.tried import tried


def _cases() -> list[Any]:
    found: list[Any] = []
    for kind in kinds():
        cls = find(kind)
        assert cls is not None
        for i, (fields, shapes) in enumerate(cls.examples):
            op, xs = cls.model_validate(fields), tuple(image(*shape) for shape in shapes)
            if not op.spreads:
                found.append(pytest.param((op, xs), id=f"{kind}-{i}"))
                continue
            parts = enumerate(op.spread(*xs))
            found += [pytest.param((part, xs), id=f"{kind}-{i}-{j}") for j, part in parts]
    return found


each_case = pytest.mark.parametrize("case", _cases())


@pytest.mark.parametrize("kind", kinds())
def test_a_layer_has_examples_and_says_what_it_is(kind: str) -> None:
    cls = find(kind)
    assert cls is not None
    assert cls.kind == kind
    assert REGISTRY[kind] is cls
    assert cls.examples, f"{kind} has no examples"
    doc = cls.__doc__ or ""
    assert all(f"    {fact}:" in doc for fact in ("Shape", "MACs", "Errors", "Source"))
    assert cls.positional is None or cls.positional in cls.model_fields
    assert all(field.description for field in cls.model_fields.values())
    assert not set(cls.foreign) & set(cls.model_fields), "a name of ours needs no translation"


@each_case
def test_inferred_shape_is_torchs(case: Case) -> None:
    op, xs = case
    module = torch_backend.module(net(op, *xs)).to("meta").eval()
    inputs = [torch.empty((2, *cast(tuple[int, ...], x.dims[1:])), device="meta") for x in xs]
    assert op.infer(*xs).dims[1:] == tuple(module(*inputs).shape[1:])


@each_case
def test_parameters_are_torchs_state_dict(case: Case) -> None:
    op, xs = case
    state = torch_backend.module(net(op, *xs)).state_dict()
    ours = [(_path(name), p.shape, p.dtype) for name, p in op.params(*xs).items()]
    dtypes = {torch.float32: "f32", torch.int64: "i64"}
    assert ours == [(name, tuple(t.shape), dtypes[t.dtype]) for name, t in state.items()]


def _path(name: str) -> str:
    return f"{NAME}.{name}" if name else NAME  # a nameless tensor takes the layer's name


@each_case
def test_learned_parameters_are_torchs(case: Case) -> None:
    op, xs = case
    module = torch_backend.module(net(op, *xs))
    ours = [_path(name) for name, p in op.params(*xs).items() if p.learned]
    assert ours == [name for name, _ in module.named_parameters()]


@each_case
def test_macs_are_half_of_torchs_flops(case: Case) -> None:
    op, xs = case
    module = torch_backend.module(net(op, *xs)).to("meta").eval()
    inputs = [torch.empty((1, *cast(tuple[int, ...], x.dims[1:])), device="meta") for x in xs]
    counter = FlopCounterMode(display=False)
    with counter:
        module(*inputs)
    assert op.macs(op.infer(*xs), *xs) * 2 == counter.get_total_flops()


@pytest.mark.parametrize("opset", [17, 20, 26])
@each_case
def test_onnx_runtime_computes_what_torch_does(case: Case, opset: int) -> None:
    op, xs = case
    graph = net(op, *xs)
    module, inputs = randomised(graph), arrays(xs)
    expected = in_torch(module, inputs)
    found = in_onnxruntime(to_onnx(graph, module, max(opset, op.opset)), inputs)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
    tried(op, xs)


@pytest.mark.parametrize("opset", [17, 20, 26])
@each_case
def test_onnx_infers_our_shape(case: Case, opset: int) -> None:
    op, xs = case
    graph = net(op, *xs)
    batch, *found = inferred_by_onnx(to_onnx(graph, torch_backend.module(graph), max(opset, op.opset)))
    assert found == list(op.infer(*xs).dims[1:])
    # Resize scales the batch too, by 1, and what comes of a symbol then ONNX does not know.
    assert batch == "N" or str(batch).startswith("unk__")


@each_case
def test_an_inference_identity_hands_on_what_enters(case: Case) -> None:
    op, xs = case
    if op.inference_identity:
        (x,) = arrays(xs)
        np.testing.assert_array_equal(in_torch(randomised(net(op, *xs)), [x]), x)


def test_kinds_are_what_the_language_has() -> None:
    assert set(kinds()) >= {
        *("conv", "depthwise", "local", "upconv", "fc", "bn", "ln", "gn", "prelu", "scale"),
        *("maxpool", "avgpool", "gap", "gmp"),
        *("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "abs"),
        *("softmax", "log_softmax", "dropout", "drop_path", "lrn", "l2norm", "id"),
        *("add", "sub", "mul", "maximum", "concat"),
        *(
            "flatten",
            "reshape",
            "slice",
            "split",
            "channel_shuffle",
            "pad",
            "pad_channels",
            "subsample",
            "upsample",
            "crop",
        ),
    }
