"""One loaded version of a model, its queue, and who still uses it."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import numpy.typing as npt

from netc_runtime.serving.admission import Limits
from netc_runtime.serving.batcher import Answer, Batcher
from netc_runtime.serving.intake import Intake
from netc_runtime.serving.tally import Tally
from netc_runtime.session import Model


class Served:
    """A version that answers requests; whoever uses it holds it, and it closes when nobody does."""

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
        self.model = model
        model.name = name  # in what it says of a request; its file is called model.onnx, as every other one's
        self.intake = Intake(model)
        self.batcher = Batcher(name, model.predict, model.max_batch, limits, tally=tally, died=died)
        self._holders = 0
        self._unheld = asyncio.Event()
        self._unheld.set()

    @contextmanager
    def held(self) -> Generator["Served"]:
        """Keep it from closing, from the reading of a request to its answer."""
        self._holders += 1
        self._unheld.clear()
        try:
            yield self
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._unheld.set()

    async def infer(self, given: Mapping[str, npt.ArrayLike], timeout_s: float | None = None) -> Answer:
        """Answer one request.

        Raises: RequestFault R201 to R207 and R209; ServeFault R530 to R536; ManifestError R113.
        """
        return await self.batcher.submit(self.intake.request(given), timeout_s)

    async def warm_up(self) -> None:
        """Run the batches whose first run is slow. Raises: RequestFault R208."""
        await self.batcher.prepare(self.model.warm_up)

    async def close(self) -> None:
        """Wait until nobody holds it, answer what is queued, and end its thread."""
        await self._unheld.wait()
        await self.batcher.drain()
