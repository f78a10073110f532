"""A step of training the emitted module is a step of training the library's: loss, gradients, running statistics.

In float64, with the library's own random weights. Dropout and stochastic depth are off, since the libraries draw in an
order of their own; one test draws alike.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netc.backends import torch as torch_backend
from netc.tensor import at
from tests.language import test_published_names as names
from tests.test_zoo import LIBRARIES, SEGMENTATION, library, load, segmenting

BATCH = 2
CLOSE = 1e-9
"""The most that a number may differ, in the largest of its tensor."""
HEAD = 0.3
"""The weight of a training head's loss."""


class Trained(NamedTuple):
    """A spec of the zoo, the library's builder, and the sides of what both are trained on."""

    spec: str
    builder: str
    sides: tuple[int, ...]


def sides(spec: str, builder: str) -> tuple[int, ...]:
    """As small as the net allows: its last image has several places, and a training head what it is declared on."""
    if builder in ("googlenet", "inception_v3") or builder.startswith(("vgg", "alexnet")):
        return tuple(at(side, {}) for side in load(spec).inputs[0].type.sides)
    return (16, 32, 32) if "video" in spec else (64, 64)


def trained(published: Sequence[Any]) -> list[Trained]:
    return [Trained(p.spec, p.builder, ()) for p in published]


EVERY = [*trained(names.NETS), *trained(LIBRARIES), *trained(SEGMENTATION)]
QUICK = ("squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "mobilenet_v3_small")
SLOW = ("resnet18", "mobilenet_v2", "googlenet", "densenet121", "efficientnet_b0")


def mark(net: Trained) -> Any:
    marks = [] if net.builder in QUICK else [pytest.mark.slow if net.builder in SLOW else pytest.mark.long]
    return pytest.param(net, id=net.builder, marks=marks)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("net", [mark(net) for net in EVERY])
def test_a_step_of_training_is_the_librarys(net: Trained, oracle: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "dropout", untouched)
    theirs, ours = pair(net, oracle)
    for part in theirs.modules():
        if type(part).__name__ == "StochasticDepth":
            cast(Any, part).p = 0.0
    x, target = drawn(net, ours)
    assert_steps_agree(ours, theirs, x, target)


@pytest.mark.parametrize(("spec", "builder"), [("squeezenet.cnn:SqueezeNet1_1", "squeezenet1_1")])
def test_dropout_draws_as_the_librarys(spec: str, builder: str, oracle: ModuleType) -> None:
    net = Trained(spec, builder, ())
    theirs, ours = pair(net, oracle)
    x, target = drawn(net, ours)
    assert_steps_agree(ours, theirs, x, target)


@pytest.mark.slow
def test_a_step_can_differ(oracle: ModuleType) -> None:
    theirs, _ = pair(Trained("resnet.cnn:ResNet50", "resnet50", ()), oracle)
    # He et al.'s own net strides elsewhere, on the same weights.
    net = Trained("resnet.cnn:ResNet50v1", "resnet50", ())
    ours = double(torch_backend.module(load(net.spec)), theirs.state_dict())
    x, target = drawn(net, ours)
    with pytest.raises(AssertionError):
        assert_steps_agree(ours, theirs, x, target)


def untouched(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
    return x


def pair(net: Trained, oracle: ModuleType) -> tuple[nn.Module, nn.Module]:
    """The library's module and ours, with equal weights in float64, in training mode."""
    theirs = original(net, oracle)
    state = names.randomised(theirs)
    theirs = double(theirs, state)
    with torch.device("meta"):
        ours = torch_backend.module(load(net.spec))
    return theirs, double(ours, state)


def double(module: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    exact = {name: t.to(torch.float64 if t.is_floating_point() else t.dtype, copy=True) for name, t in state.items()}
    whole = module.state_dict()  # MNASNet asks for the version that it keeps beside the tensors
    whole.update(exact)
    module.load_state_dict(whole, assign=True)
    return module.train()


def original(net: Trained, oracle: ModuleType) -> nn.Module:
    for published in names.NETS:
        if published.spec == net.spec:
            theirs = names.torchvisions(published, oracle)
            if net.builder == "googlenet":
                # Its heads average to 4x4 over uneven windows, which on 4x4 is the identity: the paper's pooling first.
                for head in ("aux1", "aux2"):
                    theirs.get_submodule(head).register_forward_pre_hook(papers_pooling)
            return theirs
    for published in SEGMENTATION:
        if published.spec == net.spec:
            return segmenting(published, oracle)
    return library(next(p for p in LIBRARIES if p.spec == net.spec), oracle)


def papers_pooling(head: nn.Module, operands: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return F.avg_pool2d(operands[0], 5, 3, ceil_mode=True)


def drawn(net: Trained, ours: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures, and the classes they are of: one a picture, or of a net for segmentation one a pixel."""
    random = torch.Generator().manual_seed(11)
    shape = net.sides or sides(net.spec, net.builder)
    x = torch.randn(BATCH, 3, *shape, generator=random, dtype=torch.float64)
    each = (BATCH, *shape) if any(net.spec == p.spec for p in SEGMENTATION) else (BATCH,)
    return x, torch.randint(0, 21, each, generator=random)


def answers(answer: Any) -> list[torch.Tensor]:
    """What a net in training gives: the answer, then the heads' in the order they are in the net."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    if isinstance(answer, dict):
        return list(cast("dict[str, torch.Tensor]", answer).values())
    first, *heads = cast("tuple[torch.Tensor, ...]", answer)
    return [first, *reversed(heads)]  # torchvision's GoogLeNet: scores, aux2, aux1


def losses(module: nn.Module, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    first, *heads = (F.cross_entropy(each, target) for each in answers(module(x)))
    return first + HEAD * sum(heads, torch.zeros((), dtype=torch.float64))


def assert_steps_agree(ours: nn.Module, theirs: nn.Module, x: torch.Tensor, target: torch.Tensor) -> None:
    """Two steps: the second's loss is that of what the first made of the weights."""
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9) for module in (ours, theirs)]
    for _ in range(2):
        said: list[torch.Tensor] = []
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            torch.manual_seed(13)
            loss = losses(module, x, target)
            loss.backward()
            said.append(loss.detach())
        assert_close("the loss", *said)
        expected = dict(theirs.named_parameters())
        assert list(dict(ours.named_parameters())) == list(expected)
        for name, parameter in ours.named_parameters():
            assert parameter.grad is not None, name
            assert_close(f"the gradient of {name}", parameter.grad, cast(torch.Tensor, expected[name].grad))
        for name, buffer in ours.named_buffers():
            assert_close(name, buffer, theirs.get_buffer(name))
        for optimizer in optimizers:
            optimizer.step()


def assert_close(what: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape, what
    assert bool(torch.isfinite(theirs).all()), what
    far = float((ours - theirs).abs().max())
    assert far <= CLOSE * float(theirs.abs().max()), f"{what} differs by {far:.1e} of {float(theirs.abs().max()):.1e}"
