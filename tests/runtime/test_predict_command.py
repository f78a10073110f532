"""`netc-runtime predict`: where pictures come from, how answers go out, and what is written."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from netc_runtime.cli import arrays, stream
from netc_runtime.manifest import ImageRecipe, Input, Manifest, Output
from tests.runtime.conftest import make_manifest, make_model

Run = Callable[..., tuple[int, str, str]]


def write_picture(path: Path, level: int = 0, side: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), level, np.uint8)).save(path)
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures in two levels of folders, and what is none."""
    folder = tmp_path / "album"
    for name in ("b.png", "a.png", "x/d.png", "x/c.png", "x/.hidden/e.png", ".f.png"):
        write_picture(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def shown(out: str) -> list[str]:
    return [each["image"] for each in json.loads(out)["results"]]


def process(*arguments: object, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-W", "error", "-m", "netc_runtime", "predict", *map(str, arguments)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)


# --- where pictures come from


def test_a_folder_is_its_own_pictures_and_with_recursive_its_subfolders(
    command: Run, digits: Path, album: Path
) -> None:
    code, out, _ = command("predict", digits, album, "--json")
    assert code == 0
    assert shown(out) == [str(album / name) for name in ("a.png", "b.png")]
    for option in ("-r", "--recursive"):
        code, out, _ = command("predict", digits, album, "--json", option)
        assert code == 0
        assert shown(out) == [str(album / name) for name in ("a.png", "b.png", "x/c.png", "x/d.png")]


def test_a_pattern_in_quotes_is_what_a_shell_makes_of_it(command: Run, digits: Path, album: Path) -> None:
    code, out, _ = command("predict", digits, album / "?.png", album / "**" / "d.png", "--json")
    assert code == 0
    assert shown(out) == [str(album / name) for name in ("a.png", "b.png", "x/d.png")]
    code, out, err = command("predict", digits, album / "*.jpg", "--json")
    assert (code, len(shown(out))) == (1, 1)
    assert f"error[R301]: {album / '*.jpg'} cannot be opened" in err


def test_a_file_with_a_pattern_s_signs_in_its_name_is_that_file(command: Run, digits: Path, tmp_path: Path) -> None:
    named = write_picture(tmp_path / "a[1].png")
    write_picture(tmp_path / "a1.png")
    code, out, _ = command("predict", digits, named, "--json")
    assert (code, shown(out)) == (0, [str(named)])


def test_names_come_from_a_list(
    command: Run, digits: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "names"
    names.write_text(f"{album / 'b.png'}\n\n{album / 'x'}\r\n")
    code, out, _ = command("predict", digits, album / "a.png", "--files-from", names, "--json")
    assert code == 0
    assert shown(out) == [str(album / name) for name in ("a.png", "b.png", "x/c.png", "x/d.png")]
    monkeypatch.chdir(album)
    (album / "b.png").rename(album / "-")
    names.write_text("-")
    code, out, _ = command("predict", digits, "--files-from", names, "--json")
    assert (code, shown(out)) == (0, ["./-"])
    code, out, err = command("predict", digits, "--files-from", tmp_path / "absent")
    assert (code, out) == (2, "")
    assert f"error[R404]: the list {tmp_path / 'absent'} cannot be read: No such file or directory" in err


def test_one_picture_comes_through_standard_input(digits: Path, album: Path) -> None:
    data = (album / "a.png").read_bytes()
    out, err = process(digits, "-", "--json").communicate(data, timeout=60)
    assert err == b""
    (answer,) = json.loads(out)["results"]
    assert answer["image"] == "-"
    out, _ = process(digits, album / "a.png", "--json").communicate(timeout=60)
    assert json.loads(out)["results"][0]["outputs"] == answer["outputs"]


def test_a_closed_standard_input_and_one_without_end_are_faults(
    command: Run, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = command("predict", digits, "-")
    assert (code, out) == (1, "")
    assert "error[R301]: standard input is closed" in err
    assert command("predict", digits, "--files-from", "-")[:2] == (0, "")  # no names, no answers
    monkeypatch.setattr("netc_runtime.image.MAX_BYTES", 1000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(10_000))))
    code, out, err = command("predict", digits, "-")
    assert (code, out) == (1, "")
    assert "error[R309]: standard input has 1001 bytes" in err


def test_names_come_through_standard_input_and_are_answered_as_they_come(digits: Path, album: Path) -> None:
    running = process(digits, "--files-from", "-", "--format", "ndjson", "--batch", 1, "--threads", 1)
    assert running.stdin is not None
    assert running.stdout is not None
    for name in ("b.png", "absent.png", "a.png"):
        running.stdin.write(f"{album / name}\n".encode())
        running.stdin.flush()
        # It is there before the next name is, or this waits for ever.
        answer = json.loads(running.stdout.readline())
        assert answer["image"] == str(album / name)
        assert ("error" in answer) == (name == "absent.png")
    running.stdin.close()
    assert running.wait(60) == 1
    running.stdout.close()
    assert running.stderr is not None
    running.stderr.close()


@pytest.mark.parametrize("arguments", [[], ["-", "-"], ["-", "--files-from", "-"]])
def test_no_input_and_standard_input_twice_are_a_wrong_call(command: Run, digits: Path, arguments: list[str]) -> None:
    code, out, err = command("predict", digits, *arguments)
    assert (code, out) == (2, "")
    assert "usage: netc-runtime predict" in err


# --- how answers go out


def test_ndjson_is_an_object_a_line_with_the_faults_among_them(command: Run, digits: Path, album: Path) -> None:
    names = [album / "a.png", album / "notes.txt", album / "b.png"]
    code, out, err = command("predict", digits, *names, "--format", "ndjson", "--top", 1)
    assert code == 1
    assert f"error[R303]: {album / 'notes.txt'}" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [each["image"] for each in lines] == [str(name) for name in names]
    assert [each["schema"] for each in lines] == [1, 1, 1]
    assert lines[1]["error"]["code"] == "R303"
    assert len(lines[2]["outputs"]["scores"]["labels"]) == 1


def test_the_json_value_is_the_same_written_by_parts(command: Run, digits: Path, album: Path) -> None:
    out = command("predict", digits, album, "--json")[1]
    assert out == json.dumps(json.loads(out)) + "\n"


@pytest.mark.parametrize("format", ["text", "json", "ndjson"])
def test_fail_fast_ends_at_the_first_fault(command: Run, digits: Path, album: Path, format: str) -> None:
    names = [album / "a.png", album / "notes.txt", album / "b.png", album / "absent.png"]
    code, out, err = command("predict", digits, *names, "--format", format, "--fail-fast")
    assert code == 1
    assert str(album / "a.png") in out
    assert "b.png" not in out
    assert err.count("error[") == 1
    assert err.startswith("error[R303]")


def test_a_long_table_has_one_header(command: Run, digits: Path, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = command("predict", digits, album, album, "--top", 1)[1]
    monkeypatch.setattr(stream, "BLOCK", 2)
    parts = command("predict", digits, album, album, "--top", 1)[1]
    assert [line.split() for line in parts.splitlines()] == [line.split() for line in whole.splitlines()]
    assert whole.count("probability") == 1
    assert len(whole.splitlines()) == 5


def test_a_threshold_leaves_classes_out(
    command: Run, save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], linear: Any, album: Path
) -> None:
    linear.weight[:] = 0
    linear.bias[:] = np.log([1, 6, 3])
    path = save_linear(linear_manifest())
    code, out, _ = command("predict", path, album / "a.png", "--threshold", "0.25", "--json")
    labels = json.loads(out)["results"][0]["outputs"]["scores"]["labels"]
    assert (code, [label["label"] for label in labels]) == (0, ["one", "two"])
    code, out, err = command("predict", save_linear(linear_manifest("argmax")), album / "a.png", "--threshold", "0.5")
    assert (code, out) == (2, "")
    assert "gives no probabilities" in err
    for word in ("1.5", "-1", "nan", "1_0", "x"):
        assert command("predict", path, album / "a.png", "--threshold", word)[0] == 2


def test_batches_are_as_asked_and_answers_do_not_change(command: Run, digits: Path, album: Path) -> None:
    outs = [command("predict", digits, album, "-r", "--json", "--batch", batch)[1] for batch in (1, 3, 64)]
    labels = [[each["outputs"]["scores"]["labels"] for each in json.loads(out)["results"]] for out in outs]
    assert [[label["label"] for label in each] for each in labels[0]] == [
        [label["label"] for label in each] for each in labels[2]
    ]
    assert shown(outs[0]) == shown(outs[1]) == shown(outs[2])


def test_a_reader_that_leaves_ends_it_quietly(digits: Path, album: Path) -> None:
    # More than a pipe holds, 64 KiB, and a reader of one line.
    names = f"{album / 'a.png'}\n".encode() * 2000
    reader, writer = os.pipe()
    with process(digits, "--files-from", "-", "--format", "ndjson", stdout=writer) as running:
        os.close(writer)
        with os.fdopen(reader, "rb") as lines:
            assert running.stdin is not None
            running.stdin.write(names[:40_000])
            running.stdin.flush()
            assert b"schema" in lines.readline()
        _, err = running.communicate(names, timeout=60)
    assert (running.returncode, err) == (141, b"")


def test_an_interrupt_is_130_and_leaves_whole_json(digits: Path, album: Path) -> None:
    running = process(digits, "--files-from", "-", "--json", "--batch", 1, "--threads", 1)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(f"{album / 'a.png'}\n".encode())
    running.stdin.flush()
    first = os.read(running.stdout.fileno(), 2**16)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, b"")
    assert shown((first + out).decode()) == [str(album / "a.png")]


def test_what_pillow_finds_odd_is_no_matter_of_the_user_s(digits: Path, tmp_path: Path) -> None:
    # An EXIF block that ends too early: Pillow warns, and the picture is whole.
    exif = Image.Exif()
    exif[271] = "a maker"
    path = tmp_path / "odd.jpg"
    Image.new("L", (4, 4)).save(path, exif=exif)
    data = path.read_bytes()
    at = data.index(b"Exif\0\0MM\0*") + 14
    assert data[at : at + 2] == b"\0\x01"
    path.write_bytes(data[:at] + b"\0\xff" + data[at + 2 :])  # 255 entries, and there is one
    with pytest.warns(UserWarning, match="EXIF"), Image.open(path) as opened:
        opened.getexif()
    line = [sys.executable, "-m", "netc_runtime", "predict", str(digits), str(path)]
    done = subprocess.run(line, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_many_there_are_and_others_do_not(
    command: Run, digits: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TICK_S", -1)
    assert command("predict", digits, album)[2] == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert command("predict", digits, album)[0] == 0
    assert "\rimages: 2, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")  # taken away at the end


# --- masks and points as pictures


def test_a_mask_is_written_in_its_classes_and_over_the_picture(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    half = np.concatenate([np.full((4, 1), 255), np.zeros((4, 3))], axis=1).astype(np.uint8)
    source, out = tmp_path / "half.png", tmp_path / "out" / "deep"
    Image.fromarray(half).save(source)
    code, text, err = command("predict", segmenter(), source, "--save-to", out, "--json")
    assert (code, err) == (0, "")
    mask_path, overlay_path = out / "half.mask.png", out / "half.mask.overlay.png"
    assert json.loads(text)["results"][0]["saved"] == [str(mask_path), str(overlay_path)]
    assert sorted(out.iterdir()) == [overlay_path, mask_path]  # and nothing else is left
    with Image.open(mask_path) as mask:
        assert mask.mode == "P"
        # The model says "bright" (0) where the picture is, "dark" (1) elsewhere; VOC's colours are black and maroon.
        assert np.asarray(mask).tolist() == [[0, 1, 1, 1]] * 4
        assert np.unique(np.asarray(mask.convert("RGB")).reshape(-1, 3), axis=0).tolist() == [[0, 0, 0], [128, 0, 0]]
    with Image.open(overlay_path) as overlay:
        # Half of white and black, half of black and maroon.
        row = np.asarray(overlay)[0].astype(int)
        assert np.abs(row - [[127.5] * 3, [64, 0, 0], [64, 0, 0], [64, 0, 0]]).max() <= 1


def test_a_sigmoid_s_map_is_a_gray_picture_for_each_class(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_picture(tmp_path / "a.png", 255)
    model = segmenter("sigmoid", ImageRecipe(color="gray", mean=(254.0,)))
    assert command("predict", model, source, "--save-to", tmp_path)[0] == 0
    # The logits are 1 and -1: probabilities 0.731 and 0.269.
    for name, level in (("a.mask.0-bright.png", 186), ("a.mask.1-dark.png", 69)):
        with Image.open(tmp_path / name) as shown_map:
            assert np.asarray(shown_map).tolist() == [[level] * 4] * 4


def test_a_softmax_s_map_is_drawn_as_its_likeliest_class(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_picture(tmp_path / "a.png", 0)
    assert command("predict", segmenter("softmax"), source, "--save-to", tmp_path)[0] == 0
    with Image.open(tmp_path / "a.mask.png") as mask:
        assert np.asarray(mask).tolist() == [[1] * 4] * 4


@pytest.fixture
def pointer(tmp_path: Path) -> Callable[..., Path]:
    """A model that always points at a quarter of the width and half of the height."""

    def save(name: str = "spot") -> Path:
        inputs = (Input("image", "f32", ("N", 3, 80, 80), ImageRecipe(resize=80, fit="stretch")),)
        outputs = (Output(name, "f32", ("N", 2), ("x", "y"), "none"),)
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], [name]),
        ]
        weights = {
            "weight": np.zeros((3 * 80 * 80, 2), np.float32),
            "bias": np.array([0.25, 0.5], np.float32),
        }
        metadata = {"netc": make_manifest(inputs, outputs).to_json()}
        path = tmp_path / "macula.onnx"
        path.write_bytes(make_model(nodes, inputs, outputs, weights, metadata).SerializeToString())
        return path

    return save


def test_a_point_is_told_by_name_and_drawn_where_it_is(
    command: Run, pointer: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_picture(tmp_path / "eye.png", 0, 160)
    code, out, _ = command("predict", pointer(), source, "--save-to", tmp_path / "out")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["image", "class", "value"],
        [str(source), "x", "0.25"],
        ["y", "0.5"],
    ]
    with Image.open(tmp_path / "out" / "eye.spot.point.png") as picture:
        red = np.argwhere(np.asarray(picture)[..., 0] > np.asarray(picture)[..., 1])
        assert picture.size == (80, 80)
    assert np.abs(red.mean(axis=0) - [40, 20]).max() <= 1  # row and column
    assert len(red) > 9


def test_names_of_outputs_cannot_leave_the_folder(command: Run, pointer: Callable[..., Path], tmp_path: Path) -> None:
    source = write_picture(tmp_path / "eye.png", 0, 80)
    assert command("predict", pointer("../../up"), source, "--save-to", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["eye.______up.point.png"]


def test_a_file_that_is_there_is_kept_unless_forced(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = write_picture(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    (out / "a.mask.png").write_text("mine")
    code, _, err = command("predict", segmenter(), source, "--save-to", out)
    assert code == 3
    assert f"error[R405]: {out / 'a.mask.png'} is there already\n  = help: give --force" in err
    assert (out / "a.mask.png").read_text() == "mine"
    assert command("predict", segmenter(), source, "--save-to", out, "--force")[0] == 0
    with Image.open(out / "a.mask.png") as mask:
        assert mask.mode == "P"


def test_what_was_answered_before_a_file_is_in_the_way_is_told(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    sources = [write_picture(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mask.png").touch()
    code, out, err = command("predict", segmenter(), *sources, "--save-to", tmp_path / "out", "--json")
    assert (code, err.count("error[")) == (3, 1)
    assert shown(out) == [str(sources[0])]


def test_a_folder_in_the_way_is_3_and_leaves_nothing(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = write_picture(tmp_path / "a.png"), tmp_path / "out"
    (out / "a.mask.png").mkdir(parents=True)
    code, _, err = command("predict", segmenter(), source, "--save-to", out, "--force")
    assert code == 3
    assert f"error[R405]: {out / 'a.mask.png'} cannot be written: " in err
    assert [path.name for path in out.iterdir()] == ["a.mask.png"]


def test_pictures_of_one_name_do_not_write_over_one_another(
    command: Run, segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    sources = [write_picture(tmp_path / folder / "a.png", level) for folder, level in (("x", 0), ("y", 255))]
    code, out, _ = command("predict", segmenter(), *sources, "--save-to", tmp_path / "out", "--json")
    assert code == 0
    first, second = (Path(each["saved"][0]) for each in json.loads(out)["results"])
    assert (first.name, second.name) == ("a.mask.png", "a-2.mask.png")
    with Image.open(first) as dark, Image.open(second) as bright:
        assert (np.asarray(dark).max(), np.asarray(bright).max()) == (1, 0)


def test_a_model_with_nothing_to_draw_says_so(command: Run, digits: Path, album: Path, tmp_path: Path) -> None:
    code, out, err = command("predict", digits, album / "a.png", "--save-to", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "error[R112]: digits.onnx has no output that can be drawn" in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_3(command: Run, segmenter: Callable[..., Path], tmp_path: Path) -> None:
    source = write_picture(tmp_path / "a.png")
    code, _, err = command("predict", segmenter(), source, "--save-to", source / "out")
    assert code == 3
    assert "error[R405]" in err


# --- arrays


def test_arrays_go_to_the_model_as_they_are(command: Run, digits: Path, linear: Any, tmp_path: Path) -> None:
    x = np.random.RandomState(0).randn(5, 1, 4, 4).astype(np.float32)
    path = tmp_path / "x.npy"
    np.save(path, x)
    code, out, err = command("predict", digits, path, "--json", "--top", 1)
    assert (code, err) == (0, "")
    results = json.loads(out)["results"]
    assert [each["input"] for each in results] == [f"{path}[{row}]" for row in range(5)]
    labels = [each["outputs"]["scores"]["labels"][0]["index"] for each in results]
    assert labels == linear(x).argmax(axis=1).tolist()
    assert command("predict", digits, path)[1].split()[:3] == ["input", "class", "probability"]


def test_raw_outputs_are_written_as_npz(command: Run, digits: Path, linear: Any, tmp_path: Path) -> None:
    x = np.random.RandomState(0).randn(130, 1, 4, 4).astype(np.float32)
    np.savez(tmp_path / "x.npz", image=x)
    out = tmp_path / "y.npz"
    assert command("predict", digits, tmp_path / "x.npz", "--output", out) == (0, "", "")
    with np.load(out) as written:
        assert written.files == ["scores"]
        assert np.allclose(written["scores"], linear(x), atol=1e-4)
    code, _, err = command("predict", digits, tmp_path / "x.npz", "--output", out)
    assert code == 3
    assert "is there already" in err
    assert command("predict", digits, tmp_path / "x.npz", "--output", out, "--force")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.onnx", "x.npz", "y.npz"]


def test_any_onnx_file_takes_its_inputs_by_name(command: Run, save_raw: Callable[..., Path], tmp_path: Path) -> None:
    inputs = (Input("file", "f32", ("N", 2)), Input("b", "f32", ("N", 2)))
    model = save_raw([helper.make_node("Sub", ["file", "b"], ["file2"])], inputs, (Output("file2", "f32", ("N", 2)),))
    with zipfile.ZipFile(tmp_path / "ab.npz", "w") as archive:
        for name, values in (("file", [[5, 7]]), ("b", [[1, 2]])):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.array(values, np.float32))
    code, out, _ = command("predict", model, tmp_path / "ab.npz", "--json")
    assert code == 0
    assert json.loads(out)["results"][0]["outputs"]["file2"]["values"] == [4, 5]
    assert command("predict", model, tmp_path / "ab.npz", "--output", tmp_path / "y.npz")[0] == 0
    with np.load(tmp_path / "y.npz") as written:
        assert written["file2"].tolist() == [[4, 5]]
    np.save(tmp_path / "a.npy", np.zeros((1, 2), np.float32))
    code, _, err = command("predict", model, tmp_path / "a.npy")
    assert code == 1
    assert "error[R211]: " in err
    assert 'holds one array, raw.onnx has the inputs "file", "b"' in err


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + body


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", content)
    return buffer.getvalue()


HUGE = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.npy", b""),
        ("text.npy", b"hello"),
        ("pickled.npy", pickled()),
        ("huge.npy", HUGE),
        ("lies.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(16))),
        ("code.npy", npy("__import__('os')")),
        ("text.npz", b"hello"),
        ("cut.npz", zipped(bytes(100))[:60]),
        ("huge.npz", zipped(HUGE)),
        ("pickled.npz", zipped(pickled())),
        ("nothing.npz", zipped(b"no array")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_holds_no_arrays_is_a_fault(
    command: Run, digits: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    good = tmp_path / "good.npy"
    np.save(good, np.zeros((1, 1, 4, 4), np.float32))
    code, out, err = command("predict", digits, path, good, "--format", "ndjson")
    assert code == 1
    first, second = map(json.loads, out.splitlines())
    assert first["error"]["code"] in ("R211", "R201")
    assert f"error[{first['error']['code']}]: " in err
    assert second["input"] == f"{good}[0]"


def test_a_pipe_and_what_is_not_there_hold_no_arrays(command: Run, digits: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    code, out, err = command("predict", digits, tmp_path / "pipe.npy", tmp_path / "absent.npz")
    assert (code, out) == (1, "")
    assert f"error[R211]: {tmp_path / 'pipe.npy'} cannot be read: not a regular file" in err
    assert f"error[R211]: {tmp_path / 'absent.npz'} cannot be read: No such file or directory" in err


def test_a_packed_bomb_is_refused_unread(
    command: Run, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MAX_BYTES", 2**20)
    (tmp_path / "bomb.npz").write_bytes(zipped(bytes(2**21)))
    code, _, err = command("predict", digits, tmp_path / "bomb.npz")
    assert code == 1
    assert f"it has {2**21} bytes, at most {2**20} are read" in err


def test_no_rows_give_no_answers(command: Run, digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 1, 4, 4), np.float32))
    assert command("predict", digits, tmp_path / "none.npy") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.npy", "a.png"], "arrays and pictures do not go together"),
        (["x.npy", "--files-from", "names"], "arrays and pictures do not go together"),
        (["x.npy", "y.npy", "--output", "z.npz"], "--output is one file, for 2 of arrays"),
        (["x.npy", "--save-to", "out"], "--save-to is for pictures"),
        (["a.png", "--output", "z.npz"], "--output is for arrays"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(
    command: Run, digits: Path, arguments: list[str], words: str
) -> None:
    code, out, err = command("predict", digits, *arguments)
    assert (code, out) == (2, "")
    assert words in err
