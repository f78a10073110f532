"""A `flatten` in another framework's order before an `fc`: the weights stand in our order instead."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from netc.graph import Graph, Node
from netc.ops.fc import Fc
from netc.ops.flatten import Flatten
from netc.passes.draft import Draft
from netc.passes.lines import Changes, Maker
from netc.passes.rewriting import applications
from netc.tensor import TensorType
from netc.weights import Array, Weights
from netc.weights.tensors import Made, step_of


def fold_orders(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Lay an image out in the order it lies in, where only `fc`s read it, and let each one's weights follow.

    The numbers stay, to the last bit: columns of a weight change places. An `fc` that shares its weights is left alone.
    """
    flats = [node for node in graph.nodes if isinstance(node.op, Flatten) and node.op.order != "chw"]
    if not flats:
        return graph, weights
    draft, applied = Draft(graph), applications(graph)
    folded = Changes(weights)
    for flat in flats:
        readers = [node for node in graph.nodes if flat.name in node.inputs]
        output = any(output.value == flat.name for output in graph.outputs)
        if output or not all(isinstance(node.op, Fc) and applied[node.weights] == 1 for node in readers):
            continue
        assert isinstance(flat.op, Flatten), flat.name
        places = _places(flat.op, draft.types(flat)[0])
        draft.put(flat._replace(op=_PLAIN))
        for node in readers:
            _permute(folded, node, places)
    smaller = draft.done()
    return (graph, weights) if smaller is graph else (smaller, folded.done(smaller))


_PLAIN = Flatten.model_construct()


def _places(op: Flatten, x: TensorType) -> npt.NDArray[np.int64]:
    # Where in the other order each feature of ours stands.
    dims = (x.c, *(side for side in x.sides if isinstance(side, int)))
    sides = list(range(1, len(dims)))
    order = [*(sides if op.order == "hwc" else reversed(sides)), 0]
    theirs = np.arange(np.prod(dims)).reshape([dims[axis] for axis in order])
    return theirs.transpose(np.argsort(order)).reshape(-1)


def _permute(folded: Changes, node: Node, places: npt.NDArray[np.int64]) -> None:
    name = f"{node.weights}.weight"
    folded[name] = _Columns(folded.maker(name), folded.shape(name), places)


class _Columns(Made):
    """A matrix with its columns in another order."""

    def __init__(self, source: Maker, shape: tuple[int, ...], places: npt.NDArray[np.int64]) -> None:
        super().__init__(shape, np.dtype("<f4"))
        self._source, self._places = source, places

    def pieces(self, of: int = 1) -> Iterable[Array]:
        inner = self.shape[1]
        rows = step_of(int(np.lcm(of, inner))) // inner
        whole = self._source()
        for row in range(0, self.shape[0], rows):
            yield np.asarray(whole[row : row + rows, self._places], "<f4").reshape(-1)
