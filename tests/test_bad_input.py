"""Texts that nobody meant as a spec, or meant as an attack: one clear finding each, in bounded time and memory."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netc import api
from netc.diagnostic import Diagnostics, Source
from netc.elaborate import elaborate
from netc.elaborate.budget import Limits
from netc.syntax.parse import decode
from netc.syntax.tree import DEEPEST
from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("bad_input")

MEMORY_BYTES = 2 << 30
SMALL = {"nodes": 20_000, "steps": 400_000}
FEW = {"nodes": 20_000, "steps": 20_000}
"""Limits for the texts that run into one: what they do then is the same, and sooner."""


@dataclass(frozen=True)
class Case:
    text: str
    code: str | None
    at: str = ""
    """What the finding points at: the text from there on starts so."""
    says: str = ""
    limits: dict[str, int] | None = None


def net(chain: str, head: str = "", body: str = "") -> str:
    """A net around stages; `head` stands before it and `body` before its chain."""
    ports = "input image: f32[N, 3, 32, 32]\noutput y: f32[N, 8]\n"
    return f"{head}\nnet A {{\n{ports}{body}\nfrom image -> {chain} -> gap -> flatten -> fc(8) => y\n}}\n"


def symbolic(chain: str, require: str = "") -> str:
    """A net whose height and width are symbols."""
    ports = "input image: f32[N, 3, H, W]\noutput y: f32[N, 3, PH, PW]\n"
    return f"net A {{\n{ports}{require}\nfrom image -> {chain} => y\n}}\n"


def doubling(first: str, again: str, levels: int = 30) -> str:
    """Blocks `b0` to `b29`, each made of two of the one before, which `again` calls `P`."""
    rest = (again.replace("P", f"b{i - 1}") for i in range(1, levels))
    return "\n".join(f"block b{i}() {{ {body} }}" for i, body in enumerate((first, *rest)))


def lets(first: str, again: str, count: int) -> str:
    """Lets `a0` to `aN`, each made from the one before, which `again` calls `P`."""
    rest = (f"let a{i} = {again.replace('P', f'a{i - 1}')}" for i in range(1, count + 1))
    return "\n".join((f"let a0 = {first}", *rest))


def calls(depth: int, body: str = "P") -> str:
    """Blocks that each hold the next, `body` around the call of it, which is `P`."""
    blocks = (f"block b{i}() {{ {body.replace('P', f'b{i + 1}')} }}" for i in range(depth))
    return "\n".join((*blocks, f"block b{depth}() {{ relu }}"))


NINES = "9" * 100_000
WIDE = "f32[N, 3, 32, 32]"
ONE_RELU = "net A(c = 8) { input x: f32[N, 8] output y: f32[N, 8] from x -> relu => y }\n"

CASES: dict[str, Case] = {
    # --- nothing, or no text
    "empty": Case("", "N102", says="is empty"),
    "blank": Case(" \n\t\n", "N102", says="is empty"),
    "only comments": Case("# a\n# b\n", "N102", says="only comments"),
    "only a header": Case("language 1\n", "N102", says="no block and no net"),
    "a NUL": Case("net A { \0 }", "N101", "\0"),
    "half a surrogate pair": Case("net A { \ud800 }", "N101", "\ud800"),
    "a second byte order mark": Case("\ufeff" + ONE_RELU, "N101", "\ufeff"),
    "a direction mark": Case(net("\u202e relu"), "N101", "\u202e"),
    "backslashes": Case("\\" * 10_000, "N101", "\\"),
    "bars": Case("|" * 10_000, "N101", "|"),
    "a text without end": Case(net('"abc: relu'), "N101", '"abc'),
    # --- nesting
    "10,000 braces": Case(net("{" * 10_000 + "relu" + "}" * 10_000), "N105", "{", "deeper than 200"),
    "10,000 open braces": Case("{" * 10_000, "N105", "{"),
    "10,000 parentheses": Case(net("conv(" + "(" * 10_000 + "1" + ")" * 10_000 + ", k=1)"), "N105", "("),
    "10,000 brackets": Case(net("conv(1, k=" + "[" * 10_000 + "1" + "]" * 10_000 + ")"), "N105", "["),
    "10,000 indices": Case(net("relu", "let x = a" + "[0]" * 10_000), "N105", "a[0]"),
    "10,000 nots": Case(net(f"if {'not ' * 10_000}true {{ relu }}"), "N105", "not ", "deeper than 200"),
    "10,000 minus signs": Case(net(f"conv({'- ' * 10_000}1, k=1)"), "N105", "- -"),
    "10,000 choices": Case(net("relu", "let x = " + "1 if true else " * 10_000 + "1"), "N105", "1 if true"),
    "10,000 ands": Case(net("relu", "let x = " + "true and " * 10_000 + "true"), "N105", "true and"),
    "a path of 10,000 parts": Case(net("relu", body="from " + "a." * 10_000 + "b -> relu"), "N105", "a", "200 deep"),
    "10,000 required facts": Case(symbolic("relu", f'require {"H > 2 and " * 10_000}H > 2, "why"'), "N105", "H > 2"),
    "a required sum of 10,000 terms": Case(
        symbolic("relu", f'require H + W{" + 1" * 10_000} == 20_000, "why"'), "N105", "H + W", "64 deep"
    ),
    "300 blocks inside each other": Case(net("b0", calls(300)), "N162", "b200", "deeper than 200"),
    "190 blocks of 90 braces": Case(net("b0", calls(190, "{" * 90 + " P " + "}" * 90)), "N162", "A {"),
    "190 blocks of 90 ifs": Case(net("b0", calls(190, "if true { " * 90 + " P " + " }" * 90)), "N162", "A {"),
    "lists in lists": Case(net("relu", lets("[1]", "[P]", 3000)), "N130", "[a199]", "deeper than 200"),
    "blocks in arguments of blocks": Case(
        net("relu", "block b(x) { x }\n" + lets("relu", "b(P)", 3000)), "N130", "b(a199)", "deeper than 200"
    ),
    "2,000 variants of variants": Case(
        ONE_RELU + "\n".join(["net V0 = A()", *(f"net V{i} = V{i - 1}()" for i in range(1, 2000))]),
        "N162",
        f"V{DEEPEST - 1} =",
        "deeper than 200",
    ),
    "a required sum that symbols decide": Case(symbolic("relu", 'require H - H > 3, "why"'), "N135", "H - H"),
    # --- numbers
    "10^9 repeats": Case(net("relu * 1000000000"), "N161", "* 1000000000", "1,000,000,000 repeats"),
    "10^9 turns": Case(net("relu for i in 1000000000"), "N161", "1000000000", "1,000,000,000 turns"),
    "repeats of repeats": Case(net("{ { { relu * 1000 } * 1000 } * 1000 }"), "N161", "* 1000"),
    "a negative repeat": Case(net("relu * (1 - 2)"), "N130", "* (1", "-1 repeats"),
    "10^12 channels": Case(net("conv(1000000000000, k=1)"), "N205", "1000000000000", "2147483647"),
    "10^12 units": Case(net("gap -> flatten -> hidden: fc(1000000000000) -> relu"), "N205", "1000000000000"),
    "more features than any index counts": Case(
        net("conv(2147483647, k=1) -> flatten -> relu"), "N205", "flatten", "2147483647"
    ),
    "a kernel of 10^12": Case(net("conv(1, k=1000000000000)"), "N205", "1000000000000"),
    "a kernel of 2^31 - 1": Case(net("conv(1, k=2147483647)"), "N203", "2147483647", "does not fit"),
    "a stride of 10^12": Case(net("conv(1, k=1, stride=1000000000000)"), "N205", "1000000000000"),
    "a pad of 10^12": Case(net("conv(1, k=1, pad=1000000000000)"), "N205", "1000000000000"),
    "a pad of 2^31 - 1": Case(net("conv(1, k=1, pad=2147483647)"), "N205", "2147483647"),
    "an input side of 10^12": Case(net("relu").replace("32, 32", "32, 1000000000000"), "N205", "1000000000000"),
    "a number of 100,000 digits": Case(net(f"conv({NINES}, k=1)"), "N107", "999", "digits"),
    "a fraction of 100,000 digits": Case(net(f"dropout(0.{NINES})"), "N107", "0.99", "digits"),
    "sides of 100,000 digits": Case(net(f"conv(8, k={NINES}x3)"), "N107", "999", "digits"),
    "a version of 100,000 digits": Case(f"language {NINES}\n{ONE_RELU}", "N107", "999", "digits"),
    "a float past every float": Case(net("dropout(1e999999)"), "N107", "1e999999"),
    "a product past every integer": Case(net(f"conv({'*'.join(['99999999999'] * 500)}, k=1)"), "N107", "99999999999*"),
    "a product past every float": Case(net(f"dropout({'*'.join(['1e300'] * 500)})"), "N107", "1e300*1e300"),
    "a whole number of a huge float": Case(net("relu * int(1e200)"), "N107", "int(1e200)"),
    "ten to the 3000th by lets": Case(net("relu", lets("1", "P * 10", 3000)), "N107", "a18 * 10", "too large"),
    # --- texts and names
    "a text times 10^9": Case(net("relu", 'let x = "aaa" * 1000000000'), "N130", '"aaa" *'),
    "a list times 10^9": Case(net("relu", "let x = [1] * 1000000000"), "N130", "[1] *"),
    "a label of 10^6 letters": Case(net("a" * 1_000_000 + ": conv(8, k=1)"), "N107", "aaa", "1,000,000 letters"),
    "a path of 10^6 letters": Case(net(f'"{"a" * 1_000_000}": conv(8, k=1)'), "N112", '"aaa', "1,000,000 characters"),
    "a path of 10^5 parts": Case(net(f'"{".".join("a" * 100_000)}": conv(8, k=1)'), "N112", '"a.a', "at most 500"),
    "10^5 expressions in a label": Case(net(f'"{"{1}" * 100_000}": conv(8, k=1)'), "N112", '"{1}', "at most 500"),
    "a deep expression in a label": Case(net(f'"a{{{"-" * 300}1}}": conv(8, k=1)'), "N101", '"a{--', "cannot be read"),
    "long labels, deeply nested": Case(net("b0", calls(150, f"{'a' * 199}: P")), "N112", "b3", "602 characters"),
    "long paths of layers": Case(
        net("b0", calls(4, f"{'a' * 123}: P").replace("{ relu }", "{ conv(3, k=1) }")), "N112", "conv", "503 characters"
    ),
    "20,000 sides to check": Case(net("is [" + "_, " * 20_000 + "_]"), "N304", "is [_"),
    "20,000 sides of an input": Case(net("relu").replace("3, 32", "3, " * 20_000 + "32", 1), "N180", "f32[N", "2 to 5"),
    # --- multiplication
    "30 doublings": Case(net("b29", doubling("relu", "P -> P")), "N160", "b", "grows past 1,000,000"),
    "30 doublings of weights": Case(net("b29", doubling("conv(3, k=1)", "a: P -> b: P")), "N160", "b"),
    "30 doublings by splicing": Case(net("_: b29", doubling("conv(3, k=1)", "x: P -> y: P")), "N160", "b"),
    "30 doublings in groups": Case(net("b29", doubling("relu", "{ { P } -> { P } }")), "N160", "b"),
    "30 doublings in arms": Case(net("b29", doubling("relu", "add { | P | P }")), "N160", "b"),
    "30 doublings of nothing": Case(net("b29", doubling("if false { relu }", "P -> P")), "N160", "b"),
    "30 doublings of values": Case(
        net("b29 -> add", doubling("{ | id | id }", "{ | P | P }")), "N160", "b", limits=SMALL
    ),
    "30 doublings of values of nothing": Case(
        net("b29 -> add", doubling("{ | if false { relu } | if false { relu } }", "{ | P | P }")), "N160", "b"
    ),
    "30 doublings of a list": Case(net("relu", lets("[1, 1]", "[P, P]", 30)), "N130", "[a14, a14]", "100,000 items"),
    "30 doublings of an argument": Case(
        net("relu", "block b(x, y) { x -> y }\n" + lets("relu", "b(P, P)", 30)), "N130", "b(a15, a15)", "100,000 items"
    ),
    "60 groups, each twice": Case(net("{ " * 60 + "relu" + " } * 2" * 60), "N161", "* 2", "repeats inside repeats"),
    "60 labelled groups, each twice": Case(net("a: { " * 60 + "relu" + " } * 2" * 60), "N161", "* 2"),
    "60 forks, each twice": Case(net("add { | id | " * 60 + "relu" + " } * 2" * 60), "N161", "* 2"),
    "200 variants of a net at the limit": Case(
        ONE_RELU.replace("relu", "{ relu * 1000 } * 20") + "\n".join(f"net V{i} = A()" for i in range(200)),
        "N160",
        "V0 =",
        "together",
        limits=SMALL,
    ),
    "200 nets that are too large together": Case(
        "\n".join(ONE_RELU.replace("net A", f"net A{i}").replace("relu", "relu * 900") for i in range(200)),
        "N160",
        "A22(",  # 23 times 900 is the first product past 20,000
        "together",
        limits=SMALL,
    ),
    "a million turns of nothing, 300 times": Case(
        net(" -> ".join(["{ if false { relu } } * 20000"] * 300)), "N163", "", "400,000 steps", limits=SMALL
    ),
    "a long sum a million times": Case(
        net("dropout(0 * sum(a)) for i in 10000", f"let a = [{'1, ' * 1000}1]"), "N163", "", "steps", limits=SMALL
    ),
    "thousands of defaults for thousands of layers": Case(
        net(" -> ".join(f"x{i}: conv(3)" for i in range(1000)), "default conv(k=1)\n" * 1000), "N163", "", limits=SMALL
    ),
    "a thousand look-ups from 240 braces": Case(
        net(f'x: relu -> "{".".join("a" * 240)}": {{ {{ from x -> relu }} * 1000 }}'), "N163", "", limits=FEW
    ),
    "a misspelt label in a thousand turns": Case(
        net(" -> ".join(f"x{i}: relu" for i in range(300)) + " -> { from y -> relu } * 1000"), "N111", "y -> relu"
    ),
    "thousands of names around thousands of stages": Case(
        "".join(f"let a{i} = 1\n" for i in range(3000)) + net(" -> ".join(["relu"] * 3000)), "N163", "", limits=FEW
    ),
    # --- symbols
    "1,000 poolings of a symbol": Case(
        symbolic("maxpool(k=2)" + " -> maxpool(k=2)" * 1000), "N214", "maxpool", "too long"
    ),
    "a symbol times a huge number": Case(
        symbolic("relu", 'require H * 4611686018427387904 * 4611686018427387904 > W, "why"'), "N214", "H * 46"
    ),
    "a pooling that no image survives": Case(symbolic("{ maxpool(k=2) } * 40"), "N203", "maxpool(k=2)", "2147483647"),
    "a pooling that no promised image survives": Case(
        symbolic("{ maxpool(k=2) } * 8", 'require H <= 100, "why"'), "N203", "2)", "does not fit"
    ),
    "sizes that contradict each other": Case(
        symbolic("relu", 'require H > 9 and H < 5, "why"'), "N135", "require", "at least 10 and at most 4"
    ),
    # --- rings
    "a block in itself": Case(net("b", "block b() { relu -> c }\nblock c() { b }"), "N140", "b }", "inside itself"),
    "a block in itself as an argument": Case(net("b(b)", "block b(f) { relu -> f(f) }"), "N140", "f(f)"),
    "a block in itself as a default": Case(net("b", "block b(f = b) { f }"), "N140", "f }"),
    "a parameter as its own default": Case(net("b", "block b(f = f) { relu }"), "N111", "f)"),
    "a variant of itself": Case("net A = B()\nnet B = C()\nnet C = B()\n", "N140", "B = C", "B -> C -> B"),
    # --- what is large and in order
    "10,000 else ifs": Case(net("if false { relu }" + " else if false { relu }" * 10_000), None),
    "a sum of 100,000 terms": Case(net("dropout(0 * a)", "let a = " + "1 + " * 100_000 + "1"), None),
    "10,000 labels": Case(net(" -> ".join(f"l{i}: relu" for i in range(10_000))), None),
    "10,000 lets, each of the one before": Case(net("relu", lets("1", "P + 0", 10_000)), None),
    "10,000 arms": Case(net("add {" + " | relu" * 10_000 + "}"), None),
}

DRIVER = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from netc.diagnostic import Diagnostics, Source
from netc.elaborate import elaborate
from netc.elaborate.budget import Limits
for line in sys.stdin:
    name, text, limits = json.loads(line)
    found, raised = Diagnostics(), ""
    try:
        elaborate(Source("x.cnn", text), None, found, limits=Limits(**limits))
    except BaseException as error:
        raised = repr(error)[:200]
    said = [(d.code, d.span.start, d.message, d.help) for d in found.found if d.severity == 'error']
    print(json.dumps([name, raised, said, found.dropped]), flush=True)
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What a check of each case gives, from one process that may not take more than 2 GiB."""
    cases = "".join(json.dumps([name, case.text, case.limits or {}]) + "\n" for name, case in CASES.items())
    python = [sys.executable, "-c", DRIVER, str(MEMORY_BYTES)]
    ran = subprocess.run(python, input=cases, capture_output=True, text=True, cwd=ROOT, check=False)
    found = {name: rest for name, *rest in map(json.loads, ran.stdout.splitlines())}
    missing = [name for name in CASES if name not in found]
    assert not missing, f"the check ended at {missing[0]!r}: {ran.stderr[-500:]}"
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_bad_text_gets_one_clear_finding(name: str, answers: dict[str, Any]) -> None:
    case = CASES[name]
    raised, said, dropped = answers[name]
    assert not raised
    if case.code is None:
        assert said == []
        return
    assert [code for code, *_ in said] == [case.code], said
    assert dropped == 0
    _, start, message, help_ = said[0]
    assert case.text.startswith(case.at, start), case.text[start : start + 40]
    assert case.says in message
    assert len(message) <= 400 and len(help_) <= 400  # noqa: PT018 -- one claim: they fit on a screen


def test_the_limits_are_the_languages() -> None:
    # LANGUAGE, rule 8: 8 MiB a file, 10^6 nodes, depth 200, import depth 16.
    limits = Limits()
    assert (limits.bytes, limits.nodes, limits.depth, limits.imports) == (8 * 2**20, 10**6, 200, 16)


def test_more_than_a_hundred_findings_are_counted_and_then_the_check_ends() -> None:
    found = Diagnostics()
    elaborate(Source("x.cnn", net(" -> ".join(["nosuch"] * 20_000))), None, found)
    assert len(found.found) == 100
    assert 900 <= found.dropped < 1000


# --- files


def codes(path: Path, **options: Any) -> list[str]:
    return [d.code for d in api.check(path, **options).diagnostics if d.severity == "error"]


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "N102", "empty"),
        (b"\x7fELF\x02\x01\x01\x00" + bytes(100), "N103", "NUL byte at offset 7"),
        (b"net A {\xff}", "N103", "0xff at offset 7"),
        ("net Größe".encode("latin-1"), "N103", "0xf6"),
        ("net A".encode("utf-16"), "N103", ""),
        (b"# " + b"x" * (10 << 20), "N104", "larger than the 8,388,608 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(data: bytes, code: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cnn"
    path.write_bytes(data)
    (said,) = api.check(path).diagnostics
    assert said.code == code
    assert says in said.message


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    source = decode("x.cnn", b"\xef\xbb\xbf" + ONE_RELU.encode())
    assert isinstance(source, Source)
    assert source.text == ONE_RELU


def test_lines_that_end_as_on_old_systems_are_lines() -> None:
    source = decode("x.cnn", f"# a comment\r{ONE_RELU}".replace("\n", "\r").encode())
    assert isinstance(source, Source)
    found = Diagnostics()
    assert list(elaborate(source, None, found).graphs) == ["A"]
    assert source.text.startswith("# a comment\n")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    # A pipe without a writer would be waited for, and /dev/zero never ends.
    os.mkfifo(tmp_path / "pipe.cnn")
    (tmp_path / "folder.cnn").mkdir()
    (tmp_path / "ring.cnn").symlink_to(tmp_path / "ring.cnn")
    for name in ("pipe.cnn", "folder.cnn", "ring.cnn", "missing.cnn", "/dev/zero", "x" * 5000 + ".cnn"):
        assert codes(tmp_path / name) == ["N100"], name


def test_imports_of_what_is_no_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cnn")
    (tmp_path / "folder.cnn").mkdir()
    (tmp_path / "ring.cnn").symlink_to(tmp_path / "ring.cnn")
    (tmp_path / "text.txt").write_text("block b() { relu }", "utf-8")
    for name in ("pipe.cnn", "folder.cnn", "ring.cnn", "missing.cnn", "text.txt", "a" * 5000 + ".cnn", "", "\ud800"):
        use = Source("main.cnn", f'use "{name}" (b)\n{ONE_RELU}')
        found = api.check_text(use, tmp_path / "main.cnn").diagnostics
        assert [d.code for d in found] == ["N150"], name
        assert found[0].span.text == f'"{name}"'


def test_no_file_outside_of_the_specs_tree_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.cnn"
    secret.write_text("block b() { relu }", "utf-8")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link.cnn").symlink_to(secret)
    (tree / "folder").symlink_to(tmp_path)
    for name in (
        "../secret.cnn",
        str(secret),
        "link.cnn",
        "folder/secret.cnn",
        "./folder/../secret.cnn",
        "std/../api.py",
    ):
        spec = tree / "main.cnn"
        spec.write_text(f'use "{name}" (b)\n{ONE_RELU.replace("relu", "b")}', "utf-8")
        assert codes(spec) == ["N151"], name
    spec = tree / "main.cnn"
    spec.write_text(f'use "../secret.cnn" (b)\n{ONE_RELU.replace("relu", "b")}', "utf-8")
    assert codes(spec, search=[tmp_path]) == []


def test_labels_outside_of_the_specs_tree_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\n" * 8, "utf-8")
    tree = tmp_path / "tree"
    tree.mkdir()
    spec = tree / "main.cnn"
    for name, code in (("../labels.txt", "N151"), ("/etc/passwd", "N151"), ("labels.txt", "N150")):
        labelled = ONE_RELU.replace("y: f32[N, 8]", f'y: f32[N, 8] {{ labels = file("{name}") }}')
        spec.write_text(labelled, "utf-8")
        assert codes(spec) == [code], name


def test_a_file_that_uses_itself_is_refused_with_the_ring(tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text('use "b.cnn" (b)\nblock a() { relu }', "utf-8")
    (tmp_path / "b.cnn").write_text('use "c.cnn" (c)\nblock b() { relu }', "utf-8")
    (tmp_path / "c.cnn").write_text('use "a.cnn" (a)\nblock c() { relu }', "utf-8")
    (said,) = api.check(tmp_path / "a.cnn").diagnostics
    assert said.code == "N152"
    assert "a.cnn -> b.cnn -> c.cnn -> a.cnn" in said.message
    assert str(said.span) == "c.cnn:1:5"


def test_imports_go_sixteen_files_deep(tmp_path: Path) -> None:
    for i in range(20):
        text = f'use "f{i + 1}.cnn" (b{i + 1})\nblock b{i}() {{ b{i + 1} }}'
        (tmp_path / f"f{i}.cnn").write_text(text if i < 19 else "block b19() { relu }", "utf-8")
    (said,) = api.check(tmp_path / "f0.cnn").diagnostics
    assert said.code == "N154"
    assert str(said.span) == "f16.cnn:1:5"


@pytest.mark.slow
def test_a_net_of_almost_a_million_nodes_stays_within_two_gigabytes() -> None:
    text = ONE_RELU.replace("relu", "{ relu * 1000 } * 900")
    python = [sys.executable, "-c", DRIVER, str(MEMORY_BYTES)]
    line = json.dumps(["large", text, {}]) + "\n"
    ran = subprocess.run(python, input=line, capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(ran.stdout) == ["large", "", [], 0]


def test_the_memory_bound_of_these_tests_holds() -> None:
    # The bound is worth nothing where the platform does not enforce it.
    script = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES},) * 2); bytes({MEMORY_BYTES})"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MemoryError" in ran.stderr
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != MEMORY_BYTES  # and this process is not bound


# --- any text


TIGHT = Limits(nodes=5000, depth=50, steps=50_000)
SPECS = sorted((ROOT / "specs").glob("*.cnn"))
TOKENS = re.compile(r'"[^"\n]*"|\w+|[-=]>|[=!<>]=|//|\S')


def check_quietly(text: str) -> None:
    """Elaborate; what it says is in order: every place lies in the text and every finding has words."""
    found = Diagnostics()
    elaborate(Source("x.cnn", text), ROOT / "specs" / "x.cnn", found, limits=TIGHT)
    for diagnostic in found.found:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(diagnostic.span.source.text) + 1
        assert diagnostic.message


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.characters(codec="utf-16", exclude_categories=[]), max_size=200))
def test_no_text_makes_a_check_raise(text: str) -> None:
    check_quietly(text)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted({w for p in SPECS for w in TOKENS.findall(p.read_text("utf-8"))})), max_size=60))
def test_no_mixture_of_the_languages_words_makes_a_check_raise(words: list[str]) -> None:
    check_quietly(" ".join(words))


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SPECS), st.integers(0, 2**32), st.integers(1, 4))
def test_no_slip_of_the_pen_in_a_spec_makes_a_check_raise(path: Path, seed: int, slips: int) -> None:
    text, chance = path.read_text("utf-8"), random.Random(seed)
    for _ in range(slips):
        tokens = [m.span() for m in TOKENS.finditer(text)]
        (a, b), (c, d) = sorted(chance.sample(tokens, 2))
        how = chance.randrange(4)
        if how == 0:
            text = text[:a] + text[b:]
        elif how == 1:
            text = f"{text[:b]} {text[a:b]}{text[b:]}"
        elif how == 2:
            text = text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
        else:
            text = text[:a] + text[c:d] + text[b:]
    check_quietly(text)
