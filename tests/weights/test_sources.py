"""Files that are no checkpoints of PyTorch: .npz, ONNX, folders with an index, and what is none of these."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors import numpy as safe

from netc.backends.build import build
from netc.backends.torch import module
from netc.passes.deploy import deploy
from netc.weights.source import find
from tests.weights.samples import Loaded, arrays, refused, small, state

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

library: Any = safe


# --- .npz


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed], ids=["stored", "packed"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpys_arrays_are_read_by_name(tmp_path: Path, write: Any, order: Any) -> None:
    write(tmp_path / "w.npz", **{name: np.asarray(array, order=order) for name, array in arrays().items()})
    assert Loaded(tmp_path / "w.npz").is_the_samples()


def test_numpys_other_floats_and_byte_orders_become_float32(tmp_path: Path) -> None:
    given = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in arrays().items()}
    given["fc.weight"] = arrays()["fc.weight"].astype(np.float16)
    given["fc.bias"] = arrays()["fc.bias"].astype(">f8")
    np.savez(tmp_path / "w.npz", **given)  # pyright: ignore[reportArgumentType] -- it takes names as options
    loaded = Loaded(tmp_path / "w.npz").weights
    assert {array.dtype.str for array in loaded.values()} == {"<f4", "<i8"}
    for name, array in given.items():
        assert np.array_equal(loaded[name], array.astype(loaded[name].dtype))


def test_an_array_of_objects_is_a_mismatch_and_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{**arrays(), "fc.bias": np.array([print] * 5, object)}, allow_pickle=True)
    assert "fc.bias: object, expected float32" in refused(tmp_path / "w.npz", "N401").message


def npz(path: Path, *members: tuple[str, bytes], packed: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        npy(np.zeros((5, 4), np.float32))[:-1],
        npy(np.zeros((5, 4), np.float32)) + b"1",
        header("(5, 4)"),
        header("(-5, -4)") + bytes(80),
        header("(1 << 40, 4)") + bytes(80),
        header("(99999999999, 99999999999)") + bytes(80),
        header("[" * 5000) + bytes(80),
        header("(5, 4), 'descr': ()"),
        header("(5, 4), 1: 2"),
        header("(5, 4), []: 1"),
        b"\x93NUMPY\x02\x00\xf0\xff\xff\xff" + b" " * 20_000,
        b"\x93NUMPY\x09\x00",
        b"",
        b"no array",
    ],
    ids=[
        *("short", "long", "none", "negative", "expression", "huge", "deep", "type", "number", "list", "endless"),
        *("version", "empty", "other"),
    ],
)
def test_a_member_that_is_no_whole_array_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(npz(tmp_path / "w.npz", ("fc.weight.npy", data)), "N403")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_that_is_packed_as_numpy_never_does_is_not_unpacked(tmp_path: Path, how: int) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w", how) as archive:
        archive.writestr("fc.weight.npy", npy(np.zeros((5, 4), np.float32)))
    assert "packed in a way that numpy never does" in refused(tmp_path / "w.npz", "N403").message


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("." * 300, [1], "301 parts"),
        ("a" * 5000, [1], "5000 characters"),
        ("a", [1] * 65, "65 sides"),
        ("a", [0, 2**61], "sides of more elements"),
    ],
    ids=["parts", "letters", "sides", "elements"],
)
def test_what_no_nets_tensor_is_like_is_refused(tmp_path: Path, name: str, shape: list[int], said: str) -> None:
    size = 0 if 0 in shape else 4
    text = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    assert said in refused(tmp_path / "w.safetensors", "N403").message


def test_a_name_that_stands_twice_in_an_npz_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = npz(tmp_path / "w.npz", *[("fc.bias.npy", npy(np.zeros(5, np.float32)))] * 2)
    assert "fc.bias stands there twice" in refused(path, "N403").message


def test_a_damaged_member_is_refused_when_it_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **arrays())  # pyright: ignore[reportArgumentType] -- it takes names as options
    data = bytearray((tmp_path / "w.npz").read_bytes())
    at = data.index(arrays()["fc.weight"].tobytes())
    data[at] ^= 1
    (tmp_path / "w.npz").write_bytes(data)
    assert "CRC" in refused(tmp_path / "w.npz", "N403").message


# --- ONNX


def exported(path: Path, **options: Any) -> Path:
    """A file of ours, with the batch norm left as it is."""
    build(small(), arrays(), path, verify=False, fold=False, **options)
    return path


@pytest.mark.parametrize("opset", [17, 20, 26])
def test_our_own_onnx_gives_back_the_weights_it_was_built_from(tmp_path: Path, opset: int) -> None:
    path = exported(tmp_path / "w.onnx", opset=opset)
    found = find(path)
    assert not [name for name in found.tensors if name not in arrays()]
    fc = {name: tensor.read() for name, tensor in found.tensors.items()}
    for name in ("conv1.weight", "fc.weight", "bn1.running_var"):
        assert np.array_equal(fc[name], arrays()[name])


def test_an_export_of_torchs_in_training_mode_has_its_names(tmp_path: Path) -> None:
    graph, weights = deploy(small(), arrays())
    net = module(graph, weights)
    options: dict[str, Any] = {
        "dynamo": False,
        "training": torch.onnx.TrainingMode.PRESERVE,
        "do_constant_folding": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's older exporter, which needs no other package
        torch.onnx.export(net.eval(), (torch.zeros(1, 3, 8, 8),), tmp_path / "w.onnx", **options)
    loaded = Loaded(tmp_path / "w.onnx", graph).weights
    for name, array in weights.items():
        if not name.endswith("tracked"):
            assert np.array_equal(loaded[name], array)


def model(*tensors: Any) -> onnx.ModelProto:
    """A model that computes nothing and holds tensors."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [], list(tensors))
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def of(path: Path, *tensors: Any) -> Path:
    path.write_bytes(model(*tensors).SerializeToString())
    return path


def test_tensors_are_read_in_whichever_field_they_stand(tmp_path: Path) -> None:
    given = {name: array for name, array in arrays().items() if array.dtype == np.float32}
    tensors = [numpy_helper.from_array(array, name) for name, array in given.items()]
    spelt = {
        "fc.weight": helper.make_tensor("fc.weight", onnx.TensorProto.FLOAT, (5, 4), given["fc.weight"].reshape(-1)),
        "fc.bias": helper.make_tensor("fc.bias", onnx.TensorProto.FLOAT16, (5,), [0.5, 1, -2, 3, 1e-3]),
        "head.bias": helper.make_tensor("head.bias", onnx.TensorProto.BFLOAT16, (2,), [1.5, -3]),
        "bn1.bias": helper.make_tensor("bn1.bias", onnx.TensorProto.DOUBLE, (4,), [1 / 3, 1, 2, 3]),
    }
    tensors = [spelt.get(tensor.name, tensor) for tensor in tensors]
    tensors.append(numpy_helper.from_array(np.array([1, -1]), "shape"))  # a constant of the graph's: no weight
    loaded = Loaded(of(tmp_path / "w.onnx", *tensors)).weights
    assert np.array_equal(loaded["fc.weight"], given["fc.weight"])
    assert loaded["fc.bias"].tolist() == [float(np.float16(x)) for x in (0.5, 1, -2, 3, 1e-3)]
    assert loaded["head.bias"].tolist() == [1.5, -3]
    assert loaded["bn1.bias"].tolist() == [float(np.float32(x)) for x in (1 / 3, 1, 2, 3)]


def test_raw_numbers_of_half_the_length_become_float32(tmp_path: Path) -> None:
    half = arrays()["fc.bias"].astype(np.float16)
    upper = (arrays()["head.bias"].view(np.uint32) >> 16).astype(np.uint16)
    brain = onnx.TensorProto(name="head.bias", dims=[2], data_type=onnx.TensorProto.BFLOAT16, raw_data=upper.tobytes())
    kept = [n for n, a in arrays().items() if a.dtype == np.float32 and n not in ("fc.bias", "head.bias")]
    tensors = [numpy_helper.from_array(arrays()[name], name) for name in kept]
    path = of(tmp_path / "w.onnx", *tensors, numpy_helper.from_array(half, "fc.bias"), brain)
    loaded = Loaded(path).weights
    assert np.array_equal(loaded["fc.bias"], half.astype(np.float32))
    assert np.array_equal(loaded["head.bias"], (upper.astype(np.uint32) << 16).view(np.float32))


def external(folder: Path, location: str = "w.data", **entries: str) -> Path:
    """A model whose tensors lie in a second file, written as onnx does it."""
    tensors = [numpy_helper.from_array(a, n) for n, a in arrays().items() if a.dtype == np.float32]
    path = folder / "w.onnx"
    onnx.save_model(
        model(*tensors), path, save_as_external_data=True, location="w.data", size_threshold=0, convert_attribute=False
    )
    if location != "w.data" or entries:
        changed = onnx.load(path, load_external_data=False)
        for tensor in changed.graph.initializer:
            for entry in tensor.external_data:
                entry.value = entries.get(entry.key, location if entry.key == "location" else entry.value)
        path.write_bytes(changed.SerializeToString())
    return path


@pytest.mark.parametrize("place", [7, 2**32 + 1])
def test_a_kind_of_place_that_onnx_does_not_know_is_refused(tmp_path: Path, place: int) -> None:
    # protobuf drops the number, or a part of it, and takes the tensor as one that lies in another file.
    tensor = helper.make_tensor("fc.bias", onnx.TensorProto.FLOAT, [5], [0.0] * 5)
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    number = place
    varint = bytearray()
    while number > 127:
        varint.append(number & 127 | 128)
        number >>= 7
    data = tensor.SerializeToString() + b"\x70" + bytes([*varint, number])
    graph = b"\x2a" + bytes([len(data)]) + data
    (tmp_path / "w.onnx").write_bytes(b"\x08\x0a\x3a" + bytes([len(graph)]) + graph)
    refused(tmp_path / "w.onnx", "N403")


def test_tensors_in_a_second_file_are_read(tmp_path: Path) -> None:
    loaded = Loaded(external(tmp_path)).weights
    for name, array in arrays().items():
        if array.dtype == np.float32:
            assert np.array_equal(loaded[name], array)


@pytest.mark.parametrize("location", ["../w.data", "/etc/passwd", "a/../../w.data", "", "link", "w.data\0"])
def test_a_second_file_outside_the_models_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "w.data").write_bytes(bytes(10_000))
    path = external(tmp_path / "in")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "w.data")
    external(tmp_path / "in", location)
    refused(path, "N403" if "\0" in location else "N449")


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"offset": "99999999"}, {"length": "7"}, {"offset": "x"}])
def test_a_place_in_the_second_file_that_is_not_there_is_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    refused(external(tmp_path, **entries), "N403")


def test_a_second_file_that_is_missing_is_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "w.data").unlink()
    assert "w.data" in refused(path, "N402").message


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_an_onnx_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    data = exported(tmp_path / "w.onnx").read_bytes()
    (tmp_path / "w.onnx").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "w.onnx", "N403")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x0a" + b"\xff" * 20,
        b"\x08\x0a\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a graph of 2^63 bytes
        b"\x08\x0a",
        b"\x08\x0a\x3b\x3c",  # a group, which ONNX has none of
        b"\x08\x0a\x3a\x04\x2a\x02\x08\xff",  # a tensor whose side does not end
        b"\x08\x0a\x3a\x0f\x2a\x0d\x08" + b"\xff" * 9 + b"\x01\x10\x01",  # a side of -1
    ],
)
def test_what_only_begins_like_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.onnx").write_bytes(data)
    refused(tmp_path / "w.onnx", "N403")


def test_a_tensor_with_fewer_numbers_than_its_shape_says_is_refused(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.zeros((5, 4), np.float32), "fc.weight")
    tensor.dims[0] = 1 << 50
    refused(of(tmp_path / "w.onnx", tensor), "N403")


# --- folders, and files that an index joins


def sharded(folder: Path, ending: str = "safetensors", **changed: str) -> Path:
    """Three files of weights, and the index that says what lies where."""
    names, places = list(arrays()), {}
    stem = "model" if ending == "safetensors" else "pytorch_model"
    for number in range(3):
        file = f"{stem}-{number + 1:05}-of-00003.{ending}"
        part = names[number::3]
        if ending == "safetensors":
            (folder / file).write_bytes(library.save({name: arrays()[name] for name in part}))
        else:
            torch.save({name: state()[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**places, **changed}}))
    return index


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_folder_with_an_index_is_read_as_one(tmp_path: Path, ending: str) -> None:
    index = sharded(tmp_path, ending)
    assert Loaded(tmp_path).is_the_samples()
    assert Loaded(index).is_the_samples()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors"])
def test_a_folder_with_one_file_of_weights_is_read(tmp_path: Path, name: str) -> None:
    if name.endswith("bin"):
        torch.save(state(), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(library.save(arrays()))
    (tmp_path / "config.json").write_text("{}")
    assert Loaded(tmp_path).is_the_samples()


def test_of_two_files_in_a_folder_the_taken_one_is_said(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").write_bytes(library.save(arrays()))
    loaded = Loaded(tmp_path)
    assert loaded.is_the_samples()
    assert loaded.said == [f"{tmp_path}: taken is model.safetensors, and not pytorch_model.bin"]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert "holds no model.safetensors" in refused(tmp_path, "N402").message


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "a\\b", "..", ""])
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path: Path, file: str) -> None:
    refused(sharded(tmp_path, **{"fc.bias": file}), "N449")


def test_an_index_of_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"more.safetensors: cannot be read"):
        Loaded(sharded(tmp_path, **{"fc.bias": "more.safetensors"}))


def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path: Path) -> None:
    assert "extra should be in" in refused(sharded(tmp_path, extra="model-00001-of-00003.safetensors"), "N403").message
    index = sharded(tmp_path)
    listed = json.loads(index.read_text())
    del listed["weight_map"]["fc.bias"]
    index.write_text(json.dumps(listed))
    assert "fc.bias, which the index does not list" in refused(index, "N403").message


@pytest.mark.parametrize(
    "text",
    ["{", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', '{"weight_map": ' + "[" * 100_000],
    ids=["cut", "empty", "number", "no name", "deep"],
)
def test_json_that_is_no_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "w.json").write_text(text)
    refused(tmp_path / "w.json", "N403")


def test_an_index_that_names_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"weight_map": {"a": "w.json"}}')
    refused(tmp_path / "w.json", "N403")


# --- what is none of these


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"))
    return file.getvalue()


def archive(*names: str, packed: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name in names:
            made.writestr(name, "x" * 100)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "HTML"),
        (b"\n  <?xml version='1.0'?><Error/>", "HTML or XML"),
        (gzip.compress(b"weights", mtime=0), "gzip"),
        (tar(), "tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (npy(np.zeros(3)), "one array"),
        (archive("a.txt"), "neither torch's nor numpy's"),
        (archive("m/data.pkl", "m/constants.pkl"), "TorchScript"),
        (archive("m/data.pkl", packed=True), "does not compress"),
        (archive("m/data.pkl"), "not torch"),
        (b"PK\x03\x04" + bytes(50), "the end of the file is missing"),
        ((1 << 60).to_bytes(8, "little") + b"{" + bytes(50), "not safetensors"),
        (bytes(1000), "no weights"),
        (b"weights of the net\n", "no weights"),
        (b"\x80\x02.", "not torch's format"),
        (b"\x80", "no weights"),
        (b"\x80\x04\x95", "its pickle is not torch.save's"),
    ],
)
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.npz"])
def test_files_that_hold_no_weights_are_refused_by_what_they_are(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert said in refused(tmp_path / name, "N403").message


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "npz"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "w.pt"
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **arrays())  # pyright: ignore[reportArgumentType] -- it takes names as options
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "N403")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.pt", tmp_path / "pipe", tmp_path / "a.npz" / "b", tmp_path / ("n" * 300)):
        refused(path, "N402")
    with pytest.raises(Exception, match="cannot be read"):
        Loaded("a\0b")
