"""`netc diff`: two nets label by label, equal changes folded, and what one's weights are to the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netc import api
from netc.backends import torch as torch_backend
from netc.cli.diff import compare, folded
from tests.command import Command

NET = """net A(c = 8, classes = 4) {{
  input  image: f32[N, 3, 16, 16] {{ scale = 1/255 }}
  output y: f32[N, classes] {{ decode = softmax }}
  from image -> {chain} -> flatten -> head: fc(classes) => y
}}
"""
PLAIN = "c1: conv(c, k=3) -> relu -> c2: conv(c, k=3, pad=1)"


@pytest.fixture
def netc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path) -> Command:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys)


def spec(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.cnn"
    path.write_text(text)
    return path


def difference(netc: Command, tmp_path: Path, old: str, new: str) -> Any:
    a, b = spec(tmp_path, "a", NET.format(chain=old)), spec(tmp_path, "b", NET.format(chain=new))
    return netc.json("diff", a, b)


def test_the_two_resnets_read_well(netc: Command) -> None:
    assert netc("diff", "specs/resnet.cnn:ResNet50v1", "specs/resnet.cnn:ResNet50") == 1
    # torchvision's v1.5 strides on the 3x3 of a stage's first block, the paper's v1 on the 1x1 before it.
    assert netc.out == (
        "specs/resnet.cnn:ResNet50v1 -> specs/resnet.cnn:ResNet50\n"
        "\n"
        "changed\n"
        "  layer{2-4}.0.conv1  stride 2 -> 1\n"
        "  layer{2-4}.0.conv2  stride 1 -> 2\n"
        "\n"
        "another shape\n"
        "  layer2.0.{conv1,bn1,relu}  128x28x28 -> 128x56x56\n"
        "  layer3.0.{conv1,bn1,relu}  256x14x14 -> 256x28x28\n"
        "  layer4.0.{conv1,bn1,relu}  512x7x7 -> 512x14x14\n"
        "\n"
        "weights     all 320 tensors carry over\n"
        "parameters  25,557,032, as before\n"
        "MACs        3,857,973,248 -> 4,089,184,256 (+231,211,008, +5.99 %)\n"
    )


def test_equal_nets_are_equal_and_the_exit_code_says_so(netc: Command) -> None:
    assert netc("diff", "specs/resnet.cnn:ResNet50", "specs/resnet.cnn:ResNet") == 0
    assert netc.out == "specs/resnet.cnn:ResNet50 and specs/resnet.cnn:ResNet are equal, 25,557,032 parameters\n"
    assert netc.json("diff", "specs/lenet5.cnn", "specs/lenet5.cnn")["equal"] is True
    assert netc("diff", "--help") == 0
    assert "Exits with 0 where the nets are equal and with 1 where they differ" in " ".join(netc.out.split())


def test_added_blocks_are_told_by_their_label(netc: Command) -> None:
    assert netc("diff", "specs/resnet.cnn:ResNet50", "specs/resnet.cnn:ResNet101") == 1
    assert "added\n  layer3.{6-22}  bottleneck, 10 layers\n" in netc.out
    assert "layer3.5.relu_3 -> layer3.22.relu_3" in netc.out
    # 17 bottlenecks of 1,117,184 numbers; the three batch norms' running statistics are not learned.
    assert "parameters  25,557,032 -> 44,549,160 (+18,992,128, +74.31 %)\n" in netc.out
    assert netc("diff", "specs/resnet.cnn:ResNet101", "specs/resnet.cnn:ResNet50") == 1
    assert "removed\n  layer3.{6-22}  bottleneck, 10 layers\n" in netc.out


def test_a_changed_argument_a_changed_kind_and_what_follows(netc: Command, tmp_path: Path) -> None:
    found = difference(netc, tmp_path, PLAIN, PLAIN.replace("c2: conv(c, k=3, pad=1)", "c2: conv(2*c, k=5, pad=2)"))
    assert found["changed"] == {"c2": "c 8 -> 16, k 3 -> 5, pad 1 -> 2"}
    assert found["shapes"] == {"c2": "8x14x14 -> 16x14x14", "flatten": "1568 -> 3136"}
    assert found["weights"]["reshaped"] == {
        "c2.weight": {"from": [8, 8, 3, 3], "to": [16, 8, 5, 5]},
        "c2.bias": {"from": [8], "to": [16]},
        "head.weight": {"from": [4, 1568], "to": [4, 3136]},
    }
    assert found["weights"]["kept"] == ["c1.weight", "c1.bias", "head.bias"]
    assert found["weights"]["kept_numbers"] == 8 * 27 + 8 + 4
    other = difference(netc, tmp_path, PLAIN, PLAIN.replace("c2: conv(c, k=3, pad=1)", "c2: depthwise(k=3, pad=1)"))
    assert other["changed"] == {"c2": "conv(8, k=3, pad=1) -> depthwise(k=3, pad=1)"}


def test_another_label_for_the_same_layers_is_a_move(netc: Command, tmp_path: Path) -> None:
    found = difference(netc, tmp_path, PLAIN, f"body: {{ {PLAIN} }}")
    assert found["moved"] == [
        {"from": "c1", "to": "body.c1"},
        {"from": "c2", "to": "body.c2"},
        {"from": "relu", "to": "body.relu"},
    ]
    assert (found["added"], found["removed"], found["rewired"]) == ({}, {}, {})
    assert found["weights"]["renamed"]["c1.weight"] == "body.c1.weight"
    a, b = tmp_path / "a.cnn", tmp_path / "b.cnn"
    assert netc("diff", a, b) == 1
    assert "moved, it seems\n  the net's own labels  -> body, 3 layers\n" in netc.out
    assert "            4 more would under their new labels\n" in netc.out


def test_what_goes_in_and_out_and_the_sections_are_compared(netc: Command, tmp_path: Path) -> None:
    old = NET.format(chain=PLAIN)
    train = "train A { loss.y = cross_entropy(), optimizer = sgd(lr = 0.1) }\n"
    new = (
        old.replace("scale = 1/255", "scale = 1/255, mean = [0.5]").replace("decode = softmax", "decode = none") + train
    )
    found = netc.json("diff", spec(tmp_path, "a", old), spec(tmp_path, "b", new))
    assert found["ports"] == ["input image: mean [0.0] -> [0.5]", "output y: decode softmax -> none"]
    assert found["sections"] == ["train is new"]
    assert found["equal"] is False
    longer = spec(tmp_path, "c", new.replace("lr = 0.1", "lr = 0.2"))
    assert netc.json("diff", tmp_path / "b.cnn", longer)["sections"] == ["train: optimizer"]


PROMISE = """net A(k = 4) {{
  input  image: f32[N, 3, H, W]
  output map: f32[N, 3, P, Q]
  require {}, "e"
  from image -> relu => map
}}
net B = A(k = 8)
"""


@pytest.mark.parametrize(
    ("test", "old", "new"),
    [
        ("H % k == 0", "H % 4 == 0", "H % 8 == 0"),
        ("H * 1 % k == 0", "H * 1 % 4 == 0", "H * 1 % 8 == 0"),
        (
            "not (H - (W - k) < 3 or W == k) and H > 2",
            *(f"not (H - (W - {k}) < 3 or W == {k}) and H > 2" for k in (4, 8)),
        ),
        ("(H + k - 2) // (2 * 3) * 2 > 9", *(f"(H + {k} - 2) // 6 * 2 > 9" for k in (4, 8))),
    ],
)
def test_promises_are_compared_with_their_numbers(netc: Command, tmp_path: Path, test: str, old: str, new: str) -> None:
    path = spec(tmp_path, "a", PROMISE.format(test))
    found = netc.json("diff", f"{path}:A", f"{path}:B")
    assert found["ports"] == [f"require {old} is gone", f"require {new} is new"]
    assert found["shapes"] == {}
    assert found["equal"] is False


def test_a_promise_is_equal_however_its_numbers_are_written(netc: Command, tmp_path: Path) -> None:
    a, b = spec(tmp_path, "a", PROMISE.format("H % k == 0")), spec(tmp_path, "b", PROMISE.format("H % 4 == 0"))
    assert netc("diff", f"{a}:A", f"{b}:A") == 0


def test_shared_weights_and_other_operands_are_told(netc: Command, tmp_path: Path) -> None:
    two = "concat {{ | t: conv(4, k=3, pad=1) | {} }}"
    found = difference(netc, tmp_path, two.format("u: conv(4, k=3, pad=1)"), two.format("from image -> u: @t"))
    assert found["rewired"] == {"u": "weights of u -> t"}
    assert found["weights"]["lost"] == ["u.weight", "u.bias"]
    swapped = difference(netc, tmp_path, "a: relu -> b: tanh", "b: tanh -> a: relu")
    assert swapped["rewired"] == {"a": "reads image -> b", "b": "reads a -> image", "flatten": "reads b -> a"}


def test_weights_that_are_said_to_carry_over_load_into_the_other(root: Path) -> None:
    a, b = (api.load(root / "specs" / f"resnet.cnn:{name}") for name in ("ResNet50v1", "ResNet50"))
    found = compare(a, b)
    state, other = (torch_backend.module(graph).state_dict() for graph in (a, b))
    loadable = [name for name in state if name in other and other[name].shape == state[name].shape]
    assert list(found.weights.kept) == loadable
    assert sum(found.weights.kept.values()) == sum(state[name].numel() for name in loadable)


def test_nothing_of_either_net_goes_unmentioned(root: Path) -> None:
    a, b = (api.load(root / "specs" / name) for name in ("googlenet.cnn", "googlenet_bn.cnn"))
    found = compare(a, b)
    gone = {c.label for c in found.removed} | {old for old, _ in found.moved}
    come = {c.label for c in found.added} | {new for _, new in found.moved}
    assert gone == set(a.node) - set(b.node)
    assert come == set(b.node) - set(a.node)
    changed = {c.label for c in (*found.changed, *found.shapes)}
    assert changed == {
        n for n in set(a.node) & set(b.node) if (a.node[n].op, a.node[n].type) != (b.node[n].op, b.node[n].type)
    }


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1"], ["layer{2-4}.0.conv1"]),
        (["a.0.x", "a.1.x", "a.3.x"], ["a.{0,1,3}.x"]),
        (["a.0.x", "a.0.y", "a.1.x", "a.1.y"], ["a.{0,1}.{x,y}"]),
        (["l1.0", "l1.1", "l1.2", "l2.0", "l2.1"], ["l1.{0-2}", "l2.{0,1}"]),
        (["conv1", "conv2"], ["conv{1,2}"]),
        (["stem", "head"], ["{stem,head}"]),
        (["a.b"], ["a.b"]),
    ],
)
def test_labels_are_folded_and_none_is_lost(labels: list[str], shown: list[str]) -> None:
    assert folded(labels) == shown


def test_a_hundred_blocks_are_a_few_lines(netc: Command) -> None:
    assert netc("diff", "specs/cifar_resnet.cnn:ResNet110", "specs/cifar_resnet.cnn:ResNet1202") == 1
    assert len(netc.out.splitlines()) < 25
    assert max(map(len, netc.out.splitlines())) <= 80


def test_several_nets_and_wrong_texts_exit_as_elsewhere(netc: Command, tmp_path: Path) -> None:
    assert netc("diff", "specs/vgg.cnn", "specs/vgg.cnn:VGG16") == 2
    assert "specs/vgg.cnn has 9 nets; name one" in netc.err
    assert netc("diff", spec(tmp_path, "wrong", "net A {"), "specs/lenet5.cnn") == 1
    assert "error[" in netc.err
    assert netc.out == ""
