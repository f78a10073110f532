"""The classification extension: which classes are the highest, how they are written, and what has none."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient import http as triton

from netc_runtime.contract import DTYPES
from netc_runtime.errors import ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.oip import read_request, write_response
from tests.serve.conftest import LABELS, Served, as_json
from tests.serve.test_server import X, entry, expected

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

INPUT: dict[str, Any] = {"name": "x", "shape": [1], "datatype": "FP32", "data": [0]}


def asked(output: Output, count: Any, *, binary: bool = False, rows: str | int = "N") -> Any:
    parameters = {"classification": count, "binary_data": binary}
    body = {"inputs": [INPUT], "outputs": [{"name": output.name, "parameters": parameters}]}
    return read_request(json.dumps(body).encode(), None, (Input("x", "f32", (rows,)),), (output,)).wanted


def told(output: Output, array: npt.NDArray[Any], count: int, rows: str | int = "N") -> tuple[list[int], list[str]]:
    parts, length = write_response("m", "1", None, {output.name: array}, asked(output, count, rows=rows))
    assert length is None
    (entry,) = json.loads(b"".join(parts))["outputs"]
    assert (entry["name"], entry["datatype"]) == (output.name, "BYTES")
    return entry["shape"], entry["data"]


def test_the_highest_come_first_with_their_value_index_and_label() -> None:
    # The numbers of the extension's own text.
    array = np.array([[1, 5, 10, 4]], np.int32)
    assert told(Output("y", "i32", ("N", 4)), array, 2) == ([1, 2], ["10:2", "5:1"])
    labels = ("plum", "pickle", "apple", "a:b")
    assert told(Output("y", "i32", ("N", 4), labels), array, 3)[1] == ["10:2:apple", "5:1:pickle", "4:3:a:b"]


def test_each_row_has_its_own() -> None:
    array = np.array([[1.1, 3.3, 0.5, 2.4], [9, 8, 7, 6]], np.float32)
    assert told(Output("y", "f32", ("N", 4)), array, 2) == ([2, 2], ["3.3:1", "2.4:3", "9.0:0", "8.0:1"])
    # A number of rows that is fixed is a number of rows.
    assert told(Output("y", "f32", (2, 4)), array, 1, rows=2) == ([2, 1], ["3.3:1", "9.0:0"])
    assert told(Output("y", "f32", ("N",)), array[:, 0], 5) == ([2, 1], ["1.1:0", "9.0:0"])


def test_without_rows_it_is_the_whole_output() -> None:
    assert told(Output("y", "f32", (3,)), np.array([1, 3, 2], np.float32), 2, rows=1) == ([2], ["3.0:1", "2.0:2"])


def test_a_map_is_counted_through_and_its_positions_have_no_labels() -> None:
    array = np.array([[[0, 1, 2], [7, 3, 4]]], np.float32)  # (N, classes, positions)
    output = Output("y", "f32", ("N", 2, 3), ("a", "b"))
    assert told(output, array, 2) == ([1, 2], ["7.0:3", "4.0:5"])


def test_never_more_than_there_are_and_of_no_rows_none() -> None:
    output = Output("y", "f32", ("N", 3))
    assert told(output, np.zeros((1, 3), np.float32), 2**40) == ([1, 3], ["0.0:0", "0.0:1", "0.0:2"])
    assert told(output, np.zeros((0, 3), np.float32), 2) == ([0, 2], [])


def test_nan_is_below_every_number_and_an_infinity_has_a_word() -> None:
    array = np.array([[np.nan, -np.inf, np.inf, 1e-9]], np.float32)
    assert told(Output("y", "f32", ("N", 4)), array, 4)[1] == ["inf:2", "1e-09:3", "-inf:1", "nan:0"]


@given(st.sampled_from(sorted(set(DTYPES) - {"bool"})), st.data())
@settings(max_examples=300)
def test_every_type_is_ordered_as_python_orders_it_and_reads_back(dtype: str, data: st.DataObject) -> None:
    known = DTYPES[dtype]
    values = arrays.from_dtype(known, allow_nan=False) if known.kind == "f" else arrays.from_dtype(known)
    array: npt.NDArray[Any] = data.draw(arrays.arrays(DTYPES[dtype], (1, 6), elements=values))
    _, texts = told(Output("y", dtype, ("N", 6)), array, 4)
    numbers: list[int | float] = array[0].tolist()
    right = sorted(enumerate(numbers), key=lambda pair: -pair[1])[:4]  # stable, of numbers of any size
    kind = float if dtype.startswith("f") else int
    found = [(int(text.split(":")[1]), array.dtype.type(kind(text.split(":")[0]))) for text in texts]
    assert found == right


def test_bytes_are_each_after_their_length() -> None:
    output = Output("y", "i8", ("N", 2), ("é", ""))
    parts, length = write_response("m", "1", None, {"y": np.array([[5, -1]], np.int8)}, asked(output, 2, binary=True))
    body = b"".join(parts)
    (entry,) = json.loads(body[:length])["outputs"]
    assert (entry["shape"], entry["datatype"], entry["parameters"]) == ([1, 2], "BYTES", {"binary_data_size": 19})
    assert body[length:] == b"\x06\0\0\x005:0:\xc3\xa9" + b"\x05\0\0\x00-1:1:"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "is 0, expected 1 or more"),
        (-1, "is -1, expected 1 or more"),
        (True, "is not a whole number"),
        (1.0, "is not a whole number"),
        ("1", "is not a whole number"),
        (None, "is not a whole number"),
        ([1], "is not a whole number"),
        (2**70, "is not a whole number"),
    ],
)
def test_a_count_that_is_none_is_refused(count: Any, words: str) -> None:
    with pytest.raises(ServeFault, match=words) as caught:
        asked(Output("y", "f32", ("N", 4)), count)
    assert (caught.value.code, caught.value.status) == ("R504", 400)


@pytest.mark.parametrize(
    ("output", "words"), [(Output("y", "bool", ("N", 4)), "is BOOL"), (Output("y", "f32", ()), "is a single value")]
)
def test_what_has_no_highest_classes_is_refused(output: Output, words: str) -> None:
    with pytest.raises(ServeFault, match=words) as caught:
        asked(output, 1)
    assert (caught.value.code, caught.value.status) == ("R512", 400)


def right(server: Served, count: int) -> list[list[str]]:
    return [
        [f"{row[index]!s}:{index}:{LABELS[index]}" for index in sorted(range(3), key=lambda i: -row[i])[:count]]
        for row in expected(server)
    ]


def test_a_client_has_labels_over_http(server: Served) -> None:
    body = {
        "inputs": [entry(data=X.reshape(-1).tolist())],
        "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
    }
    (output,) = as_json(server.client.post("/v2/models/tiny/infer", json=body))["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, 2])
    assert output["data"] == [text for row in right(server, 2) for text in row]


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_has_them(server: Served, binary: bool) -> None:
    given = triton.InferInput("image", list(X.shape), "FP32")
    given.set_data_from_numpy(X)
    wanted = triton.InferRequestedOutput("scores", binary_data=binary, class_count=2)
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        found: Any = client.infer("tiny", [given], outputs=[wanted]).as_numpy("scores")
    texts = [[each.decode() if binary else each for each in row] for row in found]
    assert texts == right(server, 2)
