"""An inference response: JSON, or JSON with the bytes of tensors behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from netc_runtime.errors import ServeFault
from netc_runtime.oip.datatypes import OF_NUMPY
from netc_runtime.oip.request import Wanted


def write_response(
    model: str, version: str, id: str | None, outputs: Mapping[str, npt.NDArray[Any]], wanted: Sequence[Wanted]
) -> tuple[list[bytes | memoryview], int | None]:
    """Give the parts of the body, and how long its JSON is where bytes follow it.

    Raises: ServeFault R511 where JSON has no word for a number.
    """
    listed: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for each in wanted:
        array = np.ascontiguousarray(outputs[each.name])
        entry: dict[str, Any] = {
            "name": each.name,
            "shape": list(outputs[each.name].shape),
            "datatype": OF_NUMPY[array.dtype],
        }
        if each.binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            blobs.append(array.reshape(-1).view(np.uint8).data if array.size else b"")
        else:
            entry["data"] = _values(each.name, array)
        listed.append(entry)
    top: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": listed}
    if id is not None:
        top["id"] = id
    text = orjson.dumps(top, option=orjson.OPT_SERIALIZE_NUMPY)
    return [text, *blobs], len(text) if any(each.binary for each in wanted) else None


def _values(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.float16:
        raise ServeFault("R511", f'output "{name}" is FP16, which has no numbers in JSON', _BINARY)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ServeFault("R511", f'output "{name}" holds a NaN or an infinity, for which JSON has no word', _BINARY)
    return array.reshape(-1)


_BINARY = "ask for its bytes: binary_data, or binary_data_output for all"
