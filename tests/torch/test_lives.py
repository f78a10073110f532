"""The emitted module lives as any torch module does: compiled, exported, copied, cast, laid out channels last."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from netc import api
from netc.backends.torch import module
from tests.torch.zoo import BATCH, EVERY, SPECS, entering, graph, leaving, named, on_meta, zoo

LIGHT = ("lenet5.cnn:LeNet5", "shufflenet_v2.cnn:ShuffleNetV2_x0_5", "lenet1989.cnn:LeNet1989")
pytestmark = [pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]  # torch's own, about its own insides


def drawn(name: str) -> nn.Module:
    torch.manual_seed(4)
    return module(graph(name))


def shapes(answer: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in answer.items()}


@pytest.mark.long
def test_the_list_is_the_zoo() -> None:
    assert [f"{path.name}:{net}" for path in SPECS for net in api.check(path).graphs] == EVERY


@zoo()
def test_training_gives_every_output_and_evaluation_those_of_inference(name: str) -> None:
    net = on_meta(name)
    for training in (True, False):
        assert shapes(named(name, net.train(training)(*entering(name)))) == leaving(name, training=training)


@zoo()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_cast_net_computes_in_its_type(name: str, dtype: torch.dtype) -> None:
    net = on_meta(name).to(dtype)
    for training in (True, False):
        answer = named(name, net.train(training)(*(x.to(dtype) for x in entering(name))))
        assert {tensor.dtype for tensor in answer.values()} == {dtype}


@pytest.mark.parametrize("name", LIGHT)
def test_bfloat16_answers_nearly_the_same(name: str) -> None:
    net: Any = drawn(name).eval()
    x = entering(name, "cpu")
    with torch.inference_mode():
        [exact] = named(name, net(*x)).values()
        [found] = named(name, net.bfloat16()(*(each.bfloat16() for each in x))).values()
    # bfloat16 has 8 bits: a part in 256 a step, and some dozen steps.
    assert float((found.float() - exact).abs().max()) <= 0.1 * float(exact.abs().max())


@zoo()
def test_a_copy_and_what_is_pickled_are_the_net(name: str) -> None:
    net = on_meta(name)
    state = {key: (tensor.shape, tensor.dtype) for key, tensor in net.state_dict().items()}
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(twin) is type(net)
        assert {key: (tensor.shape, tensor.dtype) for key, tensor in twin.state_dict().items()} == state
        assert shapes(named(name, twin.eval()(*entering(name)))) == leaving(name, training=False)


@pytest.mark.parametrize("name", LIGHT)
def test_a_saved_state_restores_the_answer(name: str) -> None:
    first, second = drawn(name).eval(), module(graph(name)).eval()
    x = entering(name, "cpu")
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True), strict=True)
    whole = io.BytesIO()
    torch.save(first, whole)
    whole.seek(0)
    twins: list[Any] = [second, torch.load(whole, weights_only=False), copy.deepcopy(first)]
    with torch.inference_mode():
        [expected] = named(name, first(*x)).values()
        for twin in twins:
            assert [torch.equal(y, expected) for y in named(name, twin(*x)).values()] == [True]


@pytest.mark.slow
@zoo(*LIGHT)
def test_the_net_compiles_without_a_break_in_its_graph(name: str) -> None:
    torch.compiler.reset()
    net = on_meta(name)
    for training in (True, False):
        compiled: Any = torch.compile(net.train(training), fullgraph=True, backend="eager")
        assert shapes(named(name, compiled(*entering(name)))) == leaving(name, training=training)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("aot_eager", "lenet5.cnn:LeNet5"),
        ("inductor", "lenet5.cnn:LeNet5"),
        pytest.param("aot_eager", "shufflenet_v2.cnn:ShuffleNetV2_x0_5", marks=pytest.mark.long),
        pytest.param("inductor", "shufflenet_v2.cnn:ShuffleNetV2_x0_5", marks=pytest.mark.long),  # C++ for a minute
    ],
)
def test_the_compiled_net_answers_and_learns_the_same(backend: str, name: str) -> None:
    torch.compiler.reset()
    net = drawn(name).double()  # batch norm of a few pictures amplifies the rounding of float32
    x = tuple(each.double() for each in entering(name, "cpu"))
    twin = copy.deepcopy(net)
    compiled: Any = torch.compile(twin, fullgraph=True, backend=backend)
    for one in (net, compiled):
        torch.manual_seed(6)
        [y] = named(name, one(*x)).values()
        y.square().mean().backward()
    grads = {key: parameter.grad for key, parameter in net.named_parameters()}
    found = {key: parameter.grad for key, parameter in twin.named_parameters()}
    # A bias before another batch norm has the gradient 0, which rounding hides: what counts is the largest of all.
    largest = max(float(grad.abs().max()) for grad in grads.values() if grad is not None)
    for key, grad in grads.items():
        assert grad is not None, key
        torch.testing.assert_close(found[key], grad, rtol=1e-9, atol=1e-9 * largest)
    net.eval()
    twin.eval()
    with torch.inference_mode():
        torch.testing.assert_close(compiled(*x), net(*x), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@zoo(*LIGHT)
def test_the_net_is_exported_for_its_batch_and_for_any(name: str) -> None:
    net = on_meta(name).eval()
    x = entering(name)
    batch = torch.export.Dim("batch", min=2, max=64)
    torch.export.export(net, x)
    open_: Any = torch.export.export(net, x, dynamic_shapes=tuple({0: batch} for _ in x))
    answer = named(name, open_.module()(*entering(name, batch=BATCH + 3)))
    assert {tensor.shape[0] for tensor in answer.values()} == {BATCH + 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_the_exported_net_answers_the_same(name: str) -> None:
    net = drawn(name).eval()
    x = entering(name, "cpu")
    exported: Any = torch.export.export(net, x)
    assert sorted(exported.state_dict) == sorted(net.state_dict())  # parameters come before buffers there
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(*x), net(*x))


@pytest.mark.slow
@zoo(*LIGHT)
def test_channels_last_gives_the_same_answer_and_every_convolution_keeps_it(name: str) -> None:
    net: Any = drawn(name).eval()
    x = entering(name, "cpu")
    if x[0].ndim != 4:
        pytest.skip("torch's channels last is for two sides")
    kept: dict[str, bool] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, operands: Any, y: torch.Tensor) -> None:
            kept[name] = y.is_contiguous(memory_format=torch.channels_last)

        return hook

    with torch.inference_mode():
        [expected] = named(name, net(*x)).values()
        net.to(memory_format=torch.channels_last)
        for path, part in net.named_modules():
            if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.MaxPool2d):
                part.register_forward_hook(note(path))
        found = named(name, net(*(each.to(memory_format=torch.channels_last) for each in x)))
    [answer] = found.values()
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert [path for path, last in kept.items() if not last] == []
