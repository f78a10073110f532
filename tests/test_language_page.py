"""docs/language.md: it is what its generator makes, and every example on it compiles."""

from __future__ import annotations

import re
from typing import Any

import pytest

from docs.make_language import PAGE, example, page, results
from netc import reference
from netc.api import check_text
from netc.diagnostic import Source
from netc.ops import kinds
from netc.tensor import TensorType
from tests.language.spec import MARK

FENCE = re.compile(r"^```cnn *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = FENCE.findall(PAGE.read_text(encoding="utf-8"))
ENTERS = re.compile(r"(\w+) is (f32\[[^]]*\])")


def test_the_page_is_what_its_generator_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def whole(chain: str) -> str:
    """A net around an example of the reference: what enters, in a comment, and a chain that ends in `is [...]`."""
    comment, line = chain.splitlines()
    inputs = "\n".join(f"input {name}: {type_}" for name, type_ in ENTERS.findall(comment))
    read = set(re.findall(r"[\w.]+", line))
    rest = [name for name, _ in ENTERS.findall(comment) if name not in read]
    assert not rest, f"{rest} do not enter"
    if "#" in line:  # several values
        line, _, types = line.partition("#")
        made = re.findall(r"\[[^]]*\]", types)
        outputs = " ".join(f"output o{i}: f32{type_}" for i, type_ in enumerate(made))
        feeds = " ".join(f"from part.{i} => o{i}" for i in range(len(made)))
        return f"net A {{ {inputs} {outputs} {line.replace('-> ', '-> part: ', 1)} {feeds} }}"
    type_ = re.findall(r"is (\[[^]]*\])", line)[-1]
    return f"net A {{ {inputs} output out: f32{type_} {line} => out }}"


def texts(info: str) -> list[Any]:
    return [pytest.param(text, id=str(i)) for i, (each, text) in enumerate(EXAMPLES) if each == info]


@pytest.mark.parametrize("text", texts(""))
def test_an_example_of_the_tour_checks_clean(text: str) -> None:
    checked = check_text(Source("tour.cnn", text))
    assert checked.diagnostics == ()
    assert checked.graphs


@pytest.mark.parametrize(("code", "text"), [e for e in EXAMPLES if re.fullmatch(r"[NW]\d{3}", e[0])])
def test_a_wrong_example_of_the_tour_gives_its_code(code: str, text: str) -> None:
    assert [d.code for d in check_text(Source("tour.cnn", text)).diagnostics] == [code]


def test_the_tour_has_right_and_wrong_examples_and_every_layer_is_shown() -> None:
    infos = [info for info, _ in EXAMPLES]
    assert infos.count("chain") == len(kinds())
    assert infos.count("") >= 10
    assert sum(bool(re.fullmatch(r"[NW]\d{3}", info)) for info in infos) >= 2
    assert all(info in ("", "chain") or re.fullmatch(r"[NW]\d{3}", info) for info in infos)


@pytest.mark.parametrize("text", [c for text in texts("chain") for c in text.values[0].strip().split("\n\n")])
def test_an_example_of_the_reference_compiles(text: str) -> None:
    checked = check_text(Source("reference.cnn", whole(text)))
    assert [d for d in checked.diagnostics if d.severity == "error"] == []


@pytest.mark.parametrize("kind", kinds())
def test_every_example_of_a_layer_can_be_written_in_the_language(kind: str) -> None:
    cls = reference.layer(kind)
    for fields, shapes in cls.examples:
        types = [TensorType(1, c, tuple(sides)) for c, *sides in shapes]
        text = whole(example(cls, fields, list(shapes)))
        checked = check_text(Source("example.cnn", text.replace("[N, ", "[1, ")))
        assert [d.message for d in checked.diagnostics if d.severity == "error"] == [], text
        wanted = results(cls, fields, types)
        found = [node.type for node in checked.graphs["A"].nodes][-len(wanted) :]
        assert found == wanted


def test_a_group_of_the_reference_names_layers_that_there_are() -> None:
    assert {kind for members in reference.GROUPS.values() for kind in members} <= set(kinds())
    assert MARK not in page()
