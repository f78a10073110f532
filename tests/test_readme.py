"""The README is run: every command of it, in its order, in a copy of the checkout; what it shows is what comes out."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.processes import environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]

# `make demo` and `make test` are run by whoever tests this project; the demo leaves `build` behind.
NOT_HERE = {"make demo", "make test"}


class Block(NamedTuple):
    kind: str
    text: str
    line: int


def blocks() -> list[Block]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return [Block(m[1], m[2], readme.count("\n", 0, m.start()) + 1) for m in found]


def execute(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env=environment(PATH=path), capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a newcomer's shell stands in after `make demo`."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("specs", "examples", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "build" / "demo").mkdir(parents=True)
    return folder


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.kind for block in blocks()} == {"", "sh", "console", "python"}
    assert {block.text.strip() for block in blocks() if block.kind == "sh"} >= NOT_HERE


def test_the_spec_is_the_one_of_the_zoo() -> None:
    (spec,) = (block.text for block in blocks() if block.kind == "")
    assert spec == (ROOT / "specs" / "lenet5.cnn").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [pytest.param(b, id=f"line{b.line}") for b in blocks() if b.kind == "console"])
def test_a_console_shows_what_its_commands_print(checkout: Path, block: Block) -> None:
    shown = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
    assert "".join(f"$ {command}\n{output}" for command, output in shown) == block.text
    for command, output in shown:
        done = execute(["bash", "-euo", "pipefail", "-c", command], checkout)
        assert done.stdout == output
        # Only the check of a wrong spec may fail, and nets that differ are told by 1.
        wrong = command.startswith("netc check ") and "error[" in output
        assert done.returncode == int(wrong or command.startswith("netc diff ")), done.stderr


def test_the_commands_and_the_python_run_one_after_the_other(checkout: Path) -> None:
    for block in blocks():
        if block.kind == "sh" and block.text.strip() not in NOT_HERE:
            done = execute(["bash", "-euo", "pipefail", "-c", block.text], checkout)
        elif block.kind == "python":
            done = execute([sys.executable, "-c", block.text], checkout)
        else:
            continue
        assert done.returncode == 0, f"README.md:{block.line}: {done.stderr}"
    assert {path.name for path in (checkout / "build").iterdir()} >= {
        "resnet50.py",
        "lenet5.safetensors",
        "lenet5.onnx",
        "lenet5.onnx.verify.json",
    }


def test_every_file_it_names_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme) if "://" not in link]
    folders = re.findall(r"^\| `([^`]+)` \|", readme, re.MULTILINE)
    assert links
    assert folders
    assert [name for name in links + folders if not (ROOT / name).exists()] == []
