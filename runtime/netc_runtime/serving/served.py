"""One loaded version of a model, its queue, and who still uses it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import numpy.typing as npt

from netc_runtime.oip import Reader, Writer
from netc_runtime.providers import usable_threads
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.batcher import Answer, Batcher
from netc_runtime.serving.intake import Intake
from netc_runtime.serving.tally import Tally
from netc_runtime.session import Model

# Of a batch that runs in the loop: where two switches of threads take a tenth of it or more; and longer where there is
# one core alone, which a thread beside the loop would only share with it.
AT_ONCE_S = 0.5e-3 if usable_threads() > 1 else 8e-3


class Served:
    """A version that answers requests; whoever uses it holds it in a `with` block, and it closes when nobody does."""

    def __init__(
        self,
        name: str,
        version: int,
        model: Model,
        limits: Limits,
        *,
        tally: Tally | None = None,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.version = version
        self.label = name, str(version)
        self.model = model
        model.name = name  # in what it says of a request; its file is called model.onnx, as every other one's
        on_cpu = model.report().device == "cpu"  # a GPU keeps its graphs for one thread
        self.reader = Reader(model.inputs, model.outputs)
        self.writer = Writer(name, str(version))
        self.intake = Intake(model)
        self.batcher = Batcher(
            name, model.run, model.max_batch, limits, tally=tally, died=died, at_once_s=AT_ONCE_S if on_cpu else 0.0
        )
        self._holders = 0
        self._unheld = asyncio.Event()
        self._unheld.set()

    def __enter__(self) -> "Served":
        """Keep it from closing, from the reading of a request to its answer."""
        self._holders += 1
        self._unheld.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._unheld.set()

    def infer(
        self, given: dict[str, npt.NDArray[Any]], timeout_s: float | None = None, like: bytes | None = None
    ) -> Awaitable[Answer]:
        """Answer one request, which is checked at once; the arrays of those of one `like` are alike.

        Raises: RequestFault R201 to R207 and R209; ServeFault R530 to R536; ManifestError R113.
        """
        return self.batcher.submit(self.intake.request(given, like), timeout_s)

    async def warm_up(self) -> None:
        """Run the batches whose first run is slow. Raises: RequestFault R208."""
        await self.batcher.prepare(self.model.warm_up)

    async def close(self) -> None:
        """Wait until nobody holds it, answer what is queued, and end its thread."""
        await self._unheld.wait()
        await self.batcher.drain()
