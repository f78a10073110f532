"""The commands of the runtime's README are run, in its order, by a shell in one folder."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.processes import environment

README = (ROOT / "runtime" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(digits: Path, tmp_path: Path) -> Path:
    """A model of 4 x 4 pictures, a few of them, and arrays."""
    assert digits.parent == tmp_path
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("three.png", "photos/a.png", "photos/more/b.png"):
        Image.fromarray(np.full((4, 4), 90, np.uint8)).save(tmp_path / name)
    np.save(tmp_path / "batch.npy", np.zeros((3, 1, 4, 4), np.float32))
    return tmp_path


@pytest.mark.slow
def test_every_command_of_a_block_runs(folder: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 6
    bin = folder / "bin"
    bin.mkdir()
    # The checkout's own command, whatever else is installed.
    (bin / "netc-runtime").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m netc_runtime "$@"\n')
    (bin / "netc-runtime").chmod(0o755)
    env = environment(PATH=f"{bin}:{environment()['PATH']}")
    for line in lines:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=folder, env=env, check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout or "--output" in line, line
    assert (folder / "logits.npz").exists()


def test_what_it_says_of_pictures_is_so() -> None:
    from netc_runtime import image
    from netc_runtime.errors import CODES

    assert f"more than {image.MAX_PIXELS:,} pixels" in README
    assert image.MAX_BYTES == 2**30
    assert "more than 1 GiB" in README
    assert set(re.findall(r"R\d{3}", README)) <= set(CODES)


def test_every_option_of_predict_is_told(command: Callable[..., tuple[int, str, str]]) -> None:
    told = command("predict", "--help")[1]
    options = set(re.findall(r"--[a-z-]+", told)) - {"--help", "--format", "--json", "--device", "--threads"}
    assert {option for option in options if option not in README} == set()
