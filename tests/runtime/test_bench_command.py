"""`netc-runtime bench`: its options, what it prints, and how it ends."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from netc_runtime.benchmark import load
from netc_runtime.benchmark.outcome import outcome_notes, outcome_table
from netc_runtime.cli import bench, main
from netc_runtime.cli.output import Progress
from netc_runtime.errors import EnvironmentFault, RequestFault
from netc_runtime.manifest import Input, Output

Command = Callable[..., tuple[int, str, str]]
QUICK = ("--device", "cpu", "--threads", 1, "--warmup", 0, "--requests", 30)


def outcome(command: Command, *arguments: object) -> dict[str, Any]:
    code, out, err = command("bench", *arguments, *QUICK, "--json")
    assert code == 0, err
    return json.loads(out)


# --- results


def test_a_closed_loop_is_measured_and_told_in_json(command: Command, digits: Path) -> None:
    values = outcome(command, digits, "--batch", 4, "--concurrency", 2)
    assert values["schema"] == 1
    assert (values["net"], values["device"], values["threads"]) == ("Tiny", "cpu", 1)
    assert values["input"] == {"source": "random", "seed": 0, "batch": 4, "shapes": {"image": [4, 1, 4, 4]}}
    assert values["load"] == {
        "loop": "closed",
        "concurrency": 2,
        "seconds": None,
        "requests": 30,
        "rate_per_s": None,
        "arrivals": None,
        "warmup_seconds": 0.0,
    }
    assert values["requests"] == values["latency_ms"]["samples"] == 30
    assert values["rows_per_s"] == pytest.approx(4 * values["requests_per_s"])
    assert values["requests_per_s"] == pytest.approx(30 / values["seconds"])
    latency = values["latency_ms"]
    assert latency["exact"]
    assert 0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["max"]
    assert (latency["p99"], latency["p99_9"]) == (None, None)  # of 30 they say nothing
    assert (values["errors"], values["unstarted"], values["interrupted"], values["bare"]) == ({}, 0, False, None)


def test_an_open_loop_is_measured_and_told_in_json(command: Command, digits: Path) -> None:
    values = outcome(command, digits, "--rate", 1000, "--arrivals", "constant", "--seed", 3)
    assert (values["load"]["loop"], values["load"]["rate_per_s"]) == ("open", 1000.0)
    assert values["load"]["arrivals"] == "constant"
    assert values["service_ms"]["samples"] == 30
    assert values["timer_delay_ms"]["samples"] <= 30
    assert values["latency_ms"]["mean"] >= values["service_ms"]["mean"]  # the wait and the call
    assert values["seconds"] >= 0.029  # the last of 30 arrives after 29 ms


def test_the_table_says_the_same(command: Command, digits: Path) -> None:
    code, out, err = command("bench", digits, *QUICK, "--rate", 2000)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert "Tiny" in lines["model"]
    assert lines["input"].endswith("image (1, 1, 4, 4), seed 0")
    assert lines["load"].endswith("open loop: 2000 requests/s, poisson arrivals, at most 1 at once")
    assert "30 answered in" in lines["requests"]
    assert lines["ms"].split() == ["ms", "mean", "min", "p50", "p90", "p99", "p99.9", "max", "samples"]
    assert lines["latency"].split()[5:7] == ["-", "-"]
    assert lines["latency"].split()[-1] == "30"
    assert lines["service"].split()[-1] == "30"
    assert "measuring 30 requests\n" in err


def test_the_bare_loop_is_set_beside_it(command: Command, digits: Path) -> None:
    values = outcome(command, digits, "--bare", "--seconds", 0.3)
    bare = values["bare"]
    assert 5 <= bare["pairs"] <= 25
    assert bare["ratio"]["low"] <= bare["ratio"]["median"] <= bare["ratio"]["high"]
    assert set(bare["added_us"]) == {"median", "low", "high"}
    assert bare["interrupted"] is False


def test_pictures_are_measured_from_file_to_labels(command: Command, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 4), 80 * number, np.uint8)).save(folder / f"{number}.png")
    values = outcome(command, digits, "--images", folder, "--batch", 2)
    assert values["input"] == {"source": "images", "pictures": 3, "batch": 2}
    assert values["requests"] == 30
    assert values["rows_per_s"] == pytest.approx(2 * values["requests_per_s"])
    code, out, _ = command("bench", digits, *QUICK, "--images", folder / "1.png")
    assert code == 0
    assert "1 pictures, 1 a request, from file to labels" in out


def test_pictures_take_turns() -> None:
    from netc_runtime.benchmark.run import _turn  # pyright: ignore[reportPrivateUsage]  # the order is the claim

    taken = [name for number in range(4) for name in _turn(["a", "b", "c"], number * 2, 2)]
    assert taken == ["a", "b", "c", "a", "b", "c", "a", "b"]


def test_sizes_are_given_by_symbol(command: Command, segmenter: Callable[..., Path]) -> None:
    values = outcome(command, segmenter(), "--shape", "H=8,W=12", "--shape", "N=2")
    assert values["input"]["shapes"] == {"image": [2, 1, 8, 12]}


def test_a_model_with_a_fixed_batch_says_so(command: Command, save_raw: Callable[..., Path]) -> None:
    sides = (2, 3)
    path = save_raw([helper.make_node("Relu", ["x"], ["y"])], [Input("x", "f32", sides)], [Output("y", "f32", sides)])
    assert outcome(command, path)["input"]["shapes"] == {"x": [2, 3]}
    code, out, err = command("bench", path, *QUICK, "--batch", 8)
    assert (code, out) == (2, "")
    assert "error[R404]: raw.onnx: a batch of 8 is asked for, its inputs always have 2 row(s)" in err


# --- faults


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "0"], "'0' is no number of requests a second above 0"),
        (["--rate", "-3"], "'-3' is no number of requests a second"),
        (["--rate", "nan"], "'nan' is no number of requests a second"),
        (["--rate", "1e9"], "of at most 1,000,000"),
        (["--seconds", "0"], "'0' is no number of seconds above 0"),
        (["--seconds", "inf"], "'inf' is no number of seconds"),
        (["--warmup", "-1"], "'-1' is no number of seconds"),
        (["--requests", "0"], "'0' is not a whole number from 1"),
        (["--batch", "1.5"], "'1.5' is not a whole number from 1"),
        (["--concurrency", "1025"], "1025 is more than 1024 threads"),
        (["--seed", "x"], "'x' is not a whole number from 0"),
        (["--arrivals", "uniform"], "invalid choice: 'uniform'"),
        (["--shape", "H"], "'H' is no size such as H=512"),
        (["--shape", "H=0"], "'0' is not a whole number from 1"),
        (["--shape", "H=1,H=2"], "H has two sizes in 'H=1,H=2'"),
        (["--shape", "=1"], "'=1' is no size"),
        (["--arrivals", "constant"], "--arrivals is of an open loop"),
        (["--bare", "--rate", "5"], "--bare and --rate exclude each other"),
        (["--bare", "--images", "."], "--bare and --images exclude each other"),
        (["--shape", "H=1", "--images", "."], "--shape and --images exclude each other"),
        (["--shape", "K=1"], "it has no size K; its sizes are N"),
        (["--batch", "1000000000"], "would take 64,000,000,000 bytes"),
    ],
)
def test_a_wrong_call_is_2_and_says_why(command: Command, digits: Path, arguments: list[str], words: str) -> None:
    code, out, err = command("bench", digits, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_numbers_are_read_as_they_are_written() -> None:
    read = bench._seconds  # pyright: ignore[reportPrivateUsage]  # the reader of several options
    assert [read(text) for text in ("10", "0.5", ".5", "2.", "1e-2")] == [10.0, 0.5, 0.5, 2.0, 0.01]


def test_a_model_at_fault_is_1(command: Command, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    code, out, err = command("bench", tmp_path / "m.onnx")
    assert (code, out) == (1, "")
    assert "error[R106]" in err


def test_sizes_that_break_the_spec_are_1(command: Command, segmenter: Callable[..., Path]) -> None:
    code, out, err = command("bench", segmenter(), "--shape", "H=6,W=8")
    assert (code, out) == (1, "")
    assert "error[R206]" in err
    assert "the nearest admissible sizes are H = 4 or 8" in err


def test_pictures_for_a_model_that_takes_none_are_1(command: Command, save_linear: Callable[..., Path]) -> None:
    code, out, err = command("bench", save_linear(None), "--images", "a.png")
    assert (code, out) == (1, "")
    assert "error[R112]" in err


def test_requests_that_fail_are_counted_and_end_with_1(
    command: Command, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netc_runtime import session

    predict = session.Model.predict
    made: list[int] = []

    def sometimes(self: session.Model, x: Any) -> Any:
        made.append(len(made))
        if made[-1] % 10 == 9:
            raise RequestFault("R208", "the model fails", "ask again")
        return predict(self, x)

    monkeypatch.setattr(session.Model, "predict", sometimes)
    code, out, err = command("bench", digits, *QUICK, "--json")
    values = json.loads(out)
    assert code == 1
    assert values["errors"] == {"R208": 3}
    assert values["requests"] == values["latency_ms"]["samples"] == 27
    assert values["first_error"]["message"] == "the model fails"
    assert "note: the first error was R208: the model fails; ask again" in err
    made.clear()
    assert "3 x R208" in command("bench", digits, *QUICK)[1]


# --- what a reader must know


def example(**changes: Any) -> dict[str, Any]:
    latency = {"samples": 2000, "exact": True, "mean": 1.0, "min": 0.5, "p50": 0.9, "p90": 2.0, "p99": 12.345,
               "p99_9": 123.45, "max": 1234.5}  # fmt: skip
    values: dict[str, Any] = {
        "model": "m.onnx", "net": None, "device": "cpu", "threads": 2, "onnxruntime": "1.31.1",
        "input": {"source": "random", "seed": 0, "batch": 1, "shapes": {"x": [1, 3]}},
        "load": {"loop": "open", "concurrency": 1, "rate_per_s": 100.0, "arrivals": "poisson", "warmup_seconds": 1.0},
        "seconds": 20.0, "requests": 2000, "requests_per_s": 100.0, "rows_per_s": 100.0, "unstarted": 0, "errors": {},
        "first_error": None, "interrupted": False, "bare": None,
        "latency_ms": latency, "service_ms": latency, "timer_delay_ms": latency,
    }  # fmt: skip
    return {**values, **changes}


def test_figures_have_about_four_digits_that_count() -> None:
    line = next(line for line in outcome_table(example()).splitlines() if line.startswith("latency"))
    assert line.split() == ["latency", "1.000", "0.5000", "0.9000", "2.000", "12.35", "123.5", "1,234", "2,000"]


def test_a_model_that_keeps_up_needs_no_note() -> None:
    assert outcome_notes(example()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interrupted": True}, "interrupted: these are the figures so far"),
        ({"unstarted": 1500}, "1,500 that had arrived never began"),
        ({"requests_per_s": 80.0}, "it answered 80.00 of 100 requests/s"),
        (
            {"latency_ms": {"exact": False}},
            "percentiles of latency are from a histogram, within 0.1 % of their latency",
        ),
    ],
)
def test_notes_tell_what_the_figures_do_not(changes: dict[str, Any], words: str) -> None:
    (note,) = outcome_notes(example(**changes))
    assert words in note


# --- interruption and progress


def test_control_c_prints_what_was_measured_so_far_and_is_130(digits: Path) -> None:
    line = [sys.executable, "-m", "netc_runtime", "bench", str(digits), "--device", "cpu", "--seconds", "600",
            "--warmup", "0", "--json"]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for said in process.stderr:
            if said.startswith(b"measuring 600 s"):
                break
        time.sleep(0.3)  # at thousands of requests a second, some are answered by then
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    values = json.loads(out)
    assert values["interrupted"] is True
    assert values["requests"] > 0
    assert err == b"note: interrupted: these are the figures so far\n"


def test_an_interrupt_before_there_are_figures_is_130_and_silence(
    command: Command, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("netc_runtime.benchmark.run.make_request", interrupted)
    code, out, _ = command("bench", digits)
    assert (code, out) == (130, "")


def test_sigterm_while_measuring_is_143(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def progress(seconds: float, done: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    measured = load.run_load

    def terminated(call: Any, asked: load.Load, _: Any = None) -> load.Measured:
        return measured(call, asked, progress)

    monkeypatch.setattr("netc_runtime.benchmark.run.run_load", terminated)
    assert main(["bench", str(digits), "--device", "cpu", "--seconds", "60", "--warmup", "0"]) == 143


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_of_a_terminal_and_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    progress = Progress()
    progress.say("measuring", "1.0 s, 10 answered")
    progress.say("done", "")
    progress.clear()
    assert shown.getvalue() == "\rmeasuring: 1.0 s, 10 answered" + "\rdone" + " " * 25 + "\r    \r"
    assert "\n" not in shown.getvalue()


def test_progress_is_a_line_a_phase_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress()
    for detail in ("", "1 s", "2 s"):
        progress.say("measuring", detail)
    progress.say("comparing")
    progress.clear()
    assert capsys.readouterr().err == "measuring\ncomparing\n"
    monkeypatch.setattr(sys, "stderr", None)
    Progress().say("nobody listens")


def test_settings_are_checked_before_the_model_is_opened(command: Command, tmp_path: Path) -> None:
    code, _, err = command("bench", tmp_path / "absent.onnx", "--bare", "--rate", 5)
    assert code == EnvironmentFault("R404", "", "").exit_code == 2
    assert "R404" in err
