"""What does not depend on the input is one tensor, added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc import api, passes
from netc.graph import Graph
from netc.passes.constants import fold_constants
from netc.passes.verify_graph import verify_graph
from tests.graphs import Net, randomised
from tests.passes.random_nets import answers, same


def after(graph: Graph) -> Graph:
    weights = randomised(graph)
    folded, changed = fold_constants(graph, weights)
    verify_graph(folded)
    assert list(changed) == [name for name, _ in folded.parameters()]
    same(answers(graph, weights), answers(folded, changed), to=1e-6)
    return folded


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def net(*sides: int | str, c: int = 1) -> Net:
    return Net("Constants", image=("N", c, *(sides or (6, 5))))


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("pad", {"pad": 1}), ("subsample", {"stride": (2, 1)})],
        [("pad", {"pad": (1, 0, 2, 0), "mode": "replicate"}), ("pad", {"pad": 2, "mode": "reflect"})],
        [("local", {"c": 3, "k": 1, "bias": False})],
        [("local", {"c": 3, "k": (2, 3), "stride": (1, 2), "pad": (1, 0, 0, 2)})],
        [("local", {"c": 4, "k": 1}), ("slice", {"start": 1, "stop": 3})],
    ],
)
def test_what_layers_make_of_ones_is_added_as_one_tensor(steps: list[tuple[str, dict[str, Any]]]) -> None:
    n = net()
    one = n("softmax", "image")
    x = "image"
    for kind, fields in steps:
        one = n(kind, one, **fields)
        x = n(kind, x, **fields)
    folded = after(n.graph(y=n("add", x, one), z=n("sub", x, one), w=n("add", one, one, x)))
    assert kinds(folded) == [*(kind for kind, _ in steps), "shift", "shift", "shift"]


def test_of_one_side_and_of_three_too() -> None:
    for sides in ((7,), (2, 3, 4)):
        n = net(*sides)
        one = n("local", n("softmax", "image"), c=2, k=2)
        x = n("local", "image", c=2, k=2)
        one = n("mul", one, n("add", one, one))
        assert kinds(after(n.graph(y=n("add", one, x)))) == ["local", "shift"]


def test_a_concat_of_constants_is_constant() -> None:
    n = net(c=2)
    one = n("softmax", n("slice", "image", start=0, stop=1))
    assert kinds(after(n.graph(y=n("sub", "image", n("concat", one, n("add", one, one)))))) == ["shift"]


def test_the_tensor_is_worked_by_hand() -> None:
    n = net(1, 2)
    one = n("softmax", "image")
    graph = n.graph(y=n("sub", "image", n("pad", n("slice", n("add", one, one), start=0), pad=0), label="taken"))
    folded, changed = fold_constants(graph, {})
    assert kinds(folded) == ["shift"]
    assert changed["taken"].tolist() == [[[-2.0, -2.0]]]
    assert changed["taken"].dtype == np.float32


def stays(n: Net, y: str) -> None:
    graph = n.graph(y=y)
    assert kinds(after(graph)) == kinds(graph)


def test_what_depends_on_the_input_stays() -> None:
    n = net(c=2)
    stays(n, n("add", "image", n("softmax", "image")))  # over two channels
    n = net("H", "W")
    stays(n, n("add", "image", n("softmax", "image")))  # of a size that is not known
    n = net()
    one = n("softmax", "image")
    stays(n, n("add", "image", n("relu", "image"), one))  # two that are not constant
    n = net()
    stays(n, n("sub", n("softmax", "image"), "image"))  # taken from the constant
    n = net()
    stays(n, n("mul", "image", n("softmax", "image")))
    n = net()
    stays(n, n("softmax", "image"))  # an output needs as many as there are examples
    n = net()
    one = n("softmax", "image")
    stays(n, n("add", n("gap", "image"), n("local", one, c=1, k=1)))  # the constant is the larger one


def test_lenet_of_1989_adds_its_biases_and_no_more(root: Path) -> None:
    graph = api.load(root / "specs/lenet1989.cnn")
    weights = randomised(graph)
    smaller, changed = passes.run(graph, weights, careful=True)
    same(answers(graph, weights), answers(smaller, changed), to=1e-6)
    # The biases of h1 and of h2's three parts, the background around the picture: a one added and taken off again.
    shifts = {node.name: node.type.shape for node in smaller.nodes if node.op.kind == "shift"}
    assert list(shifts.values()) == ["1x16x16", "1x20x20", "12x8x8", "4x4x4", "4x4x4", "4x4x4"]
    assert not {"softmax", "local", "subsample", "split"} & {node.op.kind for node in smaller.nodes}
    assert (len(graph.nodes), len(smaller.nodes)) == (54, 25)


@pytest.mark.timeout(30)
def test_a_constant_that_is_read_twice_at_each_of_forty_layers_is_computed_once() -> None:
    n = net()
    one = n("softmax", "image")
    for _ in range(40):
        one = n("mul", one, one)
    assert kinds(after(n.graph(y=n("add", "image", one)))) == ["shift"]


def test_constants_made_of_a_thousand_others_are_left_as_they_are() -> None:
    n = net()
    one = n("softmax", "image")
    for _ in range(1200):
        one = n("pad", one, pad=0)
    graph = n.graph(y=n("add", "image", one))
    folded, _ = fold_constants(graph, randomised(graph))
    assert len(folded.nodes) > 1100
