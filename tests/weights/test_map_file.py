"""Map files: what is written is read back as it was meant, and what does not fit is refused, all of it at once."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc import weights as stored
from netc.diagnostic import Fault
from netc.weights import map_file
from netc.weights.propose import Proposal, Row, propose
from netc.weights.source import find
from tests.graphs import Net
from tests.weights.samples import Loaded, arrays, refused, small

NEEDED = {name: array for name, array in arrays().items() if not name.startswith("head") and "tracked" not in name}
HEAD = {name: array for name, array in arrays().items() if name.startswith("head")}


def theirs(path: Path, **more: Any) -> Path:
    """The sample's tensors under other names: `t.` before them."""
    np.savez(path, **{f"t.{name}": array for name, array in (NEEDED | HEAD).items()}, **more)
    return path


def map_of(path: Path, **tensors: Any) -> Path:
    """A map for them, some entries changed; None takes an entry out."""
    entries: dict[str, Any] = {name: f"t.{name}" for name in NEEDED | HEAD}
    entries = {name: value for name, value in {**entries, **tensors}.items() if value is not None}
    path.write_text(json.dumps({"schema": 1, "net": "Small", "tensors": entries}))
    return path


def test_a_map_gives_the_nets_names(tmp_path: Path) -> None:
    source = theirs(tmp_path / "w.npz", other=np.zeros(3))
    loaded = Loaded(source, map=map_of(tmp_path / "m.json"))
    for name, array in (NEEDED | HEAD).items():
        assert np.array_equal(loaded.weights[name], array)


def test_toml_says_the_same(tmp_path: Path) -> None:
    theirs(tmp_path / "w.npz")
    lines = [f'"{name}" = "t.{name}"  # a note' for name in NEEDED | HEAD]
    (tmp_path / "m.toml").write_text("\n".join(["schema = 1", "[tensors]", *lines]))
    assert list(Loaded(tmp_path / "w.npz", map=tmp_path / "m.toml").weights) == list(arrays())


def test_a_tensor_may_be_reshaped_turned_or_of_one_value(tmp_path: Path) -> None:
    entries = {
        "fc.weight": {"from": "turned", "reshape": [2, 2, 5], "transpose": [2, 0, 1]},
        "fc.bias": {"from": "column", "reshape": [5]},
        "bn1.running_var": {"fill": 0.5},
    }
    flat = np.arange(20, dtype=np.float32).reshape(4, 5)
    source = theirs(tmp_path / "w.npz", turned=flat, column=np.arange(5.0).reshape(5, 1))
    loaded = Loaded(source, map=map_of(tmp_path / "m.json", **entries)).weights
    assert np.array_equal(loaded["fc.weight"], flat.T)  # two axes that belong together are put behind as one
    assert loaded["fc.bias"].tolist() == [0, 1, 2, 3, 4]
    assert loaded["bn1.running_var"].tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"fc.wieght": "t.fc.weight"}, "fc.wieght: the net has no such tensor (the nearest is fc.weight)"),
        ({"fc.bias": "t.fc.bais"}, "fc.bias: the source has no t.fc.bais (the nearest is t.fc.bias)"),
        ({"fc.bias": "t.conv1.bias"}, "fc.bias: t.conv1.bias is conv1.bias already"),
        ({"fc.bias": "more"}, "fc.bias: 3, expected 5"),
        ({"fc.bias": ""}, "fc.bias: is open"),
        ({"fc.bias": 3}, "fc.bias: is neither a name nor a table"),
        ({"fc.bias": None, "fc.weight": {"from": "t.fc.weight", "transpose": [1, 0]}}, "fc.weight: 4x5, expected 5x4"),
        ({"fc.weight": {"from": "t.fc.weight", "transpose": [0, 0]}}, "no order of the 2 axes of 5x4"),
        ({"fc.weight": {"from": "t.fc.weight", "transpose": [0, 1, 2]}}, "no order of the 2 axes"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [5, 5]}}, "fc.weight: 5x4 cannot be 5x5"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [4, 5]}}, "fc.weight: 4x5, expected 5x4"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [True, 20]}}, "`reshape` is a list of whole numbers"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [-1]}}, "`reshape` is a list of whole numbers"),
        ({"fc.weight": {"from": "t.fc.weight", "transpose": "10"}}, "`transpose` is a list"),
        ({"fc.weight": {"from": 3}}, "`from` is the name"),
        ({"fc.weight": {}}, "`from` is the name"),
        ({"fc.weight": {"form": "t.fc.weight"}}, "there is no key form"),
        ({"fc.weight": {"fill": 1, "from": "t.fc.weight"}}, "`fill` stands alone"),
        ({"fc.weight": {"fill": "1"}}, "`fill` is a number"),
        ({"fc.weight": {"fill": True}}, "`fill` is a number"),
        ({"fc.weight": {"fill": float("nan")}}, "`fill` is a number"),
        ({"fc.weight": {"fill": 10**400}}, "`fill` is a number"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [5, *[1] * 70, 4]}}, "whole numbers from 0, 32 at most"),
        ({"fc.weight": {"from": "t.fc.weight", "reshape": [10**4000]}}, "`reshape` is a list of whole numbers"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(tmp_path: Path, tensors: dict[str, Any], said: str) -> None:
    source = theirs(tmp_path / "w.npz", more=np.zeros(3))
    path = map_of(tmp_path / "m.json", **tensors)
    fault = refused(source, "N444", map=path)
    assert said in fault.message
    assert str(path) in fault.message


def test_all_that_is_wrong_is_listed_and_the_list_ends(tmp_path: Path) -> None:
    source = theirs(tmp_path / "w.npz")
    wrong = {f"no{i}": f"t.no{i}" for i in range(50)}
    message = refused(source, "N444", map=map_of(tmp_path / "m.json", **wrong)).message
    assert len(message.splitlines()) == 22
    assert message.endswith("and 30 more")


def test_what_a_map_leaves_out_is_missing(tmp_path: Path) -> None:
    fault = refused(theirs(tmp_path / "w.npz"), "N401", map=map_of(tmp_path / "m.json", **{"fc.bias": None}))
    assert "fc.bias: missing, 5" in fault.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "schema is None, expected 1"),
        ("schema = 2\n[tensors]", "schema is 2, expected 1"),
        ("schema = 1", "`tensors` is missing"),
        ("schema = 1\ntensors = 3", "`tensors` is missing"),
        ("schema = 1\ntensor = 3\n[tensors]", "there is no key tensor"),
        ("schema = 1\n[tensors]\na = 1\na = 2", "neither TOML nor JSON"),
        ('{"schema": 1, "tensors": {"a": "b", "a": "c"}}', "a stands there twice"),
        ('{"schema": 1, "tensors": ' + '{"a":' * 50_000, "neither TOML nor JSON"),
        ("[" * 50_000, "neither TOML nor JSON"),
        ("\0\1\2", "neither TOML nor JSON"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(Fault) as caught:
        Loaded(theirs(tmp_path / "w.npz"), map=tmp_path / "m.toml")
    assert caught.value.code == "N444"
    assert said in caught.value.message


def test_a_map_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    source = theirs(tmp_path / "w.npz")
    for path in (tmp_path / "none.toml", tmp_path, "a\0b"):
        with pytest.raises(Fault, match="the map cannot be read") as caught:
            Loaded(source, map=path)
        assert caught.value.code == "N402"


def test_what_is_proposed_and_saved_is_what_is_applied(tmp_path: Path) -> None:
    source = theirs(tmp_path / "w.npz")
    proposal = propose(small(), find(source))
    assert proposal.open == ()
    for name in ("m.toml", "m.json"):
        map_file.write(proposal, small(), "w.npz", tmp_path / name)
        loaded = Loaded(source, map=tmp_path / name).weights
        for tensor, array in (NEEDED | HEAD).items():
            assert np.array_equal(loaded[tensor], array)


def test_what_is_open_is_saved_as_open_and_refused_until_it_is_decided(tmp_path: Path) -> None:
    net = Net("Two", x=("N", 4))
    graph = net.graph(y=net("fc", net("fc", "x", label="a", c=4, bias=False), label="b", c=4, bias=False))
    np.savez(tmp_path / "w.npz", red=np.eye(4, dtype=np.float32), green=np.ones((4, 4), np.float32), z=np.zeros(1))
    found = find(tmp_path / "w.npz")
    unordered = type(found)(found.name, found.form, found.tensors, ordered=False)
    map_file.write(propose(graph, unordered), graph, "w.npz", tmp_path / "m.toml")
    text = (tmp_path / "m.toml").read_text()
    assert '"a.weight" = ""  # open: 2 are alike, and no order of them is known: red, green?' in text
    message = refused(tmp_path / "w.npz", "N444", graph, map=tmp_path / "m.toml").message
    assert "a.weight: is open" in message
    assert "b.weight: is open" in message
    decided = text.replace('"a.weight" = ""', '"a.weight" = "green"').replace('"b.weight" = ""', '"b.weight" = "red"')
    (tmp_path / "m.toml").write_text(decided)
    loaded = stored.load(tmp_path / "w.npz", graph, stored.Reading(map=tmp_path / "m.toml"))
    assert np.array_equal(loaded["a.weight"], np.ones((4, 4)))


any_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(names=st.lists(any_text, min_size=1, max_size=5, unique=True), reason=any_text, source=any_text)
def test_whatever_names_hold_both_forms_say_them(
    names: list[str], reason: str, source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [Row(n, (2, 3), n, "fc", f"{n}!", (3, 2), "place", reason, transpose=(1, 0)) for n in names]
    rows += [Row(f"{n}?", (2,), n, "fc", None, None, "open", reason, candidates=(reason,)) for n in names]
    rows += [Row(f"{n}#", (2,), n, "fc", f"{n}.", (2,), "name", reason) for n in names]
    folder = tmp_path_factory.mktemp("map")
    graph = small()
    proposal = Proposal(tuple(rows), (), fits=False)
    map_file.write(proposal, graph, source, folder / "m.toml")
    map_file.write(proposal, graph, source, folder / "m.json")
    expected = {
        **{n: {"from": f"{n}!", "transpose": [1, 0]} for n in names},
        **{f"{n}?": "" for n in names},
        **{f"{n}#": f"{n}." for n in names},
    }
    for found in (
        tomllib.loads((folder / "m.toml").read_text("utf-8")),
        json.loads((folder / "m.json").read_text("utf-8")),
    ):
        assert found == {"schema": 1, "net": "Small", "source": source, "tensors": expected}
