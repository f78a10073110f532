"""The standard library of blocks: used from anywhere, the papers' counts, the zoo's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc import api
from netc.diagnostic import Source
from netc.graph import Graph
from tests.conftest import ROOT

STD = ROOT / "netc" / "std"

# (file, block, its call, the channels that enter, parameters worked by hand)
BLOCKS = [
    # 1x1: 64 * 256 = 16,384; bn: 2 * 256
    ("resnet", "project", "project(256, 2)", 64, 16_896),
    # conv1 64 * 64 = 4,096, bn1 2 * 64; conv2 64 * 64 * 9 = 36,864, bn2 2 * 64; conv3 64 * 256 = 16,384, bn3 2 * 256;
    # the projection as above. It is ResNet-50's layer1.0.
    ("resnet", "bottleneck", "bottleneck(64)", 64, 4_096 + 128 + 36_864 + 128 + 16_384 + 512 + 16_896),
    # 256 channels enter and leave: conv1 256 * 64 = 16,384, and no projection
    ("resnet", "bottleneck", "bottleneck(64)", 256, 16_384 + 128 + 36_864 + 128 + 16_384 + 512),
    # strided, v1: the weights are v1.5's
    ("resnet", "bottleneck", "bottleneck(64, 2, v1=true)", 64, 4_096 + 128 + 36_864 + 128 + 16_384 + 512 + 16_896),
    # wide ResNet-50's layer1.0: conv1 64 * 128, bn1 2 * 128; conv2 128 * 128 * 9, bn2; conv3 128 * 256, bn3; projection
    ("resnet", "bottleneck", "bottleneck(64, inner=128)", 64, 8_192 + 256 + 147_456 + 256 + 32_768 + 512 + 16_896),
    # ResNeXt-50's layer1.0: the same, and its conv2 of 32 groups 128 * 4 * 9 = 4,608
    ("resnet", "bottleneck", "bottleneck(64, inner=128, groups=32)", 64, 61_440 + 2_048),
    # DeepLabV3's layer4.1, dilated, at an eighth of its width: 256 enter, as in layer1.1
    ("resnet", "bottleneck", "bottleneck(64, dilation=4)", 256, 16_384 + 128 + 36_864 + 128 + 16_384 + 512),
    # two of 64 * 64 * 9 + 2 * 64
    ("resnet", "basic", "basic(64)", 64, 2 * (36_864 + 128)),
    # 64 * 128 * 9 = 73,728; 128 * 128 * 9 = 147,456; the projection 64 * 128 = 8,192; three bn of 2 * 128
    ("resnet", "basic", "basic(128, 2)", 64, 73_728 + 147_456 + 8_192 + 3 * 256),
    # 192 * 64 + 64
    ("inception", "unit", "unit(64, 1)", 192, 12_352),
    # GoogLeNet table 1, inception (3a), "159K" of 1,024: b1 as above; 192 * 96 + 96 = 18,528; 96 * 128 * 9 + 128 =
    # 110,720; 192 * 16 + 16 = 3,088; 16 * 32 * 25 + 32 = 12,832; 192 * 32 + 32 = 6,176
    ("inception", "mixed", "mixed(64, 96, 128, 16, 32, 32)", 192, 163_696),
    # 3 * 64 * 9 + 64
    ("vgg", "seq_conv", "seq_conv(64)", 3, 1_792),
    # as above, and 64 * 64 * 9 + 64 = 36,928
    ("vgg", "stage", "stage(64, 2)", 3, 38_720),
    # 1 * 64 * 9 + 64 = 640, and 36,928
    ("unet", "double", "double(64)", 1, 37_568),
    # 3 * 32 * 25, and 2 * 32
    ("conv_bn", "conv_bn", "conv_bn(32, k=5)", 3, 2_464),
    # EfficientNet-B0's first: 32 * 8 + 8, and 8 * 32 + 32
    ("squeeze_excite", "squeeze_excite", "squeeze_excite(8, act=silu)", 32, 264 + 288),
    # MobileNet table 1's first: 9 * 32 + 2 * 32, and 32 * 64 + 2 * 64
    ("mobilenet", "separable", "separable(64)", 32, 352 + 2_176),
    # MobileNetV2 table 2's first rows: 9 * 32 + 2 * 32, 32 * 16 + 2 * 16
    ("mobilenet", "expand_filter_project", "expand_filter_project(1, 16)", 32, 352 + 544),
    ("mobilenet", "inverted_residual", "inverted_residual(1, 16)", 32, 352 + 544),
    # 16 * 96 + 2 * 96, 9 * 96 + 2 * 96, 96 * 24 + 2 * 24
    ("mobilenet", "inverted_residual", "inverted_residual(6, 24, 2)", 16, 1_728 + 1_056 + 2_352),
    # 24 * 144 + 2 * 144, 9 * 144 + 2 * 144, 144 * 24 + 2 * 24
    ("mobilenet", "inverted_residual", "inverted_residual(6, 24)", 24, 3_744 + 1_584 + 3_504),
]
# The zoo's VGG numbers its layers as torchvision does, so its blocks take a number.
ZOO = {"resnet": "resnet.cnn", "inception": "googlenet.cnn", "unet": "unet.cnn"}


def around(used: str, block: str, call: str, channels: int, path: Path) -> Graph:
    """A net of one call of a block that `used` holds, in a text at `path`."""
    text = f"""use "{used}" ({block})
net One {{
  input x: f32[N, {channels}, 32, 32]
  output y: f32[N, body.c, H, W]
  from x -> body: {call} => y
}}
"""
    checked = api.check_text(Source(path.as_posix(), text), path)
    assert checked.diagnostics == ()
    return checked.graphs["One"]


@pytest.mark.parametrize(("file", "block", "call", "channels", "params"), BLOCKS)
def test_a_standard_block_has_the_parameters_worked_by_hand(
    file: str, block: str, call: str, channels: int, params: int, tmp_path: Path
) -> None:
    graph = around(f"std/{file}.cnn", block, call, channels, tmp_path / "anywhere.cnn")
    assert graph.params() == params


# The zoo's ResNet has no use for what its kin varies.
VARIED = ("inner=", "groups=", "dilation=")


@pytest.mark.parametrize(
    ("file", "block", "call", "channels", "params"),
    [b for b in BLOCKS if b[0] in ZOO and not any(words in b[2] for words in VARIED)],
)
def test_a_standard_block_is_the_zoos(file: str, block: str, call: str, channels: int, params: int) -> None:
    here = ROOT / "specs" / "one.cnn"
    ours = around(f"std/{file}.cnn", block, call, channels, here)
    zoos = around(ZOO[file], block, call, channels, here)
    assert dict(ours.parameters()) == dict(zoos.parameters())
    assert [(n.name, n.op, n.type) for n in ours.nodes] == [(n.name, n.op, n.type) for n in zoos.nodes]


def test_the_bottlenecks_of_mobilenet_v2_are_named_as_the_zoos() -> None:
    here = ROOT / "specs" / "one.cnn"
    ours = around("std/mobilenet.cnn", "inverted_residual", "inverted_residual(6, 24, 2)", 16, here)
    zoos = around("mobilenet_v2.cnn", "residual", "residual(6, 24, 2)", 16, here)
    assert list(ours.parameters()) == list(zoos.parameters())


@pytest.mark.parametrize("path", sorted(STD.glob("*.cnn")), ids=lambda path: path.name)
def test_a_standard_file_holds_blocks_that_say_where_they_come_from(path: Path) -> None:
    checked = api.check(path)
    assert checked.diagnostics == ()
    assert checked.nets == ()
    assert path.stem in {file for file, *_ in BLOCKS}
    assert "arXiv:" in path.read_text("utf-8").partition("language 1")[0]


def test_every_standard_block_is_tested() -> None:
    defined = {
        (path.stem, line.split()[1].partition("(")[0])
        for path in STD.glob("*.cnn")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("block ")
    }
    assert defined == {(file, block) for file, block, *_ in BLOCKS}


def test_a_text_without_a_file_can_use_the_standard_library() -> None:
    text = """use "std/resnet.cnn" (bottleneck)
net Small {
  input image: f32[N, 3, 32, 32]
  output scores: f32[N, 10]
  from image -> conv1: conv(64, k=3, pad=1) -> layer1: bottleneck(64) * 2 -> gap -> flatten -> fc(10) => scores
}
"""
    checked = api.check_text(Source("unsaved.cnn", text))
    assert checked.diagnostics == ()
    # conv1 3 * 64 * 9 + 64 = 1,792; the two bottlenecks above, 75,008 and 70,400; fc 256 * 10 + 10 = 2,570
    assert checked.graphs["Small"].params() == 1_792 + 75_008 + 70_400 + 2_570
