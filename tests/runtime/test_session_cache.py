"""The session cache: the same bits sooner, whole or not there, bounded, and never a reason not to open a model."""

# pyright: reportUnknownMemberType=false

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

import netc_runtime
from netc_runtime import engine, opening
from netc_runtime.cache import hashes, key, store
from netc_runtime.cache.place import DEFAULT_BYTES, environment_place, unsafe
from netc_runtime.errors import EnvironmentFault
from netc_runtime.manifest import Input, Output

OLD = 100.0  # seconds


def aged(*paths: Path) -> None:
    """Have files last changed long ago as far as the cache can tell: their hashes are then remembered."""
    for path in paths:
        os.utime(path, (time.time() - OLD, time.time() - OLD))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "cache"
    monkeypatch.setenv("NETC_CACHE_DIR", str(found))
    monkeypatch.setattr(opening, "LEAST_BYTES", 0)
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1.0)
    return found


@pytest.fixture
def net(save_raw: Callable[..., Path], linear_manifest: Callable[..., Any]) -> Path:
    """Convolutions, batch norm and relu: what the optimiser fuses and lays out anew."""
    random = np.random.RandomState(0)

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    weights = {"w1": draw(16, 3, 3, 3), "w2": draw(24, 16, 3, 3)}
    weights |= {"s": draw(16), "b": draw(16), "m": draw(16), "v": np.abs(draw(16)) + 1}
    return save_raw(nodes, [Input("x", "f32", ("N", 3, 16, 16))], [Output("y", "f32", ("N", 24, 7, 7))], weights)


def answer(model: netc_runtime.Model) -> npt.NDArray[np.float32]:
    x = np.random.RandomState(1).standard_normal((3, 3, 16, 16)).astype(np.float32)
    return model.predict(x)["y"]


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def test_the_second_session_is_cached_and_answers_with_the_same_bits(net: Path, folder: Path) -> None:
    plain = netc_runtime.load(net, "cpu", cache=False)
    assert not folder.exists()
    first, second = (netc_runtime.load(net, "cpu") for _ in range(2))
    assert [model.report().cached for model in (plain, first, second)] == [False, False, True]
    assert np.array_equal(answer(plain), answer(first))
    assert np.array_equal(answer(plain), answer(second))
    assert second.report().notes == ()
    (entry,) = entries(folder)
    assert sorted(path.name for path in entry.iterdir()) == ["entry.json", "model.onnx", "weights.bin"]
    kinds = {node.op_type for node in onnx.load_model_from_string((entry / "model.onnx").read_bytes()).graph.node}
    assert "BatchNormalization" not in kinds  # it is the optimised model that is there
    assert (folder.stat().st_mode & 0o777) == 0o700


def test_the_manifest_is_the_models(digits: Path, folder: Path) -> None:
    first, second = netc_runtime.load(digits, "cpu"), netc_runtime.load(digits, "cpu")
    assert second.report().cached
    assert second.manifest == first.manifest
    assert second.check().samples == 3
    assert folder.is_dir()


def test_a_changed_model_is_another_model(net: Path, folder: Path) -> None:
    netc_runtime.load(net, "cpu")
    model = onnx.load_model_from_string(net.read_bytes())
    changed = np.frombuffer(model.graph.initializer[0].raw_data, np.float32) * 2
    model.graph.initializer[0].raw_data = changed.tobytes()
    before = net.stat()
    net.write_bytes(model.SerializeToString())
    os.utime(net, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size, and as old as it was
    assert net.stat().st_size == before.st_size
    found, plain = netc_runtime.load(net, "cpu"), netc_runtime.load(net, "cpu", cache=False)
    assert not found.report().cached
    assert np.array_equal(answer(found), answer(plain))
    assert len(entries(folder)) == 2


def test_the_same_bytes_under_another_name_are_the_same_model(net: Path, folder: Path) -> None:
    netc_runtime.load(net, "cpu")
    copy = net.with_name("copy.onnx")
    copy.write_bytes(net.read_bytes())
    assert netc_runtime.load(copy, "cpu").report().cached


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def turned(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [cut_short, emptied, gone, turned])
@pytest.mark.parametrize("name", ["model.onnx", "weights.bin", "entry.json"])
def test_a_damaged_entry_is_made_anew(net: Path, folder: Path, harm: Callable[[Path], Any], name: str) -> None:
    netc_runtime.load(net, "cpu")
    (entry,) = entries(folder)
    harm(entry / name)
    found, again = netc_runtime.load(net, "cpu"), netc_runtime.load(net, "cpu")
    assert not found.report().cached
    assert again.report().cached
    assert np.array_equal(answer(found), answer(again))
    assert entries(folder) == [entry]


def test_what_onnx_runtime_refuses_is_made_anew(net: Path, folder: Path) -> None:
    netc_runtime.load(net, "cpu")
    (entry,) = entries(folder)
    (entry / "model.onnx").write_bytes(b"no model")
    told = json.loads((entry / "entry.json").read_text())
    told["files"]["model.onnx"] = store._told(entry / "model.onnx")  # pyright: ignore[reportPrivateUsage]
    (entry / "entry.json").write_text(json.dumps(told))
    assert not netc_runtime.load(net, "cpu").report().cached
    assert netc_runtime.load(net, "cpu").report().cached


@pytest.mark.parametrize("change", ["version", "processor", "options"])
def test_another_machine_or_version_has_its_own_entry(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    netc_runtime.load(net, "cpu")
    if change == "version":
        monkeypatch.setattr(engine, "version", lambda: "99.0")
    elif change == "processor":
        monkeypatch.setattr(key, "processor", lambda: (("model name", "another"),))
    else:
        monkeypatch.setattr(engine, "CONFIG", {**engine.CONFIG, "session.x64quantprecision": "0"})
    assert not netc_runtime.load(net, "cpu").report().cached
    assert len(entries(folder)) == 2


def test_the_processor_is_told_by_its_model_and_instructions_not_by_its_clock(tmp_path: Path) -> None:
    def read(mhz: str, flags: str, name: str) -> object:
        path = tmp_path / name
        path.write_text(
            f"processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\nprocessor: 1\n"
        )
        return key.processor(path)

    assert read("1000.0", "avx2 fma", "a") == read("3000.0", "avx2 fma", "b")
    assert read("1000.0", "avx2 fma", "c") != read("1000.0", "avx2", "d")
    assert key.processor(tmp_path / "none") != ()


def test_the_cache_is_bounded_and_the_longest_unused_goes_first(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []
    for count in range(4):
        model = onnx.load_model_from_string(net.read_bytes())
        model.producer_name = f"copy {count}"
        copies.append(net.with_name(f"copy{count}.onnx"))
        copies[-1].write_bytes(model.SerializeToString())
    netc_runtime.load(copies[0], "cpu")
    (first,) = entries(folder)
    size = sum(path.stat().st_size for path in first.iterdir())
    monkeypatch.setenv("NETC_CACHE_MAX_BYTES", str(int(2.9 * size)))
    netc_runtime.load(copies[1], "cpu")
    for entry in entries(folder):
        os.utime(entry / "entry.json", (time.time() - OLD, time.time() - OLD))
    assert netc_runtime.load(copies[0], "cpu").report().cached  # and is used last
    netc_runtime.load(copies[2], "cpu")
    assert sum(path.stat().st_size for entry in entries(folder) for path in entry.iterdir()) <= 2.9 * size
    assert netc_runtime.load(copies[0], "cpu").report().cached
    assert not netc_runtime.load(copies[1], "cpu").report().cached


def test_a_model_larger_than_the_cache_may_be_is_left_out(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_MAX_BYTES", str(net.stat().st_size - 1))
    assert not netc_runtime.load(net, "cpu").report().cached
    assert not folder.exists()


def test_small_models_are_not_kept(net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LEAST_BYTES", net.stat().st_size + 1)
    netc_runtime.load(net, "cpu")
    assert not folder.exists()


def test_nothing_is_deleted_but_what_the_cache_made(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netc_runtime.load(net, "cpu")
    (entry,) = entries(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.onnx").write_text("mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "model.onnx").write_text("mine")
    (entry / "mine.txt").write_text("mine")
    link = folder / f"{'0' * 64}-{'0' * 16}"
    link.symlink_to(other)
    monkeypatch.setenv("NETC_CACHE_MAX_BYTES", "100000")
    assert store.Store(folder, 0, "").clear() == 1
    assert (other / "model.onnx").read_text() == "mine"
    assert (folder / "notes" / "model.onnx").read_text() == "mine"
    assert (entry / "mine.txt").read_text() == "mine"
    assert not (entry / "model.onnx").exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no modes of this kind")
@pytest.mark.parametrize("how", ["writable", "link", "file"])
def test_a_folder_that_a_stranger_may_write_into_is_not_used(net: Path, folder: Path, tmp_path: Path, how: str) -> None:
    if how == "writable":
        folder.mkdir()
        folder.chmod(0o777)
    elif how == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "real")
    else:
        folder.write_text("")
    report = netc_runtime.load(net, "cpu").report()
    assert not report.cached
    (note,) = report.notes
    assert note.startswith(f"session cache: {folder} ")
    if how != "file":
        assert list(folder.iterdir()) == []


def test_another_users_folder_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert unsafe(folder) == "it belongs to another user"


def test_a_full_disk_is_a_note(net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = shutil.disk_usage(net)._replace(free=0)

    def full(_: Path) -> Any:
        return nothing

    monkeypatch.setattr(shutil, "disk_usage", full)
    report = netc_runtime.load(net, "cpu").report()
    assert "has no room for" in report.notes[0]
    assert entries(folder) == []


def test_a_disk_that_fills_up_meanwhile_is_a_note(net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model = netc_runtime.load(net, "cpu")
    assert "No space left on device" in model.report().notes[0]
    assert answer(model).shape == (3, 24, 7, 7)
    assert entries(folder) == []


def test_an_entry_that_goes_while_it_is_opened_is_no_fault(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netc_runtime.load(net, "cpu")
    plain = engine.open_session

    def late(path: Path, *given: Any, **named: Any) -> Any:
        if named.get("optimised"):
            store.Store(folder, 0, "").clear()
        return plain(path, *given, **named)

    monkeypatch.setattr(engine, "open_session", late)
    assert answer(netc_runtime.load(net, "cpu")).shape == (3, 24, 7, 7)


def test_a_model_that_changes_while_it_is_read_is_not_kept(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = engine.open_session

    def late(path: Path, *given: Any, **named: Any) -> Any:
        session = plain(path, *given, **named)
        if named.get("keep"):
            net.write_bytes(net.read_bytes() + b"\x5a\x00")
        return session

    monkeypatch.setattr(engine, "open_session", late)
    report = netc_runtime.load(net, "cpu").report()
    assert "it changed while it was read" in report.notes[0]
    assert entries(folder) == []


def test_weights_in_another_file_that_nothing_vouches_for_are_not_kept(net: Path, folder: Path) -> None:
    path = net.with_name("external.onnx")
    model = onnx.load_model_from_string(net.read_bytes())
    onnx.save_model(model, path, save_as_external_data=True, location="external.bin", size_threshold=0)
    assert [netc_runtime.load(path, "cpu").report().cached for _ in range(2)] == [False, False]
    assert entries(folder) == []


def test_what_was_left_unfinished_goes_when_it_is_old(net: Path, folder: Path) -> None:
    left, fresh = folder / f".new-{'a' * 16}", folder / f".new-{'b' * 16}"
    for path in (left, fresh):
        path.mkdir(parents=True)
        (path / "model.onnx").write_text("")
    folder.chmod(0o700)
    os.utime(left, (0, 0))
    netc_runtime.load(net, "cpu")
    assert not left.exists()
    assert fresh.exists()


def test_hashes_are_remembered_only_once_a_file_has_settled(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", 1000.0)
    found = hashes.model_hash([net], folder)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1.0)
    assert hashes.model_hash([net], folder) == found
    (note,) = folder.iterdir()
    assert note.read_text() == found
    note.write_text("no hash")
    assert hashes.model_hash([net], folder) == found


def test_remembered_hashes_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(hashes, "MOST_REMEMBERED", 10)
    for count in range(11):
        note = folder / f"{count:064x}.hash"
        note.write_text("")
        os.utime(note, (count, count))
    hashes.forget_some(folder)
    assert sorted(int(path.stem, 16) for path in folder.iterdir()) == [6, 7, 8, 9, 10]


SEVERAL = """
import sys
import netc_runtime
from netc_runtime import opening
from netc_runtime.cache import hashes
opening.LEAST_BYTES, hashes.SETTLED_SECONDS = 0, -1.0
sys.stdin.readline()
for _ in range(5):
    report = netc_runtime.load(sys.argv[1], "cpu").report()
    assert report.notes == (), report.notes
print(report.cached)
"""


def test_processes_at_once_share_one_entry(net: Path, folder: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SEVERAL, str(net)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for each in started:  # all of them wait until all are there
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [each.communicate(timeout=120)[0] for each in started] == ["True\n"] * 3
    assert len(entries(folder)) == 1
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NETC_CACHE_DIR": "off", "HOME": "/h"}, None),
        ({"NETC_CACHE_DIR": "/c", "HOME": "/h"}, Path("/c")),
        ({"HOME": "/h"}, Path("/h/.cache/netc-runtime")),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, Path("/x/netc-runtime")),
        ({"HOME": "/h", "XDG_CACHE_HOME": "x"}, Path("/h/.cache/netc-runtime")),
        ({}, None),
    ],
)
def test_the_environment_says_where(
    environ: dict[str, str], expected: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    found = environment_place(environ)
    assert found == (None if expected is None else (expected, DEFAULT_BYTES))


def test_the_environment_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_place({"NETC_CACHE_DIR": "/c", "NETC_CACHE_MAX_BYTES": "7"}) == (Path("/c"), 7)
    with pytest.raises(EnvironmentFault) as caught:
        environment_place({"NETC_CACHE_DIR": "/c", "NETC_CACHE_MAX_BYTES": "2G"})
    assert caught.value.code == "R404"


def test_the_command_lists_and_empties_it(
    net: Path, folder: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    netc_runtime.load(net, "cpu")
    code, out, err = command("cache")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder}: ")
    assert "used 2" in out
    code, out, _ = command("cache", "--json")
    (entry,) = json.loads(out)["entries"]
    assert entry["name"] == entries(folder)[0].name
    assert command("cache", "--clear")[:2] == (0, f"{folder}: 1 entry taken out\n")
    assert entries(folder) == []


def test_the_command_says_that_there_is_none(
    command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_DIR", "off")
    code, out, _ = command("cache")
    assert (code, out.startswith("there is no session cache")) == (0, True)


def test_a_folder_that_cannot_be_read_is_a_fault_of_the_environment(
    folder: Path, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "scandir", refused)
    code, out, err = command("cache")
    assert (code, out) == (3, "")
    assert err.startswith(f"error[R407]: {folder} cannot be read: Permission denied")


def test_commands_do_without_it_on_request(
    digits: Path, folder: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    assert command("check", digits, "--device", "cpu", "--no-cache")[0] == 0
    assert not folder.exists()
    for expected in ("optimised as it was opened", "from the session cache"):
        code, out, _ = command("check", digits, "--device", "cpu")
        assert (code, expected in out) == (0, True)
