"""ONNX Runtime as it is, on the CPU: IO binding gains nothing there, and padding a batch costs what it pads."""

from collections.abc import Sequence

from netc_runtime import engine, providers
from netc_runtime.engines.runner import Placement, Tensors

ON = {providers.CPU: "cpu", providers.CUDA: "cuda", providers.TENSORRT: "tensorrt"}


class PlainRunner:
    """A session, run as it is; implements `Runner`."""

    def __init__(self, where: str, session: engine.Session, names: Sequence[str], *, cached: bool = False) -> None:
        self._where = where
        self._session = session
        self._names = list(names)
        self._cached = cached
        self._has_run = False

    def run(self, feed: Tensors) -> Tensors:
        """As `Runner` says."""
        self._has_run = True
        return dict(zip(self._names, engine.run(self._where, self._session, self._names, feed), strict=True))

    def placement(self) -> Placement:
        """As `Runner` says."""
        used = tuple(self._session.get_providers())
        nodes = engine.nodes_by_provider(self._session)
        return Placement("onnxruntime", ON.get(used[0], used[0]), "f32", used, nodes, cached=self._cached)

    def batches(self, most: int) -> tuple[int, ...]:
        """As `Runner` says: ONNX Runtime plans memory at the first run, whatever its rows."""
        return () if self._has_run else (1,)
