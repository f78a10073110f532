"""A proposal which tensor is which: right where something says so, open where nothing does, and never wrong."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netc import api
from netc import weights as stored
from netc.backends.build import build
from netc.backends.torch import module
from netc.graph import Graph
from netc.passes.deploy import deploy
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.weights import map_file
from netc.weights.propose import Proposal, propose
from netc.weights.source import find
from netc.weights.stored import Found, Stored
from tests.conftest import ROOT
from tests.graphs import Net, randomised
from tests.language.spec import admitted
from tests.language.test_published_names import randomised as random_state
from tests.weights.samples import refused

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

NETS = [
    ("resnet.cnn:ResNet18", "resnet18"),
    ("vgg.cnn:VGG16BN", "vgg16_bn"),
    ("googlenet_bn.cnn:GoogLeNetBN", "googlenet"),
    ("densenet.cnn:DenseNet121", "densenet121"),
]
each_net = pytest.mark.parametrize(("spec", "builder"), NETS, ids=[builder for _, builder in NETS])


def load(spec: str) -> Graph:
    return api.load(ROOT / "specs" / spec)


def source(shapes: Mapping[str, Iterable[int]], *, ordered: bool = True) -> Found:
    """A source of tensors without numbers."""
    tensors = {name: Stored(tuple(shape), "float32", lambda: np.zeros(0)) for name, shape in shapes.items()}
    return Found("theirs.pth", "torch", tensors, ordered)


def shapes(theirs: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}


def published(oracle: ModuleType, builder: str) -> dict[str, tuple[int, ...]]:
    options = {"init_weights": False, "aux_logits": True} if builder == "googlenet" else {}
    with torch.device("meta"):
        return shapes(oracle.models.get_model(builder, **options))


def renamed(names: Iterable[str], seed: int) -> dict[str, str]:
    """The names with every part a drawn word, the same one wherever it stands for the same module, but for numbers."""
    drawn = random.Random(seed)
    words: dict[tuple[str, ...], str] = {}
    found: dict[str, str] = {}
    for name in names:
        *path, role = name.split(".")
        parts = [
            p if p.isdecimal() else words.setdefault((*path[:i], p), "".join(drawn.choices("bdfghjklmn", k=8)))
            for i, p in enumerate(path)
        ]
        found[name] = ".".join([*parts, role])
    return found


def wrong(proposal: Proposal, truth: Mapping[str, str]) -> list[tuple[str, str | None]]:
    return [(row.name, row.source) for row in proposal.rows if row.by != "open" and row.source != truth[row.name]]


@each_net
def test_a_net_whose_modules_have_other_names_is_matched_whole(spec: str, builder: str, oracle: ModuleType) -> None:
    theirs = published(oracle, builder)
    truth = renamed(theirs, seed=1)
    proposal = propose(load(spec), source({truth[name]: shape for name, shape in theirs.items()}))
    assert wrong(proposal, truth) == []
    assert proposal.open == ()
    assert (proposal.unused, proposal.heads) == ((), ())
    assert [row.name for row in proposal.rows] == list(theirs)


@each_net
@pytest.mark.parametrize("prefix", ["module.", "a.b.c.", "x_"])
def test_a_prefix_changes_nothing(spec: str, builder: str, prefix: str, oracle: ModuleType) -> None:
    theirs = published(oracle, builder)
    proposal = propose(load(spec), source({prefix + name: shape for name, shape in theirs.items()}))
    assert wrong(proposal, {name: prefix + name for name in theirs}) == []
    assert proposal.open == ()


@each_net
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ordered", [True, False])
def test_in_another_order_what_is_proposed_is_right_and_the_rest_is_open(
    spec: str, builder: str, seed: int, ordered: bool, oracle: ModuleType
) -> None:
    theirs = published(oracle, builder)
    truth = renamed(theirs, seed)
    names = list(theirs)
    random.Random(seed).shuffle(names)
    proposal = propose(load(spec), source({truth[name]: theirs[name] for name in names}, ordered=ordered))
    assert wrong(proposal, truth) == []
    for row in proposal.open:
        assert truth[row.name] in row.candidates or "alike" in row.reason
        assert len(row.candidates) >= 2


@each_net
def test_without_dots_the_order_decides_and_says_so(spec: str, builder: str, oracle: ModuleType) -> None:
    theirs = published(oracle, builder)
    truth = {name: ".".join([name.rpartition(".")[0].replace(".", "_"), name.rpartition(".")[2]]) for name in theirs}
    proposal = propose(load(spec), source({truth[name]: shape for name, shape in theirs.items()}))
    assert wrong(proposal, truth) == []
    assert proposal.open == ()
    assert all("order" in row.reason or "numbers" in row.reason for row in proposal.rows if row.by == "order")


def test_equal_names_are_found_by_their_names_in_any_order(oracle: ModuleType) -> None:
    timm: Any = import_module("timm")
    with torch.device("meta"):
        theirs = shapes(timm.create_model("resnet18"))
    for names in (list(theirs), sorted(theirs), list(reversed(theirs))):
        proposal = propose(load("resnet.cnn:ResNet18"), source({name: theirs[name] for name in names}))
        assert proposal.fits
        assert Counter(row.by for row in proposal.rows) == {"name": len(theirs)}


def mapped(graph: Graph, path: Path, tmp_path: Path) -> stored.Weights:
    """Weights through a map that was proposed and saved, in both forms, which say the same."""
    found = find(path)
    proposal = propose(graph, found)
    assert proposal.open == ()
    weights = [
        stored.load(path, graph, stored.Reading(map=written(proposal, graph, tmp_path / n)), deployed=True)
        for n in ("m.toml", "m.json")
    ]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    return weights[0]


def written(proposal: Proposal, graph: Graph, path: Path) -> Path:
    map_file.write(proposal, graph, "theirs", path)
    return path


def answers(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net.eval()(pictures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("mobilenet_v2.cnn:MobileNetV2", "mobilenetv2_100"),
        ("efficientnet.cnn:EfficientNetB0", "efficientnet_b0"),
        ("mnasnet.cnn:MNASNet1_0", "mnasnet_100"),
        ("convnext.cnn:ConvNeXtTiny", "convnext_tiny"),  # its scales lack the sides that torchvision's have
    ],
)
def test_timms_nets_of_other_names_answer_the_same_through_a_map(
    spec: str, name: str, oracle: ModuleType, tmp_path: Path
) -> None:
    timm: Any = import_module("timm")
    theirs = timm.create_model(name)
    theirs.load_state_dict(random_state(theirs))
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    graph = load(spec)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = answers(theirs, pictures)
    found = answers(module(graph, mapped(graph, tmp_path / "w.pth", tmp_path)), pictures)
    assert float((found - expected).abs().max() / expected.std()) < 1e-4


def test_two_layers_that_could_be_either_are_open_although_an_order_is_there(oracle: ModuleType) -> None:
    # timm defines a block's shortcut behind its layers, torchvision before; the first layer is of the same shape.
    timm: Any = import_module("timm")
    with torch.device("meta"):
        theirs = shapes(timm.create_model("regnety_004"))
    proposal = propose(load("regnet.cnn:RegNetY_400MF"), source(theirs))
    row = next(row for row in proposal.rows if row.name == "trunk_output.block1.block1-0.proj.0.weight")
    assert row.by == "open"
    assert row.candidates == ("s1.b1.conv1.conv.weight", "s1.b1.downsample.conv.weight")
    assert "stand behind other layers" in row.reason
    assert {row.layer.split(".")[2] for row in proposal.open} == {f"block{i}-0" for i in range(1, 5)}


# --- one net, and another's hand


class Basic(nn.Module):
    """A residual block by somebody who defines the shortcut first and calls things otherwise."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.skip = nn.Sequential()
        if a != b:
            self.skip = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
        self.first = nn.ModuleDict({"c": nn.Conv2d(a, b, 3, stride, 1, bias=False), "n": nn.BatchNorm2d(b)})
        self.second = nn.ModuleDict({"c": nn.Conv2d(b, b, 3, 1, 1, bias=False), "n": nn.BatchNorm2d(b)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first["n"](self.first["c"](x)))
        return F.relu(self.second["n"](self.second["c"](y)) + self.skip(x))


class Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 10)  # defined first, used last
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        stages = [[Basic(16, 16, 1) for _ in range(3)]]
        for a, b in ((16, 32), (32, 64)):
            stages.append([Basic(a, b, 2), Basic(b, b, 1), Basic(b, b, 1)])
        self.body = nn.ModuleList([nn.Sequential(*blocks) for blocks in stages])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for stage in self.body:
            x = stage(x)
        return self.out(x.mean((2, 3)))


@pytest.mark.parametrize("form", ["torch", "npz"])
def test_an_implementation_of_another_style_answers_the_same_through_a_map(tmp_path: Path, form: str) -> None:
    theirs = Theirs()
    theirs.load_state_dict(random_state(theirs))
    path = tmp_path / "w.pth"
    if form == "torch":
        torch.save(theirs.state_dict(), path)
    else:
        with path.open("wb") as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    graph = load("cifar_resnet.cnn:ResNet20B")
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = answers(theirs, pictures)
    found = answers(module(graph, mapped(graph, path, tmp_path)), pictures)
    assert float((found - expected).abs().max() / expected.std()) < 1e-5


def test_a_shortcut_that_is_defined_first_takes_no_norm_of_another() -> None:
    # Without groups: the three norms of a block are alike, and each stands behind its own convolution.
    net = Net("Block", x=("N", 8, 8, 8))
    a = net("bn", net("conv", "x", label="a", c=16, k=3, pad=1, bias=False), label="na")
    b = net("bn", net("conv", a, label="b", c=16, k=3, pad=1, bias=False), label="nb")
    c = net("bn", net("conv", "x", label="c", c=16, k=1, bias=False), label="nc")
    graph = net.graph(y=net("add", b, c))
    named = {n: p.shape for n, p in graph.parameters()}
    theirs = {f"w{n}" if "." not in n else "w" + n: s for n, s in named.items()}
    order = ["wc", "wnc", "wa", "wna", "wb", "wnb"]
    found = source({n: theirs[n] for layer in order for n in theirs if n.split(".")[0] == layer})
    proposal = propose(graph, found)
    assert wrong(proposal, {n: "w" + n for n in named}) == []
    assert proposal.open == ()


# --- where only an order tells


def chain(count: int = 3) -> Graph:
    """Convolutions that are all alike."""
    net = Net("Chain", x=("N", 8, 8, 8))
    y = "x"
    for number in range(count):
        y = net("conv", y, label=f"c{'abc'[number]}onv", c=8, k=3, pad=1, bias=False)
    return net.graph(y=y)


SHAPE = (8, 8, 3, 3)
TRUTH = {"caonv.weight": 0, "cbonv.weight": 1, "cconv.weight": 2}


@pytest.mark.parametrize(
    ("names", "ordered", "by", "said"),
    [
        (["red", "green", "blue"], True, "order", "of 3 alike, by their order in the source"),
        (["red", "green", "blue"], False, "open", "3 are alike, and no order of them is known"),
        (["l1", "l2", "l10"], False, "order", "of 3 alike, by the numbers in their names"),
        (["l1", "l2", "l10"], True, "order", "by their order in the source and the numbers in their names"),
        (["l2", "l1", "l3"], True, "open", "their numbers are not in their order"),
        (["conv_a", "conv_b", "conv_c"], False, "order", "by the numbers in their names"),
        (["l1", "l2", "other"], False, "open", "no order of them is known"),
    ],
)
def test_layers_that_are_alike_are_told_by_an_order_or_not_at_all(
    names: list[str], ordered: bool, by: str, said: str
) -> None:
    proposal = propose(chain(), source({f"{name}.weight": SHAPE for name in names}, ordered=ordered))
    assert [row.by for row in proposal.rows] == [by] * 3
    for row in proposal.rows:
        assert said in row.reason
        if by == "order":
            assert row.source == f"{names[TRUTH[row.name]]}.weight"
            assert len(row.candidates) == 2  # the others it could be
        else:
            assert row.source is None
            assert set(row.candidates) == {f"{name}.weight" for name in names}


def test_more_than_the_net_needs_is_a_choice() -> None:
    proposal = propose(chain(2), source({f"{name}.weight": SHAPE for name in ("red", "green", "blue")}))
    assert {row.reason for row in proposal.rows} == {"2 of this shape are needed, and 3 are there"}
    assert len(proposal.unused) == 3
    twice = source(
        {f"{who}.{name}": SHAPE for who in ("student", "teacher") for name in ("caonv.weight", "cbonv.weight")}
    )
    assert len(propose(chain(2), twice).open) == 2


def test_a_head_for_other_classes_is_open_and_named() -> None:
    net = Net("Head", x=("N", 8, 8, 8))
    y = net("flatten", net("gap", net("conv", "x", label="body", c=8, k=3, bias=False)))
    graph = net.graph(y=net("fc", y, label="head", c=10))
    proposal = propose(graph, source({"b.w": SHAPE, "h.w": (1000, 8), "h.b": (1000,)}))
    assert [(row.name, row.by) for row in proposal.rows] == [
        ("body.weight", "shape"),
        ("head.weight", "open"),
        ("head.bias", "open"),
    ]
    assert proposal.unused == ("h.w", "h.b")


def test_heads_that_only_training_has_may_be_missing_or_there() -> None:
    net = Net("Aux", x=("N", 8, 8, 8))
    y = net("flatten", net("gap", net("conv", "x", label="body", c=8, k=3, bias=False)))
    graph = net.graph(train_only=("aux",), y=net("fc", y, label="head", c=10), aux=net("fc", y, label="extra", c=10))
    shapes = {"b.w": SHAPE, "h.w": (10, 8), "h.b": (10,)}
    proposal = propose(graph, source(shapes))
    assert (proposal.open, proposal.heads) == ((), ("extra",))
    assert {row.name: row.source for row in proposal.rows} == {
        "body.weight": "b.w",
        "head.weight": "h.w",
        "head.bias": "h.b",
    }
    both = propose(graph, source({**shapes, "e.w": (10, 8), "e.b": (10,)}))
    assert (both.open, both.heads) == ((), ())


# --- other libraries' axes


def keras() -> tuple[Graph, dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """A net, its weights, and the same as Keras has them: names and axes worked by hand."""
    net = Net("Keras", x=("N", 3, 12, 12))
    y = net("bn", net("conv", "x", label="c1", c=8, k=[3, 5], bias=False), label="n1")
    y = net("depthwise", y, label="dw", k=3)
    y = net("upconv", y, label="up", c=6, k=2, stride=2)
    y = net("fc", net("flatten", y), label="d1", c=10)
    graph = net.graph(y=net("fc", y, label="d2", c=7))
    ours = randomised(graph)
    c, h, w = 6, 16, 12  # 12x12, less 2x4, less 2x2, twice
    assert graph.types["up"].dims[1:] == (c, h, w)
    theirs = {
        "conv2d/kernel": ours["c1.weight"].transpose(2, 3, 1, 0),  # HWIO
        "batch_normalization/gamma": ours["n1.weight"],
        "batch_normalization/beta": ours["n1.bias"],
        "batch_normalization/moving_mean": ours["n1.running_mean"],
        "batch_normalization/moving_variance": ours["n1.running_var"],
        "depthwise_conv2d/kernel": ours["dw.weight"].transpose(2, 3, 0, 1),  # height, width, channels, 1
        "depthwise_conv2d/bias": ours["dw.bias"],
        "conv2d_transpose/kernel": ours["up.weight"].transpose(2, 3, 1, 0),  # height, width, out, in
        "conv2d_transpose/bias": ours["up.bias"],
        # What Keras flattens has its channels last.
        "dense/kernel": ours["d1.weight"].reshape(10, c, h, w).transpose(2, 3, 1, 0).reshape(-1, 10),
        "dense/bias": ours["d1.bias"],
        "dense_1/kernel": ours["d2.weight"].T,
        "dense_1/bias": ours["d2.bias"],
    }
    return graph, ours, theirs


def test_channels_last_becomes_channels_first_where_a_map_says_so(tmp_path: Path) -> None:
    graph, ours, theirs = keras()
    np.savez(tmp_path / "w.npz", **theirs)  # pyright: ignore[reportArgumentType] -- it takes names as options
    proposal = propose(graph, find(tmp_path / "w.npz"))
    changed = {row.name: (row.reshape, row.transpose) for row in proposal.rows if row.transpose or row.reshape}
    assert changed["c1.weight"] == (None, (3, 2, 0, 1))
    assert changed["dw.weight"] == (None, (2, 3, 0, 1))
    assert changed["d2.weight"] == (None, (1, 0))
    assert set(changed) == {"c1.weight", "dw.weight", "up.weight", "d1.weight", "d2.weight"}
    assert all(row.by in ("place", "order") for row in proposal.rows if row.name in changed)  # flagged
    weights = mapped(graph, tmp_path / "w.npz", tmp_path)
    for name, array in ours.items():
        if not name.endswith("tracked"):
            assert np.array_equal(weights[name], array)


def test_axes_are_never_turned_without_a_map(tmp_path: Path) -> None:
    net = Net("One", x=("N", 4))
    graph = net.graph(y=net("fc", "x", label="fc", c=3, bias=False))
    np.savez(tmp_path / "w.npz", **{"fc.weight": np.zeros((4, 3), np.float32)})  # pyright: ignore[reportArgumentType]
    with pytest.raises(Exception, match="4x3, expected 3x4"):
        stored.load(tmp_path / "w.npz", graph)


def test_a_square_matrix_among_turned_ones_is_open() -> None:
    net = Net("Square", x=("N", 8))
    y = net("fc", net("fc", "x", label="square", c=8, bias=False), label="last", c=3, bias=False)
    proposal = propose(net.graph(y=y), source({"a/kernel": (8, 8), "b/kernel": (8, 3)}))
    found = {row.name: (row.by, row.transpose, row.candidates) for row in proposal.rows}
    assert found == {"square.weight": ("open", None, ("a/kernel",)), "last.weight": ("place", (1, 0), ())}


def test_a_square_matrix_beside_other_layers_that_are_turned_is_open() -> None:
    net = Net("Square", x=("N", 3, 8, 8))
    y = net("conv", "x", label="c", c=8, k=3, bias=False)
    y = net("fc", net("flatten", net("gap", y)), label="square", c=8, bias=False)
    proposal = propose(net.graph(y=y), source({"a/kernel": (3, 3, 3, 8), "b/kernel": (8, 8)}))
    found = {row.name: (row.by, row.transpose, row.candidates) for row in proposal.rows}
    assert found["square.weight"] == ("open", None, ("b/kernel",))


# --- ONNX


def export(net: nn.Module, pictures: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's older exporter, which needs no other package
        torch.onnx.export(net.eval(), (pictures,), path, dynamo=False)


def test_torchs_default_export_with_folded_norms_is_read_to_the_last_bit(tmp_path: Path) -> None:
    theirs = Theirs()
    theirs.load_state_dict(random_state(theirs))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    export(theirs, pictures, tmp_path / "w.onnx")
    graph = load("cifar_resnet.cnn:ResNet20B")
    weights = mapped(graph, tmp_path / "w.onnx", tmp_path)
    _, folded = fold_batch_norm(graph, weights)
    given = find(tmp_path / "w.onnx").tensors
    taken = {row.source: row.name for row in propose(graph, find(tmp_path / "w.onnx")).rows if row.source}
    assert set(taken) == set(given)
    for theirs_name, name in taken.items():
        kept = name.replace(".bn", ".conv").replace("bn1", "conv1").replace("shortcut.1", "shortcut.0")
        assert np.array_equal(folded[kept], given[theirs_name].read()), name
    expected = answers(theirs, pictures)
    found = answers(module(graph, weights), pictures)
    assert float((found - expected).abs().max() / expected.std()) < 1e-5


def test_our_own_model_with_folded_norms_is_read_by_its_names(tmp_path: Path) -> None:
    graph, _ = deploy(load("cifar_resnet.cnn:ResNet20"), {})
    weights = stored.fitted(randomised(graph), graph)
    build(graph, weights, tmp_path / "w.onnx", verify=False)
    proposal = propose(graph, find(tmp_path / "w.onnx"))
    assert {row.by for row in proposal.rows} == {"name"}
    again = mapped(graph, tmp_path / "w.onnx", tmp_path)
    build(graph, again, tmp_path / "again.onnx", verify=False)
    first, second = (find(tmp_path / name).tensors for name in ("w.onnx", "again.onnx"))
    assert list(first) == list(second)
    assert all(np.array_equal(first[name].read(), second[name].read()) for name in first)


def test_a_thousand_layers_are_matched_in_a_moment(tmp_path: Path) -> None:
    graph = load("cifar_resnet.cnn:ResNet1202")
    truth = renamed((name for name, _ in graph.parameters()), seed=3)
    proposal = propose(graph, source({truth[name]: param.shape for name, param in graph.parameters()}))
    assert wrong(proposal, truth) == []
    assert proposal.open == ()


# --- models of ours whose tensors are not the net's


def dense(order: str = "chw", scale: float = 1.0) -> Graph:
    """A net without a batch norm, so that a model of it says what it was built from."""
    text = (
        "net A {\n"
        f"  input image: f32[N, 3, 4, 4] {{ scale = {scale} }}\n"
        "  output y: f32[N, 5]\n"
        f"  from image -> c: conv(2, k=1) -> flatten(order={order}) -> fc: fc(5) => y\n"
        "}\n"
    )
    return admitted(text)


def test_our_own_model_is_read_to_the_last_bit_where_nothing_was_folded(tmp_path: Path) -> None:
    weights = randomised(dense())
    build(dense(), weights, tmp_path / "w.onnx", verify=False)
    again = stored.load(tmp_path / "w.onnx", dense())
    assert all(np.array_equal(again[name], array) for name, array in weights.items())


def test_our_own_model_with_other_numbers_under_the_nets_names_is_refused(tmp_path: Path) -> None:
    build(dense("hwc"), randomised(dense("hwc")), tmp_path / "w.onnx", verify=False)
    refused(tmp_path / "w.onnx", "N448", dense("hwc"))
    with pytest.raises(Exception, match="in another order than the net"):
        propose(dense("hwc"), find(tmp_path / "w.onnx"))
    # Of a net that flattens as torch does, the digest tells.
    assert "not those that this model was built from" in refused(tmp_path / "w.onnx", "N448", dense()).message
    build(dense(scale=0.5), randomised(dense()), tmp_path / "p.onnx", verify=False, embed=("preprocess",))
    assert "takes raw pixels" in refused(tmp_path / "p.onnx", "N448", dense(scale=0.5)).message
