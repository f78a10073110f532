"""Windows of random arguments over random images: shape, torch and ONNX Runtime must agree, and so must symbols."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from netc.backends import torch as torch_backend
from netc.op import Layer, Module, Reject
from netc.tensor import Size, Symbol, TensorType
from tests.one_layer import arrays, image, in_onnxruntime, in_torch, inferred_by_onnx, layer, net, randomised, to_onnx

OPSETS = st.integers(17, 26)
# Without `explain`, whose tracing takes minutes over torch where something fails.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
LARGEST_SIDE = {1: 12, 2: 9, 3: 5}


def _sides(draw: st.DrawFn, rank: int, low: int, high: int) -> int | tuple[int, ...]:
    """One number, or one a side."""
    numbers = st.integers(low, high)
    return draw(numbers | st.tuples(*[numbers] * rank))


def _image(draw: st.DrawFn, c: int) -> TensorType:
    rank = draw(st.integers(1, 3))
    return image(c, *(draw(st.integers(1, LARGEST_SIDE[rank])) for _ in range(rank)))


@st.composite
def convs(draw: st.DrawFn) -> tuple[Layer, TensorType]:
    groups = draw(st.integers(1, 3))
    x = _image(draw, groups * draw(st.integers(1, 3)))
    words = st.sampled_from(["half", "same_upper", "same_lower"])
    ends = st.tuples(*[st.integers(0, 3)] * (2 * x.rank))
    op = layer(
        "conv",
        c=groups * draw(st.integers(1, 3)),
        k=_sides(draw, x.rank, 1, 4),
        stride=_sides(draw, x.rank, 1, 3),
        pad=draw(words | ends | st.just(_sides(draw, x.rank, 0, 3))),
        dilation=_sides(draw, x.rank, 1, 3),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return op, x


@st.composite
def upconvs(draw: st.DrawFn) -> tuple[Layer, TensorType]:
    groups = draw(st.integers(1, 3))
    x = _image(draw, groups * draw(st.integers(1, 3)))
    op = layer(
        "upconv",
        c=groups * draw(st.integers(1, 3)),
        k=_sides(draw, x.rank, 1, 4),
        stride=_sides(draw, x.rank, 1, 3),
        pad=draw(st.just("half") | st.just(_sides(draw, x.rank, 0, 2))),
        out_pad=_sides(draw, x.rank, 0, 2),
        dilation=_sides(draw, x.rank, 1, 3),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return op, x


def _pool(draw: st.DrawFn, x: TensorType) -> dict[str, Any]:
    fields = {
        "k": _sides(draw, x.rank, 1, 4),
        "pad": draw(st.just("half") | st.just(_sides(draw, x.rank, 0, 2))),
        "round": draw(st.sampled_from(["floor", "ceil"])),
    }
    return {**fields, "stride": _sides(draw, x.rank, 1, 5)} if draw(st.booleans()) else fields


@st.composite
def maxpools(draw: st.DrawFn) -> tuple[Layer, TensorType]:
    x = _image(draw, draw(st.integers(1, 2)))
    return layer("maxpool", **_pool(draw, x), dilation=_sides(draw, x.rank, 1, 3)), x


@st.composite
def avgpools(draw: st.DrawFn) -> tuple[Layer, TensorType]:
    x = _image(draw, draw(st.integers(1, 2)))
    return layer("avgpool", **_pool(draw, x), count_pad=draw(st.booleans())), x


windows = pytest.mark.parametrize(
    "cases", [convs(), upconvs(), maxpools(), avgpools()], ids=lambda s: s.function.__name__
)


@windows
def test_shape_values_and_refusals_are_torchs(cases: st.SearchStrategy[tuple[Layer, TensorType]]) -> None:
    @settings(max_examples=120, phases=PHASES)
    @given(case=cases, opset=OPSETS)
    def run(case: tuple[Layer, TensorType], opset: int) -> None:
        op, x = case
        try:
            graph = net(op, x)
        except Reject as refused:
            _judge(op, x, refused)
            return
        module, inputs = randomised(graph), arrays([x])
        expected = in_torch(module, inputs)
        assert graph.outputs[0].type.dims[1:] == expected.shape[1:]
        model = to_onnx(graph, module, opset)
        np.testing.assert_allclose(in_onnxruntime(model, inputs), expected, rtol=1e-5, atol=2e-5)
        assert inferred_by_onnx(model) == ["N", *expected.shape[1:]]

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
        y = eval(call.text.replace("{0}", "x"), names)
    # Some of torch's kernels answer with an empty image where others refuse.
    if y.numel() == 0:
        raise RuntimeError("empty")


@windows
def test_a_symbol_stands_for_every_size(cases: st.SearchStrategy[tuple[Layer, TensorType]]) -> None:
    @settings(max_examples=200, phases=PHASES)
    @given(case=cases, divisor=st.sampled_from([1, 2, 3, 4, 8]), times=st.integers(1, 6))
    def run(case: tuple[Layer, TensorType], divisor: int, times: int) -> None:
        op, x = case
        height = Size.of(Symbol("H", divisor))
        n = divisor * times
        known = _inferred(op, x.with_(sides=(n, *x.sides[1:])))
        symbolic = _inferred(op, x.with_(sides=(height, *x.sides[1:])))
        if isinstance(symbolic, Reject):
            # What holds for every size is refused at once, with the same code; same_* needs a number.
            assert symbolic.code == "N208" or (isinstance(known, Reject) and known.code == symbolic.code)
            return
        if isinstance(known, TensorType):
            assert symbolic.at({"H": n}) == known
        else:
            # The size that does not fit is below 1, or is one of the two that only a number can tell.
            below = any(isinstance(side, int) and side < 1 for side in symbolic.at({"H": n}).sides)
            assert below or "padding only" in known.message or "3-D average" in known.message

    run()


@given(case=convs(), word=st.sampled_from(["same_upper", "same_lower"]))
@settings(max_examples=100, phases=PHASES)
def test_same_is_what_onnx_means_by_it(case: tuple[Layer, TensorType], word: str) -> None:
    op, x = case
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


@given(
    n=st.sampled_from([1, 3, 5, 7, 9]),
    c=st.integers(1, 6),
    sides=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    alpha=st.floats(0.001, 2),
    beta=st.floats(0.1, 2),
    k=st.floats(0.5, 4),
    opset=OPSETS,
)
@settings(max_examples=60, phases=PHASES)
def test_lrn_is_torchs_for_any_window_and_rank(
    n: int, c: int, sides: list[int], alpha: float, beta: float, k: float, opset: int
) -> None:
    x = image(c, *sides)
    graph = net(layer("lrn", n=n, alpha=alpha, beta=beta, k=k), x)
    module, inputs = torch_backend.module(graph).eval(), arrays([x])
    expected = in_torch(module, inputs)
    np.testing.assert_allclose(in_onnxruntime(to_onnx(graph, module, opset), inputs), expected, rtol=2e-5, atol=2e-5)


@given(
    kind=st.sampled_from(["add", "mul", "maximum", "sub"]),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    ones=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=4),
    opset=OPSETS,
)
@settings(max_examples=60, phases=PHASES)
def test_merges_broadcast_sides_of_one(kind: str, shape: list[int], ones: list[list[bool]], opset: int) -> None:
    c, *sides = shape
    xs = [image(c, *(1 if one else n for n, one in zip(sides, each, strict=False))) for each in ones]
    xs = xs[:2] if kind == "sub" else xs
    graph = net(layer(kind), *xs)
    module, inputs = torch_backend.module(graph).eval(), arrays(xs)
    expected = in_torch(module, inputs)
    assert graph.outputs[0].type.dims[1:] == expected.shape[1:]
    np.testing.assert_allclose(in_onnxruntime(to_onnx(graph, module, opset), inputs), expected, rtol=1e-5, atol=1e-5)
