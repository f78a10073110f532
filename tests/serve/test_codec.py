"""The protocol's codec: what is sent is what arrives, and everything else has an answer that says what is wrong."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from netc_runtime.contract import DTYPES
from netc_runtime.errors import ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.oip import Reader, Wanted, read_request, write_response
from netc_runtime.oip.datatypes import NAMES
from netc_runtime.oip.strict import parse

IMAGE = Input("image", "f32", ("N", 2, 2))
INPUTS, OUTPUTS = (IMAGE,), (Output("scores", "f32", ("N", 3)), Output("mask", "f32", ("N", 3)))
FLAT = [0.5, 1.5, 2, 3]
TENSOR: dict[str, Any] = {"name": "image", "shape": [1, 2, 2], "datatype": "FP32", "data": FLAT}
Fault = tuple[int, str]


def request(**changes: Any) -> bytes:
    """A good request with something else in its one input."""
    entry = {name: value for name, value in {**TENSOR, **changes}.items() if value is not ...}
    return json.dumps({"inputs": [entry]}).encode()


def top(**more: Any) -> bytes:
    """A good request with something else in it."""
    return json.dumps({"inputs": [TENSOR], **more}).encode()


def refused(body: bytes, header: str | None = None, inputs: tuple[Input, ...] = INPUTS) -> ServeFault:
    with pytest.raises(ServeFault) as caught:
        read_request(body, header, inputs, OUTPUTS)
    fault = caught.value
    assert fault.help
    assert fault.status == 400
    return fault


# --- what is sent is what arrives


@pytest.mark.parametrize("data", [FLAT, [[[0.5, 1.5], [2, 3]]]])
def test_values_arrive_flat_or_nested(data: Any) -> None:
    found = read_request(request(data=data), None, INPUTS, OUTPUTS)
    assert found.feed["image"].tolist() == [[[0.5, 1.5], [2, 3]]]
    assert found.feed["image"].dtype == np.float32
    assert found.wanted == (Wanted("scores", False), Wanted("mask", False))
    assert (found.id, found.timeout_us) == (None, None)


def test_no_rows_are_a_request() -> None:
    body = request(shape=[0, 2, 2], data=[])
    assert read_request(body, None, INPUTS, OUTPUTS).feed["image"].shape == (0, 2, 2)


def test_what_stands_beside_the_inputs_arrives() -> None:
    body = top(
        id="a\r\nb: c",
        parameters={"binary_data_output": True, "timeout": 5000},
        outputs=[{"name": "mask"}, {"name": "scores", "parameters": {"binary_data": False}}],
    )
    found = read_request(body, None, INPUTS, OUTPUTS)
    assert (found.id, found.timeout_us) == ("a\r\nb: c", 5000)
    assert found.wanted == (Wanted("mask", True), Wanted("scores", False))


DTYPE = st.sampled_from(sorted(DTYPES))


@st.composite
def tensors(draw: Any) -> tuple[str, npt.NDArray[Any]]:
    name = draw(DTYPE)
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    finite = arrays.from_dtype(DTYPES[name], allow_nan=False, allow_infinity=False)
    elements = finite if DTYPES[name].kind == "f" else arrays.from_dtype(DTYPES[name])
    return name, draw(arrays.arrays(DTYPES[name], shape, elements=elements))


@given(tensors(), st.booleans())
@settings(max_examples=300)
def test_every_array_comes_back_as_bytes_and_as_json(tensor: tuple[str, npt.NDArray[Any]], binary: bool) -> None:
    dtype, array = tensor
    binary = binary or dtype == "f16"
    sides = tuple(f"s{axis}" for axis in range(array.ndim))
    inputs, outputs = (Input("x", dtype, sides),), (Output("y", dtype, sides),)
    parts, length = write_response("m", "1", "i", {"y": array}, [Wanted("y", binary)])
    written = b"".join(parts)
    text = json.loads(written[:length])
    assert (text["model_name"], text["model_version"], text["id"]) == ("m", "1", "i")
    (entry,) = text["outputs"]
    assert (entry["datatype"], entry["shape"]) == (NAMES[dtype], list(array.shape))
    entry["name"] = "x"
    head = json.dumps({"inputs": [entry]}).encode()
    body = head if length is None else head + written[length:]
    found = read_request(body, None if length is None else str(len(head)), inputs, outputs).feed["x"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def test_bytes_are_not_copied() -> None:
    head = request(data=..., parameters={"binary_data_size": 16})
    body = head + np.arange(4, dtype=np.float32).tobytes()
    found = read_request(body, str(len(head)), INPUTS, OUTPUTS).feed["image"]
    assert found.base is not None
    assert not found.flags.writeable
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_a_body_that_can_be_written_is_not_through_its_tensors() -> None:
    head = request(data=..., parameters={"binary_data_size": 16})
    body = bytearray(head + bytes(16))
    reader = Reader(INPUTS, OUTPUTS)
    requests = [read_request(body, str(len(head)), INPUTS, OUTPUTS), *(reader.read(body, str(len(head))) for _ in "12")]
    assert not any(found.feed["image"].flags.writeable for found in requests)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_has_no_word_for_is_asked_for_as_bytes(value: float) -> None:
    outputs = {"scores": np.array([[1.0, value]], np.float32)}
    with pytest.raises(ServeFault, match="binary_data") as caught:
        write_response("m", "1", None, outputs, [Wanted("scores", False)])
    assert (caught.value.code, caught.value.status) == ("R511", 422)
    assert write_response("m", "1", None, outputs, [Wanted("scores", True)])[1] is not None


# --- everything else

JSON: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "R501", "the body is empty"),
    "not JSON": (b"hello", "R501", "is not JSON"),
    "truncated": (request()[:-1], "R501", "is not JSON"),
    "array": (b"[]", "R502", "is an array"),
    "null": (b"null", "R502", "is null"),
    "string": (b'"a"', "R502", "is a string"),
    "number": (b"1", "R502", "is a number"),
    "true": (b"true", "R502", "is true or false"),
    "trailing bytes": (request() + b"{}", "R501", "is not JSON"),
    "invalid UTF-8": (request().replace(b"image", b"\xff\xfe"), "R501", "is not JSON"),
    "depth": (b'{"inputs": ' + b"[" * 65 + b"]" * 65 + b"}", "R503", "nested deeper than 64"),
    "depth of thousands": (b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}", "R501", "is not JSON"),
    "duplicate key": (b'{"inputs": [], ' + top()[1:], "R503", "'inputs' stands twice"),
    "duplicate key inside": (request().replace(b'{"name"', b'{"datatype": "INT8", "name"'), "R503", "'datatype'"),
    "duplicate key in disguise": (request().replace(b'{"name"', b'{"n\\u0061me": 1, "name"'), "R503", "'name'"),
    "duplicate key and a colon": (
        request(name="im:age").replace(b'{"name"', b'{"shape": 1, "name"'),
        "R503",
        "'shape'",
    ),
    "NaN": (request().replace(b"0.5", b"NaN"), "R501", "is not JSON"),
    "Infinity": (request().replace(b"0.5", b"Infinity"), "R501", "is not JSON"),
    "1e999": (request().replace(b"0.5", b"1e999"), "R501", "is not JSON"),
    "beyond FP32": (request(data=[1e39, 0, 0, 0]), "R509", "float32 does not hold"),
    "a great whole number": (request(data=[10**18 * 10**18 * 1000, 0, 0, 0]), "R5", ""),
    "no inputs": (b"{}", "R505", "no inputs"),
    "empty inputs": (b'{"inputs": []}', "R505", "no inputs"),
    "null inputs": (b'{"inputs": null}', "R505", "no inputs"),
    "null input": (b'{"inputs": [null]}', "R505", "input 0 is not an object"),
    "negative side": (request(shape=[-1, 2, 2]), "R506", "-1"),
    "side of a fraction": (request(shape=[1.0, 2, 2]), "R506", "1.0"),
    "side of a bool": (request(shape=[True, 2, 2]), "R506", "True"),
    "side of a string": (request(shape=["1", 2, 2]), "R506", "expected whole numbers"),
    "side of a line's end": (request(shape=["\n\u2028", 2, 2]), "R506", r"holds '\n\u2028', expected"),
    "side beyond 2^63": (request(shape=[2**63, 2, 2]), "R506", "9223372036854775808"),
    "product overflow": (request(shape=[2**31 - 1, 2**31 - 1, 2**31 - 1]), "R506", "more elements than there can be"),
    "product overflow of no rows": (request(shape=[0, 2**31 - 1, 2**31 - 1], data=[]), "R506", "more elements than"),
    "no shape": (request(shape=...), "R506", "no shape"),
    "rank": (request(shape=[4]), "R506", "1 dimensions, expected 3"),
    "20,000 dims": (request(shape=[1] * 20_000), "R506", "20000 dimensions"),
    "count": (request(data=[1, 2, 3]), "R508", "3 numbers"),
    "ragged": (request(data=[[[1, 2], [3]]]), "R508", "1, 2 values along axis 2"),
    "ragged in many ways": (
        request(shape=[20, 2, 2], data=[[[1] * side, [1] * 2] for side in range(20)]),
        "R508",
        "data has 0, 1, 2, 3, 4, 5, 6, 7, ... values along axis 2",
    ),
    "nested in another layout": (request(data=[[[1, 2, 3, 4]]]), "R508", "1 values along axis 1"),
    "nested too little": (request(data=[[1, 2], [3, 4]]), "R508", "2 rows"),
    "nested too deep": (request(data=[[[[1], [2]], [[3], [4]]]]), "R509", "an array"),
    "half nested": (request(data=[[[1, 2], 3]]), "R508", "not nested as its shape"),
    "flat among nested": (request(data=[1, [2, 3, 4]]), "R508", "2 numbers"),
    "data of an object": (request(data={"a": 1}), "R508", "not an array"),
    "string element": (request(data=["1", 1, 1, 1]), "R509", "a string"),
    "null element": (request(data=[None, 1, 1, 1]), "R509", "null"),
    "bool element": (request(data=[True, 1, 1, 1]), "R509", "true or false"),
    "wrong datatype": (request(datatype="INT32"), "R506", "'INT32', expected FP32"),
    "unknown datatype": (request(datatype="FP33"), "R506", "'FP33', expected FP32"),
    "lower-case datatype": (request(datatype="fp32"), "R506", "'fp32', expected FP32"),
    "datatype of a number": (request(datatype=32), "R506", "no datatype, expected FP32"),
    "strings": (request(datatype="BYTES", data=["a"] * 4), "R506", "'BYTES', expected FP32"),
    "unknown input": (request(name="picture"), "R505", "'picture'; the model's inputs are \"image\""),
    "nameless input": (request(name=7), "R505", "no name"),
    "extra input": (top(inputs=[TENSOR, {**TENSOR, "name": "b"}]), "R505", "'b'"),
    "duplicate input": (top(inputs=[TENSOR, TENSOR]), "R505", "given twice"),
    "no data": (request(data=...), "R508", "neither data nor binary_data_size"),
    "unknown output": (top(outputs=[{"name": "b"}]), "R510", "'b'; the model's are"),
    "duplicate output": (top(outputs=[{"name": "mask"}] * 2), "R510", "asked for twice"),
    "20,000 outputs": (top(outputs=[{"name": "mask"}] * 20_000), "R510", "20000 outputs"),
    "output of a string": (top(outputs=["mask"]), "R510", "output 0 is not an object"),
    "null outputs": (top(outputs=None), "R510", "not an array"),
    "null parameters": (top(parameters=None), "R504", "not an object"),
    "outputs of an object": (top(outputs={"name": "mask"}), "R510", "not an array"),
    "id of a number": (top(id=7), "R504", "not a string"),
    "null id": (top(id=None), "R504", "not a string"),
    "a long id": (top(id="é" * 513), "R504", "longer than 1024 bytes"),
    "unknown key": (top(priority=1), "R504", "a key 'priority'"),
    "unknown key of an input": (request(scale=2), "R504", "a key 'scale'"),
    "parameters of an array": (top(parameters=[]), "R504", "not an object"),
    "nested parameters": (top(parameters={"timeout": {"a": 1}}), "R504", "not a whole number"),
    "unknown parameter": (top(parameters={"sequence_id": 1}), "R504", "'sequence_id'"),
    "timeout of a bool": (top(parameters={"timeout": True}), "R504", "not a whole number"),
    "no time at all": (top(parameters={"timeout": 0}), "R504", "expected microseconds from 1"),
}


@pytest.mark.parametrize("name", JSON)
def test_bad_json_is_told_what_is_wrong(name: str) -> None:
    body, code, words = JSON[name]
    fault = refused(body)
    assert fault.code.startswith(code), fault
    assert words in fault.message


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("i8", 1.5, "a number with a fraction"),
        ("i8", 1.0, "a number with a fraction"),
        ("i8", 128, "int8 does not hold"),
        ("u8", -1, "uint8 does not hold"),
        ("u64", 2**64 - 1, ""),
        ("i64", 2**63, "int64 does not hold"),
        ("bool", 1, "expected true and false"),
        ("f16", 1, "FP16 has no numbers in JSON"),
    ],
)
def test_values_are_held_to_their_datatype(dtype: str, value: Any, words: str) -> None:
    inputs = (Input("x", dtype, (1,)),)
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": NAMES[dtype], "data": [value]}]}).encode()
    if words:
        assert words in refused(body, None, inputs).message
    else:
        assert read_request(body, None, inputs, OUTPUTS).feed["x"].tolist() == [value]


HEAD = request(data=..., parameters={"binary_data_size": 16})
TAIL = np.arange(4, dtype=np.float32).tobytes()


def sized(size: Any) -> bytes:
    return request(data=..., parameters={"binary_data_size": size})


BINARY: dict[str, tuple[bytes, bytes, str | None, str, str]] = {
    "header longer than the body": (HEAD, TAIL, "999", "R507", "the body has"),
    "negative header": (HEAD, TAIL, "-1", "R507", "'-1'"),
    "header of letters": (HEAD, TAIL, "abc", "R507", "'abc'"),
    "header with an underscore": (HEAD, TAIL, "1_0", "R507", "'1_0'"),
    "header of 10^40": (HEAD, TAIL, str(10**40), "R507", "expected a number of bytes"),
    "header in other digits": (HEAD, TAIL, "१२", "R507", "expected a number of bytes"),
    "empty header": (HEAD, TAIL, "", "R507", "expected a number of bytes"),
    "header that cuts the JSON": (HEAD, TAIL, str(len(HEAD) - 1), "R501", "is not JSON"),
    "header that eats data": (HEAD, TAIL, str(len(HEAD) + 1), "R501", "is not JSON"),
    "no header": (HEAD, b"", None, "R507", "no Inference-Header-Content-Length"),
    "size is not shape x type": (sized(12), TAIL[:12], "", "R507", "takes 16 bytes"),
    "bytes short": (HEAD, TAIL[:-1], "", "R507", "15 are left"),
    "bytes long": (HEAD, TAIL + b"x", "", "R507", "1 bytes follow"),
    "negative size": (sized(-16), TAIL, "", "R507", "binary_data_size is -16"),
    "size of a fraction": (sized(16.0), TAIL, "", "R504", "not a whole number"),
    "size of a string": (sized("16"), TAIL, "", "R504", "not a whole number"),
    "size of a bool": (sized(True), TAIL, "", "R504", "not a whole number"),
    "size of 2^63": (sized(2**63), TAIL, "", "R507", "takes 16 bytes"),
    "product overflow of no rows": (
        request(shape=[0, 2**31 - 1, 2**31 - 1], data=..., parameters={"binary_data_size": 0}),
        b"",
        "",
        "R506",
        "more elements than",
    ),
    "data and size": (request(parameters={"binary_data_size": 16}), TAIL, "", "R507", "data and binary_data_size"),
    "bytes that nobody announced": (request(), TAIL, "", "R507", "16 bytes follow"),
    "strings of 4 GiB": (
        request(datatype="BYTES", data=..., parameters={"binary_data_size": 4}),
        b"\xff\xff\xff\xff",
        "",
        "R506",
        "'BYTES', expected FP32",
    ),
}


@pytest.mark.parametrize("name", BINARY)
def test_bad_bytes_are_told_what_is_wrong(name: str) -> None:
    head, tail, header, code, words = BINARY[name]
    as_told = header if name.startswith(("header", "negative header", "empty", "no header")) else str(len(head))
    fault = refused(head + tail, as_told)
    assert fault.code == code, fault
    assert words in fault.message


def test_a_byte_that_is_no_bool_is_refused() -> None:
    head = json.dumps(
        {"inputs": [{"name": "x", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}]}
    ).encode()
    assert "neither 0 nor 1" in refused(head + b"\x01\x02", str(len(head)), (Input("x", "bool", ("N",)),)).message


def test_the_second_of_two_inputs_has_its_own_bytes() -> None:
    inputs = (Input("a", "f32", ("N",)), Input("b", "u8", ("N",)))
    entries = [
        {"name": "b", "shape": [3], "datatype": "UINT8", "parameters": {"binary_data_size": 3}},
        {"name": "a", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
    ]
    head = json.dumps({"inputs": entries}).encode()
    body = head + b"\x07\x08\x09" + np.float32(2.5).tobytes()
    found = read_request(body, str(len(head)), inputs, OUTPUTS).feed
    assert (found["a"].tolist(), found["b"].tolist()) == ([2.5], [7, 8, 9])


@pytest.mark.parametrize("text", ["{}", '{"a:b": "c:d", "e": [1, "f:"]}', '{"a": {"b": {"c": 1}}}', '{"a": "\\""}'])
def test_colons_are_no_keys(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()), st.none() | st.text(max_size=8))
@settings(max_examples=500)
def test_arbitrary_bodies_are_requests_or_typed_faults(body: bytes, header: str | None) -> None:
    with pytest.raises(ServeFault):
        read_request(body, header, INPUTS, OUTPUTS)


@given(st.data())
@settings(max_examples=500)
def test_changed_requests_are_requests_or_typed_faults(data: st.DataObject) -> None:
    body = bytearray(HEAD + TAIL)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_request(bytes(body), str(len(HEAD)), INPUTS, OUTPUTS)
    except ServeFault:
        return
    assert found.feed["image"].shape == (1, 2, 2)


SIDES = st.lists(st.sampled_from([0, 1, 2, 3, 2**16, 2**31 - 1]), min_size=3, max_size=3)


@given(SIDES, st.sampled_from([0, 4, 16]), st.booleans())
@settings(max_examples=300)
def test_extreme_shapes_are_requests_or_typed_faults(shape: list[int], size: int, binary: bool) -> None:
    told = {"data": ..., "parameters": {"binary_data_size": size}} if binary else {"data": [1.0] * (size // 4)}
    head = request(shape=shape, **told)
    try:
        found = read_request(head + bytes(size if binary else 0), str(len(head)), INPUTS, OUTPUTS)
    except ServeFault:
        return
    assert found.feed["image"].shape == tuple(shape)
