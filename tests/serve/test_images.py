"""Pictures over HTTP: several in one form, each answered as it is alone, and forms that are none."""

import io
import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from netc_runtime.errors import ServeFault
from netc_runtime.serving.form import MOST_PARTS, boundary_of, read_form
from tests.serve.conftest import Served, as_json, write_model

IMAGES = "/v2/models/tiny/images"


def picture(seed: int, size: tuple[int, int] = (9, 7)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0]), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_plain(path: Path) -> None:
    """Write y = -x over rows of three, without a manifest: it takes no pictures."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "net", ends[:1], ends[1:])
    path.parent.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Served]) -> Generator[Served]:
    """A server over `tiny`, which takes pictures, and `plain`, which takes none."""
    models = tmp_path_factory.mktemp("images") / "models"
    write_model(models / "tiny" / "1" / "model.onnx")
    write_plain(models / "plain" / "1" / "model.onnx")
    made = serving(models, "--drain-seconds", "1", "--body-mib", "1", "--queue-rows", "32")
    yield made
    assert made.stop() == 0
    log = made.log.read_text()
    assert "Traceback" not in log, log


def send(server: Served, *contents: bytes, query: str = "", **fields: str) -> httpx.Response:
    files = [("image", (f"{index}.png", content)) for index, content in enumerate(contents)]
    return server.client.post(IMAGES + query, files=files, data=fields)


def alone(server: Served, content: bytes, top: int = 5) -> Any:
    return as_json(server.client.post(f"{IMAGES}?top={top}", content=content))["outputs"]


def near(found: Any, right: Any) -> None:
    """The same labels in the same order; a batch's probabilities are a single one's within float32's rounding."""
    for each, one in zip(found["scores"]["labels"], right["scores"]["labels"], strict=True):
        assert (each["index"], each["label"]) == (one["index"], one["label"])
        assert each["probability"] == pytest.approx(one["probability"], abs=1e-5)


def test_each_picture_of_a_form_is_answered_as_it_is_alone(both: Served) -> None:
    contents = [picture(seed, (5 + seed, 9)) for seed in range(9)]
    told = as_json(send(both, *contents))
    assert (told["model_name"], told["model_version"]) == ("tiny", "1")
    assert [each["filename"] for each in told["results"]] == [f"{index}.png" for index in range(9)]
    for each, content in zip(told["results"], contents, strict=True):
        near(each["outputs"], alone(both, content))


def test_one_picture_in_a_form_is_a_list_of_one(both: Served) -> None:
    (result,) = as_json(send(both, picture(1)))["results"]
    near(result["outputs"], alone(both, picture(1)))


def test_pictures_of_a_form_share_batches(both: Served) -> None:
    def runs() -> int:
        return as_json(both.client.get("/v2/models/tiny/stats"))["model_stats"][0]["execution_count"]

    before = runs()
    send(both, *[picture(seed) for seed in range(30)])
    assert runs() == before + 1


def test_a_bad_picture_has_its_error_in_its_place(both: Served) -> None:
    told = as_json(send(both, picture(1), b"no picture", picture(2), b"", picture(3)[:40]))["results"]
    assert [sorted(each) for each in told] == [
        ["filename", "outputs"],
        ["error", "filename"],
        ["filename", "outputs"],
        ["error", "filename"],
        ["error", "filename"],
    ]
    assert [re.findall(r"R\d{3}", each["error"]) for each in told if "error" in each] == [["R303"], ["R302"], ["R304"]]
    near(told[2]["outputs"], alone(both, picture(2)))


def test_top_is_said_in_the_form_or_in_the_address(both: Served) -> None:
    for response in (send(both, picture(1), top="1"), send(both, picture(1), query="?top=1")):
        (result,) = as_json(response)["results"]
        near(result["outputs"], alone(both, picture(1), top=1))


@pytest.mark.parametrize("form", [True, False])
def test_an_answer_says_what_it_took(both: Served, form: bool) -> None:
    response = send(both, picture(1)) if form else both.client.post(IMAGES, content=picture(1))
    found = re.fullmatch(r"queue;dur=(\d+\.\d{3}), compute;dur=(\d+\.\d{3})", response.headers["server-timing"])
    assert found is not None
    assert 0 < float(found[2]) < 1000 * response.elapsed.total_seconds()
    assert float(found[1]) + float(found[2]) < 1000 * response.elapsed.total_seconds()


def test_a_model_says_which_picture_it_takes(both: Served) -> None:
    assert as_json(both.client.get(IMAGES)) == {
        "model_name": "tiny",
        "model_version": "1",
        "image": {"input": "image", "color": "gray", "height": 4, "width": 4},
    }
    assert as_json(both.client.get("/v2/models/plain/images"))["image"] is None


@pytest.mark.parametrize("more", [{"content": b"x"}, {"files": [("image", ("a", b"x"))]}])
def test_a_picture_for_a_model_that_takes_none_is_the_clients_fault(both: Served, more: Any) -> None:
    response = both.client.post("/v2/models/plain/images", **more)
    assert response.status_code == 400
    assert "does not take pictures" in as_json(response)["error"]


def test_more_pictures_than_the_queue_holds_are_refused_whole(both: Served) -> None:
    response = send(both, *[picture(1)] * 33)
    assert (response.status_code, "R536" in response.text) == (413, True)


# --- what is no form

END = b"\r\n--B--\r\n"


def part(content: bytes = b"x", disposition: bytes = b'form-data; name="image"; filename="a.png"') -> bytes:
    return b"--B\r\ncontent-disposition: " + disposition + b"\r\n\r\n" + content


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "R513"),
    "no part": (b"--B--\r\n", 400, "R513"),
    "not a form": (b"hello", 400, "R513"),
    "truncated in a file": (part()[:-1], 400, "R513"),
    "truncated before its end": (part() + b"\r\n--B\r\n", 400, "R513"),
    "truncated in a header": (b"--B\r\ncontent-dispo", 400, "R513"),
    "another boundary": (b"--C\r\n" + part()[5:] + b"\r\n--C--\r\n", 400, "R513"),
    "a part without a name": (part(disposition=b"form-data") + END, 400, "part 1 of the form has no name"),
    "a part without headers": (b"--B\r\n\r\nx" + END, 400, "has no name"),
    "a header without a colon": (b"--B\r\nhello\r\n\r\nx" + END, 400, "R513"),
    "a huge header": (b"--B\r\nx: " + b"a" * 500_000 + b"\r\n\r\nx" + END, 400, "R513"),
    "a huge name": (part(disposition=b'form-data; name="' + b"a" * 100_000 + b'"') + END, 400, "R513"),
    "many headers": (b"--B\r\n" + b"x: y\r\n" * 10_000 + b"\r\nx" + END, 400, "R513"),
    "100,000 parts": (b"--B\r\n\r\n\r\n" * 100_000, 400, "has no name"),
    "65 files": (b"\r\n".join([part()] * 65) + END, 413, f"more than {MOST_PARTS} parts [R514]"),
    "an unknown field": (part(disposition=b'form-data; name="model"') + END, 400, "a field 'model'"),
    "a file as a field": (part(disposition=b'form-data; name="image"') + END, 400, "curl -F image=@photo.jpg"),
    "a field alone": (part(b"3", b'form-data; name="top"') + END, 400, "has no file"),
    "a field twice": (b"\r\n".join([part(b"3", b'form-data; name="top"')] * 2) + END, 400, "stands twice"),
    "a long field": (part(b"3" * 1000, b'form-data; name="top"') + END, 400, "longer than 64 bytes"),
    "top of no number": (part() + b"\r\n" + part(b"-1", b'form-data; name="top"') + END, 400, "top is '-1'"),
    "more than a body may have": (part(b"x" * (1 << 20)) + END, 413, "at most 1048576 are taken"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_form_is_told_why_and_harms_nobody(both: Served, name: str) -> None:
    body, status, words = BAD[name]
    response = both.client.post(IMAGES, content=body, headers={"content-type": "multipart/form-data; boundary=B"})
    assert response.status_code == status, response.text
    assert words in as_json(response)["error"]
    assert len(as_json(send(both, picture(1)))["results"]) == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=", "no boundary"),
        ("multipart/form-data; boundary=" + "B" * 5000, "Boundary length 5000"),
    ],
)
def test_a_form_without_a_boundary_is_refused(both: Served, kind: str, words: str) -> None:
    response = both.client.post(IMAGES, content=part() + END, headers={"content-type": kind})
    assert (response.status_code, "R513" in response.text) == (400, True)
    assert words in as_json(response)["error"]


def test_the_parser_of_forms_writes_no_lines_of_its_own_in_the_log(both: Served) -> None:
    for body in (b"hello", part() + END + b"more"):
        both.client.post(IMAGES, content=body, headers={"content-type": "multipart/form-data; boundary=B"})
    assert " WARNING " not in both.log.read_text()


def test_top_that_is_said_twice_is_refused(both: Served) -> None:
    response = send(both, picture(1), query="?top=1", top="1")
    assert (response.status_code, "R504" in response.text) == (400, True)


def test_bytes_of_any_kind_arrive_in_order() -> None:
    contents = [b"", b"\r\n", b"--B", b"\r\n--", b"\r\n--C--\r\n", bytes(range(256)) * 300]
    body = b"\r\n".join(part(content) for content in contents) + END
    boundary = boundary_of(b'Multipart/Form-Data; boundary="B"')
    assert boundary == b"B"
    assert [file.content for file in read_form(body, boundary, ()).files] == contents
    assert boundary_of(b"image/png") is None


def test_every_beginning_of_a_form_is_refused() -> None:
    body = part(b"3", b'form-data; name="top"') + b"\r\n" + part(b"abc") + END
    assert read_form(body, b"B", ("top",)).fields == {"top": "3"}
    for size in range(len(body) - len(b"--\r\n")):
        with pytest.raises(ServeFault):
            read_form(body[:size], b"B", ("top",))


def test_names_in_other_letters_come_back(both: Served) -> None:
    body = part(picture(1), 'form-data; name="image"; filename="drei \xe9.png"'.encode()) + END
    response = both.client.post(IMAGES, content=body, headers={"content-type": "multipart/form-data; boundary=B"})
    assert json.loads(response.content)["results"][0]["filename"] == "drei \xe9.png"
