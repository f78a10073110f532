"""`netc fmt`: the canonical form is written in place, and nothing else of a file changes."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from netc import cli
from netc.diagnostic import Source
from tests.command import Command

LOOSE = """# A card.
net A { input x:f32[N,4]
 output y : f32[N, 2]
 from x->fc(2)=>y }  # the end
"""
TIDY = """language 1

# A card.
net A {
  input  x: f32[N, 4]
  output y: f32[N, 2]
  from x -> fc(2) => y
}  # the end
"""
WRONG = "net A { input x: f32[N, 4]\n  output y: f32[N, 2]\n  from x -> fc(2) = y }\n"
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def netc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loose.cnn").write_text(LOOSE)
    return Command(capsys)


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_file_is_written_in_the_canonical_form_once(netc: Command) -> None:
    assert netc("fmt", "loose.cnn") == 0
    assert (netc.out, netc.err) == ("formatted loose.cnn\n", "1 formatted\n")
    assert Path("loose.cnn").read_text() == TIDY
    written = Path("loose.cnn").stat().st_mtime_ns
    assert netc("fmt", "loose.cnn") == 0
    assert (netc.out, netc.err) == ("", "1 as they should be\n")
    assert Path("loose.cnn").stat().st_mtime_ns == written


def test_check_writes_nothing_and_exits_1_where_something_would_change(netc: Command) -> None:
    assert netc("fmt", "--check", "loose.cnn") == 1
    assert (netc.out, netc.err) == ("would change loose.cnn\n", "1 would change\n")
    assert Path("loose.cnn").read_text() == LOOSE
    Path("loose.cnn").write_text(TIDY)
    assert netc("fmt", "--check", "loose.cnn") == 0


def test_the_diff_is_one_that_patch_takes(netc: Command) -> None:
    assert netc("fmt", "--diff", "loose.cnn") == 0
    assert Path("loose.cnn").read_text() == LOOSE
    subprocess.run(["patch", "-p0", "-s"], input=netc.out, text=True, check=True)
    assert Path("loose.cnn").read_text() == TIDY
    assert netc("fmt", "--diff", "--check", "loose.cnn") == 0
    assert netc.out == ""


def test_line_ends_the_byte_order_mark_and_the_mode_are_kept(netc: Command) -> None:
    data = BOM + LOOSE.replace("\n", "\r\n").encode()
    Path("loose.cnn").write_bytes(data)
    Path("loose.cnn").chmod(0o640)
    assert netc("fmt", "loose.cnn") == 0
    assert Path("loose.cnn").read_bytes() == BOM + TIDY.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(Path("loose.cnn").stat().st_mode) == 0o640
    assert netc("fmt", "--check", "loose.cnn") == 0


def test_lines_that_end_as_on_old_systems_end_as_on_others_then(netc: Command) -> None:
    Path("loose.cnn").write_bytes(LOOSE.replace("\n", "\r").encode())
    assert netc("fmt", "loose.cnn") == 0
    assert Path("loose.cnn").read_bytes() == TIDY.encode()


def test_a_file_that_is_written_to_meanwhile_is_left_alone(netc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(source: Source) -> str:
        Path("loose.cnn").write_text("# somebody else's")
        return TIDY

    monkeypatch.setattr("netc.cli.fmt.formatted", slow)
    assert netc("fmt", "loose.cnn") == 1
    assert "error[N413]" in netc.err
    assert "run netc fmt again" in netc.err
    assert Path("loose.cnn").read_text() == "# somebody else's"


def test_a_wrong_text_stays_as_it_is_and_the_others_are_formatted(netc: Command) -> None:
    Path("wrong.cnn").write_text(WRONG)
    assert netc("fmt", ".") == 1
    assert Path("wrong.cnn").read_text() == WRONG
    assert Path("loose.cnn").read_text() == TIDY
    assert netc.out == "formatted loose.cnn\n"
    assert "error[N1" in netc.err
    assert "wrong.cnn:3" in netc.err
    assert netc.err.endswith("1 formatted, 1 not formatted\n")


def test_standard_input_is_formatted_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    give(monkeypatch, BOM + LOOSE.encode())
    assert cli.main(["fmt", "-"]) == 0
    assert capfdbinary.readouterr().out == BOM + TIDY.encode()
    give(monkeypatch, LOOSE.encode())
    assert cli.main(["fmt", "-", "--check"]) == 1
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"", b"would change <stdin>\n")


def test_a_wrong_text_of_standard_input_comes_back_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    give(monkeypatch, WRONG.encode())
    assert cli.main(["fmt", "-", "--stdin-name", "here.cnn"]) == 1
    captured = capfdbinary.readouterr()
    assert captured.out == WRONG.encode()
    assert b"here.cnn:3" in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "loose.cnn"], "standard input is formatted alone: fmt -"),
        (["loose.cnn:A"], "a whole file is formatted: write loose.cnn"),
        (["loose.cnn", "--stdin-name", "x.cnn"], "--stdin-name names the text of standard input: fmt -"),
    ],
)
def test_what_fmt_does_not_take_is_said(netc: Command, arguments: list[str], said: str) -> None:
    assert netc("fmt", *arguments) == 2
    assert netc.err == f"error: {said}\n"


def test_a_file_that_is_not_there_is_an_error(netc: Command) -> None:
    assert netc("fmt", "nothing.cnn") == 1
    assert "error[N100]" in netc.err
    assert netc("fmt") == 2


@pytest.mark.parametrize("folder", ["specs", "netc/std"])
def test_our_own_texts_are_in_the_canonical_form(netc: Command, root: Path, folder: str) -> None:
    assert netc("fmt", "--check", root / folder) == 0, netc.out
