"""What is read, checked and written once: the second time is as the first, and what differs is looked at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc_runtime
from netc_runtime.errors import RequestFault, ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.oip import InferRequest, Reader, Wanted, Writer, read_request, write_response
from netc_runtime.oip.reader import MOST_HEADS
from netc_runtime.oip.response import MOST_KEPT
from netc_runtime.serving.intake import Intake
from tests.serve.conftest import write_model

INPUTS = (Input("a", "f32", ("N", 2)), Input("b", "u8", ("N",)))
OUTPUTS = (Output("y", "f32", ("N", 2)),)


def body(rows: int, fill: int, **more: Any) -> tuple[bytes, str]:
    """A request by bytes."""
    a, b = np.full((rows, 2), fill, np.float32), np.full(rows, fill, np.uint8)
    entries = [
        {"name": "a", "shape": [rows, 2], "datatype": "FP32", "parameters": {"binary_data_size": a.nbytes}},
        {"name": "b", "shape": [rows], "datatype": "UINT8", "parameters": {"binary_data_size": b.nbytes}},
    ]
    head = json.dumps({"inputs": entries, **more}).encode()
    return head + a.tobytes() + b.tobytes(), str(len(head))


def afresh(data: bytes, header: str | None) -> InferRequest:
    return read_request(data, header, INPUTS, OUTPUTS)


def answer(read: Any, data: bytes, header: str | None) -> Any:
    try:
        found = read(data, header)
    except ServeFault as fault:
        return fault.code, fault.message
    arrays = {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.feed.items()}
    return arrays, found.wanted, found.id, found.timeout_us


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 255),
            st.sampled_from([{}, {"id": "x"}, {"parameters": {"binary_data_output": True, "timeout": 5}}]),
            st.sampled_from([b"", b"more", None]),
        ),
        max_size=8,
    )
)
@settings(max_examples=200)
def test_requests_are_read_alike_whatever_came_before(
    asked: list[tuple[int, int, dict[str, Any], bytes | None]],
) -> None:
    reader = Reader(INPUTS, OUTPUTS)
    sides: dict[bytes | None, Any] = {}
    for rows, fill, more, rest in asked:
        data, header = body(rows, fill, **more)
        data = data[:-1] if rest is None else data + rest
        right = answer(afresh, data, header)
        for _ in range(2):
            assert answer(reader.read, data, header) == right
        if isinstance(right[0], dict):  # it was read twice: what it is like is known
            like = reader.read(data, header).like
            assert like is not None
            assert sides.setdefault(like, rows) == rows


def test_the_bytes_of_bools_are_looked_at_each_time() -> None:
    reader = Reader((Input("x", "bool", ("N",)),), OUTPUTS)
    entry = {"name": "x", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}
    head = json.dumps({"inputs": [entry]}).encode()
    assert reader.read(head + b"\0\1", str(len(head))).feed["x"].tolist() == [False, True]
    with pytest.raises(ServeFault, match="R509"):
        reader.read(head + b"\0\2", str(len(head)))


def test_numbers_in_the_head_are_read_each_time() -> None:
    reader = Reader(INPUTS[1:], OUTPUTS)
    for value in (1, 2, 1):
        head = json.dumps({"inputs": [{"name": "b", "shape": [1], "datatype": "UINT8", "data": [value]}]}).encode()
        for _ in range(2):
            assert reader.read(head, str(len(head))).feed["b"].tolist() == [value]


def test_the_heads_that_are_kept_are_bounded() -> None:
    reader = Reader(INPUTS, OUTPUTS)
    for number in range(3 * MOST_HEADS):
        reader.read(*body(1, 0, id=str(number)))
    assert len(reader._heads) <= MOST_HEADS  # pyright: ignore[reportPrivateUsage] -- memory is seen nowhere else
    assert reader.read(*body(1, 7, id="0")).feed["b"].tolist() == [7]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from([None, "x"])), max_size=8))
@settings(max_examples=100)
def test_answers_are_written_alike_whatever_came_before(asked: list[tuple[int, bool, str | None]]) -> None:
    writer = Writer("m", "1")
    for number, (rows, binary, id) in enumerate(asked):
        outputs = {"y": np.full((rows, 2), number, np.float32)}
        wanted = (Wanted("y", binary),)
        right = write_response("m", "1", id, outputs, wanted)
        like = repr((id, wanted)).encode()  # as a head, which says both
        for _ in range(2):
            parts, length = writer.known(like, outputs, wanted) or writer.write(id, outputs, wanted, like)
            assert (b"".join(parts), length) == (b"".join(right[0]), right[1])
        assert (writer.known(like, outputs, wanted) is not None) == (binary and id is None)
    assert writer.known(None, {}, ()) is None


def test_the_answers_that_are_kept_are_bounded() -> None:
    writer, wanted = Writer("m", "1"), (Wanted("y", True),)
    for rows in range(3 * MOST_KEPT):
        writer.write(None, {"y": np.zeros(rows, np.float32)}, wanted, b"head")
    assert len(writer._known) <= MOST_KEPT  # pyright: ignore[reportPrivateUsage] -- memory is seen nowhere else


def test_arrays_like_earlier_ones_are_taken_and_others_are_checked(tmp_path: Path) -> None:
    write_model(tmp_path / "model.onnx")
    model = netc_runtime.load(tmp_path / "model.onnx", "cpu", threads=1)
    intake, good = Intake(model), np.ones((2, 1, 4, 4), np.float32)
    for _ in range(2):
        request = intake.request({"image": good})
        assert (request.rows, request.size_bytes, request.key) == (2, good.nbytes, ((1, 4, 4),))
        assert request.feed["image"] is good
    for fill in (1, 2):
        like = np.full_like(good, fill)
        request = intake.request({"image": like}, b"of two rows")
        assert (request.rows, request.size_bytes, request.feed["image"] is like) == (2, good.nbytes, True)
    for _ in range(2):  # what is converted is converted each time
        wide = intake.request({"image": good.astype(np.float64)})
        assert (wide.feed["image"].dtype, wide.size_bytes) == (np.float32, good.nbytes)
        turned = intake.request({"image": np.asfortranarray(np.arange(32, dtype=np.float32).reshape(good.shape))})
        assert turned.feed["image"].flags.c_contiguous
    for bad in (good[:, :, :3], good.astype(np.int32), good[0]):
        with pytest.raises(RequestFault):
            intake.request({"image": bad})
    with pytest.raises(RequestFault, match="R207"):
        intake.request({"picture": good})
