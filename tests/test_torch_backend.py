"""The torch back end: readable source, torch's own names, and nothing from a spec that could be taken for code."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from netc import api
from netc.backends import python_text as text
from netc.backends.torch import as_tensor, initial, module, source
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.tensor import Symbol
from tests.graphs import Net, bottleneck, randomised, resnet


def run(net: nn.Module, *shape: int) -> torch.Tensor:
    with torch.no_grad():
        return cast(torch.Tensor, net(as_tensor(np.random.RandomState(0).standard_normal(shape).astype(np.float32))))


def seed(number: int) -> None:
    torch.manual_seed(number)  # pyright: ignore[reportUnknownMemberType]


def noted(called: list[str], name: str, *_: object) -> None:
    called.append(name)


def names(graph: Graph) -> list[str]:
    return list(module(graph).state_dict())


def heads() -> Graph:
    """A net with two training heads: one a block, one a bare layer."""
    net = Net("Heads", image=("N", 3, 8, 8))
    x = net("relu", net("conv", "image", label="stem", c=4, k=3))
    with net.block("aux", "head"):
        a = net("fc", net("dropout", net("flatten", x)), label="fc", c=5)
    y = net("flatten", net("gap", net("conv", x, label="late", c=6, k=3)))
    mid = net("fc", y, label="mid", c=2)
    return net.graph(train_only=("aux", "mid"), scores=net("fc", y, label="fc", c=5), aux=a, mid=mid)


def unet() -> Graph:
    """Skips over several levels, a merge of two values, an application with two inputs and two outputs."""
    net = Net("Skips", image=("N", 1, Symbol("H", divisor=2), Symbol("W", divisor=2)))
    with net.block("enc1", "double"):
        e = net("relu", net("conv", "image", label="conv1", c=4, k=3, pad=1))
    low = net("relu", net("conv", net("maxpool", e, k=2), label="middle", c=8, k=3, pad=1))
    up = net("upconv", low, label="up", c=4, k=2, stride=2)
    with net.block("merge", "merge"):
        both = net("concat", up, e)
        a = net("conv", both, label="a", c=2, k=1)
        b = net("tanh", net("conv", both, label="b", c=3, k=1))
    return net.graph(outputs={"mask": a, "edge": b})


def lengthy() -> Graph:
    """More than fits on a line: a merge of 40 values with long names."""
    net = Net("Long", image=("N", 3, 6, 6))
    x = net("conv", "image", label="stem", c=2, k=1)
    arms = [net("conv", x, label=f"arm_with_a_rather_long_name_{i}", c=2, k=1) for i in range(40)]
    return net.graph(y=net("concat", *arms))


def awkward() -> Graph:
    """Labels that Python, nn.Module or nn.ModuleDict cannot have as attributes, and numbers with gaps."""
    net = Net("awkward net", image=("N", 3, 4, 4))
    x = "image"
    for label in (
        "class",
        "train",
        "eval",
        "type",
        "forward",
        "parameters",
        "_modules",
        "__private",
        "0",
        "é",
    ):
        x = net("conv", x, label=label, c=3, k=1)
    for label in ("keys.items", "keys.3", "features.0", "features.3", "two.0", "two.1", "self.torch", "nn.F"):
        x = net("conv", x, label=label, c=3, k=1)
    for label in ("list.0.conv", "list.1.conv"):
        x = net("conv", x, label=label, c=3, k=1)
    x = net("bn", x, label="list.1.bn")
    return net.graph(outputs={"in'q\"uote": x, "other\n": net("relu", x)})


GRAPHS = {
    "resnet": lambda: resnet((2, 2), 32, 10).graph(scores="fc"),
    "heads": heads,
    "unet": unet,
    "long": lengthy,
    "awkward": awkward,
}
SPECS = ("lenet5.cnn", "googlenet.cnn", "unet.cnn:UNet", "voc.cnn", "vgg.cnn:VGG16", "cifar_resnet.cnn:ResNet20")


def test_a_bottleneck_reads_as_people_write_it() -> None:
    net = Net("Two", file="specs/resnet.cnn", image=("N", 64, 8, 8))
    x = bottleneck(net, "image", "layer1.0", 64, project=True)
    x = bottleneck(net, x, "layer1.1", 64)
    x = bottleneck(net, x, "layer2.0", 128, stride=2, project=True)
    made = source(net.graph(y=x))
    digest = hashlib.sha256(net.source.text.encode()).hexdigest()
    assert (
        made
        == f'''"""Two: made by netc from resnet.cnn.

sha256 of resnet.cnn: {digest}
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Project(nn.Sequential):
    """(in_channels, H, W) -> (out_channels, H / stride, W / stride), resnet.cnn:1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Bottleneck(nn.Module):
    """(in_channels, H, W) -> (4 * out_channels, H / stride, W / stride), resnet.cnn:1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv3 = nn.Conv2d(out_channels, 4 * out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != 4 * out_channels:
            self.downsample = Project(in_channels, 4 * out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


class Two(nn.Module):
    """image (N, 64, 8, 8) -> y (N, 512, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64),
            Bottleneck(256, 64),
        )
        self.layer2 = nn.Sequential(Bottleneck(256, 128, stride=2))

    def forward(self, image: Tensor) -> Tensor:
        return self.layer2(self.layer1(image))
'''
    )


def test_applications_that_differ_in_numbers_and_parts_are_one_class() -> None:
    made = source(resnet((3, 2), 32).graph(scores="fc"))
    assert [line for line in made.splitlines() if line.startswith("class ")] == [
        "class Project(nn.Sequential):",
        "class Bottleneck(nn.Module):",
        "class ResNet(nn.Module):",
    ]


@pytest.mark.parametrize("name", GRAPHS)
def test_the_source_is_what_ruff_writes_and_finds_no_fault_with(name: str, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(source(GRAPHS[name]()), encoding="utf-8")
    config = ["--config", str(root / "pyproject.toml"), "--no-cache"]
    for command in (["check", *config, str(path)], ["format", "--check", "--diff", *config, str(path)]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + path.read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", SPECS)
def test_the_zoos_source_is_what_ruff_writes_and_finds_no_fault_with(spec: str, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(source(api.load(f"{root}/specs/{spec}")), encoding="utf-8")
    config = ["--config", str(root / "pyproject.toml"), "--no-cache"]
    for command in (["check", *config, str(path)], ["format", "--check", "--diff", *config, str(path)]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_source_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(source(heads()), encoding="utf-8")
    code = "import sys, net, torch; net.Heads()(torch.zeros(2, 3, 8, 8)); print('netc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


@pytest.mark.parametrize("name", GRAPHS)
def test_state_dict_has_the_graphs_names_shapes_and_order(name: str) -> None:
    graph = GRAPHS[name]()
    expected = {name: param.shape for name, param in graph.parameters()}
    found = {name: tuple(t.shape) for name, t in module(graph).state_dict().items()}
    assert list(found.items()) == list(expected.items())


def test_resnet50_has_torchvisions_names_shapes_order_and_answer(oracle: ModuleType, root: Path) -> None:
    graph = api.load(f"{root}/specs/resnet.cnn:ResNet50")
    theirs: nn.Module = oracle.models.resnet50(weights=None)
    ours = module(graph)
    state = theirs.state_dict()
    assert [(n, t.shape) for n, t in ours.state_dict().items()] == [(n, t.shape) for n, t in state.items()]
    weights = randomised(graph)
    ours.load_state_dict({n: as_tensor(w) for n, w in weights.items()})
    theirs.load_state_dict({n: as_tensor(w) for n, w in weights.items()})
    ours.eval()
    theirs.eval()
    a, b = run(ours, 1, 3, 64, 64), run(theirs, 1, 3, 64, 64)
    assert torch.equal(a, b)  # the same operations in the same order


def test_googlenets_heads_speak_in_training_only(root: Path) -> None:
    graph = api.load(f"{root}/specs/googlenet.cnn")
    net = module(graph)
    # Szegedy et al. 2014; the spec's own expectation of the net with its heads
    assert sum(p.numel() for p in net.parameters()) == 13_378_280
    answer: Any = run(net, 1, 3, 224, 224)
    assert {name: tuple(t.shape) for name, t in answer.items()} == {
        "scores": (1, 1000),
        "aux_scores": (1, 1000),
        "mid_scores": (1, 1000),
    }
    called: list[str] = []
    for head in ("aux1", "aux2", "i5b"):
        hooked: Any = net.get_submodule(head)
        hooked.register_forward_hook(partial(noted, called, head))
    assert run(net.eval(), 1, 3, 224, 224).shape == (1, 1000)
    assert called == ["i5b"]


def test_lenet_equals_torch_by_hand(root: Path) -> None:
    graph = api.load(f"{root}/specs/lenet5.cnn")
    weights = randomised(graph)
    by_hand = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    state = zip(by_hand.state_dict(), weights.values(), strict=True)
    by_hand.load_state_dict({name: as_tensor(w) for name, w in state})
    assert torch.equal(run(module(graph, weights), 3, 1, 28, 28), run(by_hand, 3, 1, 28, 28))


def test_heads_are_skipped_outside_training_and_their_weights_stay() -> None:
    net = module(heads())
    assert {"aux.fc.weight", "mid.bias"} <= set(net.state_dict())
    answer: Any = run(net, 2, 3, 8, 8)
    assert list(answer) == ["scores", "aux", "mid"]
    net.eval()
    cast(Any, net).aux = None  # what is not computed is not missed
    cast(Any, net).mid = None
    assert run(net, 2, 3, 8, 8).shape == (2, 5)


def test_several_outputs_are_a_dict_and_values_cross_blocks() -> None:
    graph = unet()
    net = module(graph, weights := randomised(graph))
    x = torch.randn(2, 1, 6, 8)

    def conv(name: str, x: torch.Tensor, pad: int = 0) -> torch.Tensor:
        return nn.functional.conv2d(
            x, as_tensor(weights[f"{name}.weight"]), as_tensor(weights[f"{name}.bias"]), padding=pad
        )

    with torch.no_grad():
        found = net(x)
    e = conv("enc1.conv1", x, 1).relu()
    low = conv("middle", nn.functional.max_pool2d(e, 2), 1).relu()
    up = nn.functional.conv_transpose2d(low, as_tensor(weights["up.weight"]), as_tensor(weights["up.bias"]), stride=2)
    both = torch.cat((up, e), 1)
    torch.testing.assert_close(found, {"mask": conv("merge.a", both), "edge": conv("merge.b", both).tanh()})


def test_shared_weights_are_one_module_applied_where_it_stands() -> None:
    net = Net("Siamese", left=("N", 3, 8, 8), right=("N", 3, 8, 8))
    with net.block("tower", "tower"):
        with net.block("inner", "pair"):
            a = net("bn", net("conv", "left", label="0", c=4, k=3), label="1")
        a = net("relu", a)
    with net.block("other", "tower"):
        with net.block("inner", "pair"):
            b = net("conv", "right", label="0", weights="tower.inner.0", c=4, k=3)
            b = net("bn", b, label="1", weights="tower.inner.1")
        b = net("relu", b)
    graph = net.graph(y=net("sub", a, b))
    built = module(graph)
    assert list(built.state_dict()) == [name for name, _ in graph.parameters()]
    assert names(graph)[0] == "tower.inner.0.weight"
    assert not any(name.startswith("other") for name in names(graph))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(built.eval()(x, x), torch.zeros(2, 4, 6, 6))
    assert "self.tower(right)" in source(graph)


def test_a_block_spliced_or_interleaved_is_written_flat() -> None:
    net = Net("Flat", image=("N", 2, 4, 4))
    with net.block("", "trunk"):
        x = net("conv", "image", label="a", c=2, k=1)
    with net.block("b", "unit"):
        x = net("conv", x, label="conv", c=2, k=1)
    x = net("conv", x, label="b.extra", c=2, k=1)  # a quoted label puts a layer into the block's path
    graph = net.graph(y=x)
    assert names(graph) == ["a.weight", "a.bias", "b.conv.weight", "b.conv.bias", "b.extra.weight", "b.extra.bias"]
    assert source(graph).count("class ") == 1


def test_a_layer_below_a_layer_is_its_child() -> None:
    net = Net("Nested", image=("N", 2, 4, 4))
    x = net("conv", net("conv", "image", label="a.train", c=2, k=1), label="a", c=2, k=1)
    graph = net.graph(y=x)
    assert set(names(graph)) == {"a.weight", "a.bias", "a.train.weight", "a.train.bias"}
    assert run(module(graph), 1, 2, 4, 4).shape == (1, 2, 4, 4)


def test_what_no_output_needs_is_registered_and_not_computed() -> None:
    net = Net("Dead", image=("N", 2, 4, 4))
    net("dropout", net("conv", "image", label="dead", c=2, k=1))
    graph = net.graph(y=net("conv", "image", label="a", c=2, k=1))
    assert "dead.weight" in names(graph)
    assert "self.dead(" not in source(graph)
    assert "functional" not in source(graph)


def test_an_identity_costs_no_line_and_an_output_may_be_the_input() -> None:
    net = Net("Same", image=("N", 2, 4, 4))
    graph = net.graph(same=net("id", "image"), y=net("relu", net("id", "image", label="trunk")))
    answer: Any = run(module(graph), 1, 2, 4, 4)
    assert bool((answer["same"] < 0).any())
    assert not bool((answer["y"] < 0).any())
    assert "image = " not in source(graph)


@pytest.mark.parametrize("name", GRAPHS)
def test_modules_live_as_any_module_does(name: str) -> None:
    graph = GRAPHS[name]()
    net = module(graph)
    state = {n: torch.rand(t.shape) if t.is_floating_point() else t for n, t in net.state_dict().items()}
    net.load_state_dict(state)
    twin = copy.deepcopy(net)
    assert twin.eval() is twin
    assert all(not m.training for m in twin.modules())
    assert net.train().training
    for n, t in twin.state_dict().items():
        assert torch.equal(t, state[n])
    sides = [s if isinstance(s, int) else 8 for s in graph.inputs[0].type.dims[1:]]
    a: Any = run(twin, 2, *sides)
    b: Any = run(net.eval(), 2, *sides)
    for one, other in zip(
        [a] if isinstance(a, torch.Tensor) else a.values(),
        [b] if isinstance(b, torch.Tensor) else b.values(),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.export's own
@pytest.mark.parametrize("name", ["resnet", "heads"])  # torch.export itself cannot have a child named `train`
def test_torch_can_export_the_module(name: str) -> None:
    graph = GRAPHS[name]()
    net = module(graph).eval()
    x = torch.randn(2, *[cast(int, s) for s in graph.inputs[0].type.dims[1:]])
    exported: Any = torch.export.export(net, (x,))
    torch.testing.assert_close(exported.module()(x), net(x))


def test_a_traceback_shows_the_line_of_the_source() -> None:
    net = module(resnet((1,), 32).graph(scores="fc"))
    with pytest.raises(RuntimeError) as caught:
        net(torch.zeros(1, 5, 32, 32))
    assert "self.conv1(image)" in "".join(traceback.format_exception(caught.value))


def test_text_from_outside_stays_text() -> None:
    evil = 'x"""\nimport os\nos.system("touch /tmp/owned")\n"""\\'
    net = Net(evil, file=f"{evil}\u202e.cnn", image=("N", 2, 4, 4))
    with net.block('b"]\nimport os #', "block\nimport os"):
        x = net("conv", "image", label='c"]; import os; self["', c=2, k=1)
    graph = net.graph(outputs={'o"}\nimport os': x, "p": net("relu", x)})
    made = source(graph)
    assert not any(line.strip().startswith(("import os", "os.")) for line in made.splitlines())
    assert "\u202e" not in made
    assert set(names(graph)) == {f"{x}.weight", f"{x}.bias"}
    answer: Any = run(module(graph), 1, 2, 4, 4)
    assert set(answer) == {'o"}\nimport os', "p"}


def test_names_that_torch_cannot_have_are_refused() -> None:
    net = Net("Clash", image=("N", 2, 4, 4))
    x = net("conv", net("conv", "image", label="a", c=2, k=1), label="a.weight", c=2, k=1)
    with pytest.raises(Fault, match=r"a has a tensor of this name") as caught:
        source(net.graph(y=x))
    assert caught.value.code == "N440"
    for label, reason in (("a..b", "a part of this path is empty"), ("a.training", "torch keeps `training`")):
        net = Net("Odd", image=("N", 2, 4, 4))
        with pytest.raises(Fault, match=reason):
            source(net.graph(y=net("conv", "image", label=label, c=2, k=1)))


def test_initial_weights_follow_the_seed_and_leave_torchs_state_alone() -> None:
    graph = heads()
    seed(7)
    expected = torch.rand(3)
    seed(7)
    a, b, c = initial(graph, 1), initial(graph, 1), initial(graph, 2)
    assert torch.equal(torch.rand(3), expected)
    assert all(np.array_equal(a[n], b[n]) for n in a)
    assert not np.array_equal(a["stem.weight"], c["stem.weight"])


def test_given_weights_are_copied() -> None:
    graph = heads()
    weights = randomised(graph)
    net = module(graph, weights)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1)
    assert np.array_equal(weights["stem.weight"], randomised(graph)["stem.weight"])
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((3, 3), "(3, 3)"),
        ((1,), "(1,)"),
        (1e-5, "1e-05"),
        (float("inf"), 'float("inf")'),
        ("zeros", '"zeros"'),
        ("it's", '"it\'s"'),
        ('say "it"', "'say \"it\"'"),
        ("\x00é", '"\\x00\\xe9"'),
        (None, "None"),
    ],
)
def test_literals_are_pythons(value: Any, expected: str) -> None:
    assert text.literal(value) == expected
    assert eval(expected) == value


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("basic_a", "BasicA"),
        ("ResNet50", "ResNet50"),
        ("none", "NoneNet"),
        ("3d", "Net3d"),
        ("", "Net"),
        ("a\nb", "AB"),
    ],
)
def test_class_names_are_pythons(block: str, expected: str) -> None:
    assert text.class_name(block, "Net") == expected
