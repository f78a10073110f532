"""An inference response: JSON, or JSON with the bytes of tensors behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from netc_runtime.errors import ServeFault
from netc_runtime.oip.classes import classified, packed
from netc_runtime.oip.datatypes import OF_NUMPY
from netc_runtime.oip.request import Wanted

MOST_KEPT = 256
COPIED_BYTES = 1 << 15


class Writer:
    """Writes one model's responses; the JSON of those by bytes tells of shapes alone, and mostly came before."""

    def __init__(self, model: str, version: str) -> None:
        self._model, self._version = model, version
        self._known: dict[Any, bytes | memoryview] = {}

    def known(
        self, like: bytes | None, outputs: Mapping[str, npt.NDArray[Any]], wanted: tuple[Wanted, ...]
    ) -> tuple[list[bytes | memoryview], int] | None:
        """Write an answer to a request of whose like one was answered before, or nothing where none was."""
        if like is None:
            return None
        text = self._known.get(_key(like, outputs, wanted))
        return None if text is None else ([text, *[_blob(outputs[each.name]) for each in wanted]], len(text))

    def write(
        self,
        id: str | None,
        outputs: Mapping[str, npt.NDArray[Any]],
        wanted: tuple[Wanted, ...],
        like: bytes | None = None,
    ) -> tuple[list[bytes | memoryview], int | None]:
        """As `write_response`, with its parts, its errors and its length; the next of its like is `known`."""
        parts, length = write_response(self._model, self._version, id, outputs, wanted)
        # Its JSON says no more than the outputs' names, types and sides; one with an id never comes again.
        if like is not None and id is None and all(each.binary and each.classes is None for each in wanted):
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[_key(like, outputs, wanted)] = parts[0]
        return parts, length


def _key(like: bytes, outputs: Mapping[str, npt.NDArray[Any]], wanted: tuple[Wanted, ...]) -> Any:
    return like, *[outputs[each.name].shape for each in wanted]


def write_response(
    model: str, version: str, id: str | None, outputs: Mapping[str, npt.NDArray[Any]], wanted: Sequence[Wanted]
) -> tuple[list[bytes | memoryview], int | None]:
    """Give the parts of the body, and how long its JSON is where bytes follow it.

    Raises: ServeFault R511 where JSON has no word for a number.
    """
    listed: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for each in wanted:
        if each.classes is not None:
            shape, texts = classified(outputs[each.name], each.classes)
            entry: dict[str, Any] = {"name": each.name, "shape": shape, "datatype": "BYTES"}
            if each.binary:
                blobs.append(packed(texts))
                entry["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                entry["data"] = texts
            listed.append(entry)
            continue
        array = np.ascontiguousarray(outputs[each.name])
        entry = {
            "name": each.name,
            "shape": list(outputs[each.name].shape),
            "datatype": OF_NUMPY[array.dtype],
        }
        if each.binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            blobs.append(_blob(array))
        else:
            entry["data"] = _values(each.name, array)
        listed.append(entry)
    top: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": listed}
    if id is not None:
        top["id"] = id
    text = orjson.dumps(top, option=orjson.OPT_SERIALIZE_NUMPY)
    return [text, *blobs], len(text) if any(each.binary for each in wanted) else None


def _blob(array: npt.NDArray[Any]) -> bytes | memoryview:
    if array.nbytes < COPIED_BYTES:
        return array.tobytes()  # a view of it takes longer to make
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _values(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.float16:
        raise ServeFault("R511", f'output "{name}" is FP16, which has no numbers in JSON', _BINARY)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ServeFault("R511", f'output "{name}" holds a NaN or an infinity, for which JSON has no word', _BINARY)
    return array.reshape(-1)


_BINARY = "ask for its bytes: binary_data, or binary_data_output for all"
