"""The ONNX back end: the graph as ONNX nodes, checked without the weights, and the weights streamed behind them."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from netc.atomic import replacing
from netc.backends.onnx import emit
from netc.backends.onnx.data_file import PAGE, DataFile, file_at, remove_data, write_data
from netc.backends.onnx.lowering import Lowered
from netc.backends.onnx.stream import Stream
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights import Weights

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
DATA = "netc_data"  # the key in the file's metadata: what a runtime looks for before it reads the file beside it


def lower(graph: Graph, opset: int = OPSET, *, whole: bool = True) -> Lowered:
    """A graph in ONNX's nodes, judged by ONNX's checker and shape inference: all of it, or else what layers of other
    packages than netc became. What netc's own become is judged by its tests, and the checker takes a tenth of a second
    to load.

    Raises: Fault N420 where a layer needs a newer opset, N421 for an input and an output of one name; AssertionError, a
    bug of ours or of that package, where ONNX infers another shape than the layer's rule.
    """
    lowered = Lowered(graph, opset)
    if whole or lowered.of_others():
        from netc.backends.onnx import gate

        (gate.whole if whole else gate.each)(lowered, emit.model(opset))
    return lowered


def skeleton(graph: Graph, opset: int = OPSET) -> ModelProto:
    """The model without its weights, which stand among the graph's inputs.

    Raises: as `lower` does.
    """
    from netc.backends.onnx import gate

    return gate.whole(Lowered(graph, opset), emit.model(opset))


def write(
    graph: Graph,
    weights: Weights,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    opset: int = OPSET,
    metadata: Mapping[str, str] | None = None,
    external_data: bool = False,
) -> None:
    """Write a graph as an ONNX file: to a path, as `emitting` does, or to an open binary file.

    Raises: Fault N422 for an open file that would have more than 2 GiB; as `lower` and `emitting` do.
    """
    lowered = lower(graph, opset)
    if isinstance(target, (str, os.PathLike)):
        with emitting(lowered, weights, target, external_data=external_data) as emitted:
            emitted.add(metadata or {})
        return
    emit.refuse_unfit(lowered, weights)
    if external_data or emit.too_large(lowered):
        raise Fault("N422", f"{graph.name}: an open file takes no weights beside it, and 2 GiB", help="name a path")
    for chunk in emit.chunks(lowered, weights):
        target.write(chunk)
    target.write(emit.metadata(metadata or {}))


@dataclass(frozen=True)
class Emitted:
    """An ONNX file that is written and has no name yet: it lies at `path`, its weights perhaps in `data`."""

    path: Path
    data: DataFile | None
    _stream: Stream

    def add(self, metadata: Mapping[str, str]) -> None:
        """Add entries to the file's metadata. Raises: OSError."""
        self._stream.write(emit.metadata(metadata))

    @property
    def size_bytes(self) -> int:
        """The file's size, without its data file's."""
        return self._stream.size

    def sha256(self) -> str:
        """The file's hash as it is now. Raises: OSError."""
        return self._stream.sha256()


@contextmanager
def emitting(
    lowered: emit.Emittable, weights: Weights, out: str | os.PathLike[str], *, external_data: bool = False
) -> Generator[Emitted]:
    """Write a file that takes the name `out` when the block ends well; whatever else ends it leaves nothing behind.

    With `external_data`, and for more than 2 GiB, weights of 4 KiB and more go to a file of their own beside it,
    `OUT.onnx.HASH.data`; those that older ones had are removed, unless another build is at work in the folder. Equal
    arguments give equal bytes.

    Raises: Fault N401 for a weight that is missing or of the wrong shape or type; as `netc.atomic.replacing` does.
    """
    emit.refuse_unfit(lowered, weights)
    target, data = Path(os.path.realpath(out)), None
    try:
        with replacing(out) as file, Stream(file) as stream:
            own = file_at(Path(file.name))
            if external_data or emit.too_large(lowered):
                sizes = {name: emit.size_bytes(param) for name, param in lowered.params.items()}
                data = write_data(target, sizes, weights) if max(sizes.values(), default=0) >= PAGE else None
            for chunk in emit.chunks(lowered, weights, data):
                stream.write(chunk)
            if data is not None:
                stream.write(emit.metadata({DATA: json.dumps(data.record(), separators=(",", ":"))}))
            stream.flush()
            yield Emitted(Path(file.name), data, stream)
            stream.flush()
    except BaseException:
        if data is not None:
            data.discard()
        raise
    if data is not None:
        data.release()
    with suppress(OSError):
        remove_data(target, own, keep=data.path if data is not None else None)
