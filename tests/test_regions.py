"""What a graph's regions tell of the blocks they were made from."""

from __future__ import annotations

from pathlib import Path

from netc import api
from netc.diagnostic import Source
from netc.graph import Graph

TEXT = """
let wide = [8, [16, 32]]

block inner(c, act, scale = 0.5, bias = true, twice = 2 * c, words = "a") {
  conv(c, k=1, bias=bias) -> act
}

block outer(c, stride = 1) from left, right {
  from left, right -> concat -> a: inner(c, relu) -> b: inner(c, relu) -> again: inner(c, relu)
    -> tail: inner(c, sigmoid, 2, false)
}

net Regions {
  input  x: f32[N, 3, 8, 8]
  output y: f32[N, 4, 8, 8]
  from x, x -> made: outer(4) -> made_again: same(wide) => y
}

block same(sizes) { id }
"""


def graph() -> Graph:
    checked = api.check_text(Source("some/regions.cnn", TEXT), Path("some/regions.cnn"))
    assert [d for d in checked.diagnostics if d.severity == "error"] == []
    return checked.graphs["Regions"]


def test_a_region_tells_where_its_block_is_defined_and_how_it_calls_what_enters() -> None:
    regions = {r.name: r for r in graph().regions}
    outer, inner = regions["made"].definition, regions["made.a"].definition
    assert outer is not None
    assert inner is not None
    assert (outer.name, str(outer.where), outer.takes) == ("outer", "some/regions.cnn:8:7", ("left", "right"))
    assert (inner.name, str(inner.where), inner.takes) == ("inner", "some/regions.cnn:4:7", ())
    assert regions[""].definition is None
    assert regions["made.b"].definition is inner


def test_defaults_are_told_where_they_are_numbers_or_truth_values() -> None:
    regions = {r.name: r for r in graph().regions}
    inner = regions["made.a"].definition
    assert inner is not None
    assert dict(inner.defaults) == {"scale": 0.5, "bias": True}


def test_arguments_are_told_with_their_values() -> None:
    regions = {r.name: dict(r.args) for r in graph().regions}
    assert regions["made"] == {"c": 4, "stride": 1}
    assert regions["made_again"] == {"sizes": (8, (16, 32))}
    told = regions["made.tail"]
    assert {**told, "act": None} == {"c": 4, "act": None, "scale": 2, "bias": False, "twice": 8, "words": "a"}
    assert regions["made.a"] == regions["made.b"]
    assert regions["made.a"]["act"] != told["act"]


def test_equal_applications_share_one_record_of_their_arguments() -> None:
    regions = {r.name: r for r in graph().regions}
    assert regions["made.b"].args is regions["made.again"].args
