"""`netc fix`: what is wrong beyond doubt is put right, each edit is checked, and nothing else is touched."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from netc import api, cli, errors
from netc.diagnostic import Edit, Source, Span
from netc.elaborate.edits import meant
from netc.fix import Outcome, fix, fix_with
from netc.ops import kinds
from tests.processes import netc as process

NET = """net A(width = 10) {{
  input image: f32[N, 3, 32, 32]
  output scores: f32[N, width]
  from image -> {chain} -> flatten -> fc(width) => scores
}}
"""


def net(chain: str) -> str:
    return NET.format(chain=chain)


TAIL = "train A { loss.scores = cross_entropy(), optimizer = sgd(lr = 0.1), epochs = 3 }\n"
WHOLE = net("relu") + TAIL

# What is wrong, the code, and what is written in its place.
CERTAIN: dict[str, tuple[str, str, str]] = {
    "torch's argument": (net("conv(8, kernel_size=3)"), "N120", net("conv(8, k=3)")),
    "torch's padding": (net("conv(8, k=3, padding=1)"), "N120", net("conv(8, k=3, pad=1)")),
    "a slip in an argument": (net("conv(8, k=3, strde=2)"), "N120", net("conv(8, k=3, stride=2)")),
    "an argument's capitals": (net("conv(8, K=3)"), "N120", net("conv(8, k=3)")),
    "an argument of a default": (
        net("conv(8, k=3)").replace("  from", "  default conv(use_bias=false)\n  from"),
        "N120",
        net("conv(8, k=3)").replace("  from", "  default conv(bias=false)\n  from"),
    ),
    "an argument of a block": (
        "block unit(width) { conv(width, k=3) }\n" + net("unit(widht=8)"),
        "N120",
        "block unit(width) { conv(width, k=3) }\n" + net("unit(width=8)"),
    ),
    "an argument of a net": (
        net("relu") + "net B = A(widht = 4)\n",
        "N120",
        net("relu") + "net B = A(width = 4)\n",
    ),
    "torch's layer": (net("Conv2d(8, k=3)"), "N110", net("conv(8, k=3)")),
    "torch's call": (net("Conv2d(3, 64, 3)"), "N110", net("conv(64, k=3)")),
    "torch's batch norm": (net("BatchNorm2d"), "N110", net("bn")),
    "a layer's capitals": (net("ReLU"), "N110", net("relu")),
    "a slip in a layer": (net("sotfmax"), "N110", net("softmax")),
    "a default's layer": (
        net("conv(8, k=3)").replace("  from", "  default Conv2d(bias=false)\n  from"),
        "N110",
        net("conv(8, k=3)").replace("  from", "  default conv(bias=false)\n  from"),
    ),
    "a merge": (net("Concat { | relu | tanh }"), "N110", net("concat { | relu | tanh }")),
    "a net": (net("relu") + "net B = a()\n", "N110", net("relu") + "net B = A()\n"),
    "a value": (
        net("trunk: relu").replace("from image", "from iamge"),
        "N111",
        net("trunk: relu"),
    ),
    "Python's False": (net("conv(8, k=3, bias=False)"), "N111", net("conv(8, k=3, bias=false)")),
    "a parameter": (net("conv(widht, k=3)"), "N111", net("conv(width, k=3)")),
    "a number for a truth": (net("conv(8, k=3, bias=0)"), "N122", net("conv(8, k=3, bias=false)")),
    "another number for a truth": (net("conv(8, k=3, bias=1)"), "N122", net("conv(8, k=3, bias=true)")),
    "an output": (net("relu").replace("=> scores", "=> scroes"), "N119", net("relu")),
    "a section's net": (WHOLE.replace("train A", "train a"), "N172", WHOLE),
    "a key's slip": (WHOLE.replace("epochs", "epohcs"), "N170", WHOLE),
    "a key's output": (WHOLE.replace("loss.scores", "loss.scroes"), "N170", WHOLE),
    "an optimizer": (WHOLE.replace("sgd(", "SGD("), "N171", WHOLE),
    "single quotes": (net("'c1': conv(8, k=3)"), "N101", net('"c1": conv(8, k=3)')),
    "curly quotes": (net("\u201cc1\u201d: conv(8, k=3)"), "N101", net('"c1": conv(8, k=3)')),
    "a semicolon": (
        net("relu ").replace(" => scores", ";  # done\n=> scores"),
        "N101",
        net("relu ").replace(" => scores", "  # done\n=> scores"),
    ),
    "three signs of equality": (net("if width === 8 { relu }"), "N101", net("if width == 8 { relu }")),
    "a comma": (net("conv(8 k=3)"), "N101", net("conv(8, k=3)")),
}  # fmt: skip

# Where another meaning is thinkable, a finding has help and no edit.
DOUBTFUL: dict[str, str] = {
    "a pooling of Caffe's may be an average": net("Pooling(k=2)"),
    "torch's Dropout2d drops whole channels": net("Dropout2d"),
    "selu is no slip of relu": net("selu"),
    "rrelu is a layer of torch's": net("rrelu"),
    "one more digit": net("relu7"),
    "conv_b is not conv_a": net("conv_a: conv(8, k=3)").replace("-> flatten", "\n  from conv_b -> flatten"),
    "layer2 is not layer1": net("layer1: conv(8, k=3)").replace("-> flatten", "\n  from layer2 -> flatten"),
    "a stride is no kernel": net("conv(8, s=2)"),
    "a figure that is expected": net("relu").replace("=> scores", "=> scores\n  expect { params = 3 }"),
    "a shape that does not fit": net("conv(8, k=33)"),
    "merged shapes": net("add { | id | conv(8, k=3) }"),
    "a declared shape": net("is [_, 4, 32, 32]"),
    "a quote inside of quotes": net("'c\"1': conv(8, k=3)"),
    "a quote that is not closed": net("'c1: conv(8, k=3)"),
    "a semicolon between stages": net("relu; tanh"),
    "a missing arrow": net("relu tanh"),
    "a truth that is computed": net("conv(8, k=3, bias=width - 8)"),
}


def fixed(text: str) -> Outcome:
    """The outcome for a text that stands for no file."""
    place = Path("example.cnn")

    def check(texts: Any) -> list[api.Checked]:
        source = Source("example.cnn", texts.get(place, text))
        checked = api.check_text(source)
        return [api.Checked(checked.name, checked.diagnostics, checked.graphs, checked.nets, files={place: source})]

    return fix_with(check, [place])


def result(text: str) -> str:
    outcome = fixed(text)
    return next((after for _, after in outcome.changed.values()), text)


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_wrong_beyond_doubt_is_put_right(name: str) -> None:
    before, code, after = CERTAIN[name]
    found = api.check_text(Source("x.cnn", before)).diagnostics
    assert code in {d.code for d in found}
    assert result(before) == after
    assert [d.code for d in found if d.edit is not None] == [code] == [f.finding.code for f in fixed(before).fixed]
    assert api.check_text(Source("x.cnn", after)).diagnostics == ()


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_in_doubt_is_left_to_the_author(name: str) -> None:
    outcome = fixed(DOUBTFUL[name])
    assert not outcome.checked[0].ok
    assert (outcome.changed, outcome.fixed, outcome.refused) == ({}, (), ())


def edits() -> list[Any]:
    """Every finding with an edit, of the bad examples on the pages of the codes."""
    found: list[Any] = []
    for code in errors.codes():
        for text in re.findall(r"^```cnn bad\n(.*?)^```$", errors.page(code) or "", re.MULTILINE | re.DOTALL):
            checked = api.check_text(Source("example.cnn", text))
            found += [pytest.param(text, d.edit, id=f"{code}-{d.span.line}") for d in checked.diagnostics if d.edit]
    return found


@pytest.mark.parametrize(("text", "edit"), edits())
def test_the_edit_of_a_bad_example_makes_it_right(text: str, edit: Edit) -> None:
    (before,) = api.check_text(Source("example.cnn", text)).diagnostics
    after = api.check_text(Source("example.cnn", text[: edit.span.start] + edit.text + text[edit.span.end :]))
    assert (before.code, before.span.start) not in {(d.code, d.span.start) for d in after.diagnostics}
    assert api.check_text(Source("example.cnn", result(text))).ok


@pytest.mark.parametrize(
    ("name", "known", "sure"),
    [
        ("srtide", ["stride", "pad"], "stride"),
        ("strde", ["stride", "strode"], ""),  # either
        ("heda", ["head"], "head"),
        ("heat", ["head"], ""),  # the last letter
        ("conv_ab", ["conv_ba"], ""),
        ("layer12", ["layer21"], ""),
        ("haed", ["head"], "head"),
        ("head1", ["head2"], ""),
        ("hed", ["head"], ""),  # three letters are half of many names
        ("HEAD", ["head", "Head"], ""),
        ("fro", ["from"], ""),  # a word of the language names nothing
        ("body.haed", ["body.head"], "body.head"),
        ("head", ["head", "haed"], ""),  # it is known
    ],
)
def test_one_slip_inside_a_word_is_beyond_doubt(name: str, known: list[str], sure: str) -> None:
    assert meant(name, known) == sure


def test_no_layer_is_taken_for_a_slip_of_another() -> None:
    known = kinds()
    for kind in known:
        assert meant(kind, [each for each in known if each != kind]) == "", kind


# --- several fixes


def test_one_fix_uncovers_the_next() -> None:
    before = net("c1: conv2d(8, kernel_size=3, padding=1, bias=False) -> ReLU -> MaxPool2d(2)")
    outcome = fixed(before)
    assert result(before) == net("c1: conv(8, k=3, pad=1, bias=false) -> relu -> maxpool(k=2)")
    assert {f.finding.code for f in outcome.fixed} >= {"N110"}
    # Places are the author's: `kernel_size` stands where it stood before anything was changed.
    line = before.splitlines()[3]
    places = {f.before: f.place.column for f in outcome.fixed}
    for each in ("ReLU", "padding", "kernel_size", "False"):
        if each in places:
            assert places[each] == line.index(each) + 1


def test_a_list_in_the_wrong_quotes_is_followed_to_its_end() -> None:
    labels = ", ".join(f"'{c}'" for c in "abcdefghij")
    before = net("relu").replace("f32[N, width]", f"f32[N, width] {{ labels = [{labels}] }}")
    assert result(before) == before.replace("'", '"')


def test_an_edit_that_brings_up_an_error_is_not_kept_and_says_which() -> None:
    # Without the slip the net is read to its end, and there is what no edit can put right.
    before = net("sotfmax -> conv(8, k=33)")
    outcome = fixed(before)
    assert (outcome.changed, outcome.fixed) == ({}, ())
    ((finding, because),) = outcome.refused
    assert (finding.code, because.code) == ("N110", "N203")


def test_what_stands_beside_a_refused_edit_is_still_fixed() -> None:
    before = net("sotfmax -> conv(8, k=33)") + net("ReLU").replace("net A", "net B")
    assert result(before) == before.replace("ReLU", "relu")
    assert [r.finding.code for r in fixed(before).refused] == ["N110"]


def test_a_renaming_whose_arguments_do_not_fit_is_not_kept() -> None:
    before = net("batch_norm(8, 9, 10, 11)")
    outcome = fixed(before)
    assert outcome.changed == {}
    assert [r.because.code for r in outcome.refused] == ["N123"]


def test_hundreds_of_fixes_in_one_text() -> None:
    before = net(" -> ".join(["ReLU"] * 300))
    outcome = fixed(before)
    assert result(before) == net(" -> ".join(["relu"] * 300))
    assert len(outcome.fixed) == 300


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_wrong_no_error_is_added_and_a_second_fix_finds_nothing(root: Path, seed: int) -> None:
    random = Random(seed)
    text = (root / "specs" / random.choice(["lenet5.cnn", "googlenet.cnn", "unet.cnn"])).read_text(encoding="utf-8")
    for _ in range(random.randrange(1, 6)):
        slip = random.choice(list(re.finditer(r"\w{3,}", text)))
        word, at = slip[0], random.randrange(len(slip[0]) - 1)
        swapped, shorter = word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :]
        text = text[: slip.start()] + random.choice([swapped, shorter, word.title()]) + text[slip.end() :]
        ours, theirs = random.choice([("k=", "kernel_size="), ("pad=", "padding="), ("relu", "ReLU"), ('"', "'")])
        text = text.replace(ours, theirs, random.randrange(3))
    outcome = fixed(text)
    after = result(text)

    def mistakes(text: str) -> list[tuple[str, int]]:
        return [(d.code, d.span.start) for d in api.check_text(Source("example.cnn", text)).diagnostics]

    assert len(mistakes(after)) <= len(mistakes(text))
    assert mistakes(after) == [(d.code, d.span.start) for d in outcome.checked[0].diagnostics]
    assert fixed(after).changed == {}
    # Each place is the author's: what was replaced stands there in his text.
    for each in outcome.fixed:
        assert text.startswith(each.before, each.place.start)


def test_a_right_text_is_left_as_it_is() -> None:
    outcome = fixed(net("relu"))
    assert (outcome.changed, outcome.fixed, outcome.refused) == ({}, (), ())
    assert outcome.checked[0].ok


# --- files

BLOCKS = "block unit(c) { conv(c, kernel_size=3) }\n"
USER = 'use "blocks.cnn" (unti)\n' + net("ReLU -> unit(8)")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(["fix", *arguments])


def test_a_file_is_written_and_what_was_done_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.cnn").write_text(net("ReLU -> conv(8, kernel_size=3)"))
    assert run("a.cnn") == 0
    assert (here / "a.cnn").read_text() == net("relu -> conv(8, k=3)")
    assert capsys.readouterr().out == (
        "fixed N110 a.cnn:4:17: `ReLU` -> `relu`\n"
        "fixed N120 a.cnn:4:33: `kernel_size` -> `k`\n"
        "\n"
        "2 fixed, nothing left\n"
    )
    assert run("a.cnn") == 0
    assert capsys.readouterr().out == "0 fixed, nothing left\n"


def test_what_is_left_is_shown_and_gives_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.cnn").write_text(net("conv(8, kernel_size=33)"))
    assert run("a.cnn") == 1
    out = capsys.readouterr().out
    assert out.startswith("error[N120]: `conv` takes no `kernel_size`\n  --> a.cnn:4:25\n")
    assert out.endswith(
        "left N120 a.cnn:4:25: `k` would bring up N203, a 33x33 kernel does not fit in a 32x32 image with pad 0\n"
        "0 fixed, 1 error left\n"
    )


def test_a_used_file_is_written_only_where_it_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = USER.replace("unti", "unit")
    for named, blocks in ((["a.cnn"], BLOCKS), (["a.cnn", "blocks.cnn"], BLOCKS.replace("kernel_size", "k"))):
        (here / "a.cnn").write_text(user)
        (here / "blocks.cnn").write_text(BLOCKS)
        assert run(*named) == int(len(named) == 1)
        assert (here / "a.cnn").read_text() == user.replace("ReLU", "relu")
        assert (here / "blocks.cnn").read_text() == blocks
    capsys.readouterr()
    (here / "blocks.cnn").write_text(BLOCKS)
    assert run(".") == 0
    assert (here / "blocks.cnn").read_text() == BLOCKS.replace("kernel_size", "k")


def test_a_name_that_a_used_file_defines(here: Path) -> None:
    (here / "a.cnn").write_text(USER)
    (here / "blocks.cnn").write_text(BLOCKS.replace("kernel_size", "k"))
    assert run("a.cnn") == 0
    assert (here / "a.cnn").read_text() == USER.replace("unti", "unit").replace("ReLU", "relu")


def test_ends_of_lines_the_byte_order_mark_and_the_mode_are_kept(here: Path) -> None:
    text = net("ReLU").replace("\n", "\r\n").rstrip()
    path = here / "a.cnn"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    path.chmod(0o640)
    (here / "link.cnn").symlink_to("a.cnn")
    assert run("link.cnn") == 0
    assert path.read_bytes() == b"\xef\xbb\xbf" + text.replace("ReLU", "relu").encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert (here / "link.cnn").is_symlink()
    assert sorted(p.name for p in here.iterdir()) == ["a.cnn", "link.cnn"]


@pytest.mark.parametrize("options", [["--diff"], ["--check"], ["--diff", "--check"], ["--check", "--json"]])
def test_nothing_is_written_where_only_a_look_is_wanted(here: Path, options: list[str]) -> None:
    (here / "a.cnn").write_text(net("ReLU"))
    assert run("a.cnn", *options) == int("--check" in options)
    assert (here / "a.cnn").read_text() == net("ReLU")
    (here / "a.cnn").write_text(net("relu"))
    assert run("a.cnn", *options) == 0


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_the_diff_is_one_that_patch_takes(here: Path, capfdbinary: pytest.CaptureFixture[bytes], end: str) -> None:
    text = net("ReLU\n    -> tanh").rstrip() + "  # \u00e9\u2028 here" + end
    text = text.replace("\n", "\r\n") if end == "\r\n" and "\r" not in text else text
    (here / "a.cnn").write_bytes(text.encode())
    assert run("a.cnn", "--diff") == 0
    diff = capfdbinary.readouterr().out
    assert diff.startswith(b"--- a.cnn\n+++ a.cnn\n@@ -1,6 +1,6 @@\n")
    subprocess.run(["git", "apply", "-p0"], input=diff, check=True, cwd=here, env={**os.environ, "GIT_DIR": "none"})
    assert (here / "a.cnn").read_bytes() == text.replace("ReLU", "relu").encode()


def test_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.cnn").write_text(net("ReLU"))
    (here / "b.cnn").write_text(net("conv(8, kernel_size=33)"))
    assert run("a.cnn", "b.cnn", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["ok"], found["written"], found["changed"]) == (1, False, True, ["a.cnn"])
    assert found["fixed"] == [
        {
            "code": "N110",
            "message": "no layer or block is called `ReLU`",
            "file": "a.cnn",
            "line": 4,
            "column": 17,
            "before": "ReLU",
            "after": "relu",
        }
    ]
    (refused,) = found["refused"]
    assert (refused["code"], refused["edit"]["text"], refused["because"]["code"]) == ("N120", "k", "N203")
    assert [(f["file"], f["ok"]) for f in found["files"]] == [("a.cnn", True), ("b.cnn", False)]


def test_standard_input_is_fixed_to_standard_output(here: Path) -> None:
    def piped(data: bytes, *options: str) -> tuple[int, bytes, str]:
        command = [sys.executable, "-m", "netc", "fix", "-", *options]
        done = subprocess.run(command, input=data, capture_output=True, check=False, cwd=here)
        return done.returncode, done.stdout, done.stderr.decode()

    text = net("ReLU").replace("\n", "\r\n").encode()
    code, out, err = piped(b"\xef\xbb\xbf" + text)
    assert (code, out) == (0, b"\xef\xbb\xbf" + text.replace(b"ReLU", b"relu"))
    assert "fixed N110 <stdin>:4:17: `ReLU` -> `relu`\n" in err
    code, out, err = piped(USER.encode(), "--stdin-name", "a.cnn")
    assert (code, out) == (1, USER.encode())  # who knows what a file that is not there defines
    assert "error[N150]" in err
    (here / "blocks.cnn").write_text(BLOCKS.replace("kernel_size", "k"))
    code, out, _ = piped(USER.encode(), "--stdin-name", "a.cnn")
    assert (code, out) == (0, USER.replace("unti", "unit").replace("ReLU", "relu").encode())
    code, out, _ = piped(b"\0\1\2", "--stdin-name", "a.cnn")
    assert (code, out) == (1, b"\0\1\2")  # as it came
    code, out, _ = piped(text, "--check")
    assert (code, out) == (1, b"")
    code, out, _ = piped(text, "--diff")
    assert code == 0
    assert out.startswith(b"--- <stdin>\n+++ <stdin>\n")
    assert [p.name for p in here.iterdir()] == ["blocks.cnn"]


def test_a_file_that_changed_while_it_was_checked_is_left(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "a.cnn"
    path.write_text(net("ReLU"))

    def meanwhile(*arguments: Any, **options: Any) -> Outcome:
        outcome = fix(*arguments, **options)
        path.write_text("# mine\n" + net("ReLU"))
        return outcome

    monkeypatch.setattr("netc.cli.fix.fix", meanwhile)
    assert run("a.cnn") == 1
    assert "a.cnn was changed while it was checked" in capsys.readouterr().err
    assert path.read_text() == "# mine\n" + net("ReLU")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.cnn:A"], "a whole file is fixed: write a.cnn"),
        (["-", "a.cnn"], "standard input is fixed alone"),
        (["-", "--json"], "the fixed text is the result"),
        (["a.cnn", "--diff", "--json"], "--diff and --format json exclude each other"),
        (["a.cnn", "--stdin-name", "b.cnn"], "--stdin-name names the text of standard input"),
        (["a.cnn", "--format", "sarif"], "'sarif' is not one of"),
        (["."], ". holds no .cnn file"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_call_ends_with_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    if arguments != ["."]:
        (here / "a.cnn").write_text(net("ReLU"))
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err
    if arguments != ["."]:
        assert (here / "a.cnn").read_text() == net("ReLU")


def test_a_file_that_is_not_there_or_may_not_be_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere.cnn") == 1
    assert "error[N100]" in capsys.readouterr().out


def test_a_strangers_characters_do_not_reach_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "\x1b[31ma.cnn").write_text(net("ReLU -> conv(8, k='\x1b[2J')"))
    assert run(".") == 1
    captured = capsys.readouterr()
    assert all(line.isprintable() for line in (captured.out + captured.err).split("\n"))


def test_fix_needs_no_back_end(here: Path) -> None:
    (here / "a.cnn").write_text(net("ReLU"))
    done = process("fix", "a.cnn", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_edits_place_is_the_text_that_it_replaces() -> None:
    source = Source("x.cnn", net("ReLU"))
    (found,) = api.check_text(source).diagnostics
    assert found.edit == Edit(Span(source, found.span.start, found.span.end), "relu")
