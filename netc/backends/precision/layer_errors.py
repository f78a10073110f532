"""Which layers int8 hurts: where its noise, as a share of a channel's power, grows most from operands to result."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from netc.weights import Array

Run = Callable[[Mapping[str, Array]], Sequence[Array]]
Open = Callable[[Path, Sequence[str]], Run]

DEQUANTISED = "_DequantizeLinear_Output"  # what ONNX Runtime's quantiser adds to a value's name


class Hurt(NamedTuple):
    """A value, how much of int8's noise in it arises there, and the nodes to compute in float instead."""

    value: str
    noise: float
    nodes: tuple[str, ...]


def hurts(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    floats: Collection[str],
    feeds: Iterable[Mapping[str, Array]],
    start: Open,
    work: Path,
) -> list[Hurt]:
    """The values of an f32 model that its int8 twin gets most wrong, the worst first; both run on the feeds.

    To blame are the nodes that make the value; where they are in `floats` already, the int8 nodes that read it. `work`
    is a folder for files. Raises: as `start` and what it gives do.
    """
    shared = _shared(before, after)
    noise = _noise(before, after, shared, feeds, start, work)
    integer = _integer(before, after).difference(floats)
    makers = {name: node for node in before.graph.node for name in node.output}
    found: list[Hurt] = []
    for value, share in noise.items():
        made, operands = _behind(value, makers, noise)
        blamed = [node.name for node in made if node.name in integer]
        if not blamed:
            blamed = [n.name for n in before.graph.node if value in n.input and n.name in integer]
        grown = share - max((noise[each] for each in operands), default=0.0)
        if blamed and grown > 0:
            found.append(Hurt(value, grown, tuple(blamed)))
    return sorted(found, key=lambda each: -each.noise)


def _shared(before: onnx.ModelProto, after: onnx.ModelProto) -> dict[str, str]:
    # Float values that both have: the name in one, and in the other.
    floats = {i.name for i in before.graph.value_info if i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    floats |= {each.name for each in (*before.graph.input, *before.graph.output)}
    theirs = {name for node in after.graph.node for name in node.output} | {each.name for each in after.graph.output}
    found: dict[str, str] = {}
    for name in (name for node in before.graph.node for name in (*node.input, *node.output)):
        if name in floats:
            twin = next((each for each in (f"{name}{DEQUANTISED}", name) if each in theirs), None)
            if twin is not None:
                found[name] = twin
    return found


def _integer(before: onnx.ModelProto, after: onnx.ModelProto) -> set[str]:
    # Nodes that read what was dequantised, and those that are part of one: a ReLU that became a range's end.
    left = {node.name: node for node in after.graph.node}
    found = {name for name, node in left.items() if any(each.endswith(DEQUANTISED) for each in node.input)}
    return found | {node.name for node in before.graph.node if node.name not in left}


def _behind(
    value: str, makers: Mapping[str, onnx.NodeProto], known: Mapping[str, float]
) -> tuple[list[onnx.NodeProto], set[str]]:
    # The nodes that make a value of known ones, and those.
    made: list[onnx.NodeProto] = []
    operands: set[str] = set()
    waiting = [value]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        made.append(node)
        for name in node.input:
            if name in known:
                operands.add(name)
            else:
                waiting.append(name)
    return made, operands


def _noise(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    shared: Mapping[str, str],
    feeds: Iterable[Mapping[str, Array]],
    start: Open,
    work: Path,
) -> dict[str, float]:
    runs = [
        _showing(model, names, work / f"{index}.onnx", start)
        for index, (model, names) in enumerate(((before, list(shared)), (after, list(shared.values()))))
    ]
    far: dict[str, Array] = {}
    power: dict[str, Array] = {}
    for feed in feeds:
        for name, exact, ours in zip(shared, *(run(feed) for run in runs), strict=True):
            wide = exact.astype(np.float64)
            far[name] = far.get(name, 0.0) + _by_channel((ours - wide) ** 2)
            power[name] = power.get(name, 0.0) + _by_channel(wide**2)
    # A channel counts by itself: a large one would hide what happens to the others.
    return {
        name: float(np.minimum(1.0, far[name][power[name] > 0] / power[name][power[name] > 0]).mean())
        for name in shared
        if (power[name] > 0).any()
    }


def _by_channel(squares: Array) -> Array:
    return squares.sum(axis=(0, *range(2, squares.ndim))) if squares.ndim > 1 else squares.sum(keepdims=True)


def _showing(model: onnx.ModelProto, names: Sequence[str], path: Path, start: Open) -> Run:
    # The model with these values for its outputs.
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    onnx.save(shown, path)
    return start(path, names)
