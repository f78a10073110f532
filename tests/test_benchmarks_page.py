"""docs/benchmarks.md is what its generator makes of what was measured; and how the benchmarks measure.

What the page says is measured by `make bench`: no test here takes a time.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.bench.cells import AGAIN, EXPORT, NETC, OLD_EXPORT, ONE, Cell, Found
from tests.bench.contender import Contender, Refused
from tests.bench.inference import distance
from tests.bench.inference_tables import against_exports
from tests.bench.pairs import alternate, ratio
from tests.bench.report import SECTIONS, rendered
from tests.bench.tables import Table, told, write


def test_the_page_is_what_its_generator_makes_of_what_is_kept(root: Path) -> None:
    kept = json.loads((root / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert (root / "docs" / "benchmarks.md").read_text(encoding="utf-8") == rendered(kept), "run `make bench ONLY=...`"


def test_every_section_is_on_the_page_and_those_not_measured_are_named(root: Path) -> None:
    kept = json.loads((root / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    page = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name, (title, *_) in SECTIONS.items():
        assert f"\n## {title}\n" in page
        assert (f"`make bench ONLY={name}`." in page) == (name not in kept)


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, Any]:
    """Two sections, as the scripts write them."""
    table = Table("A table", ["net", "ratio"], [["A|B", "1.02"], ["C", "-"]], [told(True, "at most 1.03"), "A note."])
    other = Table("Another", ["net", "ratio"], [["A", "much"]], [told(False, "at most 2")])
    write([table, other], tmp_path / "tables.json")
    tables = json.loads((tmp_path / "tables.json").read_text(encoding="utf-8"))
    found = {"date": "2026-11-26", "minutes": 1.5, "machine": "one, 2 cores", "versions": "Python 3", "tables": tables}
    return {"inference": found, "check": {**found, "tables": tables[1:]}}


def test_a_table_of_the_page_has_the_scripts_cells_and_notes(measured: dict[str, Any]) -> None:
    lines = rendered(measured).splitlines()
    at = lines.index("### A table")
    assert lines[at + 1 : at + 9] == [
        "",
        "| net | ratio |",
        "| --- | ---: |",
        "| A\\|B | 1.02 |",
        "| C | - |",
        "",
        "- Met: at most 1.03",
        "- A note.",
    ]
    assert "2026-11-26, 1.5 minutes: one, 2 cores; Python 3." in lines


def test_the_page_begins_with_every_bar_and_has_the_sections_in_their_order(measured: dict[str, Any]) -> None:
    lines = rendered(measured).splitlines()
    at = lines.index("## Bars")
    bars = [
        "- Inference. Met: at most 1.03",
        "- Inference. Missed: at most 2",
        "- Checking. Missed: at most 2",
    ]
    assert lines[at + 2 : at + 5] == bars
    assert [line for line in lines if line.startswith("## ")] == [
        "## Bars",
        *(f"## {s.title}" for s in SECTIONS.values()),
    ]


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() -> None:
    # Pairs of 1/1, 8/2, 2/8: ratios 1, 4 and 1/4, whose median is 1; the medians are 2 and 2.
    assert ratio([1, 8, 3], [1, 2, 12]).median == 1
    assert str(ratio([1, 1, 1, 1], [2, 2, 2, 2])) == "0.500 (0.500 to 0.500)"


def test_sides_run_once_a_round_in_an_order_that_changes() -> None:
    ran: list[str] = []
    found = alternate({name: lambda name=name: float(len(ran.append(name) or ran)) for name in "abc"}, 0, fewest=20)
    assert [len(times) for times in found.values()] == [20, 20, 20]
    rounds = {tuple(ran[at : at + 3]) for at in range(0, 60, 3)}
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(rounds) > 3


def test_rounds_end_at_the_most_however_much_time_is_left() -> None:
    assert len(alternate({"a": lambda: 0.0}, 3600, fewest=2, most=4)["a"]) == 4


def test_a_distance_is_a_share_of_the_spread_over_the_examples() -> None:
    # Two examples of 1 and 3 lie 1 from their mean, so 0.1 off is a tenth; a constant added to all changes nothing.
    ours = {"y": np.array([[1.0], [3.0]]) + 100}
    theirs = {"other name": np.array([[1.1], [3.0]]) + 100}
    assert distance(ours, theirs) == pytest.approx(0.1)


def cell(ours: list[float], dynamo: list[float], script: list[float]) -> Cell:
    return Cell("ResNet18", 8, ONE, 2e9, [{NETC: ours, AGAIN: ours, EXPORT: dynamo, OLD_EXPORT: script}])


@pytest.mark.parametrize(("script", "word"), [([1.0] * 5, "Met"), ([0.9] * 5, "Missed")])
def test_the_bar_is_against_the_faster_of_the_two_exports(script: list[float], word: str) -> None:
    # 1.0 is 0.5 of the slower export, and 1.00 or 1.11 of the faster one: 1.03 is allowed.
    found = Found({1: 100.0}, "a sample", [cell([1.0] * 5, [2.0] * 5, script)])
    table = against_exports(found)
    assert table.notes[0].startswith(f"{word}: ")
    # 2 GFLOP in 1 s, of 100
    assert table.rows[0][:6] == ["ResNet18", "8", "1 thread", "1000", "2", "2 %"]
    assert table.rows[0][6:8] == ["1.000 (1.000 to 1.000)", "0.500 (0.500 to 0.500)"]


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """A net that keeps what is positive, as an ONNX file."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    file = tmp_path / "relu.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_a_contender_answers_and_runs_in_a_process_of_its_own(relu: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "fed.npz", x=np.array([[-1, 2], [3, -4]], np.float32))
    with Contender("onnxruntime", threads=1, file=str(relu)) as contender:
        contender.feed(tmp_path / "fed.npz")
        (answer,) = contender.answer(tmp_path / "answer.npz").values()
        assert answer.tolist() == [[0, 2], [3, 0]]
        assert contender.run(2).wall > 0


def test_a_contender_that_cannot_load_says_why(tmp_path: Path) -> None:
    absent = Contender("onnxruntime", threads=1, file=str(tmp_path / "absent.onnx"))
    with pytest.raises(Refused, match=r"absent\.onnx"), absent:
        pass
