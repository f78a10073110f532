"""What a reviewer would ask of the emitted source first: formatted, no finding of a linter, typed, documented."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from netc import api
from netc.backends.torch import source
from tests.torch.zoo import EVERY, QUICK, graph

RULES = ["--select", "E4,E7,E9,F,I,UP,B"]
"""ruff's own, and the order of imports, the idioms of Python 3.11 and likely bugs."""
ALONE = ["--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source of every net of the zoo."""
    folder = tmp_path_factory.mktemp("zoo")
    for name in EVERY:
        (folder / f"{name.replace('.cnn:', '__')}.py").write_text(source(graph(name)), encoding="utf-8")
    return folder


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_whole_zoo_is_formatted_and_without_a_finding(written: Path) -> None:
    for words in (["check", *RULES], ["format", "--check", "--diff"]):
        done = run("ruff", *words, *ALONE, str(written))
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(written.iterdir())) == len(EVERY)


@pytest.mark.slow
def test_the_zoos_blocks_are_a_class_each(written: Path) -> None:
    # Only a block whose `if`s make other nets of it is several classes, and those are called by what they have.
    several = {"UnitConvShortcut", "UnitShortcut", "RowMbconv"}
    for path in written.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
        numbered = {name for name in defined if re.sub(r"\d$", "", name) in defined and name[-1].isdigit()}
        # LeNet-1989's maps with the padding of their own; its layer and its net have one name.
        assert numbered <= {"Maps2", "Local2"}, path.name
        assert len(defined) <= 12, (path.name, defined)
        assert {name for name in several if name in defined} <= several


def checked(folder: Path, mode: str) -> list[str]:
    """What pyright finds."""
    root = Path(__file__).parents[2]
    config = {"typeCheckingMode": mode, "venvPath": str(root), "venv": ".venv", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = run("pyright", "--outputjson", "--project", str(folder))
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] > 0
    return [
        f"{each['file']}:{each['range']['start']['line']}: {each['message']}" for each in found["generalDiagnostics"]
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_source_has_no_type_error(tmp_path: Path, root: Path) -> None:
    names = [*(f"{root}/specs/{name}" for name in QUICK), f"{root}/tests/specs/retinanet.cnn"]
    for number, name in enumerate(names):
        (tmp_path / f"net_{number}.py").write_text(source(api.load(name)), encoding="utf-8")
    assert checked(tmp_path, "basic") == []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_net_of_the_zoo_has_a_type_error(written: Path) -> None:
    assert checked(written, "standard") == []


def test_the_docstrings_say_where_a_net_is_from_and_what_enters_and_leaves(root: Path) -> None:
    made = ast.parse(source(api.load(f"{root}/specs/resnet.cnn:ResNet50")))
    said = ast.get_docstring(made) or ""
    assert re.fullmatch(r"ResNet50: made by netc from resnet\.cnn\.\n\nsha256 of resnet\.cnn: [0-9a-f]{64}", said)
    classes = {node.name: ast.get_docstring(node) for node in made.body if isinstance(node, ast.ClassDef)}
    assert classes == {
        "Project": "(in_channels, H, W) -> (c, H / stride, W / stride), resnet.cnn:16.",
        "Bottleneck": "(in_channels, H, W) -> (4 * width, H / stride, W / stride), resnet.cnn:18.",
        "ResNet50": "image (N, 3, 224, 224) -> scores (N, 1000).\n\n"
        "image is (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), rgb.",
    }


def test_every_parameter_and_result_has_its_type(root: Path) -> None:
    for name in ("mobilenet_v3.cnn:MobileNetV3Large", "googlenet.cnn", "deeplab.cnn:DeepLabV3ResNet50"):
        made = ast.parse(source(api.load(f"{root}/specs/{name}")))
        functions = [node for node in ast.walk(made) if isinstance(node, ast.FunctionDef)]
        assert functions
        for function in functions:
            assert function.returns is not None
            assert all(arg.annotation is not None for arg in function.args.args if arg.arg != "self")
