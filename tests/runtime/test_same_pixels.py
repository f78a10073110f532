"""One preprocessing: what a net is trained on is, bit for bit, what production feeds it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

import netc_runtime
from netc.diagnostic import Source, Span
from netc.graph import Graph, Recipe
from netc.graph import Input as GraphInput
from netc.graph import Output as GraphOutput
from netc.sections import CrossEntropy, Sgd, Train
from netc.tensor import Size, Symbol, TensorType
from netc.training import data as training
from netc_runtime.manifest import ImageRecipe, Input, Output
from tests.runtime.conftest import make_manifest

HERE = Span(Source("t.cnn", "net"), 0, 3)


def write_pictures(folder: Path) -> list[Path]:
    """One picture of every kind that a camera, a scanner or a web page gives."""
    random = np.random.RandomState(3)
    pixels = random.randint(0, 256, (40, 56, 4)).astype(np.uint8)
    rgb = Image.fromarray(pixels[..., :3])
    turned = Image.Exif()
    turned[274] = 6
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "baseline.jpg": (rgb, {"quality": 85}),
        "gray.jpg": (rgb.convert("L"), {}),
        "progressive.jpg": (rgb, {"progressive": True, "subsampling": 0}),
        "turned.jpg": (rgb, {"exif": turned}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "alpha.png": (Image.fromarray(pixels), {}),
        "sixteen.png": (Image.fromarray(random.randint(0, 65536, (40, 56)).astype(np.uint16)), {}),
        "palette.gif": (rgb.convert("P"), {}),
        "lossy.webp": (rgb, {}),
        "bits.png": (rgb.convert("1"), {}),
    }
    folder.mkdir(parents=True)
    for name, (picture, options) in kinds.items():
        picture.save(folder / name, **options)
    return [folder / name for name in sorted(kinds)]


def echo(path: Path, recipe: ImageRecipe) -> netc_runtime.Model:
    """A model whose output is the very tensor that it is fed."""
    inputs = (Input("image", "f32", ("N", recipe.channels, 24, 24), recipe),)
    outputs = (Output("same", "f32", ("N", recipe.channels, 24, 24), None, "none"),)
    sides = ["N", recipe.channels, 24, 24]
    entering, leaving = (helper.make_tensor_value_info(name, 1, sides) for name in ("image", "same"))
    body = helper.make_graph([helper.make_node("Identity", ["image"], ["same"])], "echo", [entering], [leaving])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"netc": make_manifest(inputs, outputs).to_json()})
    path.write_bytes(model.SerializeToString())
    return netc_runtime.load(path, "cpu", threads=1)


@pytest.mark.parametrize("kept_bytes", [0, 2**31])  # decoded by the batch, or once before training
@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_training_and_production_prepare_the_same_tensor(
    tmp_path: Path, color: Any, kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "IN_MEMORY_BYTES", kept_bytes)
    paths = write_pictures(tmp_path / "train" / "any")
    write_pictures(tmp_path / "test" / "any")
    numbers: dict[str, Any] = {
        "color": color,
        "resize": 30,
        "crop": 24,
        "filter": "bicubic",
        "scale": 1 / 255,
        "mean": (0.45,),
        "std": (0.225,),
    }
    channels = 1 if color == "gray" else 3
    rows = Size.of(Symbol("N"))
    net = Graph(
        "Net",
        (GraphInput("image", TensorType(rows, channels, (24, 24)), HERE, Recipe(**numbers)),),
        (GraphOutput("y", "image", TensorType(rows, 1), HERE, None, "softmax"),),
        (),
        (),
        requires=(),
        train=Train(loss={"y": CrossEntropy()}, optimizer=Sgd(lr=0.1)),
    )
    split = training.load(f"folder:{tmp_path}", net).train
    assert len(split) == len(paths)
    trained_on = split.tensor(range(len(split)))
    model = echo(tmp_path / "echo.onnx", ImageRecipe(**numbers))
    fed = np.stack([result.outputs["same"].values for result in model.predict_images(paths)])
    assert fed.dtype == trained_on.dtype == np.float32
    assert fed.tobytes() == trained_on.tobytes()
    # And it is no constant: the pictures differ.
    assert len({row.tobytes() for row in fed}) == len(paths)
