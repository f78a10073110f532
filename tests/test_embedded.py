"""Files that take raw pixels and give probabilities or classes: built, verified, and served like any other."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import netc_runtime
from netc.backends.build import build
from netc.backends.precision.wanted import Wanted
from netc.backends.verify.edges import pixels
from netc.backends.verify.figures import distance
from netc.diagnostic import Fault
from netc.graph import Decode, Graph, Node, Recipe
from netc.op import OnnxGraph, Operand
from netc.passes.draft import Draft
from netc.passes.inner import Classes, Normalise
from netc.sections import Export
from netc_runtime.golden import golden_pixels
from netc_runtime.image import normalise
from netc_runtime.manifest import ImageRecipe, Precision
from tests.command import Command
from tests.graphs import Net, randomised

RGB = Recipe(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
Array = npt.NDArray[Any]


def net(decode: Decode = "softmax", *, pad: int = 1, sides: tuple[int | str, int | str] = (8, 9)) -> Graph:
    made = Net("Pictures", image=("N", 3, *sides))
    x = made("relu", made("bn", made("conv", "image", label="first", c=6, k=3, pad=pad, bias=False)))
    x = made("conv", x, label="second", c=4, k=3, pad=1)
    outputs = {"scores": made("flatten", made("gap", x)), "mask": x}
    graph = made.graph(outputs=outputs)
    labels = ("cat", "dog", "owl", "yak")
    scores, mask = (each._replace(decode=decode, labels=labels) for each in graph.outputs)
    return replace(graph, inputs=(graph.inputs[0]._replace(recipe=RGB),), outputs=(scores, mask))


def built(path: Path, graph: Graph, *embed: str, **options: Any) -> netc_runtime.Model:
    made = build(graph, randomised(graph), path, embed=embed, **options)
    assert made.parity is None or made.parity.passed
    return netc_runtime.load(path, "cpu")


@pytest.mark.parametrize("decode", ["softmax", "sigmoid", "argmax", "none"])
@pytest.mark.parametrize("pad", [0, 1])
def test_a_client_sends_pixels_and_gets_the_same_answers(tmp_path: Path, decode: Decode, pad: int) -> None:
    graph = net(decode, pad=pad)
    plain = built(tmp_path / "plain.onnx", graph)
    steps = ("preprocess",) if decode == "none" else ("preprocess", "decode")
    model = built(tmp_path / "embedded.onnx", graph, *steps)
    assert model.manifest is not None
    assert model.manifest.embed == steps
    assert model.manifest.parity.verdict == "passed"
    assert (model.inputs[0].dtype, model.inputs[0].shape) == ("u8", ("N", 8, 9, 3))
    sent = golden_pixels(5, (3, 8, 9, 3))
    image = normalise(sent, ImageRecipe(*RGB))
    theirs, ours = plain.decode(plain.predict(image)), model.decode(model.predict(sent))
    for name in theirs:
        for a, b in zip(theirs[name], ours[name], strict=True):
            assert [(x.name, round(x.score, 4)) for x in a.labels] == [(x.name, round(x.score, 4)) for x in b.labels]
            np.testing.assert_allclose(b.values, a.values, atol=1e-5)
    assert model.check().samples
    assert model.check().difference <= model.check().tolerance < (0.01 if decode != "none" else 1)


def test_classes_have_no_axis_of_channels(tmp_path: Path) -> None:
    model = built(tmp_path / "a.onnx", net("argmax"), "decode")
    assert [(o.dtype, o.shape) for o in model.outputs] == [("i64", ("N",)), ("i64", ("N", 8, 9))]
    assert model.inputs[0].shape == ("N", 3, 8, 9)


def test_sizes_that_are_symbols_are_so_for_pixels(tmp_path: Path) -> None:
    model = built(tmp_path / "a.onnx", net("argmax", sides=("H", "W")), "preprocess", "decode")
    assert model.inputs[0].shape == ("N", "H", "W", 3)
    found = model.predict(golden_pixels(5, (2, 11, 6, 3)))
    assert (found["scores"].shape, found["mask"].shape) == ((2,), (2, 11, 6))


def test_the_section_says_so_too_and_the_argument_stands_in_its_place(tmp_path: Path) -> None:
    graph = replace(net(), export=Export(embed=("preprocess", "labels", "decode")))
    made = build(graph, randomised(graph), tmp_path / "a.onnx", verify=False)
    assert made.record()["embed"] == ["preprocess", "decode"]
    assert "pixels enter" in made.lines()[0]
    made = build(graph, randomised(graph), tmp_path / "a.onnx", verify=False, embed=[])
    assert made.record()["embed"] == []
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=["decoding"])
    assert caught.value.code == "N455"


def test_equal_builds_are_equal_files(tmp_path: Path) -> None:
    graph = net()
    for name in ("a.onnx", "b.onnx"):
        build(graph, randomised(graph), tmp_path / name, embed=["preprocess", "decode"])
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# --- a file that is wrong is not kept


@pytest.mark.parametrize("pad", [0, 1])
def test_a_wrong_recipe_in_the_graph_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pad: int) -> None:
    def wrong(scale: float, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalise:
        return Normalise(scale=scale, mean=(mean[0], mean[2], mean[1]), std=std)

    monkeypatch.setattr(sys.modules["netc.passes.embed"], "Normalise", wrong)  # the package's `embed` is the pass
    graph = net(pad=pad)
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=["preprocess"])
    assert caught.value.code == "N430"
    assert list(tmp_path.iterdir()) == []


def test_a_mean_folded_into_a_padded_convolution_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_padded(_draft: Draft, _node: Node) -> bool:
        return True

    monkeypatch.setattr(sys.modules["netc.passes.fold_forward"], "_sees_image_alone", never_padded)
    graph = net("none")
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=["preprocess"])
    assert caught.value.code == "N430"


def test_wrong_classes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def least(_self: Classes, g: OnnxGraph, *xs: Operand) -> str:
        return g.node("ArgMin", xs[0], axis=1, keepdims=0)

    monkeypatch.setattr(Classes, "onnx", least)
    graph = net("argmax")
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=["decode"])
    assert caught.value.code == "N430"


def test_a_class_is_off_by_what_its_logit_lacks() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [5.0, 4.5, 0.0]])
    assert distance(np.array([1, 0]), logits) == 0
    assert distance(np.array([2, 1]), logits) == 0.5  # 3 - 2, where both are off by half of it
    for wrong in ([1], [1, 3], [1, -1], [[1], [0]]):
        assert distance(np.array(wrong), logits) == np.inf
    assert distance(np.array([1, 0]), logits * np.nan) == np.inf


@pytest.mark.parametrize(
    ("precision", "decode", "embed"),
    [("int8", "softmax", "preprocess"), ("int8", "argmax", "decode"), ("f16", "argmax", "decode")],
)
def test_what_other_precisions_do_not_embed_is_refused_by_name(
    tmp_path: Path, precision: Precision, decode: Decode, embed: str
) -> None:
    graph = net(decode)
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=[embed], precision=Wanted(precision))
    assert caught.value.code == "N424"
    assert f"embed = [{embed}] with {precision} is not built yet" in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [("preprocess",), ("preprocess", "decode")])
def test_half_precision_embeds_too(tmp_path: Path, steps: tuple[str, ...]) -> None:
    model = built(tmp_path / "a.onnx", net(), *steps, precision=Wanted("f16"))
    assert model.inputs[0].dtype == "u8"
    assert model.check().samples


# --- images and the pixels that make them


@pytest.mark.parametrize("recipe", [RGB, Recipe(mean=(123.7,)), Recipe(color="gray", scale=2 / 255, mean=(1,))])
def test_an_image_tells_the_pixels_that_made_it(recipe: Recipe) -> None:
    tensor = net().inputs[0]._replace(recipe=recipe)
    channels = 1 if recipe.color == "gray" else 3
    sent = np.arange(256, dtype=np.uint8).repeat(channels).reshape(1, 16, 16, channels)
    assert np.array_equal(pixels(tensor, normalise(sent, ImageRecipe(*recipe))), sent)


@pytest.mark.parametrize("value", [0.0, 9.0, -3.0, np.nan, np.inf])
def test_what_no_pixels_make_is_refused(value: float) -> None:
    tensor = net().inputs[0]
    image = normalise(golden_pixels(1, (1, 4, 4, 3)), ImageRecipe(*RGB))
    image[0, 1, 2, 3] = value
    with pytest.raises(Fault) as caught:
        pixels(tensor, image)
    assert caught.value.code == "N432"


def test_real_images_verify_a_file_of_pixels(tmp_path: Path) -> None:
    graph = net()
    image = normalise(golden_pixels(8, (20, 8, 9, 3)), ImageRecipe(*RGB))
    made = build(graph, randomised(graph), tmp_path / "a.onnx", embed=["preprocess"], verify_data=image)
    assert made.parity is not None
    assert {each.origin for each in made.parity.agreements} == {"seeded", "data"}
    with pytest.raises(Fault) as caught:
        build(graph, randomised(graph), tmp_path / "a.onnx", embed=["preprocess"], verify_data=image + 1e-3)
    assert caught.value.code == "N432"


# --- the command

SPEC = """\
net Small {
  input  image: f32[N, 1, 8, 8] { scale = 1/255, mean = 0.5, std = 0.5 }
  output digit: f32[N, 3] { decode = softmax }
  from image -> conv(4, k=3) -> relu -> flatten -> fc(3) => digit
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.cnn").write_text(SPEC)
    return "small.cnn"


def test_the_command_embeds_what_it_is_told(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    netc = Command(capsys)
    assert netc("build", spec, "--init", "1", "-o", "m.onnx", "--embed", "preprocess,decode") == 0
    assert "pixels enter, decoded answers leave" in netc.out
    model = netc_runtime.load("m.onnx", "cpu")
    scores = model.predict(golden_pixels(0, (2, 8, 8, 1)))["digit"]
    assert scores.sum(axis=1) == pytest.approx([1, 1])
    record = json.loads(Path("m.onnx.verify.json").read_text())
    assert (record["embed"], record["verdict"]) == (["preprocess", "decode"], "passed")
    Path("small.cnn").write_text(f"{SPEC}export Small {{ embed = [decode] }}\n")
    assert netc("build", spec, "--init", "1", "-o", "m.onnx", "--no-verify") == 0
    assert netc_runtime.load("m.onnx", "cpu").manifest.embed == ("decode",)  # pyright: ignore[reportOptionalMemberAccess] -- it has one
    assert netc("build", spec, "--init", "1", "-o", "m.onnx", "--no-verify", "--embed", "none") == 0
    assert netc_runtime.load("m.onnx", "cpu").manifest.embed == ()  # pyright: ignore[reportOptionalMemberAccess] -- it has one


@pytest.mark.parametrize("words", ["preproces", "decode,", "none,decode", ""])
def test_the_command_refuses_what_is_no_step(spec: str, capsys: pytest.CaptureFixture[str], words: str) -> None:
    netc = Command(capsys)
    assert netc("build", spec, "--init", "1", "--embed", words) == 2
    assert "--embed takes preprocess, decode and labels" in netc.err
    assert netc("build", spec, "--emit", "torch", "--embed", "decode") == 2
    assert "--embed has no meaning with --emit torch" in netc.err
