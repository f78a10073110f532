"""What a right text's graph does in both back ends: torch computes the shapes it says, and ONNX takes its skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import cast

import torch

from netc import errors
from netc.backends import onnx as onnx_backend
from netc.backends import torch as torch_backend
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.tensor import Side, Symbol, TensorType

MOST_NODES = 60
MOST_ELEMENTS = 2**40  # no memory is needed on the meta device, but torch counts bytes in 63 bits
OPSETS = (20, 26)


def through_torch(graph: Graph) -> bool:
    """Assert that the torch module gives the graph's shapes at one size; false where the graph is not one to try."""
    sizes = _sizes(graph)
    shapes = {name: _at(type_, sizes) for name, type_ in graph.types.items()}
    numels = [prod(shape) for shape in shapes.values()] + [param.size for _, param in graph.parameters()]
    if len(graph.nodes) > MOST_NODES or any(n < 1 for s in shapes.values() for n in s) or max(numels) > MOST_ELEMENTS:
        return False
    try:
        with torch.device("meta"):
            module = torch_backend.module(graph).eval()
    except Fault as fault:
        return _explained(fault)
    inputs = [torch.empty(shapes[i.name], device="meta") for i in graph.inputs]
    expected = {o.name: _at(o.type, sizes) for o in graph.outputs}
    deployed = {o.name: expected[o.name] for o in graph.outputs if not o.train_only}
    assert _shapes(module(*inputs), deployed) == deployed
    if len(deployed) < len(expected):
        assert _shapes(module.train()(*inputs), expected) == expected
    return True


def through_onnx(graph: Graph, opset: int) -> bool:
    """Assert that ONNX's own checks take the graph; false where netc says why it cannot be written."""
    if len(graph.nodes) > MOST_NODES:
        return False
    try:
        model = onnx_backend.skeleton(graph, opset)
    except Fault as fault:
        return _explained(fault)
    assert [o.name for o in model.graph.output] == [o.name for o in graph.outputs]
    return True


def _explained(fault: Fault) -> bool:
    assert errors.page(fault.code), f"{fault.code} has no page: {fault}"
    return False


def _shapes(found: object, expected: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    if isinstance(found, torch.Tensor):
        assert len(expected) == 1
        return {next(iter(expected)): tuple(found.shape)}
    return {name: tuple(tensor.shape) for name, tensor in cast(Mapping[str, torch.Tensor], found).items()}


def _sizes(graph: Graph) -> dict[str, int]:
    """A size for each symbol that its promises admit: 2 for a batch, else about 40."""
    symbols: dict[str, Symbol] = {}
    for each in graph.inputs:
        for side in each.type.dims:
            symbols |= {} if isinstance(side, int) else side.symbols()
    batches = {name for each in graph.inputs for name in _symbols(each.type.dims[0])}
    sizes: dict[str, int] = {}
    for name, symbol in symbols.items():
        wanted = max(symbol.low, 2 if name in batches else 40)
        wanted = wanted if symbol.high is None else min(wanted, symbol.high)
        sizes[name] = max(wanted // symbol.divisor, 1) * symbol.divisor
        if sizes[name] < symbol.low:
            sizes[name] += symbol.divisor
    return sizes


def _symbols(side: Side) -> set[str]:
    return set() if isinstance(side, int) else set(side.symbols())


def _at(type_: TensorType, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) else side.at(sizes) for side in type_.dims)
