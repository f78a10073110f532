"""Weights held to what a graph needs: every tensor there, of its shape and type, and every number one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np

from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Param
from netc.weights.tensors import Array, Weights

COUNTER = "num_batches_tracked"  # torch counts training steps there; nothing computes with it, others have none
SHOWN = 20  # mismatches in one message
_KINDS = {"f32": np.dtype(np.float32), "i64": np.dtype(np.int64)}


def check(weights: Weights, graph: Graph) -> None:
    """Hold weights to a graph.

    Raises: Fault N401, listing every tensor that is missing, unexpected, or of another shape or type; else N404, naming
    those that hold a NaN or an infinity.
    """
    fitted(weights, graph)


def fitted(weights: Weights, graph: Graph, *, prefix: str = "", deployed: bool = False) -> dict[str, Array]:
    """The graph's tensors in its order, a missing `num_batches_tracked` as 0.

    With `deployed`, tensors that only training heads need are left out, there or not. `prefix` opens what is said.

    Raises: Fault as `check` does.
    """
    expected = dict(graph.parameters())
    unexpected = [name for name in weights if name not in expected]
    if deployed:
        needed = {node.weights for node in graph.nodes if node.name in graph.deployed}
        expected = {name: p for name, p in expected.items() if name in needed or name.rpartition(".")[0] in needed}
    missing = [name for name in expected if name not in weights and name.rpartition(".")[2] != COUNTER]
    wrong = [_missing(name, expected[name], unexpected) for name in missing[:SHOWN]]
    wrong += [f"{name}: the net has no such tensor{_nearest(name, missing)}" for name in unexpected[:SHOWN]]
    for name, param in expected.items():
        if name in weights and (problem := _mismatch(weights[name], param)):
            wrong.append(f"{name}: {problem}")
    total = len(wrong) + max(0, len(missing) - SHOWN) + max(0, len(unexpected) - SHOWN)
    if wrong:
        more = f"\n  and {total - SHOWN} more" if total > SHOWN else ""
        tensors = "1 tensor does" if total == 1 else f"{total} tensors do"
        listed = "".join(f"\n  {line}" for line in wrong[:SHOWN])
        raise Fault("N401", f"{prefix}{tensors} not fit {graph.name}:{listed}{more}")
    unsound = [
        n for n in expected if n in weights and weights[n].dtype.kind == "f" and not np.isfinite(weights[n]).all()
    ]
    if unsound:
        more = f" and {len(unsound) - SHOWN} more" if len(unsound) > SHOWN else ""
        raise Fault(
            "N404",
            f"{prefix}a NaN or an infinity stands in {', '.join(unsound[:SHOWN])}{more}",
            help="the training diverged, or a number is beyond f32",
        )
    # What may be missing is a counter.
    return {n: weights[n] if n in weights else np.zeros(p.shape, _KINDS[p.dtype]) for n, p in expected.items()}


def _missing(name: str, param: Param, unexpected: Iterable[str]) -> str:
    return f"{name}: missing, {_shape(param.shape)}{_nearest(name, unexpected)}"


def _mismatch(array: Array, param: Param) -> str:
    if tuple(array.shape) != param.shape:
        return f"{_shape(array.shape)}, expected {_shape(param.shape)}"
    kind = _KINDS[param.dtype]
    if array.dtype == kind:
        return ""
    return f"{'a type unknown here' if array.dtype.kind == 'V' else array.dtype}, expected {kind}"


def _nearest(name: str, others: Iterable[str]) -> str:
    close = get_close_matches(name, list(others), n=1, cutoff=0.7)
    return f" (the nearest is {close[0]})" if close else ""


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
