"""What `netc build -v` says of the passes, and what NETC_DEBUG shows of a command's work: on standard error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Command

SPEC = """\
net Small {
  input  image: f32[N, 3, 8, 8]
  output digit: f32[N, 3] { decode = softmax }
  output aux: f32[N, 3] { only = train }
  from image -> a: conv(4, k=3, pad=1, bias=false) -> bn -> relu -> subsample(2) -> x: dropout
  from x -> b: conv(5, k=3) -> subsample(2) -> flatten -> fc(3) => digit
  from x -> gap -> flatten -> head: fc(3) => aux
}
"""


@pytest.fixture
def netc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETC_DEBUG", raising=False)
    Path("small.cnn").write_text(SPEC)
    return Command(capsys)


BUILD = ("build", "small.cnn", "--init", "0", "-o", "m.onnx", "--no-verify")


def test_verbose_says_what_each_pass_did(netc: Command) -> None:
    assert netc(*BUILD) == 0
    assert netc.err == ""
    assert netc(*BUILD, "-v") == 0
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in netc.err.splitlines()}
    # conv 8 * 8 * 4 * 3 * 9, conv 2 * 2 * 5 * 4 * 9, fc 5 * 3
    macs = 6912 + 720 + 15
    assert said["deploy"].startswith("12 -> 9 nodes 7,")
    assert said["deploy"].endswith("1 fc gone, 1 flatten gone, 1 gap gone, 1 output gone")
    assert said["drop_identities"].endswith("1 dropout gone")
    assert said["merge_shapes"] == "nothing to do"
    # Of 2 * 2 places of the second convolution one is left: 180.
    assert said["fold_strides"] == f"8 -> 7 nodes {macs:,} -> {macs - 540:,} MACs; 1 subsample gone, 1 conv changed"
    assert said["fold_batch_norm"] == f"7 -> 6 nodes {macs - 540:,} MACs; 1 bn gone, 1 conv changed"
    assert netc.out.startswith("m.onnx: ")


def test_macs_that_depend_on_symbols_are_said_to(netc: Command) -> None:
    Path("free.cnn").write_text(
        "net Free {\n  input image: f32[N, 3, H, W]\n  output y: f32[N, 2, 1, 1]\n"
        "  from image -> conv(2, k=1) -> bn -> gap => y\n}\n"
    )
    assert netc("build", "free.cnn", "--init", "0", "-o", "m.onnx", "--no-verify", "-v") == 0
    assert "MACs depend on H" in netc.err


@pytest.mark.parametrize("level", ["1", "2", "3", "4"])
def test_each_level_shows_more(netc: Command, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("NETC_DEBUG", level)
    assert netc(*BUILD) == 0
    stages = [line.split()[0] for line in netc.err.splitlines() if line.endswith(" ms")]
    assert stages[:3] == ["check", "weights", "deploy"]
    assert stages[-2:] == ["lower", "write"]
    assert "fold_batch_norm" in stages
    assert ("--- Small\n" in netc.err) == (level >= "2")
    assert ("[N, 5, 2, 2]" in netc.err) == (level >= "2")
    assert ("--- Small after fold_batch_norm" in netc.err) == (level >= "3")
    assert ("--- Small after merge_shapes" in netc.err) is False  # it did nothing
    assert ("class Small(nn.Module):" in netc.err) == (level >= "4")
    assert ("= Conv <" in netc.err) == (level >= "4")
    assert netc.out.startswith("m.onnx: ")


def test_a_verified_build_tells_the_time_of_that_too(netc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETC_DEBUG", "1")
    assert netc(*BUILD[:-1]) == 0
    stages = [line.split()[0] for line in netc.err.splitlines() if line.endswith(" ms")]
    assert stages[-2:] == ["reference", "verify"]


def test_other_commands_tell_what_they_have(netc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETC_DEBUG", "2")
    assert netc("check", "small.cnn") == 0
    assert netc.err.startswith("check ")
    assert "\nimage        input      [N, 3, 8, 8]\n" in netc.err
    assert netc("build", "small.cnn", "--emit", "torch") == 0
    assert netc.err.startswith("check ")
    assert "class Small" in netc.out


@pytest.mark.parametrize("word", ["", "0"])
def test_nothing_is_shown_where_nothing_is_asked_for(netc: Command, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("NETC_DEBUG", word)
    assert netc("check", "small.cnn") == 0
    assert netc.err == ""


@pytest.mark.parametrize("word", ["5", "yes", "-1", "1.0"])
@pytest.mark.parametrize("command", [("check", "small.cnn"), BUILD, ("explain", "N203")])
def test_what_is_no_level_is_refused(
    netc: Command, monkeypatch: pytest.MonkeyPatch, word: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("NETC_DEBUG", word)
    assert netc(*command) == 2
    assert f"NETC_DEBUG is {word}, and goes from 0 to 4" in netc.err
    assert netc.out == ""
