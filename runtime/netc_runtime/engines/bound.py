"""ONNX Runtime on a GPU: batches of a few sizes, in buffers that stay where they are.

cuDNN looks for an algorithm, and TensorRT builds an engine, at each new shape, so a batch is filled up to the next size
of a few (powers of two, and the largest), and all of them may be run before the first request. A CUDA graph is of one
shape and of fixed addresses: it is captured once for each size, and replayed. Filling up repeats the last row, since
zeros are a picture that no net was made for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime import engine
from netc_runtime.engines.plain import ON
from netc_runtime.engines.runner import Placement, Tensors, buckets
from netc_runtime.errors import RequestFault

Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...], str], ...]
MOST_KEPT = 32  # shapes whose buffers are kept; each sits in the GPU's memory


@dataclass(slots=True)
class _Bound:
    """Buffers on the device for one shape of every input, bound to the session."""

    binding: Any
    host: Tensors
    inputs: dict[str, Any]
    graph: str
    outputs: dict[str, Any] | None = None


class BoundRunner:
    """A session whose inputs and outputs are bound to buffers that are used again; implements `Runner`.

    One run at a time: the buffers are one set. `rows` says whether the first side of every tensor counts the rows, and
    `most` how many go at once. `kind` is where buffers are: cuda, or cpu in tests. `cuda_graph` says that the session
    can capture graphs, and `capture` that it is to: not where shapes are many.
    """

    def __init__(
        self,
        where: str,
        session: Any,
        names: Sequence[str],
        *,
        rows: bool,
        most: int,
        kind: str = "cuda",
        index: int = 0,
        cuda_graph: bool = False,
        capture: bool = True,
    ) -> None:
        self._where, self._session, self._names = where, session, list(names)
        self._rows, self._most = rows, most
        self._kind, self._index = kind, index
        self._cuda_graph, self._capture = cuda_graph, capture
        self._bound: dict[Shapes, _Bound] = {}
        self._graphs = 0
        self._lock = Lock()

    def run(self, feed: Tensors) -> Tensors:
        """As `Runner` says. Raises: RequestFault R208 when ONNX Runtime gives up."""
        count = len(next(iter(feed.values()))) if self._rows else 0
        size = self._bucket(count)
        key = tuple((name, (size or len(array), *array.shape[1:]), array.dtype.str) for name, array in feed.items())
        with self._lock:
            try:
                found = self._answers(self._prepared(key), feed, count)
            except RequestFault:
                raise
            except Exception as error:  # ONNX Runtime's own derive from nothing narrower
                self._bound.pop(key, None)
                raise engine.gives_up(self._where, feed, error) from error
        if size == count:
            return found
        for name, array in found.items():
            if array.shape[:1] != (size,):
                raise RequestFault(
                    "R208",
                    f'{self._where}: output "{name}" is {array.shape} for a batch of {size} rows',
                    "the graph mixes rows: load it with device=cpu",
                )
        return {name: array[:count] for name, array in found.items()}

    def placement(self) -> Placement:
        """As `Runner` says."""
        used: tuple[str, ...] = tuple(self._session.get_providers())
        device = ON.get(used[0], used[0])
        device = f"{device}:{self._index}" if device == "cuda" else device
        return Placement("onnxruntime", device, "f32", used, engine.nodes_by_provider(self._session))

    def batches(self, most: int) -> tuple[int, ...]:
        """As `Runner` says."""
        return buckets(most) if self._rows else (1,)

    def _bucket(self, count: int) -> int:
        if not self._rows:
            return 0
        return next((size for size in buckets(self._most) if size >= count), count)

    def _prepared(self, key: Shapes) -> _Bound:
        found = self._bound.get(key)
        if found is None:
            if len(self._bound) >= MOST_KEPT:
                self._bound.pop(next(iter(self._bound)))  # the one that was made first
            self._graphs += 1
            host = {name: np.empty(shape, np.dtype(kind)) for name, shape, kind in key}
            found = _Bound(self._session.io_binding(), host, {}, str(self._graphs))
            for name, array in host.items():
                found.inputs[name] = engine.device_value(array, self._kind, self._index)
                found.binding.bind_ortvalue_input(name, found.inputs[name])
            for name in self._names:
                found.binding.bind_output(name, self._kind, self._index)
            self._bound[key] = found
        return found

    def _answers(self, bound: _Bound, feed: Tensors, count: int) -> Tensors:
        for name, array in feed.items():
            held = bound.host[name]
            if self._rows and count < len(held):
                held[:count] = array
                held[count:] = array[-1:]
                array = held
            bound.inputs[name].update_inplace(np.ascontiguousarray(array))
        self._session.run_with_iobinding(bound.binding, self._options(bound))
        if bound.outputs is not None:
            return {name: _copied(value) for name, value in bound.outputs.items()}
        # What a first run gives tells the outputs' shapes; from then on they have buffers too.
        first = {n: _copied(value) for n, value in zip(self._names, bound.binding.get_outputs(), strict=True)}
        # Of copies: a buffer on the CPU is the array's own memory.
        bound.outputs = {n: engine.device_value(array.copy(), self._kind, self._index) for n, array in first.items()}
        for name, value in bound.outputs.items():
            bound.binding.bind_ortvalue_output(name, value)
        return first

    def _options(self, bound: _Bound) -> Any:
        # A captured graph is known by a number; -1 is a run without one. The first run of a shape is without: what it
        # allocates would move.
        if not self._cuda_graph:
            return None  # options that say nothing cost 50 us a run
        graph = bound.graph if self._capture and bound.outputs is not None else "-1"
        return engine.run_options({"gpu_graph_id": graph})


def _copied(value: Any) -> npt.NDArray[Any]:
    return np.array(value.numpy())
