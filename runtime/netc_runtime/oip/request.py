"""An inference request: JSON, or JSON with the bytes of tensors behind it."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from netc_runtime.contract import DTYPES
from netc_runtime.errors import ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.oip.classes import Classes, read_classes
from netc_runtime.oip.datatypes import NAMES
from netc_runtime.oip.strict import parse_noting
from netc_runtime.oip.values import read_values
from netc_runtime.rows import row_symbol

LONGEST_ID = 1024
MOST_DIMS = 16
LARGEST_SIDE = 2**31 - 1
MOST_ELEMENTS = 2**48  # numpy counts the bytes of an array's sides in 63 bits, also where one side is 0
_TOP = {"id", "parameters", "inputs", "outputs"}
_INPUT = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT = {"name", "parameters"}


class Wanted(NamedTuple):
    """An output that is asked for, whether as bytes, and whether its highest classes in place of its values."""

    name: str
    binary: bool
    classes: Classes | None = None


class InferRequest(NamedTuple):
    """What a client asks for: its arrays by input, which are read-only views of the body where they came as bytes.

    Requests of one `like` differ in nothing but the numbers in their arrays.
    """

    feed: dict[str, npt.NDArray[Any]]
    wanted: tuple[Wanted, ...]
    id: str | None
    timeout_us: int | None
    like: bytes | None = None


def read_request(
    body: bytes | bytearray | memoryview, header: str | None, inputs: Sequence[Input], outputs: Sequence[Output]
) -> InferRequest:
    """Read a request for a model with these inputs and outputs.

    `header` is what Inference-Header-Content-Length says, where the request has it. Names and element types are checked
    here, sizes by the model's contract.

    Raises: ServeFault R501 to R510, R512.
    """
    view = memoryview(body).toreadonly()
    text, rest = _split(view, header)
    top, switches = parse_noting(text)
    _known("the request", top, _TOP)
    parameters = _parameters("the request", top, {"binary_data_output": bool, "timeout": int})
    feed = _feed(top.get("inputs"), rest, header is not None, {each.name: each for each in inputs}, switches)
    every = bool(parameters.get("binary_data_output", False))
    wanted = _wanted(top.get("outputs", []), every, inputs, outputs)
    timeout = parameters.get("timeout")
    if timeout is not None and timeout < 1:
        raise ServeFault("R504", f"the request's timeout is {timeout}, expected microseconds from 1", "leave it out")
    return InferRequest(feed, wanted, _id(top), timeout)


def _split(view: memoryview, header: str | None) -> tuple[memoryview, memoryview]:
    if header is None:
        return view, view[:0]
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise ServeFault(
            "R507", f"Inference-Header-Content-Length is {header[:40]!r}, expected a number of bytes", _HEADER
        )
    size = int(header)
    if size > len(view):
        raise ServeFault(
            "R507", f"Inference-Header-Content-Length is {size}, and the body has {len(view)} bytes", _HEADER
        )
    return view[:size], view[size:]


def _id(top: Mapping[str, Any]) -> str | None:
    found = top.get("id")
    if found is None and "id" not in top:
        return None
    if not isinstance(found, str):
        raise ServeFault("R504", "the request's id is not a string", "send a string, or leave it out")
    if len(found.encode()) > LONGEST_ID:
        raise ServeFault("R504", f"the request's id is longer than {LONGEST_ID} bytes", "send a shorter one")
    return found


def _known(at: str, found: Mapping[str, Any], keys: set[str]) -> None:
    for name in found:
        if name not in keys:
            listed = ", ".join(sorted(keys))
            raise ServeFault("R504", f"{at} has a key {name[:100]!r}; its keys are {listed}", "leave it out")


def _parameters(at: str, found: Mapping[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    given = found.get("parameters", {})
    if not isinstance(given, dict):
        raise ServeFault("R504", f"the parameters of {at} are not an object", "send an object, or leave them out")
    parameters = cast("dict[str, Any]", given)
    for name, value in parameters.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ServeFault("R504", f"{at} has a parameter {name[:100]!r}; this server's are {listed}", "leave it out")
        if type(value) is not known[name]:
            kind = {bool: "true or false", int: "a whole number"}[known[name]]
            raise ServeFault("R504", f"the parameter {name} of {at} is not {kind}", "leave it out")
    return parameters


def _feed(
    given: Any, rest: memoryview, with_bytes: bool, inputs: Mapping[str, Input], switches: bool
) -> dict[str, npt.NDArray[Any]]:
    names = ", ".join(f'"{name}"' for name in inputs)
    if not isinstance(given, list) or not given:
        raise ServeFault("R505", "the request has no inputs", f"send an array of {names}")
    feed: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for number, each in enumerate(cast("list[Any]", given)):
        if not isinstance(each, dict):
            raise ServeFault("R505", f"input {number} is not an object", "send name, shape, datatype and data")
        entry = cast("dict[str, Any]", each)
        name = entry.get("name")
        if not isinstance(name, str) or name not in inputs:
            said = repr(name[:100]) if isinstance(name, str) else "no name"
            raise ServeFault("R505", f"input {number} has {said}; the model's inputs are {names}", "name one of these")
        if name in feed:
            raise ServeFault("R505", f'input "{name}" is given twice', "give it once")
        feed[name], at = _tensor(f'input "{name}"', entry, inputs[name], rest, at, with_bytes, switches)
    missing = [name for name in inputs if name not in feed]
    if missing:
        raise ServeFault(
            "R505", f'input "{missing[0]}" is missing; the model\'s inputs are {names}', "send all of them"
        )
    if at != len(rest):
        raise ServeFault(
            "R507", f"{len(rest) - at} bytes follow the tensors' own", "send what binary_data_size says, and no more"
        )
    return feed


def _tensor(
    at: str, entry: Mapping[str, Any], tensor: Input, rest: memoryview, start: int, with_bytes: bool, switches: bool
) -> tuple[npt.NDArray[Any], int]:
    _known(at, entry, _INPUT)
    datatype, expected = entry.get("datatype"), NAMES[tensor.dtype]
    if datatype != expected:
        said = repr(datatype[:40]) if isinstance(datatype, str) else "no datatype"
        raise ServeFault("R506", f"{at} has {said}, expected {expected}", f"send {expected}")
    shape = _shape(at, entry.get("shape"), len(tensor.shape))
    dtype = DTYPES[tensor.dtype]
    parameters = _parameters(at, entry, {"binary_data_size": int})
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in entry:
            raise ServeFault("R508", f"{at} has neither data nor binary_data_size", "send one of them")
        if tensor.dtype == "f16":
            raise ServeFault("R506", f"{at}: FP16 has no numbers in JSON", "send its bytes, with binary_data_size")
        return read_values(at, entry["data"], shape, dtype, switches=switches), start
    if "data" in entry:
        raise ServeFault("R507", f"{at} has data and binary_data_size", "send one of them")
    if not with_bytes:
        raise ServeFault(
            "R507", f"{at} has binary_data_size, and the request no Inference-Header-Content-Length", _HEADER
        )
    needs = dtype.itemsize
    for side in shape:
        needs *= side
    if size != needs:
        raise ServeFault(
            "R507", f"{at}: binary_data_size is {size}; {expected} of {shape} takes {needs} bytes", "send as many"
        )
    if start + size > len(rest):
        raise ServeFault(
            "R507", f"{at} takes {size} bytes, and {len(rest) - start} are left of the body", "send as many"
        )
    part = rest[start : start + size]
    if tensor.dtype == "bool" and size and int(np.frombuffer(part, np.uint8).max()) > 1:
        raise ServeFault("R509", f"{at}: a byte is neither 0 nor 1, and it is BOOL", "send 0 and 1")
    return np.frombuffer(part, dtype).reshape(shape), start + size


def _shape(at: str, given: Any, rank: int) -> tuple[int, ...]:
    if not isinstance(given, list):
        raise ServeFault("R506", f"{at} has no shape", "send an array of whole numbers")
    shape = cast("list[Any]", given)
    if len(shape) > MOST_DIMS:
        raise ServeFault(
            "R506", f"{at} has {len(shape)} dimensions, expected {rank}", "send its sides, one a dimension"
        )
    for side in shape:
        if type(side) is not int or not 0 <= side <= LARGEST_SIDE:
            raise ServeFault(
                "R506", f"{at}: its shape holds {repr(side)[:40]}, expected whole numbers from 0", "send its sides"
            )
    if len(shape) != rank:
        raise ServeFault(
            "R506", f"{at} has {len(shape)} dimensions, expected {rank}", "send its sides, one a dimension"
        )
    if prod(max(side, 1) for side in shape) > MOST_ELEMENTS:
        raise ServeFault("R506", f"{at}: its shape {shape} is of more elements than there can be", "send its sides")
    return tuple(shape)


def _wanted(given: Any, every: bool, inputs: Sequence[Input], outputs: Sequence[Output]) -> tuple[Wanted, ...]:
    known = {each.name: each for each in outputs}
    names = ", ".join(f'"{name}"' for name in known)
    if not isinstance(given, list):
        raise ServeFault("R510", "outputs is not an array", f"name some of {names}, or leave it out")
    if len(cast("list[Any]", given)) > len(outputs):
        count = len(cast("list[Any]", given))
        raise ServeFault("R510", f"{count} outputs are asked for; the model's are {names}", "name each once")
    found: dict[str, Wanted] = {}
    for number, each in enumerate(cast("list[Any]", given)):
        if not isinstance(each, dict):
            raise ServeFault("R510", f"output {number} is not an object", "send an object with a name")
        entry = cast("dict[str, Any]", each)
        name = entry.get("name")
        if not isinstance(name, str) or name not in known:
            said = repr(name[:100]) if isinstance(name, str) else "no name"
            raise ServeFault("R510", f"output {number} has {said}; the model's are {names}", "name one of these")
        if name in found:
            raise ServeFault("R510", f'output "{name}" is asked for twice', "name it once")
        _known(f'output "{name}"', entry, _OUTPUT)
        parameters = _parameters(f'output "{name}"', entry, {"binary_data": bool, "classification": int})
        count = parameters.get("classification")
        classes = None if count is None else read_classes(count, known[name], row_symbol(inputs, outputs))
        found[name] = Wanted(name, parameters.get("binary_data", every), classes)
    return tuple(found.values()) or tuple(Wanted(name, every) for name in known)


_HEADER = "send the number of bytes of the JSON at the start of the body"
