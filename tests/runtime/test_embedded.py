"""Models whose graph normalises raw pixels or decodes itself: the same answers as from the model that does neither."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from netc_runtime import Model, image, load
from netc_runtime.errors import ImageFault, ManifestError, ModelFault, RequestFault
from netc_runtime.golden import golden_input, golden_pixels
from netc_runtime.manifest import Golden, ImageRecipe, Input, Manifest, Output, Parity

RECIPE = ImageRecipe(color="bgr", scale=1 / 255, mean=(0.1, 0.4, 0.5), std=(0.2, 0.25, 0.3))
LABELS = ("zero", "one", "two")
WEIGHT = np.random.RandomState(5).standard_normal((3, 3, 1, 1)).astype(np.float32)
TYPES = {"f32": TensorProto.FLOAT, "u8": TensorProto.UINT8, "i64": TensorProto.INT64}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a 1x1 convolution of pictures of any size; `embed` names the steps that stand in the graph."""

    def save(decode: Any, embed: tuple[str, ...], labels: Any = LABELS, golden: Golden | None = None) -> Path:
        pixels, decoded = "preprocess" in embed, "decode" in embed
        weights = {"weight": WEIGHT, "scale": np.float32(RECIPE.scale)}
        weights |= {n: np.array(getattr(RECIPE, n), np.float32).reshape(3, 1, 1) for n in ("mean", "std")}
        nodes: list[onnx.NodeProto] = []

        def node(kind: str, *inputs: str, to: str, **words: Any) -> str:
            nodes.append(helper.make_node(kind, inputs, [to], **words))
            return to

        x = "image"
        if pixels:
            x = node("Cast", node("Transpose", x, to="first", perm=[0, 3, 1, 2]), to="cast")
            nodes[-1].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))  # `to` names the value
            x = node("Div", node("Sub", node("Mul", x, "scale", to="a"), "mean", to="b"), "std", to="x")
        last = {"softmax": "Softmax", "sigmoid": "Sigmoid", "argmax": "ArgMax"}.get(decode if decoded else "")
        y = node("Conv", x, "weight", to="logits" if last else "y")
        if last:
            words: dict[str, Any] = {"argmax": {"axis": 1, "keepdims": 0}, "softmax": {"axis": 1}}.get(decode, {})
            node(last, y, to="y", **words)
        indices = decoded and decode == "argmax"
        inputs = (
            (Input("image", "u8", ("N", "H", "W", 3), RECIPE),)
            if pixels
            else (Input("image", "f32", ("N", 3, "H", "W"), RECIPE),)
        )
        output = (
            Output("y", "i64", ("N", "H", "W"), labels, decode)
            if indices
            else (Output("y", "f32", ("N", 3, "H", "W"), labels, decode))
        )
        made = Manifest(
            "Tiny",
            inputs,
            (output,),
            (),
            golden,
            Parity("none", 0.0, "not verified"),
            "",
            "0" * 64,
            "0" * 64,
            {},
            embed,
        )
        infos = [[helper.make_tensor_value_info(t.name, TYPES[t.dtype], list(t.shape))] for t in (inputs[0], output)]
        arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
        graph = helper.make_graph(nodes, "net", infos[0], infos[1], arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, {"netc": made.to_json()})
        path = tmp_path / f"{decode}-{'-'.join(embed) or 'plain'}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save


def pictures(count: int = 3, height: int = 4, width: int = 5) -> list[Image.Image]:
    random = np.random.RandomState(8)
    return [Image.fromarray(random.randint(0, 256, (height, width, 3), np.uint8)) for _ in range(count)]


def answers(model: Model) -> list[tuple[list[tuple[int, str, float]], npt.NDArray[Any]]]:
    found: list[tuple[list[tuple[int, str, float]], npt.NDArray[Any]]] = []
    for result in model.predict_images(pictures()):
        decoded = result.outputs["y"]
        found.append(([(x.index, x.name, round(x.score, 4)) for x in decoded.labels], decoded.values))
    return found


@pytest.mark.parametrize("decode", ["softmax", "sigmoid", "argmax", "none"])
@pytest.mark.parametrize("embed", [("preprocess",), ("decode",), ("decode", "labels", "preprocess")])
def test_pictures_get_the_answers_of_the_model_without_the_steps(
    save: Callable[..., Path], decode: str, embed: tuple[str, ...]
) -> None:
    expected = answers(load(save(decode, ()), "cpu"))
    for (labels, values), (same, ours) in zip(expected, answers(load(save(decode, embed), "cpu")), strict=True):
        assert same == labels
        assert ours.dtype == values.dtype
        assert np.allclose(ours, values, atol=1e-5)


def test_predict_takes_the_pixels_that_resize_and_crop_left(save: Callable[..., Path]) -> None:
    pixels = golden_pixels(1, (2, 4, 5, 3))
    plain = load(save("none", ()), "cpu").predict(image.normalise(pixels, RECIPE))["y"]
    model = load(save("none", ("preprocess",)), "cpu")
    assert np.allclose(model.predict(pixels)["y"], plain, atol=1e-5)
    with pytest.raises(RequestFault) as caught:
        model.predict(image.normalise(pixels, RECIPE))
    assert caught.value.code == "R202"
    assert "give raw pixels, uint8 from 0 to 255" in caught.value.help
    with pytest.raises(RequestFault) as caught:
        model.predict(pixels.transpose(0, 3, 1, 2))
    assert "(2, 3, 4, 5), expected (N, H, W, 3)" in caught.value.message


def test_a_picture_is_still_resized_and_cropped_by_the_runtime(save: Callable[..., Path]) -> None:
    picture = pictures(1)[0]
    assert image.picture(picture, RECIPE, (4, None)).shape == (4, 5, 3)
    assert np.array_equal(image.picture(picture, RECIPE, (None, None)), np.asarray(picture)[..., ::-1])  # bgr
    smaller = ImageRecipe(resize=(2, 2), fit="stretch")
    assert image.picture(picture, smaller, (2, 2)).flags["C_CONTIGUOUS"]
    assert np.array_equal(
        image.normalise(image.picture(picture, smaller, (2, 2))[None], smaller)[0],
        image.prepare(picture, smaller, (2, 2)),
    )
    with pytest.raises(ImageFault):
        image.picture(picture, RECIPE, (5, 5))


def test_decode_takes_what_a_decoding_graph_gave(save: Callable[..., Path]) -> None:
    x = golden_input(2, (2, 3, 4, 5))
    logits = load(save("softmax", ()), "cpu").predict(x)["y"]
    model = load(save("softmax", ("decode",)), "cpu")
    given = model.predict(x)["y"]
    assert np.allclose(given, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    (first, _) = model.decode({"y": given})["y"]
    assert np.array_equal(first.values, given[0])  # not softmax of softmax

    model = load(save("argmax", ("decode",)), "cpu")
    given = model.predict(x)["y"]
    assert given.dtype == np.int64
    assert np.array_equal(given, logits.argmax(axis=1))
    assert np.array_equal(model.decode({"y": given})["y"][1].values, given[1])


@pytest.mark.parametrize(
    "wrong", [np.full((1, 2, 2), 3), np.full((1, 2, 2), -1), np.zeros((1, 2, 2)), np.zeros((1, 2))]
)
def test_classes_that_are_none_are_refused(save: Callable[..., Path], wrong: npt.NDArray[Any]) -> None:
    model = load(save("argmax", ("decode",)), "cpu")
    with pytest.raises(RequestFault) as caught:
        model.decode({"y": wrong})
    assert caught.value.code == "R210"


def test_without_labels_a_class_is_its_number(save: Callable[..., Path]) -> None:
    model = load(save("argmax", ("decode",), labels=None), "cpu")
    decoded = model.decode({"y": np.array([[[2, 2], [0, 2]]])})["y"][0]
    assert [(x.index, x.name, x.score) for x in decoded.labels] == [(2, "2", 0.75), (0, "0", 0.25)]


def test_the_golden_example_of_pixels_is_reproduced(save: Callable[..., Path]) -> None:
    shape = (2, 4, 5, 3)
    pixels = golden_pixels(9, shape)
    y = load(save("none", ()), "cpu").predict(image.normalise(pixels, RECIPE))["y"].reshape(-1)
    golden = Golden(9, {"image": shape}, {"y": ((0, float(y[0])), (77, float(y[77])))}, 1e-4)
    assert load(save("none", ("preprocess",), golden=golden), "cpu").check().samples == 2
    off = Golden(9, {"image": shape}, {"y": ((0, float(y[0]) + 0.01),)}, 1e-4)
    with pytest.raises(ModelFault):
        load(save("none", ("preprocess",), golden=off), "cpu").check()


def test_golden_pixels_are_the_golden_input_s_and_spread() -> None:
    pixels = golden_pixels(3, (2, 6, 7, 3))
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    made = golden_input(3, (2, 3, 6, 7))
    # A picture's element, channel, row and column, by hand.
    assert pixels[1, 5, 2, 0] == round(128 + 48 * float(made[1, 0, 5, 2]))
    assert pixels.std() > 30
    assert golden_pixels(3, (1, 6, 7, 3))[0].tobytes() == pixels[0].tobytes()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"inputs": (Input("image", "f32", ("N", 3, "H", "W"), RECIPE),)}, "its bgr image makes u8[N, H, W, 3]"),
        ({"inputs": (Input("image", "u8", ("N", 3, "H", "W"), RECIPE),)}, "its bgr image makes u8[N, H, W, 3]"),
        ({"outputs": (Output("y", "f32", ("N", "H"), None, "argmax"),)}, "is f32, but holds the class indices"),
        ({"outputs": (Output("y", "f32", ("N", "H"), None, "softmax"),)}, "decodes softmax over axis 1"),
    ],
)
def test_a_manifest_that_contradicts_its_steps_is_refused(changed: dict[str, Any], words: str) -> None:
    fields: dict[str, Any] = {
        "inputs": (Input("image", "u8", ("N", "H", "W", 3), RECIPE),),
        "outputs": (Output("y", "i64", ("N", "H"), None, "argmax"),),
        **changed,
    }
    made = Manifest(
        "Tiny",
        require=(),
        golden=None,
        parity=Parity("none", 0.0, "not verified"),
        spec_text="",
        spec_sha256="0" * 64,
        weights_blake3="0" * 64,
        versions={},
        embed=("decode", "preprocess"),
        **fields,
    )
    with pytest.raises(ManifestError) as caught:
        made.to_json()
    assert words in caught.value.message
