"""`netc-runtime check`: what it says of a model, and how it ends."""

import json
import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from netc_runtime import checkup, memory
from netc_runtime.manifest import ImageRecipe, Manifest

Command = Callable[..., tuple[int, str, str]]


def told(command: Command, *arguments: object) -> dict[str, list[str]]:
    """The lines of the table, by their first word."""
    code, out, err = command("check", *arguments)
    assert (code, err) == (0, "")
    lines: dict[str, list[str]] = {}
    for line in out.splitlines():
        lines.setdefault(line.split()[0], []).append(line.split(maxsplit=1)[1])
    return lines


def test_the_table_says_what_the_manifest_holds(
    command: Command, save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    recipe = ImageRecipe(resize=(6, 5), fit="stretch", crop=4, color="gray", scale=1 / 255, mean=(0.5,), std=(0.25,))
    lines = told(command, save_linear(linear_manifest(image=recipe)), "--device", "cpu")
    assert lines["picture"] == [
        "image: resize 6 x 5 (stretch, bilinear), crop 4, gray, (pixel * 0.00392157 - 0.5) / 0.25"
    ]
    assert lines["meaning"] == ["scores: softmax, 3 labels"]
    assert lines["golden"] == ["not recorded"]


def test_the_table_says_what_the_spec_requires(command: Command, segmenter: Callable[..., Path]) -> None:
    lines = told(command, segmenter(), "--device", "cpu")
    assert lines["requires"] == ["H % 4 == 0 and W % 4 == 0: two 2x poolings"]
    assert lines["picture"] == ["image: gray, (pixel * 1 - 127.5) / 1"]
    assert lines["nodes"] == ["1 on CPUExecutionProvider"]


def test_json_holds_what_the_table_says(command: Command, digits: Path) -> None:
    code, out, err = command("check", digits, "--device", "cpu", "--json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["schema"] == 1
    assert values["golden"]["verdict"] == "reproduced"
    assert values["manifest"]["outputs"] == {"scores": {"decode": "softmax", "labels": 3, "threshold": None}}
    assert values["manifest"]["spec_sha256"] == "0" * 64
    assert values["manifest"]["golden"] == {"shapes": {"image": [2, 1, 4, 4]}, "tolerance": 1e-3}
    held = values["memory"]
    assert held["session_bytes"] == held["loaded_bytes"] - held["before_bytes"]
    assert held["peak_bytes"] >= held["loaded_bytes"] > 10_000_000  # Python and ONNX Runtime alone take more


def test_a_model_without_a_manifest_is_a_model_too(command: Command, save_linear: Callable[..., Path]) -> None:
    lines = told(command, save_linear(None), "--device", "cpu")
    assert lines["net"] == ["no netc manifest"]
    assert "picture" not in lines
    assert json.loads(command("check", save_linear(None), "--json")[1])["manifest"] is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "R103"),
        (b"version https://git-lfs.github.com/spec/v1\n", "R104"),
        (b"PK\x03\x04", "R105"),
        (b"\x00\x01\x02", "R106"),
    ],
)
def test_a_file_that_is_no_model_is_1(command: Command, tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    ended, out, err = command("check", tmp_path / "m.onnx")
    assert (ended, out) == (1, "")
    assert err.startswith(f"error[{code}]: ")


def test_a_broken_installation_is_3(command: Command, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(index: int, available: object) -> str:
        return "there is no NVIDIA driver here"

    monkeypatch.setattr("netc_runtime.providers.gpu_problem", absent)
    ended, out, err = command("check", digits, "--device", "tensorrt", "--json")
    assert (ended, out) == (3, "")
    assert err.startswith("error[R403]: ")


def test_a_manifest_s_recipe_of_pixels_is_written_as_it_is(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    values = checkup.check_model(str(save_linear(linear_manifest())), "cpu", threads=1)
    recipe = values["manifest"]["pictures"]["image"]
    assert (recipe["color"], recipe["mean"], recipe["resize"]) == ("gray", (0.5,), None)
    assert values["threads"] == 1


@pytest.mark.parametrize(
    ("count", "text"), [(438, "438 bytes"), (10_000, "0.0 MB"), (97_800_000, "97.8 MB"), (2_340_000_000, "2.34 GB")]
)
def test_sizes_are_in_the_unit_that_fits(count: int, text: str) -> None:
    assert checkup.size(count) == text


# --- memory


def test_memory_is_what_linux_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    assert memory.held(status) == memory.Held(1024 * 1024, 2048 * 1024)
    status.write_text("Name:\tpython\n")
    assert memory.held(status) == memory.Held(None, None)


def test_memory_elsewhere_is_the_peak_alone(tmp_path: Path) -> None:
    found = memory.held(tmp_path / "absent")
    assert found.now_bytes is None
    assert found.peak_bytes is None or found.peak_bytes > 1_000_000


def test_memory_grows_by_what_is_held() -> None:
    before = memory.held().now_bytes
    # Mapped anew: a heap that many tests have used may give a freed block, which is held already.
    with mmap.mmap(-1, 50_000_000) as kept:
        for page in range(0, len(kept), mmap.PAGESIZE):
            kept[page] = 1
        after = memory.held().now_bytes
    assert before is not None
    assert after is not None
    assert after - before > 40_000_000
