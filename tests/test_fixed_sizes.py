"""Symbols that become numbers when a net is built: what is admitted, what the file says, that it answers the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import netc
import netc_runtime
from netc.backends import onnx as backend
from netc.backends.build import build
from netc.backends.fixed_sizes import fixed
from netc.diagnostic import Fault
from netc.graph import Graph, Requirement
from netc.sections import Export
from netc.tensor import Symbol
from netc_runtime.errors import RequestFault
from tests.graphs import Net, randomised

ort: Any = onnxruntime

BOTH = Requirement(["and", ["==", ["%", "H", 4], 0], ["==", ["%", "W", 4], 0]], "H % 4 == 0 and W % 4 == 0", "pools")
LEAST = Requirement([">=", "H", 8], "H >= 8", "")


def graph(dynamic: tuple[str, ...] | None = ("N",)) -> Graph:
    net = Net("Sized", image=("N", 3, Symbol("H", 4, 8), Symbol("W", 4)))
    x = net("maxpool", net("relu", net("conv", "image", label="a", c=4, k=3, pad=1)), k=2)
    x = net("maxpool", net("conv", x, label="b", c=2, k=3, pad=1), k=2)
    made = net.graph(map=x)
    return replace(made, requires=(BOTH, LEAST), export=Export(dynamic=dynamic))


def dims(path: Path) -> list[list[str | int]]:
    model = onnx.load_model_from_string(path.read_bytes()).graph
    return [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.input, *model.output)]


def refused(code: str, graph: Graph, **sizes: int) -> Fault:
    with pytest.raises(Fault) as caught:
        fixed(graph, sizes)
    assert caught.value.code == code
    return caught.value


def test_sizes_are_numbers_in_the_file_and_others_stay_symbols(tmp_path: Path) -> None:
    net = graph()
    weights = randomised(net)
    made = build(net, weights, tmp_path / "a.onnx", sizes={"H": 16, "W": 24})
    assert dims(made.path) == [["N", 3, 16, 24], ["N", 2, 4, 6]]
    assert made.parity is not None
    assert made.record()["sizes"] == {"H": 16, "W": 24}
    build(replace(net, export=Export()), weights, tmp_path / "b.onnx")
    x = np.random.RandomState(0).standard_normal((3, 3, 16, 24)).astype(np.float32)
    one, other = (
        ort.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"]).run(None, {"image": x})[0]
        for name in ("a.onnx", "b.onnx")
    )
    assert np.array_equal(one, other)


def test_a_batch_may_be_a_number(tmp_path: Path) -> None:
    made = build(graph(None), randomised(graph()), tmp_path / "a.onnx", sizes={"N": 2})
    assert dims(made.path)[0] == [2, 3, "H", "W"]
    assert made.parity is not None


def test_the_manifest_asks_of_a_request_what_is_left_to_ask(tmp_path: Path) -> None:
    made = build(graph(("N", "W")), randomised(graph()), tmp_path / "a.onnx", sizes={"H": 12})
    model = netc_runtime.load(made.path, "cpu")
    assert model.manifest is not None
    assert [(r.expr, r.text) for r in model.manifest.require] == [(("==", ("%", "W", 4), 0), BOTH.text)]
    assert model.predict(np.zeros((1, 3, 12, 8), np.float32))["map"].shape == (1, 2, 3, 2)
    with pytest.raises(RequestFault, match="W % 4"):
        model.predict(np.zeros((1, 3, 12, 10), np.float32))
    with pytest.raises(RequestFault, match="12"):
        model.predict(np.zeros((1, 3, 16, 8), np.float32))


def test_every_value_has_its_number() -> None:
    made = fixed(graph(), {"H": 8, "W": 20, "N": 1})
    assert [n.type.dims for n in made.nodes][-1] == (1, 2, 2, 5)
    assert made.symbols() == ()
    assert made.requires == ()
    backend.lower(made)  # ONNX infers the same


def test_nothing_given_leaves_a_net_as_it_is() -> None:
    net = graph(None)
    assert fixed(net) is net


def test_a_size_that_is_neither_dynamic_nor_given_is_asked_for() -> None:
    fault = refused("N471", graph(), H=8)
    assert "W is not in export dynamic" in fault.message
    assert "--at W=224" in fault.help
    fault = refused("N471", graph(()))
    assert "--at N=1,H=224,W=224" in fault.help
    fixed(graph(()), {"N": 1, "H": 224, "W": 224})  # the advice works


def test_a_size_for_what_is_no_symbol_is_refused_with_those_there_are() -> None:
    assert refused("N470", graph(), X=3).help == "its symbols are N, H, W"
    net = Net("Numbers", image=(1, 3, 4, 4))
    assert refused("N470", net.graph(y=net("relu", "image")), H=4).help == "all of its sizes are numbers"


@pytest.mark.parametrize(
    ("sizes", "words", "nearest"),
    [
        ({"H": 18, "W": 4}, "requires H % 4 == 0 and W % 4 == 0 (pools)", "H = 16 or H = 20"),
        ({"H": 16, "W": 6}, "requires H % 4 == 0", "W = 4 or W = 8"),
        ({"H": 4, "W": 4}, "requires H >= 8", "H = 8"),
        ({"H": 16, "W": 0}, "a size is 1 to 2,147,483,647, not W = 0", "W = 4"),
        ({"H": 16, "W": -3}, "not W = -3", "W = 4"),
        ({"H": 16, "W": 2**31}, "not W = 2147483648", "W = 2147483644"),
        ({"H": 17, "W": 3}, "requires H % 4 == 0 and W % 4 == 0 (pools)", "no sizes near these"),
    ],
)
def test_what_the_net_does_not_admit_is_refused_with_the_nearest(
    sizes: dict[str, int], words: str, nearest: str
) -> None:
    fault = refused("N472", graph(), **sizes)
    assert words in fault.message
    assert fault.help.removeprefix("the nearest that it admits: ").startswith(nearest)


def test_sides_that_a_layer_refuses_are_refused() -> None:
    net = Net("Enlarged", image=("N", 3, "H"))
    made = net.graph(y=net("upsample", "image", factor=4))
    assert "the result is 3x4000000000" in refused("N472", made, H=10**9).message


def test_sides_that_leave_a_layer_nothing_are_refused() -> None:
    net = Net("Deep", image=("N", 3, "H", "H"))
    made = net.graph(y=net("maxpool", net("maxpool", "image", k=2), k=2))
    assert "would have a side of" in refused("N472", made, H=3).message
    assert refused("N472", made, H=3).help == "the nearest that it admits: H = 4"


def test_a_dynamic_that_is_no_symbol_is_refused() -> None:
    assert "names X, which is no symbol" in refused("N424", graph(("N", "H", "W", "X"))).message


def test_the_api_takes_sizes(tmp_path: Path) -> None:
    spec = tmp_path / "a.cnn"
    spec.write_text("net A { input x: f32[N, 1, H, W] output y: f32[N, 2, H, W] from x -> conv(2, k=1) => y }\n")
    made = netc.build(spec, tmp_path / "a.onnx", init=0, verify=False, sizes={"H": 5, "W": 6})
    assert dims(made.path) == [["N", 1, 5, 6], ["N", 2, 5, 6]]
