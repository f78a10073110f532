"""ONNX Runtime on the CPU, as the verifier drives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netc.backends.verify.edges import entering
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights import Array


def open_session(
    path: str | os.PathLike[str], graph: Graph, outputs: Sequence[str] | None = None, *, fused: bool = True
) -> Callable[[Mapping[str, Array]], list[Array]]:
    """What runs a file: feeds by input in, and out the graph's outputs in its order, or those that are named.

    Not `fused`, every node runs by itself, as ONNX defines it. A file of pixels is fed those that make an image.

    Raises: Fault N433, here and from what is returned, where ONNX Runtime refuses the file or the feed; from what is
    returned N432 for an image that no pixels make.
    """
    import onnxruntime

    ort: Any = onnxruntime  # its names are made at import time, which the type checker cannot follow
    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 4
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Without VNNI, products of 8 bits would overflow in pairs.
    options.add_session_config_entry("session.x64quantprecision", "1")
    names = [output.name for output in graph.outputs] if outputs is None else list(outputs)

    def refused(error: Exception) -> Fault:
        words = " ".join(str(error).split())
        return Fault("N433", f"ONNX Runtime refuses what netc wrote for {graph.name}: {words}", exit_code=3)

    try:
        session = ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common that it exports
        raise refused(error) from error

    types = {each.name: each.type for each in session.get_inputs()}

    def run(feed: Mapping[str, Array]) -> list[Array]:
        taken = entering(graph, feed, types)
        try:
            return session.run(names, taken)
        except Exception as error:
            raise refused(error) from error

    return run


def _threads() -> int:
    # As torch counts them: what the environment says, or the processors that this process may use.
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
