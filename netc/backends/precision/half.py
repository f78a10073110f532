"""Half precision: a net's ONNX nodes compute in f16 or bf16, between inputs and outputs that stay f32.

A layer that says so of itself computes in f32, between two casts; so does what reads or makes a value too large for a
half, and what no opset lets take it.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import onnx

from netc.backends.onnx import emit, gate, wire
from netc.backends.onnx.lowering import Lowered
from netc.backends.precision.narrowing import narrowed
from netc.backends.precision.widths import Width
from netc.op import Param
from netc.weights import Array, Lazy, Weights
from netc.weights.tensors import Made, maker, pieces


class Narrowed:
    """A lowered graph in another precision, ready to be written as that is.

    `hot` are values, or weights, that `width` does not hold: what reads or makes one computes in f32. `kept` names the
    ONNX nodes that compute in f32 for that reason, in order.

    Raises: Fault N420 for a layer that takes this precision at a newer opset only.
    """

    def __init__(self, lowered: Lowered, width: Width, hot: Collection[str] = ()) -> None:
        before = gate.whole(lowered, emit.model(lowered.opset))
        layers = [node.name for node in lowered.source.nodes if node.op.single]
        single = {n.name for n in before.graph.node if any(n.name == x or n.name.startswith(f"{x}/") for x in layers)}
        self.kept = _touching(before.graph.node, hot)
        self.source, self.opset, self.width = lowered.source, lowered.opset, width
        self.model = narrowed(before, width, lowered.params, single | {*self.kept})
        types = {each.name: each.type.tensor_type.elem_type for each in self.model.graph.input}
        self.params = {
            name: param._replace(dtype=width.word) if types[name] == width.number and param.dtype == "f32" else param
            for name, param in lowered.params.items()
        }
        onnx.checker.check_model(self.model)
        onnx.shape_inference.infer_shapes(self.model, check_type=True, strict_mode=True, data_prop=True)

    def graph(self, initializers: Sequence[bytes] = ()) -> bytes:
        """The ONNX graph with its constants and further initializers; without its weights."""
        bare = onnx.GraphProto()
        bare.CopyFrom(self.model.graph)
        entering = [each for each in bare.input if each.name not in self.params]
        del bare.input[:]
        bare.input.extend(entering)
        added = [wire.block(wire.INITIALIZER, each) for each in initializers]
        return b"".join([bare.SerializeToString(deterministic=True), *added])

    def weights(self, weights: Weights) -> Weights:
        """The weights as the file holds them, each made when it is asked for."""
        return Lazy(
            {
                name: maker(weights, name)
                if param.dtype in ("f32", "i64")
                else _Half(maker(weights, name), param, self.width)
                for name, param in self.params.items()
            }
        )


def too_large(weights: Weights, params: Iterable[str], width: Width) -> list[str]:
    """Those weights that become infinities."""
    return [
        name
        for name in params
        if any(not np.isfinite(width.exact(width.cast(p))).all() for p in _floats(weights, name))
    ]


def _floats(weights: Weights, name: str) -> Iterable[Array]:
    return (piece for piece in pieces(maker(weights, name)) if piece.dtype.kind == "f")


class _Half(Made):
    """A weight, rounded when it is asked for."""

    def __init__(self, make: Callable[[], Array], param: Param, width: Width) -> None:
        super().__init__(param.shape, width.dtype)
        self._make, self._cast = make, width.cast

    def pieces(self, of: int = 1) -> Iterable[Array]:
        return (self._cast(piece) for piece in pieces(self._make, of))


def _touching(nodes: Iterable[onnx.NodeProto], hot: Collection[str]) -> list[str]:
    # What is made of such a weight alone, a reshaped one, is taken for as large.
    found: list[str] = []
    large = set(hot)
    for node in nodes:
        if large.intersection((*node.input, *node.output)):
            found.append(node.name)
        if node.input and node.input[0] in large and node.op_type in ("Unsqueeze", "Reshape", "Transpose"):
            large.update(node.output)
    return found
