"""A model whose weights lie in a file beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import StringStringEntryProto

import netc
import netc_runtime
from netc_runtime.data_file import check_data, stated
from netc_runtime.errors import ManifestError, ModelFault

SPEC = """
net Wide {
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 5]
  from x -> conv(40, k=3, pad=1) -> relu -> flatten -> fc(5) => y
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "a.cnn").write_text(SPEC)
    return netc.build(tmp_path / "a.cnn", tmp_path / "a.onnx", init=0, external_data=True).path


def data(model: Path) -> Path:
    (found,) = model.parent.glob("a.onnx.*.data")
    return found


def refused(model: Path) -> ModelFault:
    with pytest.raises(ModelFault) as caught:
        netc_runtime.load(model, "cpu")
    assert caught.value.code == "R114"
    return caught.value


def test_a_pair_loads_from_wherever_it_lies_together(model: Path, tmp_path: Path) -> None:
    assert netc_runtime.load(model, "cpu").check().samples == 5
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in (model, data(model)):
        path.rename(folder / path.name)
    (folder / "a.onnx").rename(folder / "b.onnx")
    assert netc_runtime.load(folder / "b.onnx", "cpu").check().samples == 5


def test_weights_that_are_not_there_are_missed_by_name(model: Path) -> None:
    data(model).unlink()
    fault = refused(model)
    assert "a.onnx needs its weights" in fault.message
    assert ".data: No such file" in fault.message
    assert fault.help == "copy both files; they belong together"


def test_weights_that_are_cut_short_are_refused_with_both_sizes(model: Path) -> None:
    size = data(model).stat().st_size
    data(model).write_bytes(data(model).read_bytes()[:-1])
    assert f"of {size} bytes: it is {size - 1} bytes" in refused(model).message


def test_a_folder_is_no_weights(model: Path) -> None:
    path = data(model)
    path.unlink()
    path.mkdir()
    assert "not a regular file" in refused(model).message


@pytest.mark.parametrize("name", ["../w.data", "/etc/passwd", "a/../../w", "..", ".", "..\\w", "C:\\w", "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    text = json.dumps({"file": name, "size_bytes": 1, "sha256": "0" * 64})
    with pytest.raises(ModelFault, match="no file of its folder") as caught:
        check_data(tmp_path / "a.onnx", text)
    assert caught.value.code == "R114"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": 1, "size_bytes": 1, "sha256": ""}', '{"file": "a"}'])
def test_what_is_not_the_contract_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        check_data(tmp_path / "a.onnx", text)


@pytest.mark.parametrize("value", ["", "x", "x" * 127, "x" * 128, "x" * 3000])
def test_the_entry_is_read_as_protobuf_writes_it(value: str) -> None:
    assert (stated(StringStringEntryProto(key="netc_data", value=value).SerializeToString()) or "") == value
    assert stated(StringStringEntryProto(key="netc_date", value=value).SerializeToString()) is None


def test_answers_are_those_of_one_file(model: Path, tmp_path: Path) -> None:
    one = netc.build(tmp_path / "a.cnn", tmp_path / "one.onnx", init=0, verify=False).path
    x = np.random.RandomState(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    a, b = (netc_runtime.load(path, "cpu").predict(x)["y"] for path in (model, one))
    assert np.array_equal(a, b)
