"""`netc show`, `netc explain SPEC LABEL` and `netc ops`: what people read, in narrow and wide windows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netc.cli import table
from netc.ops import kinds
from tests.command import Command

SEVERAL = """net One { input x: f32[N, 4]
  output y: f32[N, 1]
  from x -> fc(1) => y }
net Two { input x: f32[N, 4]
  output y: f32[N, 2]
  from x -> fc(2) => y }
"""


@pytest.fixture
def netc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path) -> Command:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "160")
    return Command(capsys)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def rows(text: str) -> list[list[str]]:
    """The cells of a table's lines, the title's first."""
    body = text.split("\n\n")[1]
    return [re.split(r"  +", line.strip()) for line in body.splitlines()]


def column(text: str, title: str) -> list[str]:
    """The cells of a column of numbers, which stand flush with its title's end."""
    head, *lines = text.split("\n\n")[1].splitlines()
    end = head.index(title) + len(title)
    return [line[:end].rpartition(" ")[2] for line in lines]


# --- show


def test_lenet_is_shown_layer_by_layer(netc: Command) -> None:
    assert netc("show", "specs/lenet5.cnn") == 0
    found = rows(netc.out)
    assert found[0] == ["label", "kind", "output", "params", "MACs", "field", "stride", "memory"]
    # 6 kernels of 5x5 and their biases; 6 * 28 * 28 * 25; 6 * 28 * 28 * 4 bytes.
    assert found[1] == ["c1", "conv", "6x28x28", "156", "117,600", "5", "1", "18.4 KiB"]
    assert found[4] == ["c3", "conv", "16x10x10", "2,416", "240,000", "14", "2", "6.25 KiB"]
    assert found[7] == ["flatten", "flatten", "400", "all", "-", "view"]
    assert "parameters    61,706, 241 KiB in f32" in netc.out
    assert "MACs          416,520 an example" in netc.out


def test_equal_blocks_in_a_row_are_one_line_and_sums_are_kept(netc: Command) -> None:
    assert netc("show", "specs/resnet.cnn:ResNet152") == 0
    found = {row[0]: row for row in rows(netc.out)}
    assert list(found) == [
        *("label", "conv1", "bn1", "relu", "maxpool", "layer1.0", "layer1.1-2", "layer2.0", "layer2.1-7"),
        *("layer3.0", "layer3.1-35", "layer4.0", "layer4.1-2", "gap", "flatten", "fc"),
    ]
    assert found["layer3.1-35"][1] == "bottleneck x35"
    assert sum(int(cell.replace(",", "")) for cell in column(netc.out, "params") if cell) == 60_192_808


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
@pytest.mark.parametrize("spec", ["resnet.cnn:ResNet152", "googlenet.cnn", "unet.cnn:UNet", "densenet.cnn:DenseNet121"])
def test_no_line_is_longer_than_the_window(netc: Command, wide: Callable[[int], None], columns: int, spec: str) -> None:
    wide(columns)
    assert netc("show", f"specs/{spec}") == 0
    body = netc.out.split("\n\n")[1].splitlines()
    assert max(map(len, body)) <= columns
    assert len(body) <= 41
    assert body[0].split()[:4] == ["label", "kind", "output", "params"]


def test_a_narrow_window_has_short_numbers_and_keeps_labels_apart(netc: Command, wide: Callable[[int], None]) -> None:
    wide(80)
    assert netc("show", "specs/resnet.cnn:ResNet152") == 0
    assert rows(netc.out)[1] == ["conv1", "conv", "64x112x112", "9.41 k", "118 M", "7", "2", "3.06 MiB"]
    wide(50)
    assert netc("show", "specs/densenet.cnn:DenseNet121", "--depth", "3") == 0
    labels = [row[0] for row in rows(netc.out)]
    assert all(len(label) <= 20 for label in labels)
    assert "feat...ayer1" in labels


def test_symbols_stay_formulas_until_numbers_are_given(netc: Command) -> None:
    assert netc("show", "specs/unet.cnn:UNet", "--depth", "2") == 0
    found = {row[0]: row for row in rows(netc.out)}
    assert "memory" not in found["label"]
    assert found["maxpool"][:3] == ["maxpool", "maxpool", "64x(H/2)x(W/2)"]
    assert found["enc1.conv1"][3:] == ["640", "-", "3", "1"]
    assert "depend on H, W: --at H=256 --at W=256 gives numbers" in netc.out
    assert netc("show", "specs/unet.cnn:UNet", "--depth", "2", "--at", "H=512", "--at", "W=512") == 0
    # 64 * 512 * 512 * 9 multiplications of one channel; 64 * 512 * 512 * 4 bytes.
    found = {row[0]: row for row in rows(netc.out)}
    assert found["enc1.conv1"][2:] == ["64x512x512", "640", "150,994,944", "3", "1", "64.0 MiB"]
    both = netc.out
    assert netc("show", "specs/unet.cnn:UNet", "--depth", "2", "--at", "H=512, W=512") == 0
    assert netc.out == both


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "H=500", "--at", "W=512"], "H is a multiple of 16, not 500: 496 is one"),
        (["--at", "Q=1"], "UNet has no size `Q`: its symbols are H, W"),
        (["--at", "H"], "--at takes a size such as H=512, not H"),
        (["--at", "H=512,H=256"], "--at gives H two sizes, 512 and 256"),
        (["--json", "--csv"], "--format, --json and --csv exclude each other"),
    ],
)
def test_what_show_does_not_take_is_said(netc: Command, arguments: list[str], said: str) -> None:
    assert netc("show", "specs/unet.cnn:UNet", *arguments) == 2
    assert netc.err == f"error: {said}\n"
    assert netc.out == ""


def test_of_several_nets_one_is_to_be_named(netc: Command, tmp_path: Path) -> None:
    spec = tmp_path / "several.cnn"
    spec.write_text(SEVERAL)
    assert netc("show", spec) == 2
    assert f"{spec} has 2 nets; name one: {spec}:One, {spec}:Two" in netc.err


def test_a_batch_that_the_text_fixes_is_not_another(netc: Command, tmp_path: Path) -> None:
    spec = tmp_path / "fixed.cnn"
    spec.write_text("net A { input x: f32[8, 4]\n output y: f32[8, 2]\n from x -> fc(2) => y }\n")
    assert netc("show", spec, "--batch", "4") == 2
    assert "A takes a batch of 8, and --batch is 4" in netc.err
    assert netc.json("show", spec)["batch"] == 8


def test_shared_weights_name_their_owner_and_fields_are_of_each_input(netc: Command, tmp_path: Path) -> None:
    spec = tmp_path / "twins.cnn"
    spec.write_text("""net Twins {
  input left: f32[N, 1, 9, 9]
  input right: f32[N, 1, 9, 9]
  output y: f32[N, 2, 5, 5]
  from left -> tower: conv(1, k=3) -> a: maxpool(k=3, stride=1)
  from right -> other: @tower -> conv(1, k=3) -> b: id
  from a, b -> concat => y
}
""")
    assert netc("show", spec) == 0
    found = {row[0]: row for row in rows(netc.out)}
    assert found["tower"] == ["tower", "conv", "1x7x7", "10", "441", "3", "1", "196 B"]
    assert found["other"] == ["other", "conv @tower", "1x7x7", "441", "3", "1", "196 B"]
    both = netc.json("show", spec)["rows"][-1]
    assert both["field"] == {"left": [5, 5], "right": [5, 5]}


def test_heads_are_counted_when_asked_for(netc: Command) -> None:
    assert netc("show", "specs/googlenet.cnn") == 0
    assert "6,998,552" in netc.out
    assert "142; 16 more are for training alone: --train counts them" in netc.out
    assert "aux1" not in netc.out
    assert netc("show", "specs/googlenet.cnn", "--train") == 0
    assert "13,378,280" in netc.out
    assert "158, the heads for training included" in netc.out
    assert "aux1" in netc.out


def test_the_largest_come_first_when_sorted(netc: Command) -> None:
    found = netc.json("show", "specs/vgg.cnn:VGG16", "--sort", "params")["rows"]
    # 4096 * (25088 + 1): the first fully connected layer.
    assert (found[0]["label"], found[0]["params"]) == ("classifier.0", 102_764_544)
    assert [row["params"] for row in found] == sorted((row["params"] for row in found), reverse=True)
    assert netc("show", "specs/vgg.cnn:VGG16", "--sort", "memory") == 0
    assert rows(netc.out)[1][0] == "features.0"


def test_csv_has_every_layer_with_exact_numbers(netc: Command) -> None:
    assert netc("show", "specs/googlenet.cnn", "--csv") == 0
    found = list(csv.DictReader(io.StringIO(netc.out)))
    assert len(found) == 142
    assert sum(int(row["parameters"]) for row in found) == 6_998_552
    assert sum(int(row["macs"]) for row in found) == 1_582_671_872
    assert found[0] == {
        "label": "conv1.conv",
        "kind": "conv",
        "output": "64x112x112",
        "parameters": "9472",
        "macs": "118013952",
        "field": "7",
        "stride": "2",
        "memory_bytes": "3211264",
    }


def test_json_has_the_schemas_number_and_every_layer(netc: Command) -> None:
    found = netc.json("show", "specs/unet.cnn:UNet")
    assert found["schema"] == 1
    assert (found["net"], found["macs"], found["unknown"]) == ("UNet", None, ["H", "W"])
    row = found["rows"][4]
    assert row["output"] == [1, 64, "H/2", "W/2"]
    assert (row["field"], row["stride"]) == ({"image": [6, 6]}, {"image": ["2", "2"]})
    assert row["where"].startswith("specs/unet.cnn:")
    at = netc.json("show", "specs/unet.cnn:UNet", "--at", "H=64,W=64", "--batch", "4")
    one = netc.json("show", "specs/unet.cnn:UNet", "--at", "H=64,W=64")
    assert at["peak_inference_bytes"] == 4 * one["peak_inference_bytes"]
    assert at["macs"] == one["macs"]


def test_the_depth_says_what_is_summed_up(netc: Command) -> None:
    assert netc("show", "specs/resnet.cnn:ResNet50", "--depth", "1") == 0
    found = {row[0]: row for row in rows(netc.out)}
    assert found["layer3"][1:3] == ["bottleneck x6", "1024x14x14"]
    assert netc("show", "specs/resnet.cnn:ResNet50", "--depth", "4") == 0
    assert len(rows(netc.out)) == 176
    assert "summed up" not in netc.out


def test_counts_and_sizes_in_three_digits() -> None:
    numbers = [0, 999, 1000, 9_408, 99_950, 999_499, 999_500, 60_192_808, 11_513_626_624]
    said = ["0", "999", "1.00 k", "9.41 k", "100 k", "999 k", "1.00 M", "60.2 M", "11.5 G"]
    assert [table.short(number) for number in numbers] == said
    assert [table.size(n) for n in (0, 1023, 1024, 3_211_264, 2**40)] == [
        "0 B",
        "1023 B",
        "1.00 KiB",
        "3.06 MiB",
        "1.00 TiB",
    ]


# --- explain


def explained(netc: Command, spec: str, label: str) -> str:
    assert netc("explain", f"specs/{spec}", label) == 0, netc.err
    return netc.out


def test_the_lectures_arithmetic_of_vgg(netc: Command) -> None:
    text = explained(netc, "vgg.cnn:VGG16", "features.0")
    assert "features.0: conv(64, k=3, pad=1)\n" in text
    assert "parameters  d2 (d1 s + 1) = 64 (3 * 9 + 1) = 1,792\n" in text
    assert "MACs        d2 H' W' d1 s = 64 * 224 * 224 * 3 * 9 = 86,704,128\n" in text
    assert "H' = (H + 2 pad - k) // stride + 1 = (224 + 2 * 1 - 3) // 1 + 1 = 224\n" in text
    assert '"{at}": conv(c, k=3, pad=1, bias=true)' in text


def test_a_size_is_followed_back_to_the_input(netc: Command) -> None:
    text = explained(netc, "lenet5.cnn", "c5")
    assert re.findall(r"^channels.*\n(?:  .*\n)+", text, re.MULTILINE)[1] == (
        "channels that enter\n  400 = 16 * 5 * 5  flatten  flatten of s4\n"
    )
    assert re.findall(r"^height and width.*\n(?:  .*\n)+", text, re.MULTILINE) == [
        "height and width of s4, 16x5x5\n"
        "  5x5    s4     avgpool(k=2)\n"
        "  10x10  c3     conv(16, k=5)\n"
        "  14x14  s2     avgpool(k=2)\n"
        "  28x28  image  input\n"
    ]


def test_a_layer_of_a_block_says_where_the_block_is_applied(netc: Command) -> None:
    text = explained(netc, "resnet.cnn:ResNet50", "layer2.0.downsample.0")
    assert "in          layer2.0.downsample: project, applied at specs/resnet.cnn:" in text
    assert "in          layer2.0: bottleneck, applied at specs/resnet.cnn:" in text
    assert "field       35x35 of image, stride 8\n" in text


def test_a_symbolic_layer_keeps_its_formulas(netc: Command) -> None:
    text = explained(netc, "unet.cnn:UNet", "dec4.conv1")
    assert "MACs        d2 H' W' d1 s = 512 * (H/8) * (W/8) * 1024 * 9\n" in text
    assert "  H/16xW/16  maxpool_4  maxpool(k=2, stride=2)\n" in text


def test_a_concat_names_what_it_lays_side_by_side(netc: Command) -> None:
    text = explained(netc, "googlenet.cnn", "i3a.concat")
    assert "C' = C1 + C2 + C3 + C4 = 64 + 128 + 32 + 32 = 256\n" in text
    assert "concat of i3a.b1.relu, i3a.b3.relu, i3a.b5.relu, i3a.pool_proj.relu\n" in text


@pytest.mark.parametrize(
    ("spec", "label", "said"),
    [
        ("lenet5.cnn", "c33", "LeNet5 has no layer c33: did you mean `c3`? (`netc show` lists them)"),
        ("lenet5.cnn", "image", "image is an input of LeNet5: nothing computes it"),
        ("lenet5.cnn", "digit", "digit is an output of LeNet5, which the layer out feeds"),
        ("resnet.cnn:ResNet50", "layer2.0.downsample", "layer2.0.downsample stands for 2 layers; name one: layer2"),
    ],
)
def test_what_is_no_layer_is_said(netc: Command, spec: str, label: str, said: str) -> None:
    assert netc("explain", f"specs/{spec}", label) == 2
    assert said in netc.err


def test_a_spec_without_a_label_is_a_wrong_call(netc: Command) -> None:
    assert netc("explain", "specs/lenet5.cnn") == 2
    assert "a layer of specs/lenet5.cnn is explained by its label" in netc.err


def test_every_layer_of_the_zoo_is_explained(netc: Command, root: Path) -> None:
    from netc import api
    from netc.cli.explain import explain

    kinds_seen: set[str] = set()
    for path in sorted((root / "specs").glob("*.cnn")):
        for graph in api.check(path.relative_to(root)).graphs.values():
            for node in graph.nodes:
                if node.op.kind not in kinds_seen:
                    kinds_seen.add(node.op.kind)
                    explain(graph, "spec", node.name, form="text")
                    explain(graph, "spec", node.name, form="json")
    assert len(kinds_seen) > 25


def test_an_explanation_as_json(netc: Command) -> None:
    found = netc.json("explain", "specs/lenet5.cnn", "c3")
    assert (found["params"], found["macs"], found["layer"]) == (2416, 240_000, "conv(16, k=5)")
    assert found["working"]["parameters"] == {"symbols": "d2 (d1 s + 1)", "numbers": "16 (6 * 25 + 1)"}
    assert [step["label"] for step in found["origin"]["h"]] == ["c3", "s2", "c1", "image"]


# --- ops


def test_ops_lists_every_layer_with_what_it_does(netc: Command, wide: Callable[[int], None]) -> None:
    wide(80)
    assert netc("ops") == 0
    assert set(re.findall(r"^  (\w+)  ", netc.out, re.MULTILINE)) == set(kinds())
    assert "  gap              Average each channel over the whole image; the sides stay, as\n" in netc.out
    assert max(map(len, netc.out.splitlines())) <= 80


@pytest.mark.parametrize("kind", kinds())
def test_ops_shows_each_layer_within_the_window(netc: Command, wide: Callable[[int], None], kind: str) -> None:
    wide(80)
    assert netc("ops", kind) == 0
    lines = netc.out.splitlines()
    assert lines[0].startswith(f"{kind}(")
    assert [
        name for name in ("Shape:", "MACs:", "Errors:", "Source:", "Example:") if f"\n{name} " not in netc.out
    ] == []
    # The example is one line, to be copied.
    assert max(len(line) for line in lines if not line.startswith("Example:")) <= 80


def test_a_layers_arguments_and_an_example(netc: Command) -> None:
    assert netc("ops", "conv") == 0
    assert "conv(c, k, stride = 1, pad = 0, dilation = 1, groups = 1, bias = true, init)\n" in netc.out
    assert "Example: 1x28x28 -> conv(6, k=5, pad=2) -> 6x28x28\n" in netc.out
    found = netc.json("ops", "conv")["layers"]["conv"]
    stride = next(each for each in found["arguments"] if each["name"] == "stride")
    assert (stride["default"], stride["required"]) == ("1", False)
    assert found["elsewhere"]["kernel_size"] == "k"
    every: Any = netc.json("ops")["layers"]
    assert set(every) == set(kinds())


def test_an_unknown_layer_gets_the_nearest(netc: Command) -> None:
    assert netc("ops", "Conv2d") == 2
    assert netc.err == "error: there is no layer `Conv2d`: netc calls it `conv` (`netc ops` lists them)\n"
