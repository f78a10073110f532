"""The pages that show what netc prints are made anew and compared: no message changes without them."""

import re
import runpy
import subprocess
import sys
import traceback
import warnings

import pytest

from docs import make_errors, peers
from netc import api, errors
from netc.diagnostic import Source

MAKE = "run `make docs`"


def test_the_errors_page_is_what_netc_prints_today() -> None:
    assert make_errors.PAGE.read_text(encoding="utf-8") == make_errors.page(), MAKE


def test_every_wrong_spec_is_on_the_page() -> None:
    folder = make_errors.PAGE.parent / "errors"
    assert {path.name for path in folder.iterdir()} == {f"{name}.cnn" for name in make_errors.EXAMPLES} | {"peers"}


@pytest.mark.parametrize("name", [*make_errors.EXAMPLES, *(f"peers/{name}" for name in peers.MISTAKES)])
def test_the_page_shows_what_the_command_prints(name: str) -> None:
    command = [sys.executable, "-m", "netc", "check", f"docs/errors/{name}.cnn"]
    run = subprocess.run(command, check=False, cwd=make_errors.ROOT, capture_output=True, text=True)
    assert run.returncode == (0 if name == "peers/softmax" else 1)
    assert f"$ netc check docs/errors/{name}.cnn\n{run.stdout}```" in make_errors.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("arrow", ["N101"]),
        ("typo", ["N120", "N120"]),
        ("shortcut", ["N301"]),
        ("kernel", ["N203"]),
        ("torch_habits", ["N110"] * 4),
        ("any_size", ["N209"]),
        ("promise", ["N305"]),
        ("several", ["N110", "N120", "N170", "N171", "N180"]),
    ],
)
def test_a_wrong_spec_has_the_mistakes_that_the_page_speaks_of(name: str, codes: list[str]) -> None:
    assert sorted(re.findall(r"^error\[(\w+)\]", make_errors.printed(name), re.MULTILINE)) == codes


# --- the same mistakes elsewhere

OURS = [name for name in peers.MISTAKES if re.match(r"torch|ONNX Runtime", peers.quotes(name)[0].library)]
"""The mistakes whose other library is in this environment."""


def test_twelve_mistakes_are_shown_and_each_has_its_files() -> None:
    assert len(peers.MISTAKES) == 12
    files = {path.name for path in peers.PEERS.iterdir() if path.is_file()}
    assert {file.partition(".")[0] for file in files} == set(peers.MISTAKES)
    for name in peers.MISTAKES:
        assert {f"{name}.cnn", f"{name}.py", f"{name}.txt"} <= files


@pytest.mark.parametrize("name", OURS)
def test_a_librarys_words_are_what_it_says_today(name: str) -> None:
    quote = peers.quotes(name)[0]
    program = str(peers.PEERS / f"{name}.py")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not quote.text:
            runpy.run_path(program)
            return
        with pytest.raises(Exception) as raised:  # noqa: PT011 -- its words are compared
            runpy.run_path(program)
    said = "".join(traceback.format_exception_only(raised.value)).strip()
    assert said == quote.text.splitlines()[-1], "record it anew: python docs/record_peers.py"


def test_the_recorded_torch_is_the_one_that_is_installed() -> None:
    import torch

    recorded = {quote.library for name in OURS for quote in peers.quotes(name) if quote.library.startswith("torch")}
    assert recorded == {f"torch {torch.__version__.partition('+')[0]}"}


def test_a_quote_says_the_version_or_that_it_was_not_run() -> None:
    for name in peers.MISTAKES:
        first, *others = peers.quotes(name)
        assert first.lines is not None
        for other in others:
            assert "quoted from its source" in other.head
            assert "not run" in other.head


@pytest.mark.parametrize("name", peers.MISTAKES)
def test_netc_says_more_in_fewer_lines(name: str) -> None:
    quote, ours = peers.quotes(name)[0], make_errors.printed(f"peers/{name}")
    mistakes = len(re.findall(r"^(?:error|warning)\[\w+\]", ours, re.MULTILINE))
    # The line and column of each mistake, and something to write.
    assert len(re.findall(rf"^  --> docs/errors/peers/{name}\.cnn:\d+:\d+$", ours, re.MULTILINE)) == mistakes
    assert len(re.findall(r"^ *= help: ", ours, re.MULTILINE)) == mistakes
    assert mistakes == (2 if name in ("argument", "unknown") else 1)
    if quote.lines:
        assert len(ours.splitlines()) / mistakes < quote.lines


# What the help of each says, done: the text to replace, and by what.
FIXES = {
    "concat": (
        "left: conv(32, k=3, pad=1)\n      | right: conv(32, k=3, stride=2, pad=1) -> relu\n    }\n    => map",
        "left: conv(32, k=3, pad=1) -> maxpool(k=2)\n      | right: conv(32, k=3, stride=2, pad=1) -> relu\n    }\n"
        "    -> upconv(64, k=2, stride=2) => map",  # the output's declared size
    ),
    "residual": (
        "  skip {\n    conv1: conv(c, k=3, pad=1) -> relu -> conv2: conv(c, k=3, pad=1)\n  }",
        "  skip {\n    | conv1: conv(c, k=3, pad=1) -> relu -> conv2: conv(c, k=3, pad=1)\n"
        "    | if in.c != c { conv(c, k=1) }\n  }",
    ),
    "kernel": ("conv(384, k=3)", "conv(384, k=3, pad=1)"),
    "features": ("fc(16 * 5 * 5, 120)", "fc(120)"),
    "argument": (
        "strid=2) -> relu\n    -> conv2: conv(64, k=3, paddng=1)",
        "stride=2) -> relu\n    -> conv2: conv(64, k=3)",
    ),
    "unknown": (
        "basik(128) * 3\n    -> pool: maxpol(k=5, stride=1, pad=2)",
        "basic(128) * 3\n    -> pool: maxpool(k=5, stride=1, pad=2)",
    ),
    "groups": ("groups=36", "groups=32"),
    "norm": ("bn(128)", "bn"),
    "softmax": (" -> softmax", ""),
    "lrn": ("lrn(4, k=2)", "lrn(5, k=2)"),
    "twice": ("conv2: conv(64, k=3)\n    -> conv1:", "conv2: conv(64, k=3)\n    -> conv3:"),
}


@pytest.mark.parametrize("name", FIXES)
def test_what_the_help_says_to_write_is_all_that_was_wrong(name: str) -> None:
    path = peers.PEERS / f"{name}.cnn"
    text = path.read_text(encoding="utf-8")
    wrong, right = FIXES[name]
    assert wrong in text
    checked = api.check_text(Source(path.name, text.replace(wrong, right)), path)
    assert [d for d in checked.diagnostics if d.severity == "error"] == []
    assert checked.graphs


# --- every code


def test_every_code_is_in_the_index_once_with_its_title() -> None:
    page = make_errors.PAGE.read_text(encoding="utf-8")
    entry = re.compile(r"^- \[([NW]\d{3})\]\(\.\./netc/errors/\1\.md\): \*(.+?)\*\. [A-Z`].*\.$", re.MULTILINE)
    titles = {code: (errors.page(code) or "").partition("\n")[0].partition(": ")[2] for code in errors.codes()}
    assert entry.findall(page) == list(titles.items())
