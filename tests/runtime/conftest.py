"""Small ONNX models with netc's manifest, made by onnx.helper alone, and pictures to give them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netc_runtime.golden import golden_input
from netc_runtime.manifest import Golden, ImageRecipe, Input, Manifest, Output, Parity, Requirement

DTYPES = {"f32": TensorProto.FLOAT, "f64": TensorProto.DOUBLE, "i64": TensorProto.INT64}
LABELS = ("zero", "one", "two")


@dataclass(frozen=True)
class Linear:
    """scores = flatten(image) @ weight + bias, over 1 x 4 x 4 images and three classes."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return x.reshape(len(x), 16) @ self.weight + self.bias


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    weights: dict[str, npt.NDArray[Any]],
    metadata: dict[str, str],
    ir_version: int = 10,
) -> onnx.ModelProto:
    def info(tensor: Input | Output) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(tensor.name, DTYPES[tensor.dtype], list(tensor.shape))

    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", [info(x) for x in inputs], [info(y) for y in outputs], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=ir_version)
    if metadata:
        helper.set_model_props(model, metadata)
    return model


def make_manifest(inputs: tuple[Input, ...], outputs: tuple[Output, ...], **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "net": "Tiny",
        "inputs": inputs,
        "outputs": outputs,
        "require": (),
        "golden": None,
        "parity": Parity("max |ours - reference| / V", 1e-4, "passed"),
        "spec_text": "net Tiny { }\n",
        "spec_sha256": "0" * 64,
        "weights_blake3": "f" * 64,
        "versions": {"netc": "0.1.0"},
    }
    return Manifest(**{**fields, **changes})


@pytest.fixture
def linear() -> Linear:
    random = np.random.RandomState(7)
    return Linear(random.randn(16, 3).astype(np.float32), random.randn(3).astype(np.float32))


@pytest.fixture
def linear_manifest() -> Callable[..., Manifest]:
    """Make the manifest of the linear model; `decode` and `image` change its ends, keywords the manifest."""

    def make(decode: Any = "softmax", image: ImageRecipe | None = None, **changes: Any) -> Manifest:
        recipe = image or ImageRecipe(color="gray", scale=1 / 255, mean=(0.5,), std=(0.25,))
        inputs = (Input("image", "f32", ("N", 1, 4, 4), recipe),)
        return make_manifest(inputs, (Output("scores", "f32", ("N", 3), LABELS, decode),), **changes)

    return make


@pytest.fixture
def save_linear(tmp_path: Path, linear: Linear) -> Callable[..., Path]:
    """Write the linear model with a manifest, or with metadata given as text, or with none."""

    def save(manifest: Manifest | str | None = None, name: str = "digits.onnx", **changes: Any) -> Path:
        inputs = (Input("image", "f32", ("N", 1, 4, 4)),)
        outputs = (Output("scores", "f32", ("N", 3)),)
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["scores"]),
        ]
        text = manifest.to_json() if isinstance(manifest, Manifest) else manifest
        metadata = {} if text is None else {"netc": text}
        weights = {"weight": linear.weight, "bias": linear.bias}
        path = tmp_path / name
        path.write_bytes(make_model(nodes, inputs, outputs, weights, metadata, **changes).SerializeToString())
        return path

    return save


@pytest.fixture
def digits(save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], linear: Linear) -> Path:
    """The linear model with its manifest and a golden example worked in numpy."""
    x = golden_input(11, (2, 1, 4, 4))
    flat = linear(x).reshape(-1)
    samples = {"scores": tuple((index, round(float(flat[index]), 4)) for index in (0, 2, 5))}
    golden = Golden(11, {"image": (2, 1, 4, 4)}, samples, 1e-3)
    return save_linear(linear_manifest(golden=golden))


@pytest.fixture
def segmenter(tmp_path: Path) -> Callable[..., Path]:
    """Write a model whose two logits at each pixel are x and -x, so that class 0 is where the pixel is positive."""

    def save(decode: str = "argmax", recipe: ImageRecipe | None = None) -> Path:
        image = recipe or ImageRecipe(color="gray", mean=(127.5,))
        inputs = (Input("image", "f32", ("N", 1, "H", "W"), image),)
        outputs = (Output("mask", "f32", ("N", 2, "H", "W"), ("bright", "dark"), decode),)  # pyright: ignore[reportArgumentType]  # the case's word
        fact = ("and", ("==", ("%", "H", 4), 0), ("==", ("%", "W", 4), 0))
        require = (Requirement(fact, "H % 4 == 0 and W % 4 == 0", "two 2x poolings"),)
        weight = np.array([1.0, -1.0], np.float32).reshape(2, 1, 1, 1)
        metadata = {"netc": make_manifest(inputs, outputs, require=require).to_json()}
        nodes = [helper.make_node("Conv", ["image", "weight"], ["mask"])]
        path = tmp_path / "unet.onnx"
        path.write_bytes(make_model(nodes, inputs, outputs, {"weight": weight}, metadata).SerializeToString())
        return path

    return save


@pytest.fixture
def save_raw(tmp_path: Path) -> Callable[..., Path]:
    """Write any model without a manifest."""

    def save(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[Input],
        outputs: Sequence[Output],
        weights: dict[str, npt.NDArray[Any]] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / "raw.onnx"
        path.write_bytes(make_model(nodes, inputs, outputs, weights or {}, metadata or {}).SerializeToString())
        return path

    return save


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `netc-runtime` in this process; give its exit code, output and errors."""
    from netc_runtime.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
