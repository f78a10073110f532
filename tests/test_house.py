"""The house rules: what lies where, which way imports run, and what no file says."""

import logging
import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import netc

TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "README.md",
    "constraints.txt",
    "docs",
    "examples",
    "netc",
    "pyproject.toml",
    "runtime",
    "specs",
    "tests",
}

# A path into one person's machine. Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.~$})>-])/(?:root|work|home/\w+|Users/\w+)(?=/|\b)")


@pytest.fixture(scope="module")
def files(root: Path) -> list[Path]:
    """Every file that git has or would take, relative to the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    found = [Path(name) for name in listed if name and (root / name).is_file()]
    assert found
    return found


def test_the_top_level_holds_only_what_belongs_there(files: list[Path]) -> None:
    found = {path.parts[0] for path in files}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
    assert {"CHANGELOG.md", "LICENSE", "NOTICE", "README.md", "constraints.txt", "pyproject.toml"} <= found


def test_imports_run_down_the_floors(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    loggers = [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    for logger in loggers:
        logger.disabled = False  # it configures logging anew, which would silence the loggers that later tests read
    assert status == 0, capsys.readouterr().out


def test_the_version_is_one(root: Path) -> None:
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == netc.__version__ == version("netc")


def test_netc_asks_for_the_runtime_of_its_own_minor_version(root: Path) -> None:
    # The manifest is their contract: 0.1.x of one goes with 0.1.x of the other.
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = tomllib.loads((root / "runtime" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor, _ = netc.__version__.split(".")
    assert runtime["version"].startswith(f"{major}.{minor}.")
    assert f"netc-runtime>={major}.{minor},<{major}.{int(minor) + 1}" in project["dependencies"]


def test_every_requirement_is_pinned(root: Path) -> None:
    pinned = {
        normalized(line.partition("==")[0])
        for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    for file in (root / "pyproject.toml", root / "runtime" / "pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [*project["dependencies"], *(one for extra in extras for one in extra)]:
            name = re.match(r"[\w.-]+", requirement)
            assert name is not None, requirement
            assert normalized(name[0]) in pinned | {"netc-runtime"}, f"{file.name}: {requirement} has no pin"


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_names_a_path_of_one_machine(root: Path, files: list[Path]) -> None:
    named: list[str] = []
    for path in files:
        data = (root / path).read_bytes()
        if path == Path("netc/picture/graphviz.js"):
            continue  # of another project, unchanged: its file system in memory has a home
        if b"\0" in data:
            continue  # not text: pictures, packed data, models
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            named += [f"{path}:{number}: {line.strip()}"] if MACHINE_PATH.search(line) else []
    assert named == []


def test_scripts_can_be_run(root: Path) -> None:
    for name in (".ci/run", "examples/digits/demo"):
        assert os.access(root / name, os.X_OK), name
        assert (root / name).read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n"), name
