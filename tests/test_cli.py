"""The command `netc`: every command, option and exit code. Standard output is the result, standard error the rest."""

# torch is typed in part.
# pyright: reportUnknownMemberType=false

import errno
import gc
import hashlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import netc
from netc import api, errors
from netc import weights as stored
from netc.backends import build as building
from netc.backends.torch import initial
from netc.cli.codes import OutputError
from tests.command import Command
from tests.processes import NETC, environment, run, without
from tests.processes import netc as process

TINY = """net Tiny(classes = 2) {
  input  image: f32[N, 1, 8, 8] { scale = 1/255 }
  output kind: f32[N, classes] { labels = ["dark", "light"], decode = softmax }
  from image -> c1: conv(1, k=3, bias=true) -> b1: bn -> relu -> flatten -> f1: fc(classes) => kind
}
train Tiny {
  loss.kind = cross_entropy(), metric.kind = [accuracy]
  optimizer = sgd(lr = 0.1), epochs = 1, batch = 4
}
"""
WRONG = TINY.replace("k=3", "k=33").replace("relu", "rlu")
SEVERAL = """net One { input x: f32[N, 4]
  output y: f32[N, 1]
  from x -> fc(1) => y }
net Two { input x: f32[N, 4]
  output y: f32[N, 2]
  from x -> fc(2) => y }
"""


class Netc(Command):
    """`netc ...` in this process, with its result where it gives one as JSON and ends with 0."""

    def json(self, *arguments: str | Path) -> Any:
        assert self(*arguments) == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out)


@pytest.fixture
def run_netc(capsys: pytest.CaptureFixture[str]) -> Netc:
    return Netc(capsys)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with specs right and wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.cnn").write_text(TINY)
    (tmp_path / "wrong.cnn").write_text(WRONG)
    (tmp_path / "several.cnn").write_text(SEVERAL)
    return tmp_path


@pytest.fixture
def pictures(here: Path) -> Path:
    """Two classes, eight pictures each: dark ones and light ones."""
    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        folder = here / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(low, low + 128, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return here / "pictures"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- the command itself


def test_help_names_every_command_and_option(run_netc: Netc) -> None:
    assert run_netc("--help") == 0
    commands = ("check", "fix", "fmt", "show", "diff", "explain", "ops", "build", "train", "predict")
    for command in commands:
        assert f"\n  {command}" in run_netc.out
    assert "..." not in run_netc.out.partition("Commands:")[2]  # every summary is whole
    assert run_netc.err == ""
    short = run_netc.out
    assert run_netc("-h") == 0
    assert run_netc.out == short


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("check", ["SPEC[:NET]", "--format <text|json|github|sarif>", "[default: (text)]", "--json", "--watch"]),
        ("check", ["--max-bytes", "8388608", "--max-nodes", "1000000", "--max-depth", "200", "1<=x<=1000"]),
        ("check", ["--max-imports", "16", "--max-steps", "10000000", "--stdin-name"]),
        ("fix", ["SPEC", "--diff", "--check", "--stdin-name", "--format <text|json>"]),
        ("build", ["-o, --out", "(NET.onnx, or - with --emit torch)", "--opset", "(the spec's, or 20)", "--init SEED"]),
        ("train", ["--data", "(NET.safetensors)", "(the spec's)", "[default: auto]", "[default: 1%]", "idx:DIR"]),
        (
            "show",
            ["SPEC[:NET]", "--depth N", "(as fits a page)", "--sort <params|macs|memory>", "--at SIZE=N", "--csv"],
        ),
        ("diff", ["A[:NET]", "B[:NET]", "--json"]),
        ("fmt", ["SPEC", "--check", "--diff", "--stdin-name"]),
        ("ops", ["KIND", "--json"]),
        ("explain", ["CODE | SPEC[:NET]", "LABEL", "--json"]),
        ("predict", ["MODEL", "INPUT", "--files-from", "--top", "--device"]),
    ],
)
def test_help_of_a_command_names_its_defaults(
    run_netc: Netc, command: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_netc(command, "--help") == 0
    said = " ".join(run_netc.out.split())
    for each in words:
        assert each in said


def test_the_version(run_netc: Netc) -> None:
    assert run_netc("--version") == 0
    assert run_netc.out == f"netc {netc.__version__}\n"


def test_without_a_command_the_help_is_shown(run_netc: Netc) -> None:
    assert run_netc() == 2
    assert "Usage: netc" in run_netc.out + run_netc.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "Did you mean 'check'?"),
        (["check"], "Missing argument 'SPEC[:NET]'"),
        (["check", "tiny.cnn", "--formt", "json"], "--formt"),
        (["check", "tiny.cnn", "--format", "yaml"], "'yaml' is not one of"),
        (["check", "tiny.cnn", "--json", "--format", "sarif"], "--json and --format sarif exclude each other"),
        (["check", "tiny.cnn", "--max-nodes", "0"], "--max-nodes"),
        (["check", "tiny.cnn", "--max-depth", "1001"], "--max-depth"),
        (["check", "tiny.cnn", "--stdin-name", "a.cnn"], "--stdin-name names the text of standard input"),
        (["check", "-", "-"], "standard input can be read once"),
        (["check", "-", "--watch"], "standard input does not change"),
        (["check", "tiny.cnn:Tinny", "--watch"], "did you mean `Tiny`?"),
        (["check", ".", "--watch"], "./ holds no .cnn file"),
        (["check", "."], "./ holds no .cnn file"),
        (["check", "tiny.cnn:Tinny"], "tiny.cnn has no net `Tinny`: did you mean `Tiny`?"),
        (["check", "tiny.cnn:"], "tiny.cnn has no net ``: its net is Tiny"),
        (["build", "tiny.cnn"], "the weights are missing: pass --weights FILE (`netc train tiny.cnn"),
        (["build", "tiny.cnn", "--init", "0", "--weights", "w"], "--weights and --init exclude each other"),
        (["build", "tiny.cnn", "--init", "x"], "--init"),
        (["build", "tiny.cnn", "--init", "-1"], "--init"),
        (["build", "tiny.cnn", "--init", "99999999999999999999"], "--init"),
        (["build", "tiny.cnn", "--init", "0", "--opset", "16"], "--opset"),
        (["build", "tiny.cnn", "--init", "0", "--opset", "27"], "--opset"),
        (["build", "tiny.cnn", "--init", "0", "--emit", "keras"], "'keras' is not one of"),
        (["build", "tiny.cnn", "--init", "0", "--format", "sarif"], "'sarif' is not one of"),
        (["build", "tiny.cnn", "--init", "0", "-o", "-"], "an ONNX file is not written to standard output"),
        (["build", "tiny.cnn", "--init", "0", "-o", "t.py"], "--emit torch writes Python source"),
        (["build", "tiny.cnn", "--init", "0", "-o", "t.pt"], "name a file that ends in .onnx"),
        (["build", "tiny.cnn", "--init", "0", "-o", "./tiny.cnn"], "tiny.cnn is read here"),
        (["build", "tiny.cnn", "--weights", "w.st", "-o", "w.st"], "w.st is read here"),
        (["build", "tiny.cnn", "--init", "0", "--no-verify", "--verify-data", "sample"], "exclude each other"),
        (["build", "tiny.cnn", "--init", "0", "--at", "N"], "--at takes a size such as H=512, not N"),
        (["build", "tiny.cnn", "--init", "0", "--at", "N=1", "--at", "N=2"], "--at gives N two sizes, 1 and 2"),
        (
            ["build", "tiny.cnn", "--emit", "torch", "--at", "N=1", "--external-data"],
            "--at, --external-data have no meaning with --emit torch",
        ),
        (["build", "tiny.cnn", "--emit", "torch", "--init", "0"], "--init has no meaning with --emit torch"),
        (
            ["build", "tiny.cnn", "--emit", "torch", "--weights", "w", "--opset", "20", "--verify-data", "sample"],
            "--weights, --opset, --verify-data have no meaning with --emit torch",
        ),
        (
            ["build", "tiny.cnn", "--emit", "torch", "--no-fold", "--no-verify", "--json"],
            "--no-fold, --no-verify, --json have no meaning with --emit torch",
        ),
        (["build", "tiny.cnn", "--emit", "torch", "--format", "text"], "--format has no meaning with --emit torch"),
        (["build", "tiny.cnn", "--emit", "torch", "-o", "tiny.cnn"], "tiny.cnn is read here"),
        (["build", "tiny.cnn:Tinny", "--init", "0"], "did you mean `Tiny`?"),
        (["build", "several.cnn", "--init", "0"], "2 nets; name one: several.cnn:One, several.cnn:Two"),
        (["build", ".", "--init", "0"], ". holds no specs"),
        (["train", "tiny.cnn"], "Missing option '--data'"),
        (["train", "several.cnn", "--data", "sample"], "2 nets; name one: several.cnn:One, several.cnn:Two"),
        (["train", "tiny.cnn", "--data", "sample", "--max-bad", "many"], "--max-bad is a share such as 1% or 0.01"),
        (["train", "tiny.cnn", "--data", "sample", "--max-bad", "101%"], "not 101%"),
        (["train", "tiny.cnn", "--data", "sample", "--max-bad", "nan"], "not nan"),
        (["train", "tiny.cnn", "--data", "sample", "--epochs", "0"], "--epochs"),
        (["train", "tiny.cnn", "--data", "sample", "--batch", "0"], "--batch"),
        (["train", "tiny.cnn", "--data", "sample", "--epochs", "1000001"], "--epochs"),
        (["train", "tiny.cnn", "--data", "sample", "--batch", "1000001"], "--batch"),
        (["show", "tiny.cnn", "--batch", "1" + 400 * "0"], "--batch"),
        (["train", "tiny.cnn", "--data", "sample", "--seed", "-1"], "--seed"),
        (["train", "tiny.cnn", "--data", "sample", "-o", "tiny.cnn"], "tiny.cnn is read here"),
        (["predict"], "the following arguments are required: MODEL"),
        (["predict", "a.onnx", "a.png", "--top", "0"], "is not a whole number from 1"),
    ],
)
def test_a_wrong_call_ends_with_2_says_why_and_leaves_nothing(
    run_netc: Netc, here: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    if "." in arguments:
        (here / "empty").mkdir()
        monkeypatch.chdir(here / "empty")
        words = words.replace("./ ", ". ")
    before = names(here)
    assert run_netc(*arguments) == 2
    assert words in run_netc.err
    assert run_netc.out == ""
    assert names(here) == before
    assert (here / "tiny.cnn").read_text() == TINY


def test_completion_can_be_shown_and_completes(here: Path) -> None:
    shown = run("bash", "-c", f'"{sys.executable}" -m netc --show-completion bash; exit $?', cwd=here)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "complete -o default -F _netc_completion netc" in shown.stdout
    words = {"netc ch": "check", "netc fi": "fix", "netc check --wa": "--watch"}
    words |= {"netc build --emi": "--emit", "netc build a.cnn --emit t": "torch"}
    for line, completed in words.items():
        last = str(len(line.split()) - 1)
        done = process(_NETC_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=last, cwd=here)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, completed, "")


# --- check


def test_check_says_the_figures_of_every_net(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "tiny.cnn", "several.cnn") == 0
    # MACs: conv 6 * 6 * 9 = 324, fc 36 * 2 = 72. Parameters: conv 9 + 1, bn 1 + 1, fc 72 + 2; fc(1) 4 + 1, fc(2) 8 + 2.
    assert run_netc.out == (
        "tiny.cnn     Tiny  86 parameters  396 MACs  ok\n"
        "several.cnn  One    5 parameters    4 MACs  ok\n"
        "several.cnn  Two   10 parameters    8 MACs  ok\n"
    )
    assert run_netc.err == ""


def test_check_takes_one_net_of_a_file_and_the_specs_of_a_folder(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "several.cnn:Two") == 0
    assert run_netc.out == "several.cnn  Two  10 parameters  8 MACs  ok\n"
    (here / "wrong.cnn").unlink()
    assert run_netc("check", here) == 0
    assert [line.split()[1] for line in run_netc.out.splitlines()] == ["One", "Two", "Tiny"]


def test_check_names_the_symbols_on_which_macs_depend(run_netc: Netc, here: Path) -> None:
    for batch in ("N", "B", "3"):
        text = f"net A {{\n input x: f32[{batch}, 1, H, W]\n output y: f32[{batch}, 2, H, W]\n"
        text += " from x -> conv(2, k=1) => y\n"
        (here / "a.cnn").write_text(text + "}\n")
        assert run_netc("check", "a.cnn") == 0, run_netc.out
        assert "MACs depend on H, W" in run_netc.out
        (here / "a.cnn").write_text(text + " expect { macs = 24, at.H = 3, at.W = 4 }\n}\n")
        assert run_netc("check", "a.cnn") == 0, run_netc.out
        assert "24 MACs at H = 3, W = 4" in run_netc.out


def test_check_of_wrong_specs_ends_with_1_and_shows_every_finding(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "wrong.cnn", "tiny.cnn", "nowhere.cnn") == 1
    assert run_netc.out.startswith(
        "error[N203]: a 33x33 kernel does not fit in an 8x8 image with pad 0\n"
        "  --> wrong.cnn:4:31\n"
        " 2 |   input  image: f32[N, 1, 8, 8] { scale = 1/255 }\n"
        "   |                 --------------- 1x8x8 comes from here\n"
        "  ...\n"
        " 4 |   from image -> c1: conv(1, k=33, bias=true) -> b1: bn -> rlu -> flatten -> f1: fc(classes) => kind\n"
        "   |                               ^^\n"
        "   = help: the smallest padding that fits is pad=13\n"
        "\n"
        "error[N110]: no layer or block is called `rlu`\n"
        "  --> wrong.cnn:4:59\n"
    )
    assert run_netc.out.endswith(
        "error[N100]: nowhere.cnn cannot be read: no such file or directory\n"
        "  --> nowhere.cnn\n"
        "   = help: name a .cnn file or a folder that holds some\n"
        "\n"
        "tiny.cnn  Tiny  86 parameters  396 MACs  ok\n"
        "3 errors\n"
    )


def test_check_says_which_page_says_more(
    run_netc: Netc, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "pages").mkdir()
    monkeypatch.setattr(errors, "FOLDER", here / "pages")
    assert run_netc("check", "wrong.cnn") == 1
    assert run_netc.err == ""
    (here / "pages" / "N110.md").touch()
    assert run_netc("check", "wrong.cnn") == 1
    assert run_netc.err == "`netc explain N110` says more\n"


def test_check_says_what_fix_may_put_right(run_netc: Netc, here: Path) -> None:
    (here / "a.cnn").write_text(TINY.replace("relu", "ReLU"))
    assert run_netc("check", "a.cnn") == 1
    assert run_netc.err == "`netc explain N110` says more\n`netc fix` may put it right\n"
    (here / "a.cnn").write_text(TINY.replace("relu", "ReLU").replace("k=3", "k=33"))
    assert run_netc("check", "a.cnn") == 1
    assert run_netc.err == "`netc explain N203` says more\n`netc fix` may put 1 of them right\n"


def test_check_notes_a_net_that_waits_for_arguments(run_netc: Netc, here: Path) -> None:
    text = SEVERAL.replace("net One", "net One(c)").replace("N, 1]", "N, c]").replace("fc(1)", "fc(c)")
    (here / "a.cnn").write_text(text + "net Three = One(3)\n")
    note = "note: a.cnn: net One takes arguments without a default, so only its variants are checked\n"
    assert run_netc("check", "a.cnn") == 0
    assert run_netc.err == note
    assert [line.split()[1] for line in run_netc.out.splitlines()] == ["Two", "Three"]
    assert run_netc("check", "a.cnn:Two") == 0
    assert run_netc.err == ""
    assert run_netc("check", "a.cnn:One") == 0
    assert (run_netc.out, run_netc.err) == ("a.cnn: no net to check, no errors\n", note)


def test_check_of_blocks_alone(run_netc: Netc, here: Path) -> None:
    (here / "a.cnn").write_text("block b(c) { conv(c) }\n")
    assert run_netc("check", "a.cnn") == 0
    assert run_netc.out == "a.cnn: no net to check, no errors\n"


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"], ["--json", "--format=json"]])
def test_check_as_json(run_netc: Netc, here: Path, option: list[str]) -> None:
    assert run_netc("check", "tiny.cnn", "wrong.cnn", *option) == 1
    assert run_netc.err == ""
    assert run_netc.out.count("\n") == 1
    found = json.loads(run_netc.out)
    assert (found["schema"], found["ok"]) == (1, False)
    right, wrong = found["files"]
    nets: Any = {"Tiny": {"params": 86, "params_train": 86, "macs": 396, "at": {}, "layers": 5}}
    assert right == {"file": "tiny.cnn", "ok": True, "nets": nets, "diagnostics": [], "dropped": 0}
    assert (wrong["file"], wrong["ok"], wrong["nets"], wrong["dropped"]) == ("wrong.cnn", False, {}, 0)
    first, second = wrong["diagnostics"]
    place = {"file": "wrong.cnn", "line": 4, "column": 31, "end_line": 4, "end_column": 33}
    assert {name: first[name] for name in place} == place
    assert (first["code"], first["severity"]) == ("N203", "error")
    assert first["labels"][0]["line"] == 2
    assert second["code"] == "N110"
    assert set(second) == set(first) == {
        *place, "code", "severity", "message", "said", "labels", "notes", "help"
    }  # fmt: skip


def test_check_as_json_gives_no_macs_where_they_depend_on_sizes(run_netc: Netc, here: Path) -> None:
    text = "net A {\n input x: f32[N, 1, H, W]\n output y: f32[N, 2, H, W]\n from x -> conv(2, k=1) => y\n"
    (here / "a.cnn").write_text(text + "}\n")
    net = run_netc.json("check", "a.cnn", "--json")["files"][0]["nets"]["A"]
    assert (net["macs"], net["at"]) == (None, {})
    (here / "a.cnn").write_text(text + " expect { macs = 24, at.H = 3, at.W = 4 }\n}\n")
    net = run_netc.json("check", "a.cnn", "--json")["files"][0]["nets"]["A"]
    assert (net["macs"], net["at"]) == (24, {"H": 3, "W": 4})


def test_check_for_github(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "wrong.cnn", "--format", "github") == 1
    first, second = run_netc.out.splitlines()
    assert first == (
        "::error file=wrong.cnn,line=4,col=31,title=netc N203::a 33x33 kernel does not fit in an 8x8 image with pad 0"
        "%0Ahelp: the smallest padding that fits is pad=13"
    )
    assert second.startswith("::error file=wrong.cnn,line=4,col=59,title=netc N110::")
    assert run_netc("check", "tiny.cnn", "--format", "github") == 0
    assert run_netc.out == ""


def test_check_as_sarif(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "wrong.cnn", "--format", "sarif") == 1
    log = json.loads(run_netc.out)
    assert log["version"] == "2.1.0"
    (only,) = log["runs"]
    assert only["tool"]["driver"]["version"] == netc.__version__
    assert [each["ruleId"] for each in only["results"]] == ["N203", "N110"]
    region = only["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 4, "startColumn": 31, "endLine": 4, "endColumn": 33}


def test_check_bounds_the_bytes_of_a_file(run_netc: Netc, here: Path) -> None:
    size = len(TINY.encode())
    assert run_netc("check", "tiny.cnn", "--max-bytes", str(size)) == 0
    assert run_netc("check", "tiny.cnn", "--max-bytes", str(size - 1)) == 1
    assert "error[N104]" in run_netc.out
    assert f"{size - 1:,} bytes" in run_netc.out
    assert "raise the limit with --max-bytes" in run_netc.out


def test_check_bounds_the_nodes(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "tiny.cnn", "--max-nodes", "5") == 0
    assert run_netc("check", "tiny.cnn", "--max-nodes", "4") == 1
    assert "error[N160]" in run_netc.out
    assert "raise the limit with --max-nodes" in run_netc.out


def test_check_bounds_the_depth_of_blocks_and_of_brackets(run_netc: Netc, here: Path) -> None:
    # b0 to b300 inside one another are 301 deep; the text's own brackets are few.
    blocks = "".join(f"block b{i}() {{ _: b{i + 1} }}\n" for i in range(300)) + "block b300() { a: fc(3) }\n"
    net = "net A {\n input x: f32[N, 3]\n output y: f32[N, 3]\n from x -> b0 => y\n}\n"
    (here / "blocks.cnn").write_text(blocks + net.replace("b0", "_: b0"))
    # The net's braces, and 300 within.
    (here / "braces.cnn").write_text(net.replace("b0", "{" * 300 + "relu" + "}" * 300))
    for name, code, enough in (("blocks.cnn", "N162", 301), ("braces.cnn", "N105", 301)):
        for depth, options in ((200, []), (enough - 1, ["--max-depth", str(enough - 1)])):
            assert run_netc("check", name, *options) == 1
            assert f"error[{code}]" in run_netc.out
            assert f"deeper than {depth}\n" in run_netc.out
            assert "--max-depth" in run_netc.out.partition("help: ")[2]
        assert run_netc("check", name, "--max-depth", str(enough)) == 0, run_netc.out


def test_check_bounds_how_deep_files_use_one_another(run_netc: Netc, here: Path) -> None:
    for i in range(4):
        (here / f"f{i}.cnn").write_text(f'use "f{i + 1}.cnn" (b{i + 1})\nblock b{i}() {{ b{i + 1} }}\n')
    (here / "f4.cnn").write_text("block b4() { relu }\n")
    assert run_netc("check", "f0.cnn", "--max-imports", "4") == 0
    assert run_netc("check", "f0.cnn", "--max-imports", "3") == 1
    assert "error[N154]: files use each other deeper than 3\n" in run_netc.out
    assert "raise the limit with --max-imports" in run_netc.out


def test_check_bounds_the_steps(run_netc: Netc, here: Path) -> None:
    assert run_netc("check", "tiny.cnn", "--max-steps", "1000") == 0
    assert run_netc("check", "tiny.cnn", "--max-steps", "3") == 1
    assert "error[N163]: checking this text takes more than 3 steps" in run_netc.out
    assert "raise the limit with --max-steps" in run_netc.out


# --- check: standard input


def test_check_reads_standard_input(here: Path) -> None:
    def piped(data: bytes, *options: str) -> tuple[int, str]:
        command = [*NETC, "check", "-", *options]
        done = subprocess.run(command, input=data, capture_output=True, check=False, cwd=here, env=environment())
        return done.returncode, done.stdout.decode()

    assert piped(TINY.encode()) == (0, "<stdin>  Tiny  86 parameters  396 MACs  ok\n")
    code, out = piped(b"\xef\xbb\xbf" + WRONG.encode(), "--stdin-name", "nets/a.cnn")
    assert code == 1
    assert "--> nets/a.cnn:4:" in out
    used = b'use "trunk.cnn" (trunk)\n' + TINY.replace("c1: conv(1, k=3, bias=true)", "t: trunk(1)").encode()
    assert used.count(b"trunk(1)") == 1
    code, out = piped(used)
    assert code == 1
    assert "error[N150]: a text without a file cannot read" in out
    (here / "nets").mkdir()
    (here / "nets" / "trunk.cnn").write_text("block trunk(c) { conv(c, k=3, bias=true) }\n")
    assert piped(used, "--stdin-name", "nets/a.cnn")[0] == 0
    assert piped(b"\0", "--format", "github")[1].startswith("::error file=<stdin>,line=1,col=1,title=netc N103::")
    assert piped(b"x" * 100, "--max-bytes", "99")[1].startswith("error[N104]")


def test_check_of_a_closed_standard_input(here: Path) -> None:
    done = run("bash", "-c", f'"{sys.executable}" -m netc check - <&-', cwd=here)
    assert (done.returncode, done.stderr) == (2, "error: standard input is closed\n")


# --- check --watch


class Watching:
    """`netc check --watch ...` as a process; what it prints is waited for, never slept for."""

    def __init__(self, here: Path, *arguments: str, **changes: str) -> None:
        command = [*NETC, "check", "--watch", *arguments]
        self.process = subprocess.Popen(
            command, cwd=here, env=environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def until(self, words: str) -> str:
        """What it prints up to a line with these words. Raises queue.Empty when none comes."""
        seen = ""
        while words not in seen:
            seen += self.lines.get(timeout=60)
        return seen

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_watch_checks_again_when_the_spec_what_it_uses_or_its_labels_change(here: Path) -> None:
    (here / "trunk.cnn").write_text("block trunk(c) { conv(c, k=3, bias=true) }\n")
    (here / "labels.txt").write_text("dark\nlight\n")
    text = 'use "trunk.cnn" (trunk)\n' + TINY.replace("c1: conv(1, k=3, bias=true)", "t: trunk(1)")
    text = text.replace('["dark", "light"]', 'file("labels.txt")')
    (here / "a.cnn").write_text(text)
    with Watching(here, "a.cnn") as watching:
        first = watching.until("Ctrl-C ends")
        assert "a.cnn  Tiny  86 parameters  396 MACs  ok\n" in first
        assert re.search(r"^\d\d:\d\d:\d\d checked in \d+\.\d\d s; watching 3 files, Ctrl-C ends$", first, re.MULTILINE)
        assert "\x1b" not in first  # no terminal
        for name, before, after, says in (
            ("a.cnn", "fc(classes)", "fc(3)", "error[N305]"),
            ("a.cnn", "fc(3)", "fc(classes)", "ok\n"),
            ("trunk.cnn", "k=3", "k=33", "error[N203]"),
            ("trunk.cnn", "k=33", "k=3", "ok\n"),
            ("labels.txt", "light\n", "light\nother\n", "error[N181]"),
        ):
            (here / name).write_text((here / name).read_text().replace(before, after))
            seen = watching.until("Ctrl-C ends")
            assert f" {name} changed: checked in " in seen
            assert says in seen
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(60) == 130


def test_watch_outlives_a_file_that_is_replaced_and_one_that_goes(here: Path) -> None:
    with Watching(here, "tiny.cnn", "--json") as watching:
        watching.until("Ctrl-C ends")
        # As editors do it: away for a moment, then back under its name.
        (here / "tiny.cnn").rename(here / "tiny.bak")
        (here / "new").write_text(WRONG)
        (here / "new").rename(here / "tiny.cnn")
        seen = watching.until("Ctrl-C ends")
        assert json.loads(seen.splitlines()[0])["files"][0]["diagnostics"][0]["code"] == "N203"
        (here / "tiny.cnn").unlink()
        seen = watching.until("Ctrl-C ends")
        assert json.loads(seen.splitlines()[0])["files"][0]["diagnostics"][0]["code"] == "N100"
        (here / "tiny.cnn").write_text(TINY)
        assert json.loads(watching.until("Ctrl-C ends").splitlines()[0])["ok"]
        watching.process.terminate()
        assert watching.process.wait(60) == 143


def test_watch_of_a_folder_sees_new_specs_and_waits_where_none_is_left(here: Path) -> None:
    (here / "nets").mkdir()
    (here / "nets" / "a.cnn").write_text(TINY)
    with Watching(here, "nets") as watching:
        assert "watching 1 file," in watching.until("Ctrl-C ends")
        (here / "nets" / "b.cnn").write_text(TINY)
        seen = watching.until("Ctrl-C ends")
        assert "nets/b.cnn  Tiny" in seen
        assert " nets/b.cnn changed: " in seen
        for name in ("a.cnn", "b.cnn"):
            (here / "nets" / name).unlink()
        watching.until("error: nets holds no .cnn file")
        watching.until("Ctrl-C ends")
        (here / "nets" / "c.cnn").write_text(TINY)
        assert "nets/c.cnn  Tiny" in watching.until("Ctrl-C ends")


def test_watch_sees_a_used_file_that_was_not_there(here: Path) -> None:
    (here / "a.cnn").write_text(
        'use "trunk.cnn" (trunk)\n' + TINY.replace("c1: conv(1, k=3, bias=true)", "t: trunk(1)")
    )
    with Watching(here, "a.cnn") as watching:
        assert "error[N150]" in watching.until("Ctrl-C ends")
        (here / "trunk.cnn").write_text("block trunk(c) { conv(c, k=3, bias=true) }\n")
        seen = watching.until("Ctrl-C ends")
        assert "a.cnn  Tiny  86 parameters" in seen
        assert " trunk.cnn changed: " in seen


def test_watch_clears_a_terminals_screen_before_each_result(here: Path) -> None:
    leader, follower = os.openpty()
    try:
        process = subprocess.Popen(
            [*NETC, "check", "--watch", "tiny.cnn"], cwd=here, env=environment(), stdout=follower, stderr=follower
        )
        os.close(follower)
        seen = b""
        for _ in range(2):
            shown = b""
            while b"Ctrl-C ends" not in shown:
                shown += os.read(leader, 4096)  # pytest's own timeout is the deadline
            seen += shown
            (here / "tiny.cnn").write_text(WRONG)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert seen.count(b"\x1b[2J\x1b[H") == 2
        assert seen.startswith(b"\x1b[2J\x1b[H")
    finally:
        os.close(leader)


def test_check_searches_further_folders(run_netc: Netc, here: Path) -> None:
    for name in ("first", "second", "own"):
        (here / name).mkdir()
    (here / "second" / "trunk.cnn").write_text("block trunk(c) { conv(c, k=3) -> relu }\n")
    text = 'use "trunk.cnn" (trunk)\n' + TINY.replace("c1: conv(1, k=3)", "t: trunk(1)")
    (here / "own" / "a.cnn").write_text(text)
    assert run_netc("check", "own/a.cnn") == 1
    assert run_netc("check", "own/a.cnn", "--search", "first") == 1
    assert run_netc("check", "own/a.cnn", "--search", "first", "--search", "second") == 0


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b.cnn", "tiny.cnn/below.cnn", "", "folder.cnn/../nowhere"])
def test_a_name_that_no_file_can_have_is_a_finding(run_netc: Netc, here: Path, name: str) -> None:
    assert run_netc("check", name) == 1
    assert "error[N100]" in run_netc.out
    assert run_netc("build", name, "--init", "0") == 1
    assert "error[N100]" in run_netc.err
    assert run_netc.out == ""


def test_control_characters_of_a_name_do_not_reach_the_terminal(run_netc: Netc, here: Path) -> None:
    evil = "\x1b[31mred\x07.cnn"
    (here / evil).write_text(TINY)
    (here / f"wrong{evil}").write_text(WRONG)
    for form in ("text", "json", "github", "sarif"):
        assert run_netc("check", evil, f"wrong{evil}", "--format", form) == 1
        assert all(line.isprintable() for line in (run_netc.out + run_netc.err).split("\n"))
    for arguments in (["check", f"{evil}:X"], ["build", evil], ["explain", evil], ["build", evil, "--init", evil]):
        assert run_netc(*arguments) == 2
        assert all(line.isprintable() for line in run_netc.err.split("\n"))


# --- build


def test_build_writes_a_model_that_the_runtime_reads(run_netc: Netc, here: Path) -> None:
    assert run_netc("build", "tiny.cnn", "--init", "0") == 0
    first, second = run_netc.out.splitlines()
    assert first == "Tiny.onnx: 0.0 MiB, opset 20, 4 nodes, 1 batch norms folded"
    assert second.startswith("verified against float64 torch: parity ")
    assert run_netc.err == ""
    Image.new("L", (8, 8), 255).save(here / "white.png")
    assert run_netc("predict", "Tiny.onnx", "white.png", "--json") == 0
    answer = json.loads(run_netc.out)
    assert answer["schema"] == 1
    assert {each["label"] for each in answer["results"][0]["outputs"]["kind"]["labels"]} == {"dark", "light"}


def test_build_as_json(run_netc: Netc, here: Path) -> None:
    found = run_netc.json("build", "tiny.cnn", "--init", "0", "-o", "a.onnx", "--opset", "17", "--no-fold", "--json")
    data = (here / "a.onnx").read_bytes()
    assert found["schema"] == 1
    assert (found["net"], found["file"], found["opset"], found["folded"]) == ("Tiny", "a.onnx", 17, 0)
    assert (found["size_bytes"], found["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert found["verdict"] == "passed"
    assert 0 < found["parity"]["figure"] < found["parity"]["bound"]
    model = onnx.load("a.onnx")
    assert [each.version for each in model.opset_import] == [17]
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


def test_build_without_verification_says_so(run_netc: Netc, here: Path) -> None:
    assert run_netc("build", "tiny.cnn", "--init", "0", "--no-verify") == 0
    assert run_netc.out.endswith("\nnot verified\n")
    found = run_netc.json("build", "tiny.cnn", "--init", "0", "--no-verify", "--format", "json")
    assert found["verdict"] == "not verified"
    assert "parity" not in found


def test_build_makes_numbers_of_symbols_and_writes_weights_beside(run_netc: Netc, here: Path) -> None:
    wide = TINY.replace("classes = 2", "classes = 64").replace(' { labels = ["dark", "light"], decode = softmax }', "")
    (here / "wide.cnn").write_text(wide)
    found = run_netc.json("build", "wide.cnn", "--init", "0", "--at", "N=3", "--external-data", "--json")
    assert found["sizes"] == {"N": 3}
    beside = here / found["data"]["file"]
    assert hashlib.sha256(beside.read_bytes()).hexdigest() == found["data"]["sha256"]
    assert beside.stat().st_size == 64 * 36 * 4  # the matrix; what is smaller than 4 KiB stays in the model
    assert run_netc("build", "wide.cnn", "--init", "0", "--at", "N=3", "--external-data") == 0
    assert "sizes: N = 3\n" in run_netc.out
    assert f"{beside.name}: 0.0 MiB, its weights: keep both together\n" in run_netc.out
    dims = onnx.load("Tiny.onnx").graph.input[0].type.tensor_type.shape.dim
    assert next(dim.dim_value for dim in dims) == 3


def test_equal_calls_give_equal_files(run_netc: Netc, here: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        assert run_netc("build", "tiny.cnn", "--init", "3", "-o", name) == 0
    assert run_netc("build", "tiny.cnn", "--init", "4", "-o", "c.onnx") == 0
    first, second, other = ((here / name).read_bytes() for name in ("a.onnx", "b.onnx", "c.onnx"))
    assert first == second != other


def test_build_takes_trained_weights(run_netc: Netc, here: Path) -> None:
    stored.save(initial(api.load("tiny.cnn"), 3), "w.safetensors")
    assert run_netc("build", "tiny.cnn", "--weights", "w.safetensors", "-o", "a.onnx") == 0
    assert run_netc("build", "tiny.cnn", "--init", "3", "-o", "b.onnx") == 0
    assert (here / "a.onnx").read_bytes() == (here / "b.onnx").read_bytes()


def test_build_compares_on_real_pictures_too(run_netc: Netc, here: Path, pictures: Path) -> None:
    found = run_netc.json("build", "tiny.cnn", "--init", "0", "--verify-data", "folder:pictures", "--json")
    assert "data" in {each["inputs"] for each in found["parity"]["measured"]}
    assert run_netc("build", "tiny.cnn", "--init", "0", "--verify-data", "folder:nowhere") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["wrong.cnn", "--init", "0"], 1, "error[N203]"),
        (["wrong.cnn", "--emit", "torch"], 1, "2 errors"),
        (["tiny.cnn", "--weights", "nowhere.safetensors"], 1, "error[N402]: nowhere.safetensors: cannot be read"),
        (["tiny.cnn", "--weights", "tiny.cnn", "-o", "a.onnx"], 1, "error[N403]: tiny.cnn"),
        (["tiny.cnn", "--weights", "w.safetensors"], 1, "error[N401]: w.safetensors: 8 tensors do not fit Tiny:\n"),
        (["tiny.cnn", "--init", "0", "-o", "nowhere/a.onnx"], 1, "error[N410]: nowhere/a.onnx: there is no folder"),
        (["tiny.cnn", "--init", "0", "-o", "tiny.cnn/a.onnx"], 1, "error[N410]"),
        (["tiny.cnn", "--init", "0", "-o", "folder"], 1, "error[N410]: folder: this is a directory"),
        (["tiny.cnn", "--emit", "torch", "-o", "folder"], 1, "error[N410]: folder: this is a directory"),
        (["tiny.cnn", "--init", "0", "-o", "folder", "--external-data"], 1, "error[N410]: folder: this is a directory"),
        (["tiny.cnn", "--init", "0", "--at", "H=9"], 1, "error[N470]: Tiny: H is no symbol of an input"),
        (["tiny.cnn", "--init", "0", "--at", "N=0"], 1, "error[N472]: Tiny: N = 0: a size is 1 to"),
    ],
)
def test_build_of_bad_input_ends_with_1_and_leaves_nothing(
    run_netc: Netc, here: Path, arguments: list[str], code: int, words: str
) -> None:
    (here / "folder").mkdir()
    stored.save({"f1.weight": np.zeros((2, 2), np.float32)}, "w.safetensors")
    before = names(here)
    assert run_netc("build", *arguments) == code
    assert words in run_netc.err
    assert run_netc.out == ""
    assert names(here) == before
    assert names(here / "folder") == set()


def test_a_model_that_fails_verification_is_not_kept_and_an_older_one_is(
    run_netc: Netc, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitting = building.onnx.emitting

    def emitting_wrong(lowered: Any, weights: Any, out: Any, **options: Any) -> Any:
        return emitting(lowered, {**weights, "f1.bias": weights["f1.bias"] + 1}, out, **options)

    assert run_netc("build", "tiny.cnn", "--init", "3") == 0
    before = {name: (here / name).read_bytes() for name in names(here)}
    monkeypatch.setattr(building.onnx, "emitting", emitting_wrong)
    assert run_netc("build", "tiny.cnn", "--init", "4") == 1
    assert run_netc.err.startswith("error[N430]: Tiny: output kind")
    assert "--no-verify writes the file unverified" in run_netc.err
    assert run_netc.out == ""
    assert {name: (here / name).read_bytes() for name in names(here)} == before


def test_torch_source_goes_to_standard_output_or_a_file(run_netc: Netc, here: Path) -> None:
    assert run_netc("build", "tiny.cnn", "--emit", "torch") == 0
    source = run_netc.out
    assert "class Tiny(nn.Module):" in source
    assert run_netc("build", "tiny.cnn:Tiny", "--emit", "torch", "-o", "-") == 0
    assert run_netc.out == source
    assert run_netc("build", "tiny.cnn", "--emit", "torch", "-o", "tiny.py") == 0
    assert run_netc.out == "tiny.py: torch source of Tiny from tiny.cnn\n"
    assert (here / "tiny.py").read_text() == source
    namespace: dict[str, Any] = {}
    exec(compile(source, "tiny.py", "exec"), namespace)
    assert namespace["Tiny"]()(torch.zeros(2, 1, 8, 8)).shape == (2, 2)


def test_a_folder_with_one_spec_stands_for_it(run_netc: Netc, here: Path) -> None:
    (here / "one").mkdir()
    (here / "one" / "tiny.cnn").write_text(TINY)
    assert run_netc("build", "one", "--emit", "torch") == 0
    assert run_netc("build", ".", "--emit", "torch") == 2
    assert ". holds 3 specs; name one: several.cnn, tiny.cnn, wrong.cnn" in run_netc.err


# --- train


def test_train_saves_weights_that_build_takes(run_netc: Netc, here: Path, pictures: Path) -> None:
    assert run_netc("train", "tiny.cnn", "--data", "folder:pictures") == 0
    accuracy, weights = run_netc.out.splitlines()
    assert accuracy.startswith("kind: ")
    assert " test images (" in accuracy
    assert weights == "weights: Tiny.safetensors"
    data, *_, epoch = run_netc.err.splitlines()
    assert data.startswith("data: 14 images to train, 2 to test, 2 classes")
    assert epoch.startswith("epoch 1: loss ")
    assert run_netc("build", "tiny.cnn", "--weights", "Tiny.safetensors") == 0


def test_train_as_json(run_netc: Netc, here: Path, pictures: Path) -> None:
    arguments = ["train", "tiny.cnn", "--data", "folder:pictures", "--seed", "5", "--epochs", "2", "--batch", "7"]
    found = run_netc.json(*arguments, "--device", "cpu", "-o", "w.safetensors", "--json")
    assert found.pop("seconds") > 0
    assert 0 <= found["accuracy"].pop("kind") <= 1
    assert found == {
        "schema": 1,
        "net": "Tiny",
        "weights": "w.safetensors",
        "seed": 5,
        "epochs": 2,
        "accuracy": {},
        "test_images": 2,
    }
    first = (here / "w.safetensors").read_bytes()
    run_netc.json(*arguments, "-o", "w.safetensors", "--format", "json")
    assert (here / "w.safetensors").read_bytes() == first


def test_train_bears_a_share_of_broken_images_and_names_them(run_netc: Netc, here: Path, pictures: Path) -> None:
    (pictures / "dark" / "0.png").write_bytes(b"no picture")
    before = names(here)
    assert run_netc("train", "tiny.cnn", "--data", "folder:pictures") == 1
    assert "error[N510]: 1 of 16 images is broken, more than 1 %" in run_netc.err
    assert names(here) == before
    assert run_netc("train", "tiny.cnn", "--data", "folder:pictures", "--max-bad", "7%") == 0
    assert f"warning: {Path('pictures', 'dark', '0.png')} is left out" in run_netc.err
    assert run_netc("train", "tiny.cnn", "--data", "folder:pictures", "--max-bad", "0.07") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tiny.cnn", "--data", "mnist"], 1, "error[N501]: `mnist` names no data"),
        (["tiny.cnn", "--data", "folder:nowhere"], 1, "nowhere"),
        (["tiny.cnn", "--data", "idx:pictures"], 1, "error[N502]: pictures lacks"),
        (["tiny.cnn", "--data", "folder:pictures", "--device", "tpu"], 1, "error[N515]: `tpu` is no device"),
        (["tiny.cnn", "--data", "folder:pictures", "--device", "cuda:99"], 3, "error[N515]: cuda:99 is not there"),
        (["tiny.cnn", "--data", "folder:nowhere", "--device", "tpu"], 1, "error[N515]: `tpu` is no device"),
        (["wrong.cnn", "--data", "folder:pictures"], 1, "error[N203]"),
        (["tiny.cnn", "--data", "folder:pictures", "-o", "nowhere/w"], 1, "error[N410]: nowhere/w"),
        (["tiny.cnn", "--data", "folder:pictures", "-o", "pictures"], 1, "error[N410]: pictures: this is a directory"),
    ],
)
def test_train_on_bad_input_says_why_and_leaves_nothing(
    run_netc: Netc, here: Path, pictures: Path, arguments: list[str], code: int, words: str
) -> None:
    before = names(here)
    assert run_netc("train", *arguments) == code
    assert words in run_netc.err
    assert run_netc.out == ""
    assert names(here) == before


# --- predict and explain


def test_predict_gives_the_runtime_all_arguments_as_they_are(run_netc: Netc, monkeypatch: pytest.MonkeyPatch) -> None:
    from netc_runtime import cli as runtime

    asked: list[list[str]] = []

    def stub(arguments: list[str]) -> int:
        asked.append(arguments)
        return 3

    monkeypatch.setattr(runtime, "main", stub)
    given = ["m.onnx", "--top", "2", "--", "-weird.png", "--help"]
    assert run_netc("predict", *given) == 3  # and its exit code is ours
    assert asked == [["predict", *given]]


def test_predict_says_what_the_runtime_says(run_netc: Netc, here: Path) -> None:
    assert run_netc("predict", "nowhere.onnx", "a.png") == 1
    assert "error[R101]" in run_netc.err


def test_explain_prints_pages(run_netc: Netc, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "pages").mkdir()
    monkeypatch.setattr(errors, "FOLDER", here / "pages")
    assert run_netc("explain") == 2
    assert run_netc("explain", "N203") == 2
    (here / "pages" / "N301.md").write_text("# N301: shapes differ\n", encoding="utf-8")
    (here / "pages" / "N203.md").write_text(
        "# N203: the kernel does not fit\n\nBoth numbers – é.\n\n", encoding="utf-8"
    )
    assert run_netc("explain") == 0
    assert run_netc.out == "N203: the kernel does not fit\nN301: shapes differ\n"
    for code in ("N203", "n203"):
        assert run_netc("explain", code) == 0
        assert run_netc.out == "# N203: the kernel does not fit\n\nBoth numbers – é.\n"
    page = {"schema": 1, "code": "N203", "title": "the kernel does not fit"}
    assert run_netc.json("explain", "n203", "--json") == {
        **page, "page": "# N203: the kernel does not fit\n\nBoth numbers – é.\n\n"
    }  # fmt: skip
    titles = {"N203": "the kernel does not fit", "N301": "shapes differ"}
    assert run_netc.json("explain", "--format", "json") == {"schema": 1, "codes": titles}
    for code in ("N999", "../N203", "x" * 300):
        assert run_netc("explain", code) == 2
        assert run_netc.out == ""
    assert run_netc("explain", "N204") == 2
    assert "there is no page for N204; did you mean `N203`?" in run_netc.err


# --- exit codes of what is not the user's input


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out"), 3, "error: out: no space left on device"),
        (OSError(errno.EFBIG, "File too large"), 3, "error: file too large"),
        (PermissionError(errno.EACCES, "Permission denied", "a.cnn"), 3, "error: a.cnn: permission denied"),
        (MemoryError(), 3, "the machine's memory does not suffice"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
            3,
            "the machine's memory does not suffice",
        ),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 3, "pip install torch"),
        (ModuleNotFoundError("No module named 'PIL'", name="PIL.Image"), 3, "pip install pillow"),
        (
            ImportError("libcudart.so: not found", name="torch._C"),
            3,
            "the package `torch` cannot be imported: libcudart",
        ),
        (OutputError("standard output is closed"), 3, "error: standard output is closed"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (SystemExit(), 0, ""),
        (SystemExit(5), 5, ""),
    ],
)
def test_trouble_of_the_machine_has_its_exit_codes(
    run_netc: Netc, here: Path, error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "check", raising(error))
    assert run_netc("check", "tiny.cnn") == code
    assert words in run_netc.err
    assert bool(run_netc.err) == bool(words)
    assert "Traceback" not in run_netc.err


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("impossible\nand long"),
        AssertionError("c1"),
        ModuleNotFoundError("No module named 'netc.nowhere'", name="netc.nowhere"),
        ImportError("cannot import name 'x' from 'netc.api'", name="netc.api"),
        OSError("no number"),
    ],
)
def test_a_bug_of_ours_ends_with_70_and_shows_where_only_when_asked(
    run_netc: Netc, here: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NETC_DEBUG", raising=False)
    monkeypatch.setattr(api, "check", raising(error))
    assert run_netc("check", "tiny.cnn") == 70
    (line,) = run_netc.err.splitlines()
    assert line.startswith(f"sorry, this is our bug: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    assert line.endswith("(NETC_DEBUG=1 shows where)")
    monkeypatch.setenv("NETC_DEBUG", "1")
    assert run_netc("check", "tiny.cnn") == 70
    times, _, trace = run_netc.err.partition("\n")
    assert re.fullmatch(r"check +[0-9.]+ ms", times)
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "in fail\n" in run_netc.err


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("torch", ["build", "tiny.cnn", "--init", "0"]),
        ("onnx", ["build", "tiny.cnn", "--init", "0"]),
        ("torch", ["train", "tiny.cnn", "--data", "sample"]),
        ("netc_runtime", ["predict", "a.onnx", "a.png"]),
        ("lark", ["check", "tiny.cnn"]),
        ("pydantic", ["check", "tiny.cnn"]),
        ("typer", ["check", "--json", "tiny.cnn"]),
    ],
)
def test_a_missing_package_ends_with_3_and_says_how_to_get_it(here: Path, package: str, arguments: list[str]) -> None:
    before = names(here)
    done = run(*without([package], arguments), cwd=here)
    assert (done.returncode, done.stdout) == (3, "")
    name = package.replace("_", "-")
    assert done.stderr == (
        f"error: the package `{package}` is not installed\n"
        f"  = help: pip install {name}; installing netc brings all it needs\n"
    )
    assert names(here) == before


# A process of its own has the limit: in one that others share, whatever writes a file meanwhile would meet it too.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from netc.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments", [["train", "tiny.cnn", "--data", "folder:pictures"], ["build", "tiny.cnn", "--init", "0"]]
)
def test_a_full_disk_ends_with_3_and_the_old_file_stays(here: Path, pictures: Path, arguments: list[str]) -> None:
    (here / "Tiny.safetensors").write_bytes(b"old")
    (here / "Tiny.onnx").write_bytes(b"old")
    before = names(here)
    done = run(sys.executable, "-B", "-c", LIMITED, *arguments, cwd=here)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error[N412]: Tiny." in done.stderr
    assert names(here) == before
    assert (here / "Tiny.safetensors").read_bytes() == (here / "Tiny.onnx").read_bytes() == b"old"


# --- signals and pipes


def test_ctrl_c_ends_training_with_130_and_the_old_file_stays(here: Path, pictures: Path) -> None:
    (here / "Tiny.safetensors").write_bytes(b"old")
    before = names(here)
    command = [*NETC, "train", "tiny.cnn", "--data", "folder:pictures", "--epochs", "1000000"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=here, env=environment(), **pipes) as training:
        assert training.stderr is not None
        assert any(line.startswith("epoch 1:") for line in training.stderr)
        training.send_signal(signal.SIGINT)
        out, err = training.communicate()
    assert (training.returncode, out) == (130, "")
    assert all(line.startswith("epoch ") for line in err.splitlines())
    assert names(here) == before
    assert (here / "Tiny.safetensors").read_bytes() == b"old"


# In a process of its own: where a signal goes astray it does not end the tests.
SIGNALLED = """
import signal, sys
from netc import api
from netc.backends import build

def interrupted(*_, **__):
    signal.raise_signal(int(sys.argv[1]))

build.measure = interrupted  # when the file is written, and not yet verified
if sys.argv[2] == "check":
    api.check_text = interrupted
from netc.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [["check", "tiny.cnn"], ["build", "tiny.cnn", "--init", "0"]])
def test_a_signal_ends_every_command_with_its_code_and_leaves_nothing(
    here: Path, number: signal.Signals, code: int, arguments: list[str]
) -> None:
    before = names(here)
    done = run(sys.executable, "-B", "-c", SIGNALLED, str(int(number)), *arguments, cwd=here)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert names(here) == before


def test_what_a_call_sets_in_its_process_is_given_back(run_netc: Netc, here: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert gc.isenabled()
    assert run_netc("check", "tiny.cnn") == 0
    assert run_netc("check", "wrong.cnn") == 1
    assert signal.getsignal(signal.SIGTERM) is before
    assert gc.isenabled()


def bash(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A script whose `netc` is ours; it prints netc's exit code last."""
    return run("bash", "-c", f'netc() {{ "{sys.executable}" -m netc "$@"; }}; {script}', cwd=cwd)


@pytest.mark.parametrize("arguments", ["check wrong.cnn", "check tiny.cnn --json", "predict --help"])
def test_nobody_reads_the_output(here: Path, arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [*NETC, *arguments.split()], cwd=here, env=environment(), stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", ["check wrong.cnn", "check tiny.cnn --json"])
def test_standard_output_is_closed_or_full(here: Path, arguments: str) -> None:
    done = bash(f"netc {arguments} >&-; echo $?", here)
    assert (done.stdout, done.stderr) == ("3\n", "error: standard output is closed\n")
    if Path("/dev/full").exists():
        done = bash(f"netc {arguments} > /dev/full; echo $?", here)
        assert (done.stdout, done.stderr) == (
            "3\n",
            "error: standard output cannot be written: no space left on device\n",
        )


def test_nobody_listens_to_standard_error(here: Path) -> None:
    assert bash("netc build wrong.cnn --init 0 2>&-; echo $?", here).stdout == "1\n"
    if Path("/dev/full").exists():
        assert bash("netc build wrong.cnn --init 0 2>/dev/full; echo $?", here).stdout == "1\n"


def test_a_terminal_of_another_encoding_is_told_all_the_same(here: Path) -> None:
    (here / "wrong.cnn").write_text(WRONG.replace("rlu", "rlü"), encoding="utf-8")
    done = process("check", "wrong.cnn", cwd=here, PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "rl\\xfc" in done.stdout


# --- terminals


def on_terminal(*arguments: str, cwd: Path, **changes: str) -> tuple[int, str]:
    """`netc ...` with a terminal for all three streams: its exit code and what the terminal got."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    env = environment(**{"TERM": "xterm-256color", "COLUMNS": "200", **changes})
    with subprocess.Popen([*NETC, *arguments], cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave) as done:
        os.close(slave)
        got = b""
        while chunk := _read(master):
            got += chunk
    os.close(master)
    return done.returncode, got.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says EIO when the last process has gone
        return b""


def test_a_terminal_gets_colours_and_nobody_who_refuses_them(here: Path) -> None:
    code, colours = on_terminal("check", "wrong.cnn", cwd=here)
    assert code == 1
    assert colours.startswith("\x1b[1;31merror[N203]\x1b[0m: a 33x33 kernel does not fit in an 8x8 image with pad 0\n")
    assert "\x1b[34m  --> wrong.cnn:4:31\x1b[0m\n" in colours
    for changes in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, plain = on_terminal("check", "wrong.cnn", cwd=here, **changes)
        assert code == 1
        assert plain.startswith("error[N203]: a 33x33 kernel")
        assert "\x1b" not in plain
    code, again = on_terminal("check", "wrong.cnn", cwd=here, NO_COLOR="")  # empty is as if it were not set
    assert (code, again) == (1, colours)


def test_a_strangers_text_sends_no_escapes_even_among_colours(here: Path) -> None:
    (here / "evil.cnn").write_text(WRONG.replace("rlu", "rlu\x1b]0;owned\x07") + "# \x1b[2J\n")
    code, got = on_terminal("check", "evil.cnn", cwd=here)
    assert code == 1
    assert "\x1b]" not in got
    assert "\x07" not in got
    assert "\x1b[2J" not in got


def test_training_shows_a_bar_on_a_terminal_and_leaves_a_line_an_epoch(
    run_netc: Netc, here: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: _read(master), b"")))
    reader.start()
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(slave, "w", encoding="utf-8") as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        code = run_netc("train", "tiny.cnn", "--data", "folder:pictures", "--epochs", "2")
    reader.join()
    os.close(master)
    shown = b"".join(got).decode()
    assert code == 0, shown
    for words in ("epoch 2/2", "images/s", "epoch 1: loss ", "epoch 2: loss "):
        assert words in shown
    assert run_netc.out.endswith("weights: Tiny.safetensors\n")
