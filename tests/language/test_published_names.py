"""Published names: torchvision's nets, written in the language, have its `state_dict` and its answers.

Every rule of names is needed somewhere: labels, numbers, quoted paths with expressions, splices, repeats and groups.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from netc import api
from netc.backends import torch as torch_backend
from netc.graph import Graph
from netc_runtime.golden import golden_input
from tests.language.spec import admitted, net, weights

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

SAMPLES = 2


class Published(NamedTuple):
    """A spec of the zoo, torchvision's builder of the same net, the side of the pictures both are asked about."""

    spec: str
    builder: str
    side: int = 64


# VGG and AlexNet end in dense layers, which fix the side; the others take any.
NETS = [
    Published("resnet.cnn:ResNet18", "resnet18"),
    Published("resnet.cnn:ResNet34", "resnet34"),
    Published("resnet.cnn:ResNet50", "resnet50"),
    Published("resnet.cnn:ResNet101", "resnet101"),
    Published("resnet.cnn:ResNet152", "resnet152"),
    Published("vgg.cnn:VGG11", "vgg11", 224),
    Published("vgg.cnn:VGG13", "vgg13", 224),
    Published("vgg.cnn:VGG16", "vgg16", 224),
    Published("vgg.cnn:VGG19", "vgg19", 224),
    Published("vgg.cnn:VGG11BN", "vgg11_bn", 224),
    Published("vgg.cnn:VGG13BN", "vgg13_bn", 224),
    Published("vgg.cnn:VGG16BN", "vgg16_bn", 224),
    Published("vgg.cnn:VGG19BN", "vgg19_bn", 224),
    Published("googlenet_bn.cnn:GoogLeNetBN", "googlenet"),
    Published("alexnet.cnn:AlexNet", "alexnet", 224),
    Published("densenet.cnn:DenseNet121", "densenet121"),
    Published("densenet.cnn:DenseNet161", "densenet161"),
    Published("densenet.cnn:DenseNet169", "densenet169"),
    Published("densenet.cnn:DenseNet201", "densenet201"),
    Published("squeezenet.cnn:SqueezeNet1_0", "squeezenet1_0"),
    Published("squeezenet.cnn:SqueezeNet1_1", "squeezenet1_1"),
    Published("mobilenet_v2.cnn:MobileNetV2", "mobilenet_v2"),
    Published("inception_v3.cnn:InceptionV3", "inception_v3", 96),
]
HEADS = ("aux1.", "aux2.", "AuxLogits.")
each_net = pytest.mark.parametrize("published", NETS, ids=lambda net: net.builder)


@each_net
def test_the_state_dict_is_torchvisions_name_by_name_in_order(
    published: Published, root: Path, oracle: ModuleType
) -> None:
    theirs = torchvisions(published, oracle)
    with torch.device("meta"):
        ours = torch_backend.module(load(published, root))
    assert described(ours.state_dict()) == described(theirs.state_dict())
    assert [name for name, _ in ours.named_buffers()] == [name for name, _ in theirs.named_buffers()]


@each_net
def test_parameters_and_macs_are_torchvisions(published: Published, root: Path, oracle: ModuleType) -> None:
    graph = load(published, root)
    theirs = torchvisions(published, oracle).eval()
    sizes = {name: parameter.numel() for name, parameter in theirs.named_parameters()}
    assert graph.params(train=True) == sum(sizes.values())
    assert graph.params() == sum(size for name, size in sizes.items() if not name.startswith(HEADS))
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        theirs(torch.empty(1, *graph.inputs[0].type.dims[1:]))  # pyright: ignore[reportCallIssue, reportArgumentType] -- all are numbers
    assert graph.macs() * 2 == counter.get_total_flops()


@each_net
def test_the_spec_expects_what_torchvision_publishes(published: Published, root: Path, oracle: ModuleType) -> None:
    expect = load(published, root).expect
    meta: dict[str, Any] = oracle.models.get_model_weights(published.builder)["IMAGENET1K_V1"].meta
    assert expect.macs is not None
    assert round(expect.macs / 1e9, 3) == meta["_ops"]
    # Its table counts the training head of Inception v3, and not those of GoogLeNet.
    with_heads = published.builder == "inception_v3"
    assert (expect.params_train if with_heads else expect.params) == meta["num_params"]


@pytest.mark.slow
@each_net
def test_torchvisions_weights_load_without_a_map_and_answer_the_same(
    published: Published, root: Path, oracle: ModuleType
) -> None:
    theirs = torchvisions(published, oracle).eval()
    state = randomised(theirs)
    theirs.load_state_dict(state, assign=True)
    ours = api.compile(f"{root}/specs/{published.spec}", weights=state).eval()  # pyright: ignore[reportArgumentType] -- tensors on the CPU do
    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, published.side, published.side)))
    with torch.inference_mode():
        assert distance(ours(pictures), theirs(pictures)) <= 1e-4


def test_another_nets_weights_answer_otherwise(root: Path, oracle: ModuleType) -> None:
    # The measure can fail: v1 has v1.5's names and shapes, and strides elsewhere.
    published = Published("resnet.cnn:ResNet50v1", "resnet50")
    theirs = torchvisions(published, oracle).eval()
    state = randomised(theirs)
    theirs.load_state_dict(state, assign=True)
    ours = api.compile(f"{root}/specs/{published.spec}", weights=state).eval()  # pyright: ignore[reportArgumentType] -- tensors on the CPU do
    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, 64, 64)))
    with torch.inference_mode():
        assert distance(ours(pictures), theirs(pictures)) > 1e-1


@pytest.mark.slow
def test_inceptions_training_head_answers_what_torchvisions_does(root: Path, oracle: ModuleType) -> None:
    published = Published("inception_v3.cnn:InceptionV3", "inception_v3", 299)
    theirs = torchvisions(published, oracle)
    state = randomised(theirs)
    theirs.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    ours = api.compile(f"{root}/specs/{published.spec}", weights=state)  # pyright: ignore[reportArgumentType] -- tensors on the CPU do
    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, 299, 299)))
    with torch.no_grad():
        torch.manual_seed(5)  # the same elements are dropped
        scores, aux_scores = theirs(pictures)
        torch.manual_seed(5)
        found = ours(pictures)
    assert distance(found["scores"], scores) <= 1e-4
    assert distance(found["aux_scores"], aux_scores) <= 1e-4
    for name, buffer in theirs.named_buffers():  # the batch's statistics were taken in
        torch.testing.assert_close(ours.get_buffer(name), buffer)


@pytest.mark.parametrize(("head", "channels"), [("aux1", 512), ("aux2", 528)])
def test_googlenets_training_heads_are_torchvisions_behind_the_papers_pooling(
    head: str, channels: int, root: Path, oracle: ModuleType
) -> None:
    published = Published("googlenet_bn.cnn:GoogLeNetBN", "googlenet")
    theirs = torchvisions(published, oracle).eval()
    state = randomised(theirs)
    theirs.load_state_dict(state, assign=True)
    ours = api.compile(f"{root}/specs/{published.spec}", weights=state).eval()  # pyright: ignore[reportArgumentType] -- tensors on the CPU do
    x = torch.from_numpy(golden_input(3, (SAMPLES, channels, 14, 14)))
    with torch.inference_mode():
        # torchvision's adaptive pooling to 4x4 is the identity on 4x4.
        expected = theirs.get_submodule(head)(F.avg_pool2d(x, 5, 3, ceil_mode=True))
        assert distance(ours.get_submodule(head)(x), expected) <= 1e-4


def test_the_first_alexnet_is_the_papers(root: Path) -> None:
    graph = api.load(f"{root}/specs/alexnet.cnn:AlexNet2012")
    # Section 3.5: 96 kernels of 11x11x3; 256 of 5x5x48; 384 of 3x3x256; 384 of 3x3x192; 256 of 3x3x192; 4096 neurons
    shapes = {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 256 * 6 * 6),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    expected = [(f"{n}.{part}", size) for n, s in shapes.items() for part, size in (("weight", s), ("bias", s[:1]))]
    with torch.device("meta"):
        ours = torch_backend.module(graph)
    assert [(name, tuple(tensor.shape)) for name, tensor in ours.state_dict().items()] == expected

    state = randomised(ours)
    ours = torch_backend.module(graph, {name: tensor.numpy() for name, tensor in state.items()}).eval()

    def conv(x: torch.Tensor, name: str, **words: int) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **words).relu()

    def normalised(x: torch.Tensor) -> torch.Tensor:
        # Section 3.3, with k = 2, n = 5, alpha = 1e-4, beta = 0.75: channel i divided by the energy of i - 2 to i + 2
        energy = F.pad(x.square(), (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
        return x / (2 + 1e-4 * energy) ** 0.75

    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, 227, 227))) * 100  # pixels: small ones move no LRN
    with torch.inference_mode():
        x = F.max_pool2d(normalised(conv(pictures, "conv1", stride=4)), 3, 2)
        x = F.max_pool2d(normalised(conv(x, "conv2", padding=2, groups=2)), 3, 2)
        x = conv(conv(x, "conv3", padding=1), "conv4", padding=1, groups=2)
        x = F.max_pool2d(conv(x, "conv5", padding=1, groups=2), 3, 2).flatten(1)
        x = F.linear(x, state["fc6.weight"], state["fc6.bias"]).relu()
        x = F.linear(x, state["fc7.weight"], state["fc7.bias"]).relu()
        expected_scores = F.linear(x, state["fc8.weight"], state["fc8.bias"])
        assert distance(ours(pictures), expected_scores) <= 1e-4


# VGG-11's first four convolutions: torchvision counts activations and poolings.
UNIT = 'block unit(at, c) { "{at}": conv(c, k=1) -> relu }\n'
SPELLINGS = {
    "numbers in a group": "features: { 0: conv(4, k=1) -> 3: conv(5, k=1) -> 6: conv(6, k=1) -> 8: conv(8, k=1) }",
    "quoted paths": '"features.0": conv(4, k=1) -> "features.3": conv(5, k=1) -> "features.6": conv(6, k=1)'
    ' -> "features.8": conv(8, k=1)',
    "a repeat under a quoted path": '"features.{at}": conv(c, k=1) for at, c in [[0, 4], [3, 5], [6, 6], [8, 8]]',
    "spliced blocks in a group": "features: { _: unit(0, 4) -> _: unit(3, 5) -> _: unit(6, 6) -> _: unit(8, 8) }",
    "a spliced repeat in a group": "features: { _: unit(at, c) for at, c in [[0, 4], [3, 5], [6, 6], [8, 8]] }",
    "a spliced group": "_: { features: { 0: conv(4, k=1) -> 3: conv(5, k=1) } -> "
    '"features.6": conv(6, k=1) -> "features.8": conv(8, k=1) }',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_names_can_be_written_in_several_ways(spelling: str) -> None:
    graph = admitted(net(f"from image -> {SPELLINGS[spelling]} => y", head=UNIT))
    assert weights(graph) == [f"features.{at}.{part}" for at in (0, 3, 6, 8) for part in ("weight", "bias")]
    assert list(torch_backend.module(graph).state_dict()) == weights(graph)


def load(published: Published, root: Path) -> Graph:
    return api.load(f"{root}/specs/{published.spec}")


def torchvisions(published: Published, oracle: ModuleType) -> nn.Module:
    """torchvision's net on the meta device: every tensor is given later."""
    # These two warn that their initial weights will change.
    quiet = {"init_weights": False} if published.builder in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return oracle.models.get_model(published.builder, weights=None, **quiet)


def described(state: dict[str, torch.Tensor]) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    return [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()]


def randomised(module: nn.Module) -> dict[str, torch.Tensor]:
    """Kaiming weights, and batch norms whose weights, biases and running statistics all count."""
    random = torch.Generator().manual_seed(7)
    state: dict[str, torch.Tensor] = {}
    for name, tensor in module.state_dict().items():
        shape, part = tuple(tensor.shape), name.rpartition(".")[2]
        if not tensor.dtype.is_floating_point:
            state[name] = torch.tensor(3, dtype=tensor.dtype)
        elif len(shape) > 1:
            made = torch.empty(shape).normal_(generator=random)
            state[name] = made.mul_((2 / made[0].numel()) ** 0.5)
        elif part in ("weight", "running_var"):
            state[name] = torch.empty(shape).uniform_(0.5, 1.5, generator=random)
        else:
            state[name] = torch.empty(shape).normal_(0, 0.1, generator=random)
    return state


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, in the spread of the output over the pictures: docs/architecture.md's V."""
    assert ours.shape == theirs.shape
    spread = (theirs - theirs.mean(0)).square().mean().sqrt()
    return float((ours - theirs).abs().max() / spread)
