"""What holds for every body that the server's codec is given, and for every answer that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from netc_runtime.errors import ServeFault
from netc_runtime.oip import InferRequest, Reader, Wanted, Writer
from netc_runtime.oip.datatypes import OF_NUMPY
from netc_runtime.oip.strict import parse
from tests.fuzz import v2_oracle
from tests.fuzz.v2_oracle import Asked, Refused, Tensor
from tests.fuzz.v2_requests import Model

LONGEST_WORDS = 2000
Body = tuple[bytes, str | None]
FAULTS = {*(f"R5{number:02}" for number in range(1, 11)), "R512"}


def claims(model: Model, asked: Body, before: Body | None = None) -> bool:
    """Assert what is promised of a body, after another and again after it; give whether it is a request."""
    found = read(_reader(model), *asked)
    try:
        right = v2_oracle.request(*asked, *model)
    except Refused:
        right = None
    if isinstance(found, Asked) or right is not None:
        assert found == right
    _json(*asked)
    reader = _reader(model)
    others = [] if before is None else [(before, read(_reader(model), *before))]
    for body, expected in (*others, (asked, found), *others, (asked, found)):
        assert read(reader, *body) == expected, "what came before is seen"
    return right is not None


def _json(body: bytes, header: str | None) -> None:
    """The JSON alone, whatever it says, is what the plain reader makes of it: to the type and the last bit."""
    try:
        text, _ = v2_oracle.parts(body, header)
    except Refused:
        return
    try:
        right = v2_oracle.json_object(text)
    except Refused:
        right = None
    try:
        found = parse(text)
    except ServeFault as fault:
        well_formed(fault, {"R501", "R502", "R503"})
        found = None
    assert repr(found) == repr(right)


def _reader(model: Model) -> Reader:
    return Reader(model.inputs, model.outputs)


def read(reader: Reader, body: bytes, header: str | None) -> Asked | tuple[str, str]:
    """What a reader makes of a body: a request, or a fault's code and words."""
    lent = bytearray(body)
    try:
        request = reader.read(lent, header)
    except ServeFault as fault:
        well_formed(fault)
        return fault.code, fault.message
    found = _asked(request)
    assert lent == body, "the body is changed"
    if not lent:
        return found
    whole = np.frombuffer(lent, np.uint8)
    for array in request.feed.values():
        assert not (array.flags.writeable and np.shares_memory(array, whole)), "the body can be changed"
    return found


def well_formed(fault: ServeFault, codes: set[str] = FAULTS) -> None:
    """A refusal is the asker's fault, in words that are a line."""
    assert 400 <= fault.status < 500, fault
    assert fault.code in codes, fault
    assert fault.help
    assert len(fault.message) <= LONGEST_WORDS, fault.message[:200]
    assert fault.message.isprintable(), repr(fault.message)


def _asked(request: InferRequest) -> Asked:
    tensors: list[Tensor] = []
    for name, array in request.feed.items():
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        tensors.append(Tensor(name, OF_NUMPY[array.dtype], array.shape, array.tobytes()))
    wanted = [(each.name, each.binary, each.classes and each.classes.count) for each in request.wanted]
    return Asked(tuple(tensors), tuple(wanted), request.id, request.timeout_us)


def written(writer: Writer, id: str | None, outputs: Mapping[str, npt.NDArray[Any]], wanted: Sequence[Wanted]) -> None:
    """Assert that an answer is read back as what was written, twice."""
    like = repr((id, wanted)).encode()
    for _ in range(2):
        found = writer.known(like, outputs, tuple(wanted))
        parts, length = found or writer.write(id, outputs, tuple(wanted), like)
        top, tensors = v2_oracle.answer(b"".join(parts), length)
        assert top == {"model_name": "m", "model_version": "1", **({} if id is None else {"id": id})}
        assert [each.name for each in tensors] == [each.name for each in wanted]
        for each, tensor in zip(wanted, tensors, strict=True):
            array = outputs[each.name]
            if each.classes is None:
                expected = Tensor(each.name, OF_NUMPY[array.dtype], array.shape, array.tobytes())
                assert tensor == expected
            else:
                assert tensor.datatype == "BYTES"
                _ranked(array, each.classes.count, each.classes.by_row, tensor)


def _ranked(array: npt.NDArray[Any], count: int, by_row: bool, tensor: Tensor) -> None:
    """Each text is a value and its index, of the highest values."""
    rows = array.reshape(array.shape[0] if by_row else 1, -1) if array.size else array.reshape(0, 1)
    texts = [each.decode().split(":") for each in tensor.content if isinstance(each, bytes)]
    kept = 0 if not array.size else min(count, rows.shape[1])
    assert len(texts) == len(rows) * kept
    for number, row in enumerate(rows):
        mine = texts[number * kept : (number + 1) * kept]
        indices = [int(index) for _, index in mine]
        assert len(set(indices)) == kept
        for value, index in mine:
            assert array.dtype.type(value).tobytes() == row[int(index)].tobytes() or np.isnan(row[int(index)])
        numbers = [row[index] for index in indices]
        rest = np.delete(row, indices)
        assert all(not a < b for a, b in pairwise(numbers))
        assert not numbers or np.isnan(numbers[-1]) or not (rest > numbers[-1]).any()
