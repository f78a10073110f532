"""The zoo: every net has the size that is published for it, or that hand arithmetic gives, and runs as it is declared.

tests/language/test_published_names.py holds the nets that torchvision has and that the language's rules of names need;
here are the others, by their papers, and the rest of torchvision's and timm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, cast

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from netc import api
from netc.backends import torch as torch_backend
from netc.graph import Graph
from netc.ops.crop import Crop
from netc.passes import deploy
from netc.tensor import at
from netc_runtime.golden import golden_input
from tests.conftest import ROOT
from tests.language.test_published_names import NETS, described, distance, randomised
from tests.one_layer import in_onnxruntime, to_onnx

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

SAMPLES = 2


class Published(NamedTuple):
    """A net of the zoo and the library's builder of the same net; `family` marks the one that is built into ONNX."""

    spec: str
    builder: str
    family: bool = False


LIBRARIES = [
    Published("resnext.cnn:ResNeXt50_32x4d", "resnext50_32x4d", family=True),
    Published("resnext.cnn:ResNeXt101_32x8d", "resnext101_32x8d"),
    Published("resnext.cnn:ResNeXt101_64x4d", "resnext101_64x4d"),
    Published("wide_resnet.cnn:WideResNet50_2", "wide_resnet50_2", family=True),
    Published("wide_resnet.cnn:WideResNet101_2", "wide_resnet101_2"),
    Published("convnext.cnn:ConvNeXtTiny", "convnext_tiny", family=True),
    Published("convnext.cnn:ConvNeXtSmall", "convnext_small"),
    Published("convnext.cnn:ConvNeXtBase", "convnext_base"),
    Published("convnext.cnn:ConvNeXtLarge", "convnext_large"),
    Published("shufflenet_v2.cnn:ShuffleNetV2_x0_5", "shufflenet_v2_x0_5"),
    Published("shufflenet_v2.cnn:ShuffleNetV2_x1_0", "shufflenet_v2_x1_0", family=True),
    Published("shufflenet_v2.cnn:ShuffleNetV2_x1_5", "shufflenet_v2_x1_5"),
    Published("shufflenet_v2.cnn:ShuffleNetV2_x2_0", "shufflenet_v2_x2_0"),
    Published("mnasnet.cnn:MNASNet0_5", "mnasnet0_5"),
    Published("mnasnet.cnn:MNASNet0_75", "mnasnet0_75"),
    Published("mnasnet.cnn:MNASNet1_0", "mnasnet1_0", family=True),
    Published("mnasnet.cnn:MNASNet1_3", "mnasnet1_3"),
    Published("mobilenet_v3.cnn:MobileNetV3Large", "mobilenet_v3_large", family=True),
    Published("mobilenet_v3.cnn:MobileNetV3Small", "mobilenet_v3_small", family=True),
    Published("efficientnet.cnn:EfficientNetB0", "efficientnet_b0", family=True),
    Published("efficientnet.cnn:EfficientNetB1", "efficientnet_b1"),
    Published("efficientnet.cnn:EfficientNetB2", "efficientnet_b2"),
    Published("efficientnet.cnn:EfficientNetB3", "efficientnet_b3"),
    Published("efficientnet.cnn:EfficientNetB4", "efficientnet_b4"),
    Published("efficientnet.cnn:EfficientNetB5", "efficientnet_b5"),
    Published("efficientnet.cnn:EfficientNetB6", "efficientnet_b6"),
    Published("efficientnet.cnn:EfficientNetB7", "efficientnet_b7"),
    Published("efficientnet_v2.cnn:EfficientNetV2S", "efficientnet_v2_s"),
    Published("efficientnet_v2.cnn:EfficientNetV2M", "efficientnet_v2_m"),
    Published("efficientnet_v2.cnn:EfficientNetV2L", "efficientnet_v2_l"),
    Published("regnet.cnn:RegNetX_400MF", "regnet_x_400mf", family=True),
    Published("regnet.cnn:RegNetX_800MF", "regnet_x_800mf"),
    Published("regnet.cnn:RegNetX_1_6GF", "regnet_x_1_6gf"),
    Published("regnet.cnn:RegNetX_3_2GF", "regnet_x_3_2gf"),
    Published("regnet.cnn:RegNetX_8GF", "regnet_x_8gf"),
    Published("regnet.cnn:RegNetX_16GF", "regnet_x_16gf"),
    Published("regnet.cnn:RegNetX_32GF", "regnet_x_32gf"),
    Published("regnet.cnn:RegNetY_400MF", "regnet_y_400mf", family=True),
    Published("regnet.cnn:RegNetY_800MF", "regnet_y_800mf"),
    Published("regnet.cnn:RegNetY_1_6GF", "regnet_y_1_6gf"),
    Published("regnet.cnn:RegNetY_3_2GF", "regnet_y_3_2gf"),
    Published("regnet.cnn:RegNetY_8GF", "regnet_y_8gf"),
    Published("regnet.cnn:RegNetY_16GF", "regnet_y_16gf"),
    Published("regnet.cnn:RegNetY_32GF", "regnet_y_32gf"),
    Published("video_resnet.cnn:R3D18", "r3d_18", family=True),
    Published("video_resnet.cnn:MC3_18", "mc3_18"),
    Published("video_resnet.cnn:R2Plus1D18", "r2plus1d_18", family=True),
    Published("mobilenet_v1.cnn:MobileNetV1", "timm:mobilenetv1_100", family=True),
]
each_net = pytest.mark.parametrize("published", LIBRARIES, ids=lambda net: net.builder)


@each_net
def test_the_state_dict_is_the_librarys_name_by_name_in_order(published: Published, oracle: ModuleType) -> None:
    theirs = library(published, oracle)
    with torch.device("meta"):
        ours = torch_backend.module(load(published.spec))
    assert described(ours.state_dict()) == described(theirs.state_dict())
    assert [name for name, _ in ours.named_buffers()] == [name for name, _ in theirs.named_buffers()]


@each_net
def test_parameters_and_macs_are_the_librarys(published: Published, oracle: ModuleType) -> None:
    graph = load(published.spec)
    theirs = library(published, oracle).eval()
    assert graph.params() == sum(parameter.numel() for parameter in theirs.parameters())
    assert graph.macs() == macs_by_torch(theirs, graph, {})


PICTURES = [net for net in LIBRARIES if not net.builder.startswith("timm:") and "video" not in net.spec]


@pytest.mark.parametrize("published", PICTURES, ids=lambda net: net.builder)
def test_the_input_is_prepared_as_torchvision_does(published: Published, oracle: ModuleType) -> None:
    recipe = load(published.spec).inputs[0].recipe
    theirs = oracle.models.get_model_weights(published.builder)["IMAGENET1K_V1"].transforms()
    assert recipe is not None
    assert (recipe.resize, recipe.crop) == (theirs.resize_size[0], theirs.crop_size[0])
    assert recipe.filter == theirs.interpolation.value
    assert (list(recipe.mean), list(recipe.std), recipe.scale) == (theirs.mean, theirs.std, 1 / 255)


@pytest.mark.parametrize("published", [p for p in LIBRARIES if ":" not in p.builder], ids=lambda net: net.builder)
def test_the_spec_expects_what_torchvision_publishes(published: Published, oracle: ModuleType) -> None:
    graph = load(published.spec)
    meta: dict[str, Any] = next(iter(oracle.models.get_model_weights(published.builder))).meta
    assert graph.expect.params == meta["num_params"]
    assert round(graph.macs() / 1e9, 3) == meta["_ops"]


@pytest.mark.slow
@each_net
def test_the_librarys_weights_load_without_a_map_and_answer_the_same(published: Published, oracle: ModuleType) -> None:
    theirs = deepcopy(library(published, oracle)).eval()
    state = carry(theirs)
    graph = load(published.spec)
    weights = {name: tensor.numpy() for name, tensor in state.items()}
    ours = torch_backend.module(graph, weights).eval()
    sides = cast(tuple[int, ...], graph.inputs[0].type.sides)
    if not published.family:  # the weights fit any size, and small pictures are soon computed
        sides = (16, 32, 32) if len(sides) == 3 else (64, 64)
    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, *sides)))
    with torch.inference_mode():
        expected = theirs(pictures)
        assert distance(ours(pictures), expected) <= 1e-4
    if published.family:
        found = torch.from_numpy(in_onnxruntime(to_onnx(deploy(graph, weights)[0], ours, 20), [pictures.numpy()]))
        if distance(found, expected) > 1e-4:
            # docs/architecture.md: beyond the bound it is held against float32 torch's own distance from float64.
            with torch.inference_mode():
                exact = theirs.double()(pictures.double())
            own = distance(expected.double(), exact)
            assert own <= 1e-2
            assert distance(found.double(), exact) <= 4 * own


SEGMENTATION = [
    Published("deeplab.cnn:FCNResNet50", "fcn_resnet50"),
    Published("deeplab.cnn:FCNResNet101", "fcn_resnet101"),
    Published("deeplab.cnn:DeepLabV3ResNet50", "deeplabv3_resnet50"),
    Published("deeplab.cnn:DeepLabV3ResNet101", "deeplabv3_resnet101"),
]
each_segmentation = pytest.mark.parametrize("published", SEGMENTATION, ids=lambda net: net.builder)


@each_segmentation
def test_a_segmenting_nets_state_dict_and_counts_are_torchvisions(published: Published, oracle: ModuleType) -> None:
    graph, theirs = load(published.spec), segmenting(published, oracle)
    with torch.device("meta"):
        ours = torch_backend.module(graph)
    assert described(ours.state_dict()) == described(theirs.state_dict())
    sizes = {name: parameter.numel() for name, parameter in theirs.named_parameters()}
    assert graph.params(train=True) == graph.expect.params_train == sum(sizes.values())
    assert graph.params() == sum(size for name, size in sizes.items() if not name.startswith("aux"))
    deployed = segmenting(published, oracle, aux=False).eval()
    assert graph.macs({"H": 96, "W": 65}) == macs_by_torch(deployed, graph, {"H": 96, "W": 65})


@pytest.mark.slow
@each_segmentation
def test_a_segmenting_net_answers_as_torchvisions_does(published: Published, oracle: ModuleType) -> None:
    graph, theirs = load(published.spec), segmenting(published, oracle).eval()
    state = carry(theirs)
    ours = torch_backend.module(graph, {name: tensor.numpy() for name, tensor in state.items()}).eval()
    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, 96, 65)))
    within = torch.from_numpy(golden_input(3, (SAMPLES, 1024, 12, 9)))
    with torch.inference_mode():
        assert distance(ours(pictures), theirs(pictures)["out"]) <= 1e-4
        aux = (each.get_submodule("aux_classifier")(within) for each in (ours, theirs))
        assert distance(*aux) <= 1e-4


class Figure(NamedTuple):
    """What a net comes to: learned numbers by a paper or by hand, and the sizes of its symbols that it is run at."""

    params: int
    sizes: Mapping[str, int] = MappingProxyType({})


# The sums are worked layer by layer, weights first; `bn` is two numbers a channel.
PRINTED = {
    # tests/language/test_published_names.py and tests/test_facts.py hold these to their papers.
    "alexnet.cnn:AlexNet2012": Figure(60_965_224),
    "googlenet.cnn:GoogLeNet": Figure(6_998_552),
    # torchvision's ResNet-50 without `fc`, 23,508,032, and 2,048 * 20 + 20
    "voc.cnn:VocResNet50": Figure(23_508_032 + 40_980, {"H": 96, "W": 64}),
    # The paper's text: 9,760 independent parameters.
    "lenet1989.cnn:LeNet1989": Figure(9_760),
    # LeCun 1989, CRG-TR-89-4: Net-1 to Net-5 have 2,570, 3,214, 1,226, 1,132 and 1,060 weights.
    "fully_connected.cnn:Net1": Figure(2_570),
    "fully_connected.cnn:Net2": Figure(3_214),
    "locally_connected.cnn:Net3": Figure(1_226),
    "locally_connected.cnn:Net4": Figure(1_132),
    "locally_connected.cnn:Net5": Figure(1_060),
    "locally_connected.cnn:Local": Figure(1_060),  # it is Net5
    # Cicek et al., section 2: 19,069,955, and 2,336 more: batch norm's second number for each normalised channel,
    # 32 + 64 + 64 + 128 + 128 + 256 + 256 + 512 + 256 + 256 + 128 + 128 + 64 + 64.
    "volume3d.cnn:UNet3D": Figure(19_069_955 + 2_336),
}
BY_HAND = {
    "lenet5.cnn:LeNet5": Figure(
        (25 * 6 + 6) + (25 * 6 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
    ),
    "fully_connected.cnn:MLP": Figure(784 * 300 + 300 + 3010),
    "fully_connected.cnn:MLP300": Figure(784 * 300 + 300 + 3010),
    "fully_connected.cnn:MLP300x100": Figure(784 * 300 + 300 + 300 * 100 + 100 + 1010),
    # 20C4, 40C5, 40 maps of 3x3 to 150N, 10N
    "ciresan_mnist.cnn:CiresanMNIST": Figure((16 * 20 + 20) + (25 * 20 * 40 + 40) + (360 * 150 + 150) + 1510),
    # 100C7, 150C4, 250C4, 250 maps of 3x3 to 300N, 43N
    "traffic_signs.cnn:TrafficSigns": Figure(
        (49 * 3 * 100 + 100) + (16 * 100 * 150 + 150) + (16 * 150 * 250 + 250) + (2250 * 300 + 300) + (300 * 43 + 43)
    ),
    # table 1: kernels of 4, 5, 4, 4, always 48 maps, of 3x3 at the end
    "membrane.cnn:Membrane": Figure(
        (16 * 48 + 48) + (25 * 48 * 48 + 48) + 2 * (16 * 48 * 48 + 48) + (432 * 200 + 200) + 402
    ),
    # kernels of 2, 3, 3, 2, 2, always 16 maps, of 2x2 at the end
    "mitosis.cnn:DNN1": Figure(
        (4 * 3 * 16 + 16) + 2 * (9 * 16 * 16 + 16) + 2 * (4 * 16 * 16 + 16) + (64 * 100 + 100) + 202
    ),
    # kernels of 4, 4, 4, 3, maps of 4x4 at the end
    "mitosis.cnn:DNN2": Figure(
        (16 * 3 * 16 + 16) + 2 * (16 * 16 * 16 + 16) + (9 * 16 * 16 + 16) + (256 * 100 + 100) + 202
    ),
    "neocognitron.cnn:Neocognitron": Figure((25 * 24 + 24) + 2 * (25 * 24 * 24 + 24) + 250),
    "macula.cnn:Macula": Figure(
        9 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 96 + 96 * 128)
        + 2 * (16 + 32 + 64 + 96 + 128)
        + (49 * 128 * 128 + 128)
        + (2 * 128 + 2)
    ),
    "conv_autoencoder.cnn:ConvAutoencoder": Figure(
        (49 * 20 + 20) + (25 * 20 * 8 + 8) + (25 * 8 * 20 + 20) + (49 * 20 + 1)
    ),
    # 784-1000-500-250-30 and back, weights both ways and a bias a unit
    "fc_autoencoder.cnn:Autoencoder": Figure(
        2 * (784 * 1000 + 1000 * 500 + 500 * 250 + 250 * 30) + 2 * (1000 + 500 + 250) + 30 + 784
    ),
    # three times a convolution and two of 1x1
    "nin.cnn:NIN": Figure(
        (75 * 192 + 192)
        + (192 * 160 + 160)
        + (160 * 96 + 96)
        + (25 * 96 * 192 + 192)
        + 2 * (192 * 192 + 192)
        + (9 * 192 * 192 + 192)
        + (192 * 192 + 192)
        + (192 * 10 + 10)
    ),
    # Table 1, C = 21: Basic has seven 3x3 and one 1x1 of C to C channels: 64 C^2 weights and 8 C biases.
    "dilated.cnn:ContextBasic": Figure(64 * 21 * 21 + 8 * 21),
    # Large: 2C 2C 4C 8C 16C 32C 32C C channels out: 9 (2 + 4 + 8 + 32 + 128 + 512 + 1024) + 32 of C^2, 97 biases of C.
    "dilated.cnn:ContextLarge": Figure((9 * 1710 + 32) * 21 * 21 + 97 * 21),
    # VGG16's convolutions 14,714,688 (VGG table 2 without the dense layers), fc6, fc7, scores
    "dilated.cnn:DilatedFrontEnd": Figure(
        14_714_688 + (49 * 512 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 21 + 21)
    ),
    "dilated.cnn:Dilated8": Figure(134_346_581 + 6_803_139),
    # the same, the scores of pool4 and pool3, and three bilinear kernels without biases
    "fcn8s.cnn:FCN8s": Figure(
        134_346_581 + (512 * 21 + 21) + (256 * 21 + 21) + 21 * 21 * (16 + 16 + 256), {"H": 375, "W": 500}
    ),
    # VGG16's convolutions and batch norms of 4,224 channels; back: the same but for the channels at each stage's end
    "segnet.cnn:SegNetLike": Figure(
        14_714_688
        + 2 * 4_224
        + 5 * (9 * 512 * 512 + 512)
        + (9 * 512 * 256 + 256)
        + 2 * (9 * 256 * 256 + 256)
        + (9 * 256 * 128 + 128)
        + (9 * 128 * 128 + 128)
        + (9 * 128 * 64 + 64)
        + (9 * 64 * 64 + 64)
        + (9 * 64 * 12 + 12)
        + 2 * (5 * 512 + 256 + 2 * 256 + 128 + 128 + 64 + 64),
        {"H": 352, "W": 480},
    ),
    "unet.cnn:UNet": Figure(31_030_658, {"H": 64, "W": 96}),
    # Each step down (a, b) 9ab + b and 9bb + b; up (2b, b): 4 * 2b * b + b, then 9 * 2b * b + b and 9bb + b.
    "unet.cnn:UNet2015": Figure(
        sum(9 * a * b + b + 9 * b * b + b for a, b in [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)])
        + sum(8 * b * b + b + 18 * b * b + b + 9 * b * b + b for b in (512, 256, 128, 64))
        + 2 * 64
        + 2
    ),
    # section 2.1's wave nets: 80 weights a channel, then 3 c c', two numbers of batch norm a channel, and `fc`
    "signal1d.cnn:M3": Figure(80 * 256 + 3 * 256 * 256 + 2 * 2 * 256 + 2570),
    "signal1d.cnn:M5": Figure(80 * 128 + 3 * (128 * 128 + 128 * 256 + 256 * 512) + 2 * (2 * 128 + 256 + 512) + 5130),
    "signal1d.cnn:M11": Figure(
        80 * 64
        + 3 * (2 * 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256 + 256 * 512 + 512 * 512)
        + 2 * (3 * 64 + 2 * 128 + 3 * 256 + 2 * 512)
        + 5130
    ),
    "signal1d.cnn:M18": Figure(
        80 * 64
        + 3 * (4 * 64 * 64 + 64 * 128 + 3 * 128 * 128 + 128 * 256 + 3 * 256 * 256 + 256 * 512 + 3 * 512 * 512)
        + 2 * (5 * 64 + 4 * 128 + 4 * 256 + 4 * 512)
        + 5130
    ),
    # figure 3: eight 3x3x3 convolutions; 512 maps of 1x4x4 to fc6
    "volume3d.cnn:C3D": Figure(
        sum(27 * a * b + b for a, b in [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512)])
        + 3 * (27 * 512 * 512 + 512)
        + (8192 * 4096 + 4096)
        + (4096 * 4096 + 4096)
        + (4096 * 487 + 487)
    ),
}


def cifar_resnet(n: int, shortcuts: int) -> Figure:
    """He et al., table of section 4.2: 6n + 1 convolutions of 16, 32 and 64 channels, and `fc`."""
    stages = sum(9 * a * b + 2 * b + (2 * n - 1) * (9 * b * b + 2 * b) for a, b in [(16, 16), (16, 32), (32, 64)])
    return Figure(9 * 3 * 16 + 2 * 16 + stages + shortcuts + 650)


def preact_resnet(n: int) -> Figure:
    """He et al., arXiv:1603.05027: 1x1, 3x3, 1x1 convolutions, each behind its batch norm; a 1x1 shortcut a stage."""
    total = 9 * 3 * 16
    for a, b in [(16, 64), (64, 128), (128, 256)]:
        middle = 9 * (b // 4) ** 2 + 2 * 2 * (b // 4) + (b // 4) * b
        first = 2 * a + a * (b // 4) + middle + a * b
        total += first + (n - 1) * (2 * b + b * (b // 4) + middle)
    return Figure(total + 2 * 256 + 2570)


def wide_resnet(n: int, k: int) -> Figure:
    """Zagoruyko & Komodakis, table 1: two 3x3 convolutions a unit, each behind its batch norm; a 1x1 shortcut."""
    total = 9 * 3 * 16
    for a, b in [(16, 16 * k), (16 * k, 32 * k), (32 * k, 64 * k)]:
        first = 2 * a + 9 * a * b + 2 * b + 9 * b * b + a * b
        total += first + (n - 1) * 2 * (2 * b + 9 * b * b)
    return Figure(total + 2 * 64 * k + 64 * k * 10 + 10)


# Option B: 1x1 convolutions from 16 to 32 and from 32 to 64 channels, each with a batch norm.
PROJECTIONS = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
BY_FORMULA = {
    **{f"cifar_resnet.cnn:ResNet{6 * n + 2}": cifar_resnet(n, 0) for n in (3, 5, 7, 9, 18, 200)},
    **{f"cifar_resnet.cnn:ResNet{6 * n + 2}B": cifar_resnet(n, PROJECTIONS) for n in (3, 5, 7, 9, 18, 200)},
    **{f"preact_resnet.cnn:PreActResNet{9 * n + 2}": preact_resnet(n) for n in (18, 111)},
    **{f"wide_resnet.cnn:WRN{6 * n + 4}x{k}": wide_resnet(n, k) for n, k in ((2, 8), (4, 10), (6, 4))},
}

# As printed: (millions, digits behind the point)
ROUNDED = {
    # He et al., arXiv:1512.03385, table 6
    "cifar_resnet.cnn:ResNet20": (0.27, 2),
    "cifar_resnet.cnn:ResNet32": (0.46, 2),
    "cifar_resnet.cnn:ResNet44": (0.66, 2),
    "cifar_resnet.cnn:ResNet56": (0.85, 2),
    "cifar_resnet.cnn:ResNet110": (1.7, 1),
    "cifar_resnet.cnn:ResNet1202": (19.4, 1),
    # He et al., arXiv:1603.05027
    "preact_resnet.cnn:PreActResNet164": (1.7, 1),
    # Zagoruyko & Komodakis, arXiv:1605.07146, tables 5 and 8
    "wide_resnet.cnn:WRN16x8": (11.0, 1),
    "wide_resnet.cnn:WRN28x10": (36.5, 1),
    "wide_resnet.cnn:WRN40x4": (8.9, 1),
    "wide_resnet.cnn:WideResNet50_2": (68.9, 1),
    # Xie et al., arXiv:1611.05431, table 1
    "resnext.cnn:ResNeXt50_32x4d": (25.0, 1),
    # Howard et al., arXiv:1704.04861, table 4
    "mobilenet_v1.cnn:MobileNetV1": (4.2, 1),
    # Liu et al., arXiv:2201.03545, table 1
    "convnext.cnn:ConvNeXtTiny": (29, 0),
    "convnext.cnn:ConvNeXtSmall": (50, 0),
    "convnext.cnn:ConvNeXtBase": (89, 0),
    "convnext.cnn:ConvNeXtLarge": (198, 0),
    # Ma et al., arXiv:1807.11164, table 5
    "shufflenet_v2.cnn:ShuffleNetV2_x0_5": (1.4, 1),
    "shufflenet_v2.cnn:ShuffleNetV2_x1_0": (2.3, 1),
    "shufflenet_v2.cnn:ShuffleNetV2_x1_5": (3.5, 1),
    "shufflenet_v2.cnn:ShuffleNetV2_x2_0": (7.4, 1),
    # Tan & Le, arXiv:1905.11946, table 2
    "efficientnet.cnn:EfficientNetB0": (5.3, 1),
    # the same, table 2, but for B2, whose 9.2 M is not the number rounded
    "efficientnet.cnn:EfficientNetB1": (7.8, 1),
    "efficientnet.cnn:EfficientNetB3": (12, 0),
    "efficientnet.cnn:EfficientNetB4": (19, 0),
    "efficientnet.cnn:EfficientNetB5": (30, 0),
    "efficientnet.cnn:EfficientNetB6": (43, 0),
    "efficientnet.cnn:EfficientNetB7": (66, 0),
    # Tan & Le, arXiv:2104.00298, table 7
    "efficientnet_v2.cnn:EfficientNetV2M": (54, 0),
    # Howard et al., arXiv:1905.02244, table 3, whose 5.4 M for Large is 5.48 M cut short
    "mobilenet_v3.cnn:MobileNetV3Small": (2.5, 1),
    # Tran et al., arXiv:1711.11248, table 2
    "video_resnet.cnn:R3D18": (33.4, 1),
    "video_resnet.cnn:MC3_18": (11.7, 1),
    # Radosavovic et al., arXiv:2003.13678, but for the three nets that torchvision has wider
    "regnet.cnn:RegNetX_800MF": (7.3, 1),
    "regnet.cnn:RegNetX_1_6GF": (9.2, 1),
    "regnet.cnn:RegNetX_3_2GF": (15.3, 1),
    "regnet.cnn:RegNetX_8GF": (39.6, 1),
    "regnet.cnn:RegNetX_16GF": (54.3, 1),
    "regnet.cnn:RegNetX_32GF": (107.8, 1),
    "regnet.cnn:RegNetY_400MF": (4.3, 1),
    "regnet.cnn:RegNetY_1_6GF": (11.2, 1),
    "regnet.cnn:RegNetY_3_2GF": (19.4, 1),
    "regnet.cnn:RegNetY_16GF": (83.6, 1),
    "regnet.cnn:RegNetY_32GF": (145.0, 1),
    # Long et al., arXiv:1411.4038, table 1
    "fcn8s.cnn:FCN8s": (134, 0),
    # Dai et al., arXiv:1610.00087, table 1; its M5 is 0.5 M, cut short
    "signal1d.cnn:M3": (0.2, 1),
    "signal1d.cnn:M11": (1.8, 1),
    "signal1d.cnn:M18": (3.7, 1),
}
FIGURES = PRINTED | BY_HAND | BY_FORMULA
each_figure = pytest.mark.parametrize("spec", FIGURES)
SPECS = sorted(path.name for path in (ROOT / "specs").glob("*.cnn"))


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_is_without_a_finding_and_opens_with_its_card(name: str) -> None:
    assert checked(name).diagnostics == ()
    text = (ROOT / "specs" / name).read_text("utf-8")
    assert text.removeprefix("language 1").lstrip().startswith("# ")


def test_every_net_has_a_figure() -> None:
    listed = {*FIGURES, *(net.spec for net in LIBRARIES), *(net.spec for net in SEGMENTATION), *(n.spec for n in NETS)}
    there = {f"{name}:{net}": graph for name in SPECS for net, graph in checked(name).graphs.items()}
    assert listed <= set(there)
    # What else there is has the arguments of a net that is listed: `net ResNet` is ResNet50.
    known = {(spec.partition(":")[0], there[spec].params()) for spec in listed}
    assert {spec for spec, graph in there.items() if (spec.partition(":")[0], graph.params()) not in known} == set()


@each_figure
def test_the_parameters_are_the_papers_or_those_worked_by_hand(spec: str) -> None:
    assert load(spec).params() == FIGURES[spec].params
    with torch.device("meta"):
        module = torch_backend.module(deploy(load(spec), {})[0])
    assert sum(parameter.numel() for parameter in module.parameters()) == FIGURES[spec].params


@pytest.mark.parametrize("spec", ROUNDED)
def test_the_parameters_are_what_the_paper_prints(spec: str) -> None:
    millions, digits = ROUNDED[spec]
    assert round(load(spec).params() / 1e6, digits) == millions


@each_figure
def test_torch_gives_the_declared_shapes_and_counts_the_macs(spec: str) -> None:
    graph, sizes = deploy(load(spec), {})[0], FIGURES[spec].sizes
    with torch.device("meta"):
        module = torch_backend.module(graph).eval()
        inputs = [torch.empty(concrete(each.type.dims, sizes)) for each in graph.inputs]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            found = module(*inputs)
    (output,) = graph.outputs
    assert tuple(found.shape) == concrete(output.type.dims, sizes)
    assert counter.get_total_flops() == 2 * graph.macs(sizes) * SAMPLES


# Connections that are no MACs: the biases of units that share no kernel.
CONNECTIONS = [
    ("lenet1989.cnn:LeNet1989", 64_660, 30 + 10),  # the paper's text
    ("locally_connected.cnn:Net3", 1_226, 64 + 16 + 10),  # CRG-TR-89-4
    ("locally_connected.cnn:Net4", 2_266, 16 + 10),
    ("locally_connected.cnn:Net5", 5_194, 10),
]


@pytest.mark.parametrize(("spec", "connections", "biases"), CONNECTIONS)
def test_the_connections_are_the_papers(spec: str, connections: int, biases: int) -> None:
    assert load(spec).macs() + biases == connections


def test_the_lenet_of_1989_is_what_the_paper_describes() -> None:
    ours = torch_backend.module(load("lenet1989.cnn:LeNet1989"))
    state = randomised(ours)
    ours.load_state_dict(state)

    def maps(x: torch.Tensor, name: str) -> torch.Tensor:
        # A shared kernel of 5x5 on every second pixel, and a bias for each place.
        bias = state[f"{name}.bias.weight"].squeeze((3, 4, 5)).permute(2, 0, 1)
        return F.conv2d(x, state[f"{name}.conv.weight"], stride=2) + bias

    pictures = torch.rand(SAMPLES, 1, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    x = torch.tanh(maps(F.pad(pictures, (2, 2, 2, 2), value=-1.0), "h1"))
    assert x.shape == (SAMPLES, 12, 8, 8)
    x = F.pad(x, (2, 2, 2, 2))
    front, middle, back = x[:, :4], x[:, 4:8], x[:, 8:]
    seen = {"h2a": (front, middle), "h2b": (middle, back), "h2c": (front, back)}
    x = torch.tanh(torch.cat([maps(torch.cat(parts, 1), name) for name, parts in seen.items()], 1)).flatten(1)
    x = torch.tanh(F.linear(x, state["h3.weight"], state["h3.bias"]))
    expected = torch.tanh(F.linear(x, state["out.weight"], state["out.bias"]))
    torch.testing.assert_close(ours(pictures), expected)


@pytest.mark.parametrize(
    ("spec", "stages", "convolutions"),
    [
        ("wide_resnet.cnn:WRN16x8", ["block1.layer", "block2.layer", "block3.layer"], 2),
        ("preact_resnet.cnn:PreActResNet164", ["layer1", "layer2", "layer3"], 3),
    ],
)
def test_a_unit_activates_before_it_convolves(spec: str, stages: list[str], convolutions: int) -> None:
    ours = torch_backend.module(load(spec)).eval()
    state = randomised(ours)
    ours.load_state_dict(state)

    def active(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias).relu()

    pictures = torch.from_numpy(golden_input(3, (SAMPLES, 3, 32, 32)))
    x = F.conv2d(pictures, state["conv1.weight"], padding=1)
    units = max(int(name.split(".")[-3]) for name in state if name.startswith(stages[0])) + 1
    for stage in stages:
        for i in range(units):
            unit, stride = f"{stage}.{i}", 2 if i == 0 and stage != stages[0] else 1
            body = first = active(x, f"{unit}.bn1")
            for j in range(1, convolutions + 1):
                weight = state[f"{unit}.conv{j}.weight"]
                body = body if j == 1 else active(body, f"{unit}.bn{j}")
                body = F.conv2d(body, weight, padding=weight.shape[-1] // 2, stride=stride if j == 1 else 1)
            shortcut = [name for name in state if name.startswith(f"{unit}.") and "hortcut" in name]
            x = body + (F.conv2d(first, state[shortcut[0]], stride=stride) if shortcut else x)
    last = "bn1" if "bn1.weight" in state else "bn"
    expected = F.linear(active(x, last).mean((2, 3)), state["fc.weight"], state["fc.bias"])
    with torch.inference_mode():
        assert distance(ours(pictures), expected) <= 1e-4


def test_the_papers_unet_sees_the_middle_of_what_it_skips() -> None:
    graph = load("unet.cnn:UNet2015")
    crops = [(node.op.offset, *graph.operands(node)) for node in graph.nodes if isinstance(node.op, Crop)]
    assert [offset for offset, *_ in crops] == [4, 16, 40, 88]
    for offset, side, like in crops:
        assert [2 * cast(int, offset) + cast(int, s) for s in like.sides] == list(side.sides)


def test_the_count_of_the_thousand_layer_net_is_the_papers_without_batch_norms() -> None:
    with torch.device("meta"):
        module = torch_backend.module(load("preact_resnet.cnn:PreActResNet1001"))
    norms = sum(p.numel() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    total = sum(p.numel() for p in module.parameters())
    assert round(total / 1e6, 1) == 10.3
    assert round((total - norms) / 1e6, 1) == 10.2  # arXiv:1603.05027


@cache
def checked(name: str) -> api.Checked:
    """A file of the zoo, which may hold a dozen nets, checked once."""
    return api.check(ROOT / "specs" / name)


def test_the_papers_count_of_factored_convolutions_is_that_of_wider_second_ones() -> None:
    # The paper's width of a flat convolution from a to b channels is 27ab // (9a + 3b); torchvision gives the second,
    # from b to b, the first one's. A channel of it has 9b + 3b weights and two numbers of batch norm.
    graph = load("video_resnet.cnn:R2Plus1D18")
    more = 0
    for a, b in [(64, 128), (128, 256), (256, 512)]:
        more += (27 * b * b // (9 * b + 3 * b) - 27 * a * b // (9 * a + 3 * b)) * (12 * b + 2)
    assert graph.params() + more == 33_370_839  # table 2: 33.3 M


def load(spec: str) -> Graph:
    name, _, net = spec.partition(":")
    return checked(name).graphs[net]


@cache
def library(published: Published, oracle: ModuleType) -> nn.Module:
    """torchvision's or timm's net on the meta device: every tensor is given later. It is not to be changed."""
    source, _, name = published.builder.rpartition(":")
    if source == "timm":
        timm: Any = import_module("timm")
        with torch.device("meta"):
            return timm.create_model(name)
    if name.startswith("regnet"):  # it rounds its widths with tensors
        return oracle.models.get_model(name, weights=None).to("meta")
    with torch.device("meta"):
        return oracle.models.get_model(name, weights=None)


def segmenting(published: Published, oracle: ModuleType, aux: bool = True) -> nn.Module:
    """torchvision's net for segmentation, with its training head or without, on the meta device."""
    with torch.device("meta"):
        return oracle.models.get_model(published.builder, weights=None, weights_backbone=None, aux_loss=aux)


def carry(theirs: nn.Module) -> dict[str, torch.Tensor]:
    """Random weights, which the library's net takes and which are given back."""
    state = randomised(theirs)
    for name, tensor in state.items():
        if name.endswith("layer_scale"):  # drawn about 0 a body would count for nothing beside what is skipped
            tensor.uniform_(0.5, 1.5)
    whole = theirs.state_dict()  # MNASNet asks for the version that it keeps beside the tensors
    whole.update(state)
    theirs.load_state_dict(whole, assign=True)
    return state


def macs_by_torch(module: nn.Module, graph: Graph, sizes: Mapping[str, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        module(torch.empty(1, *concrete(graph.inputs[0].type.dims, sizes)[1:]))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def concrete(dims: tuple[Any, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The dimensions with the symbols' sizes, for as many examples as a test takes."""
    return tuple(at(side, {"N": SAMPLES, **sizes}) for side in dims)
