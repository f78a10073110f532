"""Model files: each kind of wrong file is named for what it is, before ONNX Runtime sees it."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from netc_runtime import load
from netc_runtime.errors import ModelFault, RuntimeFault
from netc_runtime.manifest import Input, Manifest, Output
from netc_runtime.model_io import check_file


def fault(path: Path) -> RuntimeFault:
    with pytest.raises(RuntimeFault) as caught:
        load(path, "cpu")
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "R103", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "R104", "git-LFS"),
        (b"PK\x03\x04rest", "R105", "zip archive"),
        (b"\x1f\x8b\x08rest", "R105", "gzip"),
        (b"\n<!DOCTYPE html><html>", "R105", "web page"),
        (b"hello world, this is not a model", "R106", "not ONNX"),
        (b"\x00" * 64, "R106", "byte 0 begins no field"),
        (b"\x08\x0a", "R106", "it has no graph"),
        (b"\x08\x0a\x3a\x00", "R106", "it has no operator set"),
        (b"\x08", "R106", "truncated: it has 1 bytes, expected more"),
        (b"\x3a" + b"\xff" * 20, "R106", "not ONNX"),
        (b"\x3a\x00" * 100_001 + b"\x42\x00", "R106", "over 100,000 fields"),
    ],
)
def test_a_wrong_file_is_named_for_what_it_is(tmp_path: Path, content: bytes, code: str, words: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    error = fault(path)
    assert error.code == code
    assert words in error.message


def test_a_real_zip_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", b"0")
    assert fault(path).code == "R105"


def test_absence_a_folder_and_a_pipe_are_told_apart(tmp_path: Path) -> None:
    assert fault(tmp_path / "absent.onnx").code == "R101"
    assert "is a folder" in fault(tmp_path).message
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)  # opened, it would block for ever
    error = fault(pipe)
    assert error.code == "R102"
    assert "not a regular file" in error.message


def test_every_cut_through_a_model_is_seen_with_both_sizes(digits: Path) -> None:
    whole = digits.read_bytes()
    assert check_file(digits) == ((digits,), len(whole))
    for size in range(1, len(whole), 7):
        digits.write_bytes(whole[:size])
        with pytest.raises(ModelFault) as caught:
            check_file(digits)
        assert caught.value.code == "R106"
    digits.write_bytes(whole[:-1])
    assert f"it has {len(whole) - 1} bytes, expected {len(whole)}" in fault(digits).message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=64))
def test_arbitrary_bytes_are_never_anything_but_a_model_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFault):
        load(path, "cpu")


def test_an_ir_version_too_new_names_both_numbers(save_linear: Callable[..., Path]) -> None:
    error = fault(save_linear(ir_version=14))
    assert error.code == "R107"
    assert "IR version: 14, max supported IR version: 13" in error.message
    assert ".cc" not in error.message


def test_an_operator_that_does_not_exist_is_onnx_runtime_s_refusal(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("Convolve", ["x"], ["y"])
    path = save_raw([node], [Input("x", "f32", ("N", 3))], [Output("y", "f32", ("N", 3))])
    error = fault(path)
    assert error.code == "R107"
    assert "Convolve" in error.message


def test_a_manifest_that_is_not_valid_is_named_with_its_file(save_linear: Callable[..., Path]) -> None:
    error = fault(save_linear('{"schema": 1}'))
    assert error.code == "R108"
    assert "lacks the key" in error.message
    assert fault(save_linear('{"schema": 9}')).code == "R109"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("inputs", 0, "name"), "picture", "has inputs picture, the graph has image"),
        (("outputs", 0, "name"), "digit", "has outputs digit, the graph has scores"),
        (("inputs", 0, "shape", 2), 5, "is f32['N', 1, 5, 4], the graph says tensor(float)['N', 1, 4, 4]"),
        (("outputs", 0, "shape"), ["N", 3, 1], "the graph says tensor(float)['N', 3]"),
        (("outputs", 0, "dtype"), "f64", "is f64['N', 3], the graph says tensor(float)"),
    ],
)
def test_a_manifest_of_another_graph_is_refused(
    save_linear: Callable[..., Path],
    linear_manifest: Callable[..., Manifest],
    place: tuple[Any, ...],
    value: object,
    words: str,
) -> None:
    manifest: Any = json.loads(linear_manifest().to_json())
    inner = manifest
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    error = fault(save_linear(json.dumps(manifest)))
    assert error.code == "R110"
    assert words in error.message


def test_a_model_without_a_manifest_takes_its_contract_from_the_graph(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = save_raw([node], [Input("x", "f32", ("batch", 3))], [Output("y", "f32", ("batch", 3))])
    model = load(path, "cpu")
    assert model.manifest is None
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.inputs] == [("x", "f32", ("batch", 3))]
    assert model.predict(np.ones((2, 3), np.float32))["y"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_an_input_that_is_no_tensor_of_numbers_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    infos = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N"]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    path = tmp_path / "words.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    error = fault(path)
    assert error.code == "R112"
    assert "tensor(string)" in error.message
