"""`netc check` starts with what it needs and nothing else. How long that takes is `tests/bench/start.py`'s matter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from netc import api, weights
from netc.cli.app import app, with_one
from tests.processes import NETC, netc, run, without

HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "safetensors", "PIL", "netc_runtime", "typer", "rich"}


def imported(stderr: str) -> set[str]:
    """The top packages in `-X importtime`'s lines: `import time:   self | cumulative |   package.module`."""
    rows = [line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")]
    return {row.partition(".")[0] for row in rows}


def test_the_everyday_check_imports_no_heavy_package(root: Path) -> None:
    done = run(NETC[0], "-X", "importtime", *NETC[1:], "check", "specs/lenet5.cnn", cwd=root)
    assert done.returncode == 0
    found = imported(done.stderr)
    assert {"netc", "lark", "pydantic"} <= found
    assert found.isdisjoint(HEAVY | {"email", "zipfile", "socket", "argparse"})


def test_the_everyday_check_needs_lark_and_pydantic_alone(root: Path) -> None:
    done = run(*without(sorted(HEAVY), ["check", "specs/lenet5.cnn"]), cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "specs/lenet5.cnn  LeNet5  61,706 parameters  416,520 MACs  ok\n"


def test_findings_need_no_more_than_the_check(tmp_path: Path) -> None:
    (tmp_path / "bad.cnn").write_text("net A {\n  input x: f32[N, 3]\n  output y: f32[N, 3]\n  from x -> con => y\n}\n")
    done = run(*without(sorted(HEAVY), ["check", "bad.cnn"]), cwd=tmp_path)
    assert done.returncode == 1
    assert "bad.cnn:4:13" in done.stdout


def test_checking_with_options_imports_the_option_parser_and_no_back_end(root: Path) -> None:
    done = run(*without(sorted(HEAVY - {"typer", "rich"}), ["check", "specs/lenet5.cnn", "--json"]), cwd=root)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_same_text_is_said_with_and_without_the_option_parser(root: Path) -> None:
    short, long = (netc("check", *options, "specs/lenet5.cnn", cwd=root) for options in ((), ("--format", "text")))
    assert (short.returncode, short.stdout, short.stderr) == (long.returncode, long.stdout, long.stderr)


def with_rectify(folder: Path) -> str:
    """Install a package with a layer `rectify` in a folder; gives Python that runs netc with it."""
    package = folder / "site"
    info = package / "more_ops-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more-ops\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[netc.ops]\nmore = more_ops\n")
    (package / "more_ops.py").write_text(
        "from netc.op import op\nfrom netc.ops.relu import Relu\n\n\n"
        '@op("rectify")\nclass Rectify(Relu):\n    """As relu."""\n'
    )
    return f"import sys; sys.path.insert(0, {str(package)!r}); from netc.cli import main; sys.exit(main(sys.argv[1:]))"


def test_an_operation_of_an_installed_package_is_found_without_the_option_parser(tmp_path: Path) -> None:
    # The quick start puts the list of installed packages off; an entry point is still seen.
    spec = tmp_path / "a.cnn"
    spec.write_text("net A {\n  input x: f32[N, 3]\n  output y: f32[N, 3]\n  from x -> rectify => y\n}\n")
    done = run(NETC[0], "-c", with_rectify(tmp_path), "check", "a.cnn", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout == "a.cnn  A  0 parameters  0 MACs  ok\n"


def test_a_files_own_names_go_before_those_of_installed_packages(tmp_path: Path) -> None:
    # Else a spec that is fine here would be refused where somebody installed more.
    (tmp_path / "a.cnn").write_text(
        "block twice(rectify) {\n  rectify -> rectify\n}\n"
        "net A {\n  input x: f32[N, 3]\n  output y: f32[N, 3]\n  from x -> twice(rectify=tanh) => y\n}\n"
    )
    done = run(NETC[0], "-c", with_rectify(tmp_path), "check", "a.cnn", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


AT_THE_END = """
import gc, os, sys
end = os._exit
def say(code):
    print(gc.isenabled(), *sys.modules)
    sys.stdout.flush()
    end(code)
os._exit = say
from netc.cli import command
command()
"""
"""Run netc, and print whether the collector is on and every module, just before the process ends itself."""


@pytest.mark.parametrize("options", [["check"], ["build", "--weights", "w.safetensors", "--no-verify"]])
def test_a_process_that_ends_anyway_is_not_searched_for_garbage(root: Path, tmp_path: Path, options: list[str]) -> None:
    spec = str(root / "specs/lenet5.cnn")
    ones = {name: np.ones(param.shape, np.float32) for name, param in api.load(spec).parameters()}
    weights.save(ones, tmp_path / "w.safetensors")
    done = run(NETC[0], "-c", AT_THE_END, *options, spec, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    collects, *loaded = done.stdout.splitlines()[-1].split()
    assert collects == "False"
    assert "lark" in loaded
    # The first is here for a test of the grammar.
    assert {"interegular", "onnx", "onnxruntime", "torch"}.isdisjoint(loaded)


def test_the_command_that_is_run_is_the_only_one_made_ready() -> None:
    one: Any = get_command(with_one("build"))
    assert list(one.commands) == ["build"]
    assert with_one("biuld") is app
    every: Any = get_command(app)
    assert {"build", "check", "weights"} < set(every.commands)
