"""The command: its results on standard output, the rest on standard error, and an exit code for every end."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc_runtime
from netc_runtime import cli, session
from netc_runtime.cli import main
from netc_runtime.manifest import ImageRecipe, Manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; give its exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two pictures, one hidden and one file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, level in (("b.PNG", 255), ("a.png", 0), (".hidden.png", 0)):
        Image.fromarray(np.full((4, 4), level, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETC_DEBUG", raising=False)


# --- predict


def test_predict_prints_an_aligned_table(run: Run, digits: Path, photos: Path, linear: Any) -> None:
    code, out, err = run("predict", digits, photos / "a.png", photos / "b.PNG", "--top", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["image", "class", "probability"]
    # Level 0 is (0 - 0.5) / 0.25 = -2 everywhere, level 255 is +2.
    for level, name, pair in ((-2, "a.png", lines[1:3]), (2, "b.PNG", lines[3:5])):
        logits = linear(np.full((1, 1, 4, 4), level, np.float32))[0].astype(np.float64)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        first, second = np.argsort(-probabilities)[:2]
        assert pair[0].split() == [str(photos / name), ("zero", "one", "two")[first], f"{probabilities[first]:.4f}"]
        assert pair[1].split() == [("zero", "one", "two")[second], f"{probabilities[second]:.4f}"]
    assert len({line.rindex(" ", 0, len(line)) for line in lines[1:]}) == 1  # the numbers stand in one column


def test_predict_gives_json_with_a_schema(run: Run, digits: Path, photos: Path) -> None:
    code, out, err = run("predict", digits, photos / "a.png", "--json", "--top", 1)
    assert (code, err) == (0, "")
    value = json.loads(out)
    (label,) = value["results"][0]["outputs"]["scores"].pop("labels")
    assert label.pop("probability") > 1 / 3
    assert label.keys() == {"index", "label"}
    assert value == {
        "schema": 1,
        "model": str(digits),
        "device": "cpu",
        "results": [{"image": str(photos / "a.png"), "outputs": {"scores": {"decode": "softmax"}}}],
    }
    assert run("predict", digits, photos / "a.png", "--format", "json", "--top", 1)[1] == out


def test_a_folder_is_its_pictures_by_name(run: Run, digits: Path, photos: Path) -> None:
    code, out, _ = run("predict", digits, photos, "--json")
    assert code == 0
    assert [each["image"] for each in json.loads(out)["results"]] == [str(photos / "a.png"), str(photos / "b.PNG")]


def test_a_folder_without_pictures_is_named(run: Run, digits: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, out, err = run("predict", digits, empty)
    assert (code, out) == (1, "")
    assert f"error[R301]: {empty} is a folder, expected an image" in err


def test_a_broken_picture_is_named_and_the_others_are_answered(run: Run, digits: Path, photos: Path) -> None:
    broken = photos / "notes.txt"
    code, out, err = run("predict", digits, photos / "a.png", broken, photos / "b.PNG", "--top", 1)
    assert code == 1
    assert len(out.splitlines()) == 3
    assert err.startswith(f"error[R303]: {broken} is not an image")
    assert "  = help: " in err

    code, out, _ = run("predict", digits, photos / "a.png", broken, photos / "b.PNG", "--json")
    assert code == 1
    results = json.loads(out)["results"]
    assert ["error" in each for each in results] == [False, True, False]
    assert results[1]["error"].keys() == {"code", "message", "help"}
    assert results[1]["error"]["code"] == "R303"


def test_a_mask_is_shown_as_shares(run: Run, segmenter: Callable[..., Path], tmp_path: Path) -> None:
    half = np.concatenate([np.full((4, 1), 255), np.zeros((4, 3))], axis=1).astype(np.uint8)
    Image.fromarray(half).save(tmp_path / "half.png")
    code, out, _ = run("predict", segmenter(), tmp_path / "half.png")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["image", "class", "share"],
        [str(tmp_path / "half.png"), "dark", "0.7500"],
        ["bright", "0.2500"],
    ]


@pytest.mark.parametrize(("decode", "words"), [("argmax", "zero"), ("sigmoid", "(none)"), ("none", "-11")])
def test_every_decode_has_its_line_and_its_json(
    run: Run,
    save_linear: Callable[..., Path],
    linear_manifest: Callable[..., Manifest],
    linear: Any,
    photos: Path,
    decode: str,
    words: str,
) -> None:
    linear.weight[:] = 0
    linear.bias[:] = [-9, -10, -11]
    path = save_linear(linear_manifest(decode=decode))
    code, out, _ = run("predict", path, photos / "a.png")
    assert code == 0
    assert out.splitlines()[-1 if decode == "none" else 1].endswith(words)
    output = json.loads(run("predict", path, photos / "a.png", "--json")[1])["results"][0]["outputs"]["scores"]
    named = [{"index": i, "label": ("zero", "one", "two")[i], "value": -9 - i} for i in range(3)]
    expected: dict[str, Any] = {
        "argmax": {"decode": "argmax", "labels": [{"index": 0, "label": "zero"}]},
        "sigmoid": {"decode": "sigmoid", "labels": []},
        "none": {"decode": "none", "shape": [3], "values": [-9, -10, -11], "labels": named},
    }
    assert output == expected[decode]


def test_values_that_json_cannot_hold_are_null(
    run: Run, save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], linear: Any, photos: Path
) -> None:
    linear.weight[:] = 0
    linear.bias[:] = [np.nan, np.inf, 1]
    for decode in ("none", "softmax"):
        path = save_linear(linear_manifest(decode=decode))
        text = run("predict", path, photos / "a.png", "--json")[1]
        assert "null" in text
        assert not {"NaN", "Infinity"} & set(text.replace(",", " ").replace("]", " ").split())
        assert run("predict", path, photos / "a.png")[0] == 0


def test_labels_cannot_steer_the_terminal(
    run: Run, save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], photos: Path
) -> None:
    text = linear_manifest().to_json().replace('"zero","one","two"', r'"\u001b[31mred\n","\u202e","\u00e9"')
    code, out, _ = run("predict", save_linear(text), photos / "a.png")
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 4
    assert r"\x1b[31mred\n" in out
    assert "é" in out


# --- check


def test_check_says_what_the_model_is_and_that_it_reproduces(run: Run, digits: Path) -> None:
    code, out, err = run("check", digits, "--device", "cpu", "--threads", 1)
    assert (code, err) == (0, "")
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert told["net"] == "Tiny"
    assert told["input"] == "image: f32[N, 1, 4, 4]"
    assert told["device"] == "cpu, 1 thread(s)"
    assert told["providers"] == "CPUExecutionProvider"
    assert told["nodes"] == "2 on CPUExecutionProvider"
    assert told["golden"].startswith("reproduced: 3 values within ")
    value = json.loads(run("check", digits, "--device", "cpu", "--json")[1])
    assert value["schema"] == 1
    assert value["golden"]["verdict"] == "reproduced"
    assert value["net"] == "Tiny"


def test_check_takes_a_model_without_a_manifest(run: Run, save_linear: Callable[..., Path]) -> None:
    code, out, _ = run("check", save_linear(None), "--device", "cpu")
    assert code == 0
    assert "no netc manifest" in out
    assert json.loads(run("check", save_linear(None), "--json")[1])["golden"]["verdict"] == "not recorded"


def test_check_fails_when_the_weights_were_changed(run: Run, digits: Path, linear: Any) -> None:
    content = digits.read_bytes()
    assert linear.bias.tobytes() in content
    digits.write_bytes(content.replace(linear.bias.tobytes(), (linear.bias + 1).tobytes()))
    code, out, err = run("check", digits)
    assert (code, out) == (1, "")
    assert err.startswith("error[R111]: digits.onnx: the golden example does not reproduce")


# --- exit codes


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["predict"],
        ["predict", "m.onnx"],
        ["predict", "m.onnx", "a.png", "--top", "0"],
        ["predict", "m.onnx", "a.png", "--top", "1_0"],
        ["predict", "m.onnx", "a.png", "--device", "gpu"],
        ["predict", "m.onnx", "a.png", "--threads", "-1"],
        ["predict", "m.onnx", "a.png", "--format", "xml"],
        ["predict", "m.onnx", "a.png", "--json", "--format", "text"],
        ["predict", "m.onnx", "a.png", "--dev", "cpu"],
        ["serve"],
        ["check", "m.onnx", "--top", "3"],
    ],
)
def test_a_wrong_call_is_2_and_says_how(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: netc-runtime" in err


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["check", "--help"], ["--version"]])
def test_help_and_version_are_results(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "netc-runtime" in out


def test_a_model_at_fault_is_1(run: Run, tmp_path: Path) -> None:
    code, out, err = run("predict", tmp_path / "absent.onnx", "a.png")
    assert (code, out) == (1, "")
    assert err.startswith(
        f"error[R101]: {tmp_path / 'absent.onnx'} cannot be opened: No such file or directory\n  = help:"
    )


def test_a_device_that_is_not_there_is_3(run: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(index: int, available: object) -> str:
        return "there is no NVIDIA driver here"

    monkeypatch.setattr("netc_runtime.providers.gpu_problem", absent)
    code, out, err = run("check", digits, "--device", "cuda")
    assert (code, out) == (3, "")
    assert err.startswith("error[R403]: device cuda is asked for and not available")


def raising(error: BaseException) -> Callable[..., Any]:
    def load(*arguments: object, **settings: object) -> None:
        raise error

    return load


def test_a_bug_of_ours_is_70_and_one_line(run: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "load", raising(ZeroDivisionError("oh")))
    code, out, err = run("check", digits)
    assert (code, out) == (70, "")
    assert err == "netc-runtime: sorry, this is our bug: ZeroDivisionError: oh (NETC_DEBUG=1 shows where)\n"
    monkeypatch.setenv("NETC_DEBUG", "1")
    assert "Traceback (most recent call last)" in run("check", digits)[2]


def test_an_interrupt_is_130(run: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "load", raising(KeyboardInterrupt()))
    assert run("check", digits) == (130, "", "")


def test_sigterm_is_143_and_its_handler_is_put_back(run: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminated(*arguments: object, **settings: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(session, "load", terminated)
    assert run("check", digits) == (143, "", "")
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_may_call_it(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["check", str(digits)])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert "Tiny" in capsys.readouterr().out


def command(
    *arguments: object, stdout: Any = subprocess.PIPE, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-W", "error", "-m", "netc_runtime", *map(str, arguments)]
    return subprocess.run(line, check=False, timeout=60, stdout=stdout, stderr=subprocess.PIPE, env=env)


def test_a_reader_that_leaves_is_141_and_silence(digits: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = command("check", digits, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_3(digits: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = command("check", digits, stdout=full)
    assert done.returncode == 3
    assert done.stderr.startswith(b"error[R405]: standard output cannot be written: No space left on device")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_standard_output_is_3(digits: Path, closed: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m netc_runtime check {shlex.quote(str(digits))} {closed}"
    done = subprocess.run(line, shell=True, check=False, timeout=60, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr == b"" or done.stderr.startswith(b"error[R405]: standard output is closed")


def test_a_terminal_of_ascii_takes_any_label_and_file_name(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], photos: Path
) -> None:
    text = linear_manifest().to_json().replace('"zero"', r'"n\u00fcll"')
    name = photos / "bild-ü.png"
    (photos / "a.png").rename(name)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = command("predict", save_linear(text), name, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"n\xfcll" in done.stdout
    assert rb"bild-\xfc.png" in done.stdout


def test_the_whole_command_in_a_process_of_its_own(digits: Path, photos: Path) -> None:
    done = command("predict", digits, photos, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(json.loads(done.stdout)["results"]) == 2


def test_pillow_s_warning_of_large_pictures_is_not_shown(
    run: Run, segmenter: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "large.png")
    model = segmenter(recipe=ImageRecipe(color="gray"))
    assert run("predict", model, tmp_path / "large.png")[0::2] == (0, "")


def test_output_without_a_terminal_is_written_whole(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["check", str(digits), "--device", "cpu"]) == 0
    assert netc_runtime.__version__ == "0.1.0"
    assert "golden" in stream.getvalue()
