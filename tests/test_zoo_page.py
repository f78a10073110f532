"""docs/zoo.md: it is what its generator makes, and what it says is published is so and explained."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from docs.make_zoo import AGREES, PAGE, SPECS, THREE, depth, difference, figures, page, seen
from netc import api
from netc.backends import torch as torch_backend
from netc.graph import Graph
from netc_runtime.golden import golden_input
from tests.language.spec import admitted, net
from tests.language.test_published_names import NETS, described, distance, randomised
from tests.test_zoo import LIBRARIES, PRINTED, ROUNDED, SEGMENTATION

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

SAID = figures()
ZOO = {path.name: api.check(path).graphs for path in sorted(SPECS.glob("*.cnn"))}
ENTRIES = {f"{file}:{name}": entry for file, said in SAID.items() for name, entry in said.nets.items()}
BUILDERS = {each.spec: each.builder for each in [*NETS, *LIBRARIES, *SEGMENTATION] if ":" not in each.builder}


def graph_of(spec: str) -> Graph:
    file, _, name = spec.partition(":")
    return ZOO[file][name]


def test_the_page_is_what_its_generator_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_net_has_an_entry_and_every_entry_a_net() -> None:
    assert {file: list(said.nets) for file, said in SAID.items()} == {file: list(nets) for file, nets in ZOO.items()}
    for file, said in SAID.items():
        assert set(said.notes) <= {"all", *ZOO[file]}


def test_a_published_figure_has_a_source_and_a_default_has_none_of_its_own() -> None:
    for spec, entry in ENTRIES.items():
        assert (entry.published is None) == (entry.source is None), spec
        assert entry.same is None or (entry.published, entry.torchvision) == (None, None), spec


@pytest.mark.parametrize("spec", [spec for spec, entry in ENTRIES.items() if entry.same])
def test_what_a_default_is_said_to_be_it_is_layer_by_layer(spec: str) -> None:
    own, other = graph_of(spec), graph_of(f"{spec.partition(':')[0]}:{ENTRIES[spec].same}")
    assert [(n.name, n.op, n.inputs, n.type) for n in own.nodes] == [
        (n.name, n.op, n.inputs, n.type) for n in other.nodes
    ]


@pytest.mark.parametrize("spec", ENTRIES)
def test_a_difference_from_a_published_figure_has_a_note(spec: str) -> None:
    file, _, name = spec.partition(":")
    if not AGREES.issuperset(difference(ENTRIES[spec], graph_of(spec))):
        assert name in SAID[file].notes, "say why in docs/zoo.toml"


@pytest.mark.parametrize("spec", ROUNDED)
def test_a_rounded_figure_is_the_one_that_the_zoos_tests_know(spec: str) -> None:
    millions, digits = ROUNDED[spec]
    assert ENTRIES[spec].published == f"{millions:.{digits}f} M"


def test_an_exact_figure_is_the_one_that_the_zoos_tests_know() -> None:
    known = {
        spec: int(said.replace(",", "")) for spec in PRINTED if (said := ENTRIES[spec].published or "M")[-1] != "M"
    }
    assert len(known) == 7
    # The paper counts 2,336 numbers less: tests/test_zoo.py works them out.
    known["volume3d.cnn:UNet3D"] += 2_336
    assert known == {spec: PRINTED[spec].params for spec in known}


def test_torchvisions_figures_are_those_of_its_table_of_weights(oracle: ModuleType) -> None:
    published = {
        spec: next(iter(oracle.models.get_model_weights(builder))).meta["num_params"]
        for spec, builder in BUILDERS.items()
    }
    assert {spec: entry.torchvision for spec, entry in ENTRIES.items() if entry.torchvision} == published


# As the papers count, in their names or texts: Szegedy et al., arXiv:1409.4842: 22; Ronneberger et al.,
# arXiv:1505.04597: 23 convolutional layers; Howard et al., arXiv:1704.04861: 28; He et al., tables 1
# and 6; VGG, table 1.
DEPTHS = {
    "lenet5.cnn:LeNet5": 5,
    "alexnet.cnn:AlexNet2012": 8,
    **{f"vgg.cnn:VGG{n}": n for n in (11, 13, 16, 19)},
    "googlenet.cnn:GoogLeNet": 22,
    **{f"resnet.cnn:ResNet{n}": n for n in (18, 34, 50, 101, 152)},
    **{f"cifar_resnet.cnn:ResNet{n}{b}": n for n in (20, 32, 44, 56, 110, 1202) for b in ("", "B")},
    **{f"preact_resnet.cnn:PreActResNet{n}": n for n in (164, 1001)},
    **{f"densenet.cnn:DenseNet{n}": n for n in (121, 161, 169, 201)},
    "unet.cnn:UNet2015": 23,
    "mobilenet_v1.cnn:MobileNetV1": 28,
    "video_resnet.cnn:R3D18": 18,
    **{f"signal1d.cnn:M{n}": n for n in (3, 5, 11, 18)},
    # 6n + 4 counts three projections and not the dense layer
    **{f"wide_resnet.cnn:WRN{n}x{k}": n - 3 + 1 for n, k in ((16, 8), (28, 10), (40, 4))},
}


@pytest.mark.parametrize("spec", DEPTHS)
def test_the_depth_is_the_papers(spec: str) -> None:
    assert depth(graph_of(spec)) == DEPTHS[spec]


# Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.
WIDTHS = {
    "alexnet.cnn:AlexNet2012": 195,
    "vgg.cnn:VGG16": 212,
    "mobilenet_v1.cnn:MobileNetV1": 315,
    "inception_v3.cnn:InceptionV3": 1311,
    "resnet.cnn:ResNet50v1": 483,
}


@pytest.mark.parametrize("spec", WIDTHS)
def test_the_field_is_the_one_that_is_published_and_then_all(spec: str) -> None:
    assert seen(graph_of(spec), {}) == ((WIDTHS[spec],) * 2, True)


def test_the_field_leaves_out_what_a_gate_sees_and_the_depth_counts_its_layers() -> None:
    gate = "mul { | id | gap -> squeeze: conv(2, k=1) -> excite: conv(8, k=1) -> sigmoid }"
    graph = admitted(net(f"from image -> a: conv(8, k=3, pad=1) -> {gate} -> b: conv(8, k=5, pad=2) => y"))
    assert seen(graph, {}) == ((3 + 4, 3 + 4), False)
    assert depth(graph) == 4


def test_nothing_is_wider_than_nothing() -> None:
    graph = admitted(net("from image -> flatten -> fc(4) => y", y="f32[N, 4]"))
    assert seen(graph, {}) == ((), True)
    assert depth(graph) == 1


# The three nets of "Three nets nobody here had thought of".


def three(name: str) -> Graph:
    (graph,) = api.check(THREE / name).graphs.values()
    return graph


@pytest.mark.parametrize("name", ["res2net.cnn", "retinanet.cnn", "tcn.cnn"])
def test_a_net_beside_the_zoo_is_without_a_finding_and_as_it_expects(name: str) -> None:
    checked = api.check(THREE / name)
    assert checked.diagnostics == ()
    (graph,) = checked.graphs.values()
    assert graph.expect.params == graph.params()
    assert graph.expect.macs == graph.macs(graph.expect.at)
    assert {path.name for path in THREE.iterdir()} == {"res2net.cnn", "retinanet.cnn", "tcn.cnn"}


def carried(theirs: nn.Module, graph: Graph) -> nn.Module:
    """Our net with random weights that the other library's net takes as well."""
    state = randomised(theirs)
    theirs.load_state_dict(state, assign=True)
    return torch_backend.module(graph, {name: tensor.numpy() for name, tensor in state.items()}).eval()


def test_res2net_has_timms_names_order_and_answers(oracle: ModuleType) -> None:
    timm: Any = import_module("timm")
    graph = three("res2net.cnn")
    with torch.device("meta"):
        theirs = timm.create_model("res2net50_26w_4s").eval()
        ours = torch_backend.module(graph)
    assert described(ours.state_dict()) == described(theirs.state_dict())
    assert graph.params() == sum(p.numel() for p in theirs.parameters())
    ours = carried(theirs, graph)
    pictures = torch.from_numpy(golden_input(3, (2, 3, 64, 64)))
    with torch.inference_mode():
        assert distance(ours(pictures), theirs(pictures)) <= 1e-4


def test_retinanet_has_torchvisions_names_order_and_answers(oracle: ModuleType) -> None:
    graph, models = three("retinanet.cnn"), oracle.models.detection
    with torch.device("meta"):
        theirs = models.retinanet_resnet50_fpn(weights=None, weights_backbone=None).eval()
        ours = torch_backend.module(graph)
    assert described(ours.state_dict()) == described(theirs.state_dict())
    meta = models.RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta
    norms = [m for m in theirs.backbone.body.modules() if isinstance(m, nn.BatchNorm2d)]
    fixed = sum(parameter.numel() for norm in norms for parameter in norm.parameters())
    assert graph.params() - fixed == meta["num_params"]
    assert round(graph.macs({"H": 800, "W": 800}) / 1e9, 2) == meta["_ops"]

    ours = carried(theirs, graph)
    pictures = torch.from_numpy(golden_input(3, (2, 3, 96, 160)))

    def laid_out(levels: list[torch.Tensor], each: int) -> torch.Tensor:
        # (N, anchors * each, H, W), as torchvision lays them end to end: (N, H * W * anchors, each)
        return torch.cat([x.unflatten(1, (9, each)).permute(0, 3, 4, 1, 2).flatten(1, 3) for x in levels], 1)

    with torch.inference_mode():
        found = ours(pictures)
        expected = theirs.head(list(theirs.backbone(pictures).values()))
        scores, boxes = ([found[f"{name}{level}"] for level in range(3, 8)] for name in ("scores", "boxes"))
        assert distance(laid_out(scores, 91), expected["cls_logits"]) <= 1e-4
        assert distance(laid_out(boxes, 4), expected["bbox_regression"]) <= 1e-4


class Level(nn.Module):
    """A level as locuslab/TCN has it: weights normalised, padded on both sides, and the future cut off."""

    def __init__(self, entering: int, dilation: int) -> None:
        super().__init__()
        self.cut = 6 * dilation
        made = (nn.Conv1d(c, 25, 7, padding=self.cut, dilation=dilation) for c in (entering, 25))
        self.conv1, self.conv2 = map(weight_norm, made)
        self.downsample = nn.Conv1d(entering, 25, 1) if entering != 25 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x)[:, :, : -self.cut].relu()
        y = self.conv2(y)[:, :, : -self.cut].relu()
        return (y + self.downsample(x)).relu()


def test_the_temporal_net_answers_as_the_authors_does_with_its_weights_multiplied_out() -> None:
    torch.manual_seed(3)
    levels = nn.Sequential(*(Level(1 if i == 0 else 25, 2**i) for i in range(8)))
    linear = nn.Linear(25, 10)
    for name, parameter in levels.named_parameters():
        if name.endswith("original0"):  # g, which starts as |v|: otherwise it would count for nothing
            nn.init.uniform_(parameter, 0.5, 1.5)
    graph = three("tcn.cnn")
    total = sum(p.numel() for module in (levels, linear) for p in module.parameters())
    assert graph.params() + 400 == total
    weights = {"linear.weight": linear.weight, "linear.bias": linear.bias}
    for i, level in enumerate(levels):
        assert isinstance(level, Level)
        for name, conv in (("conv1", level.conv1), ("conv2", level.conv2)):
            weights |= {f"network.{i}.{name}.conv.{part}": getattr(conv, part) for part in ("weight", "bias")}
        if isinstance(level.downsample, nn.Conv1d):
            weights |= {
                f"network.{i}.downsample.{part}": getattr(level.downsample, part) for part in ("weight", "bias")
            }
    ours = torch_backend.module(graph, {name: tensor.detach().numpy() for name, tensor in weights.items()}).eval()
    sequences = torch.from_numpy(golden_input(3, (2, 1, 784)))
    with torch.inference_mode():
        expected = F.linear(levels(sequences)[:, :, -1], linear.weight, linear.bias)
        assert distance(ours(sequences), expected) <= 1e-4


def test_the_row_of_the_readme_names_the_page() -> None:
    readme = Path(PAGE).parent.parent / "README.md"
    assert "[the zoo](docs/zoo.md)" in readme.read_text(encoding="utf-8")
