"""A model whose weights lie in a file beside it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import StringStringEntryProto, numpy_helper

import netc
import netc_runtime
from netc.backends import onnx as backend
from netc.backends.build import build
from netc.backends.torch import initial
from netc.diagnostic import Fault
from netc.weights import load, save
from netc_runtime.data_file import check_data, stated
from netc_runtime.errors import ManifestError, ModelFault
from netc_runtime.model_io import check_weights

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


OPEN = Path("/proc/self/fd").is_dir()


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


def test_weights_that_are_not_those_of_the_model_are_told_by_their_hash(model: Path) -> None:
    check_weights(model)
    held = data(model).read_bytes()
    data(model).write_bytes(bytes(len(held)))  # as a file that is allocated and not yet written
    netc_runtime.load(model, "cpu")  # the size is right
    with pytest.raises(ModelFault) as caught:
        check_weights(model)
    assert caught.value.code == "R114"
    for content in (held, bytes(len(held))):
        assert hashlib.sha256(content).hexdigest() in caught.value.message


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


# --- what can go wrong while both are written


@contextmanager
def no_file_grows_beyond(size: int) -> Generator[None]:
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weights_of(spec: Path, seed: int) -> dict[str, npt.NDArray[Any]]:
    return dict(initial(netc.load(spec), seed))


@pytest.mark.parametrize("external", [True, False])
def test_a_full_disk_leaves_the_old_files_and_nothing_else(model: Path, external: bool) -> None:
    spec = model.with_suffix(".cnn")
    weights = weights_of(spec, 1)
    before = left(model.parent)
    with no_file_grows_beyond(20_000), pytest.raises(Fault) as caught:
        netc.build(spec, model, weights=weights, verify=False, external_data=external)
    assert caught.value.code == "N412"
    assert left(model.parent) == before


@pytest.mark.parametrize("external", [True, False])
def test_a_disk_that_fails_behind_ones_back_leaves_the_old_files_and_nothing_else(
    model: Path, external: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spec = model.with_suffix(".cnn")
    weights = weights_of(spec, 1)
    before = left(model.parent)
    monkeypatch.setattr(os, "fdatasync", fail, raising=False)
    with pytest.raises(Fault, match="Input/output error") as caught:
        netc.build(spec, model, weights=weights, verify=False, external_data=external)
    assert caught.value.code == "N413"
    assert left(model.parent) == before


def test_numbers_that_are_none_leave_the_old_files_and_nothing_else(model: Path) -> None:
    spec = model.with_suffix(".cnn")
    weights = weights_of(spec, 1)
    weights["fc.bias"][2] = np.nan
    weights["conv.weight"][-1] = np.inf
    before = left(model.parent)
    for external in (True, False):
        with pytest.raises(Fault, match=r"stands in conv\.weight, fc\.bias") as caught:
            netc.build(spec, model, weights=weights, verify=False, external_data=external)
        assert caught.value.code == "N404"
        assert left(model.parent) == before


def test_weights_that_change_while_they_are_written_leave_nothing(model: Path) -> None:
    spec, stored = model.with_suffix(".cnn"), model.with_name("w.safetensors")
    save(weights_of(spec, 1), stored)
    graph = netc.load(spec)
    weights = load(stored, graph)
    with stored.open("r+b") as file:
        file.truncate(1000)
    before = left(model.parent)
    for external in (True, False):
        with pytest.raises(Fault, match="changed while it was read") as caught:
            build(graph, weights, model, verify=False, external_data=external)
        assert caught.value.code == "N403"
        assert left(model.parent) == before


def written(model: Path, seed: int) -> ExitStack:
    """A build of that file which has written everything, and has given nothing its name yet."""
    weights = weights_of(model.with_suffix(".cnn"), seed)
    build = ExitStack()
    build.enter_context(
        backend.emitting(backend.lower(netc.load(model.with_suffix(".cnn"))), weights, model, external_data=True)
    )
    return build


def holds(model: Path, seed: int) -> bool:
    whole = onnx.load(model)  # pyright: ignore[reportUnknownMemberType]
    (stored,) = [each for each in whole.graph.initializer if each.name == "fc.weight"]
    return np.array_equal(numpy_helper.to_array(stored), weights_of(model.with_suffix(".cnn"), seed)["fc.weight"])


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_of_two_builds_of_one_file_at_once_the_last_one_leaves_its_pair(model: Path, first_ends_first: bool) -> None:
    builds = {1: written(model, 1), 2: written(model, 2)}
    order = (1, 2) if first_ends_first else (2, 1)
    for seed in order:
        builds[seed].close()
        assert holds(model, seed)
    data(model)  # there is one


def test_what_a_build_is_about_to_name_outlives_an_equal_one_and_its_replacement(model: Path) -> None:
    build = written(model, 1)
    written(model, 1).close()
    written(model, 2).close()
    assert holds(model, 2)
    build.close()
    assert holds(model, 1)
    data(model)


def test_a_build_that_fails_after_an_equal_one_is_done_leaves_its_pair(model: Path) -> None:
    fails = written(model, 1)
    written(model, 1).close()
    with pytest.raises(KeyboardInterrupt), fails:
        raise KeyboardInterrupt
    assert holds(model, 1)


def test_a_build_that_fails_leaves_no_open_file_and_none_of_its_own(model: Path) -> None:
    before, opened = left(model.parent), len(list(Path("/proc/self/fd").iterdir())) if OPEN else 0
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), written(model, 1):
            raise KeyboardInterrupt
    assert left(model.parent) == before
    assert not OPEN or len(list(Path("/proc/self/fd").iterdir())) == opened


def test_a_folder_that_has_the_name_of_the_data_is_told_and_nothing_is_left(model: Path, tmp_path: Path) -> None:
    written(model, 1).close()
    taken = data(model)
    taken.unlink()
    taken.mkdir()
    before = sorted(path.name for path in model.parent.iterdir())
    with pytest.raises(Fault) as caught:
        written(model, 1)
    assert caught.value.code == "N410"
    assert sorted(path.name for path in model.parent.iterdir()) == before


def test_a_build_that_fails_leaves_what_an_equal_one_has_written(model: Path) -> None:
    fails, other = written(model, 1), written(model, 1)
    with pytest.raises(KeyboardInterrupt), fails:
        raise KeyboardInterrupt
    other.close()
    assert holds(model, 1)
    data(model)


def test_a_build_whose_file_was_replaced_before_it_ended_removes_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, replace = written(model, 1), written(model, 2), Path.replace

    def late(path: Path, target: Path) -> Path:
        done = replace(path, target)
        if target == model and path.suffix == ".part":
            monkeypatch.undo()
            second.close()
        return done

    monkeypatch.setattr(Path, "replace", late)
    first.close()
    assert holds(model, 2)


def test_a_folder_is_no_target_for_a_pair(model: Path) -> None:
    target = model.with_name("folder")
    target.mkdir()
    with pytest.raises(Fault) as caught:
        netc.build(model.with_suffix(".cnn"), target, init=0, verify=False, external_data=True)
    assert caught.value.code == "N410"
    assert not list(model.parent.glob("*folder*.data"))


def test_the_record_names_both_files_with_their_hashes(model: Path) -> None:
    record = json.loads(Path(f"{model}.verify.json").read_text())
    assert record["data"]["file"] == data(model).name
    assert record["data"]["size_bytes"] == data(model).stat().st_size
    for path, sha256 in ((model, record["sha256"]), (data(model), record["data"]["sha256"])):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_net_of_more_than_2_gib_is_built_and_answers(tmp_path: Path) -> None:
    units = 24_000
    (tmp_path / "huge.cnn").write_text(
        f"net Huge {{ input x: f32[N, {units}] output y: f32[N, {units}] from x -> fc({units}) => y }}"
    )
    random = np.random.RandomState(0)
    rows = random.standard_normal((240, units)).astype(np.float32)
    weights = {"fc.weight": np.tile(rows, (units // 240, 1)), "fc.bias": np.arange(units, dtype=np.float32)}
    assert weights["fc.weight"].nbytes > 2**31
    made = netc.build(tmp_path / "huge.cnn", tmp_path / "huge.onnx", weights=weights, verify=False)
    assert made.size_bytes < 2**20
    assert made.data is not None
    del weights
    x = random.standard_normal((2, units)).astype(np.float32)
    found = netc_runtime.load(made.path, "cpu").predict(x)["y"] - np.arange(units, dtype=np.float32)
    expected = np.tile(x.astype(np.float64) @ rows.T.astype(np.float64), (1, units // 240))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())  # the bias is up to 24,000 in f32
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("in_the_way", ["folder", "too long"])
def test_a_record_that_cannot_be_written_leaves_the_older_model(
    tmp_path: Path, external: bool, in_the_way: str
) -> None:
    out = tmp_path / ("n" * 245 + ".onnx" if in_the_way == "too long" else "n.onnx")
    (tmp_path / "a.cnn").write_text(SPEC)
    net = netc.load(tmp_path / "a.cnn")
    weights = initial(net, 0)
    if in_the_way == "folder":
        (tmp_path / "n.onnx.verify.json").mkdir()
    out.write_bytes(b"an older one")
    with pytest.raises(Fault) as caught:
        build(net, weights, out, verify=False, external_data=external)
    assert caught.value.code == "N410"
    assert out.read_bytes() == b"an older one"
    assert {each.name for each in tmp_path.iterdir()} <= {"a.cnn", out.name, "n.onnx.verify.json"}
