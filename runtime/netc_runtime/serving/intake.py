"""A request to a loaded model as the batcher takes it: checked, counted, and told what it may share a batch with."""

from collections.abc import Hashable
from math import prod
from typing import Any, TypeAlias

import numpy.typing as npt

from netc_runtime import contract
from netc_runtime.errors import ServeFault
from netc_runtime.rows import row_symbol
from netc_runtime.serving.execution import Request
from netc_runtime.session import Model

Array: TypeAlias = npt.NDArray[Any]
MOST_KNOWN = 256  # sets of sides
MOST_EMPTY_BYTES = 64 << 20  # as of a body, if none is allowed more


class Intake:
    """Makes requests for one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows = row_symbol(model.inputs, model.outputs)
        self._names = [tensor.name for tensor in model.inputs]
        self._known: dict[Hashable, tuple[int, Hashable | None, int]] = {}

    def request(self, given: dict[str, Array], like: bytes | None = None) -> Request:
        """Check and convert a request's arrays as `Model.predict` does; those of one `like` are alike.

        Rows of one shape and type may share a batch. A model whose batch is fixed, or whose outputs do not follow its
        rows, runs one request at a time, and so does a request without rows or with more than `max_batch`.

        Raises: RequestFault R201 to R207 and R209; ServeFault R536; ManifestError R113.
        """
        # What is checked are names, types and sides: arrays that are like earlier ones in these are as good.
        alike = like or tuple(
            [(name, array.shape, array.dtype.char, array.flags.c_contiguous) for name, array in given.items()]
        )
        known = self._known.get(alike)
        if known is not None:
            return Request(given, *known)
        made = self._checked(given)
        if all(made.feed[name] is array for name, array in given.items()):
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[alike] = made.rows, made.key, made.size_bytes
        return made

    def _checked(self, given: dict[str, Array]) -> Request:
        model = self._model
        feed, sizes = contract.conform(model.name, model.inputs, given)
        if model.manifest is not None:
            contract.require(model.name, model.manifest.require, sizes)
        size_bytes = sum(array.nbytes for array in feed.values())
        if self._rows is None:
            model.check_whole(feed)
            rows = max((len(array) for array in feed.values() if array.ndim), default=1)
            return Request(feed, max(rows, 1), None, size_bytes)
        rows = sizes[self._rows]
        if rows == 0:
            # It is answered by running a row of zeros, of sides that no bytes had to be sent for.
            size_bytes = sum(array.itemsize * prod(array.shape[1:]) for array in feed.values())
            if size_bytes > MOST_EMPTY_BYTES:
                raise ServeFault(
                    "R536",
                    f"{model.name}: a request without rows is answered by running one of zeros, and of these sides it "
                    f"has {size_bytes:,} bytes, at most {MOST_EMPTY_BYTES:,} are run",
                    "send rows, or smaller sides",
                )
        # Converted arrays have the types of the model's inputs: sides alone tell requests apart.
        key = tuple(feed[name].shape[1:] for name in self._names) if rows else None
        return Request(feed, rows, key, size_bytes)
