"""The pages of `netc explain`: one for each code that netc raises, and every example on them does what it says."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from netc import api, errors
from netc.api import Checked
from netc.cli.app import app
from netc.diagnostic import Source
from netc.elaborate.budget import Limits
from netc.syntax.parse import LARGEST_FILE
from tests.conftest import ROOT

MARK = "# <- here"
FENCE = re.compile(r"^```([a-z ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RAISED = re.compile(r'"([NW]\d{3})"')
SPEC = re.compile(r"N[123]\d\d|W\d\d\d")
"""Codes about a spec's text, whose pages show the mistake."""

UNIT = "block unit(c) { conv(c, k=3, pad=1) -> relu }\n"
NET = "net Tiny { input image: f32[N, 3, 8, 8] output map: f32[N, 3, 8, 8] from image -> unit(3) => map }\n"


@dataclass(frozen=True)
class Elsewhere:
    """A mistake that a page cannot show as a text of its own: the files that make it, and where it is found."""

    why: str
    files: dict[str, str | bytes]
    at: str = "x.cnn:1"
    check: str = "x.cnn"
    limits: Limits = field(default_factory=Limits)


ELSEWHERE = {
    "N100": Elsewhere("there is no text", {}),
    "N103": Elsewhere("bytes that are no text", {"x.cnn": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}),
    "N104": Elsewhere("too long for a page", {"x.cnn": "# " + "x" * LARGEST_FILE}),
    "N105": Elsewhere("too deep for a page", {"x.cnn": f"let x = {'(' * 201}1{')' * 201}\n{UNIT}"}),
    "N150": Elsewhere("names a file", {"x.cnn": f'use "blocks.cnn" (unit)\n{NET}', "block.cnn": UNIT}),
    "N151": Elsewhere(
        "names a file",
        {"specs/x.cnn": f'use "../blocks.cnn" (unit)\n{NET}', "blocks.cnn": UNIT},
        check="specs/x.cnn",
    ),
    "N152": Elsewhere(
        "takes two files", {"x.cnn": f'use "y.cnn" (unit)\n{NET}', "y.cnn": f'use "x.cnn" (Tiny)\n{UNIT}'}, at="y.cnn:1"
    ),
    "N154": Elsewhere(
        "takes eighteen files",
        {
            "x.cnn": f'use "f1.cnn" (unit)\n{NET}',
            **{f"f{i}.cnn": f'use "f{i + 1}.cnn" (unit)\n' for i in range(1, 17)},
            "f17.cnn": UNIT,
        },
        at="f16.cnn:1",
    ),
    "N162": Elsewhere(
        "takes two hundred blocks",
        {"x.cnn": "".join(f"block b{i}() {{ b{i + 1} }}\n" for i in range(201)) + NET.replace("unit(3)", "b0 -> relu")
         + "block b201() { relu }\n"},
        at="x.cnn:200",  # b0 is one level deep, b199 is 200, and calls b200 on line 200
    ),
    "N163": Elsewhere(
        "takes seconds with the limit that users get",
        {"x.cnn": NET.replace("unit(3)", "dropout(0 * sum([1, 2, 3])) for i in 1000")},
        limits=Limits(steps=1000),
    ),
}  # fmt: skip


def examples(kind: str) -> list[Any]:
    return [
        pytest.param(code, text, id=f"{code}-{number}")
        for code in errors.codes()
        for number, (info, text) in enumerate(FENCE.findall(errors.page(code) or ""))
        if info == kind
    ]


def check(text: str) -> Checked:
    return api.check_text(Source("example.cnn", text))


def test_every_code_that_is_raised_has_a_page_and_no_other_has() -> None:
    texts = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "netc").rglob("*.py")))
    assert sorted({code for text in texts for code in RAISED.findall(text)}) == errors.codes()


def test_a_page_says_its_code_a_title_and_sentences() -> None:
    for code in errors.codes():
        first, blank, rest = (errors.page(code) or "").split("\n", 2)
        assert re.fullmatch(rf"# {code}: [a-z`].*[^.]", first), code
        assert blank == "", code
        prose = FENCE.sub("", rest).strip()
        assert 80 <= len(prose) <= 1000, code
        assert prose.endswith("."), code
        assert "```" not in prose, code
        assert max(map(len, rest.splitlines())) <= 100, code


def test_a_page_about_a_specs_text_shows_the_mistake_and_the_way_out() -> None:
    for code in filter(SPEC.fullmatch, errors.codes()):
        shown = {info for info, _ in FENCE.findall(errors.page(code) or "")}
        assert ("cnn bad" in shown) != (code in ELSEWHERE), code
        assert "cnn good" in shown or code in ELSEWHERE, code
    assert set(ELSEWHERE) <= set(errors.codes())


@pytest.mark.parametrize(("code", "text"), examples("cnn bad"))
def test_a_bad_example_gives_its_code_at_the_marked_line(code: str, text: str) -> None:
    (marked,) = (n for n, line in enumerate(text.splitlines(), 1) if line.endswith(MARK))
    assert [(d.code, d.span.line) for d in check(text).diagnostics] == [(code, marked)]


@pytest.mark.parametrize(("code", "text"), examples("cnn good"))
def test_a_good_example_checks_clean(code: str, text: str) -> None:
    checked = check(text)
    assert checked.diagnostics == ()
    assert checked.graphs


@pytest.mark.parametrize("code", ELSEWHERE)
def test_a_mistake_that_no_page_can_show_gives_its_code(code: str, tmp_path: Path) -> None:
    mistake = ELSEWHERE[code]
    for name, text in mistake.files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (found,) = api.check(tmp_path / mistake.check, limits=mistake.limits).diagnostics
    assert found.code == code
    assert f"{Path(found.span.source.name).name}:{found.span.line}" == mistake.at


@pytest.mark.parametrize(("code", "text"), examples("sh"))
def test_a_command_on_a_page_is_one_that_netc_takes(code: str, text: str) -> None:
    netc: Any = typer.main.get_command(app)
    for line in text.splitlines():
        words = shlex.split(line)
        if words[0] == "netc":
            command = netc.commands[words[1]]
            with command.make_context(words[1], words[2:]):  # raises where an option or an argument is not known
                pass
    assert text.endswith("\n")


@pytest.mark.parametrize(("code", "text"), examples("python"))
def test_python_on_a_page_is_python(code: str, text: str) -> None:
    compile(text, f"{code}.md", "exec")


def test_no_path_leads_out_of_the_pages() -> None:
    for name in ("", ".", "../README", "n203.md", "N999", "N" * 5000, "\0"):
        assert errors.page(name) is None
