"""The server as a client sees it: the protocol's routes, answers equal to the library's, and what is refused."""

import gzip
import io
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import netc_runtime
from tests.serve.conftest import LABELS, Served, as_json, write_model

X = np.random.RandomState(3).standard_normal((3, 1, 4, 4)).astype(np.float32)


def entry(x: Any = X, **more: Any) -> dict[str, Any]:
    return {"name": "image", "shape": list(x.shape), "datatype": "FP32", **more}


def binary(x: Any = X, **more: Any) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a request by bytes."""
    head = json.dumps({"inputs": [entry(x, parameters={"binary_data_size": x.nbytes})], **more}).encode()
    return head + x.tobytes(), {"inference-header-content-length": str(len(head))}


def expected(server: Served, version: int = 2, x: Any = X) -> Any:
    return netc_runtime.load(server.models / "tiny" / str(version) / "model.onnx", "cpu").predict(x)["scores"]


# --- the routes


def test_the_server_says_what_it_is(server: Served) -> None:
    told = as_json(server.client.get("/v2"))
    assert (told["name"], told["version"]) == ("netc-runtime", netc_runtime.__version__)
    assert set(told["extensions"]) == {"binary_tensor_data", "classification", "model_repository", "statistics"}
    assert as_json(server.client.get("/v2/health/live")) == {"live": True}
    assert as_json(server.client.get("/v2/health/ready")) == {"ready": True}


def test_a_model_says_what_it_takes_and_gives(server: Served) -> None:
    assert as_json(server.client.get("/v2/models/tiny")) == {
        "name": "tiny",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 4, 4]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
    }
    for path in ("/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert as_json(server.client.get(path)) == {"name": "tiny", "ready": True}


def test_the_index_and_the_statistics_count(server: Served) -> None:
    lines = as_json(server.client.post("/v2/repository/index"))
    assert [(each["name"], each["version"], each["state"]) for each in lines] == [
        ("tiny", "1", "READY"),
        ("tiny", "2", "READY"),
    ]
    before = as_json(server.client.get("/v2/models/tiny/versions/1/stats"))["model_stats"][0]["inference_count"]
    server.client.post("/v2/models/tiny/versions/1/infer", json={"inputs": [entry(data=X.reshape(-1).tolist())]})
    (found,) = as_json(server.client.get("/v2/models/tiny/versions/1/stats"))["model_stats"]
    assert found["inference_count"] == before + 3
    assert len(as_json(server.client.get("/v2/models/stats"))["model_stats"]) == 2


def test_the_index_may_be_of_ready_models_alone(server: Served) -> None:
    for body in ({}, {"ready": True}, {"ready": False}):
        assert len(as_json(server.client.post("/v2/repository/index", json=body))) == 2


def test_prometheus_is_told(server: Served) -> None:
    server.infer(X)
    server.infer(X[:, :, :3])
    text = server.client.get("/metrics").text
    assert re.search(r'netc_requests_total\{model="tiny",outcome="success",version="2"\} [1-9]', text)
    assert re.search(r'netc_request_seconds_bucket\{le="30.0",model="tiny",version="2"\} [1-9]', text)
    assert 'netc_engine{arithmetic="f32",device="cpu",engine="onnxruntime",model="tiny",version="2"} 1.0' in text
    assert 'netc_queue_rows{model="tiny",version="2"} 0.0' in text


# --- answers


def test_json_answers_are_predicts_bit_for_bit(server: Served) -> None:
    for version in (1, 2):
        path = f"/v2/models/tiny/versions/{version}/infer"
        body = {"id": "a\r\nx: y", "inputs": [entry(data=X.tolist())]}
        told = as_json(server.client.post(path, json=body))
        assert (told["model_name"], told["model_version"], told["id"]) == ("tiny", str(version), "a\r\nx: y")
        (output,) = told["outputs"]
        found = np.array(output["data"], np.float32).reshape(output["shape"])
        assert np.array_equal(found, expected(server, version))


def test_bytes_come_back_as_bytes(server: Served) -> None:
    body, headers = binary(parameters={"binary_data_output": True})
    response = server.client.post("/v2/models/tiny/infer", content=body, headers=headers)
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    (output,) = json.loads(response.content[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 36}
    found = np.frombuffer(response.content[length:], np.float32).reshape(output["shape"])
    assert np.array_equal(found, expected(server))


def raw_deflate(body: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(body) + squeezer.flush()


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("identity", bytes)],
)
def test_bodies_may_be_compressed(server: Served, encoding: str, squeeze: Callable[[bytes], bytes]) -> None:
    body = squeeze(json.dumps({"inputs": [entry(data=X.reshape(-1).tolist())]}).encode())
    response = server.client.post("/v2/models/tiny/infer", content=body, headers={"content-encoding": encoding})
    assert as_json(response)["outputs"][0]["shape"] == [3, 3]


def test_no_rows_are_answered_with_none(server: Served) -> None:
    (output,) = as_json(server.infer(X[:0]))["outputs"]
    assert (output["shape"], output["data"]) == ([0, 3], [])


def test_more_rows_than_run_together_are_one_answer(server: Served) -> None:
    many = np.random.RandomState(5).standard_normal((200, 1, 4, 4)).astype(np.float32)
    found = np.array(as_json(server.infer(many))["outputs"][0]["data"], np.float32).reshape(200, 3)
    assert np.allclose(found, expected(server, x=many), atol=1e-5)


def test_a_large_json_is_read_beside_the_loop(server: Served) -> None:
    many = np.random.RandomState(5).standard_normal((1000, 1, 4, 4)).astype(np.float32)
    assert np.allclose(
        np.array(as_json(server.infer(many))["outputs"][0]["data"], np.float32).reshape(1000, 3),
        expected(server, x=many),
        atol=1e-5,
    )


def picture(kind: str = "PNG", size: tuple[int, int] = (9, 7)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.RandomState(1).randint(0, 256, (size[1], size[0]), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_answered_with_labels(server: Served, kind: str) -> None:
    content = picture(kind)
    told = as_json(server.client.post("/v2/models/tiny/images?top=2", content=content))
    model = netc_runtime.load(server.models / "tiny" / "2" / "model.onnx", "cpu")
    (result,) = model.predict_images([content], top=2)
    assert [label["label"] for label in told["outputs"]["scores"]["labels"]] == [
        label.name for label in result.outputs["scores"].labels
    ]
    assert set(LABELS) > {label["label"] for label in told["outputs"]["scores"]["labels"]}


@pytest.mark.parametrize(
    ("content", "headers", "query", "status", "words"),
    [
        (b"", {}, "", 400, "empty"),
        (b"no picture", {}, "", 400, "R303"),
        (picture()[:40], {}, "", 400, "R304"),
        (picture(), {}, "?top=0", 400, "top is '0'"),
    ],
)
def test_a_bad_picture_is_told_what_is_wrong(
    server: Served, content: bytes, headers: dict[str, str], query: str, status: int, words: str
) -> None:
    response = server.client.post(f"/v2/models/tiny/images{query}", content=content, headers=headers)
    assert response.status_code == status
    assert words in as_json(response)["error"]


def test_many_clients_at_once_have_their_own_answers(server: Served) -> None:
    inputs = [X + index for index in range(60)]
    wanted = [expected(server, x=x) for x in inputs]

    def ask(x: Any) -> Any:
        return np.array(as_json(server.infer(x))["outputs"][0]["data"], np.float32).reshape(3, 3)

    with ThreadPoolExecutor(12) as pool:
        for found, right in zip(pool.map(ask, inputs), wanted, strict=True):
            assert np.allclose(found, right, atol=1e-5)


# --- what is refused, each with the next good request right

Ask = Callable[[httpx.Client], httpx.Response]
INFER = "/v2/models/tiny/infer"
REFUSED: dict[str, tuple[Ask, int, str]] = {
    "no model": (lambda c: c.post("/v2/models/none/infer", json={}), 404, "there is no model 'none'"),
    "no version": (lambda c: c.post("/v2/models/tiny/versions/9/infer", json={}), 404, "no version '9'"),
    "a version in words": (lambda c: c.post("/v2/models/tiny/versions/x/infer", json={}), 404, "no version 'x'"),
    "traversal": (lambda c: c.post("/v2/models/..%2f..%2fetc/infer", json={}), 404, "there is no model"),
    "a NUL in the name": (lambda c: c.post("/v2/models/a%00b/infer", json={}), 404, "there is no model"),
    "no such path": (lambda c: c.get("/v1/models/tiny"), 404, "Not Found"),
    "wrong method": (lambda c: c.get(INFER), 405, "takes POST"),
    "wrong method elsewhere": (lambda c: c.post("/v2"), 405, "Method Not Allowed"),
    "empty body": (lambda c: c.post(INFER), 400, "the body is empty"),
    "wrong sizes": (lambda c: c.post(INFER, json={"inputs": [entry(X[:, :, :3], data=[0] * 36)]}), 400, "R204"),
    "a body over the limit": (lambda c: c.post(INFER, content=b" " * (1 << 21)), 413, "at most 1048576 are taken"),
    "chunks over the limit": (lambda c: c.post(INFER, content=iter([b" " * 1000] * 1100)), 413, "larger than"),
    "br": (lambda c: c.post(INFER, content=b"x", headers={"content-encoding": "br"}), 415, "expected gzip"),
    "corrupt gzip": (lambda c: c.post(INFER, content=b"x", headers={"content-encoding": "gzip"}), 400, "not gzip"),
    "half of a gzip": (
        lambda c: c.post(INFER, content=gzip.compress(b"{}" * 99)[:-3], headers={"content-encoding": "gzip"}),
        400,
        "not gzip, or not all of it",
    ),
    "a gzip bomb": (
        lambda c: c.post(INFER, content=gzip.compress(b" " * (1 << 27)), headers={"content-encoding": "gzip"}),
        413,
        "inflates to more",
    ),
    "two headers of length": (
        lambda c: c.post(INFER, content=b"{}", headers=[("inference-header-content-length", "2")] * 2),
        400,
        "stands twice",
    ),
    "a classification of no classes": (
        lambda c: c.post(
            INFER,
            json={
                "inputs": [entry(data=X.reshape(-1).tolist())],
                "outputs": [{"name": "scores", "parameters": {"classification": 0}}],
            },
        ),
        400,
        'classification of output "scores" is 0, expected 1 or more',
    ),
    "an index of what": (lambda c: c.post("/v2/repository/index", json={"all": True}), 400, "it knows ready"),
    "an index that is ready maybe": (lambda c: c.post("/v2/repository/index", json={"ready": 1}), 400, "not true or"),
    "an index of text": (lambda c: c.post("/v2/repository/index", content=b"ready"), 400, "not JSON"),
    "loading a file along": (
        lambda c: c.post("/v2/repository/models/tiny/load", json={"parameters": {"config": "{}"}}),
        400,
        "load has a parameter 'config'",
    ),
    "unloading in words": (
        lambda c: c.post("/v2/repository/models/tiny/unload", json={"parameters": "all"}),
        400,
        "not an object",
    ),
    "unloading a version": (
        lambda c: c.post("/v2/repository/models/tiny/unload", json={"version": "1"}),
        400,
        "a key 'version'",
    ),
    "loading what is not there": (lambda c: c.post("/v2/repository/models/none/load"), 404, "there is no model"),
    "unloading what is not there": (lambda c: c.post("/v2/repository/models/none/unload"), 404, "there is no model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_harms_nobody(server: Served, name: str) -> None:
    ask, status, words = REFUSED[name]
    response = ask(server.client)
    assert response.status_code == status, response.text
    assert words in as_json(response)["error"]
    assert "Traceback" not in response.text
    if status == 405:
        assert response.headers["allow"]
    found = np.array(as_json(server.infer(X))["outputs"][0]["data"], np.float32).reshape(3, 3)
    assert np.array_equal(found, expected(server))


# --- its life


def test_a_new_version_is_served_without_a_failed_request(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx", seed=0)
    server = serving(tmp_path / "models", "--poll-seconds", "1")
    path = "/v2/repository/models/tiny/load"
    try:
        for seed in range(1, 6):
            write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx", seed=seed)
            with ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(server.infer, X) for _ in range(40)]
                assert server.client.post(path).status_code == 200
                assert {each.result().status_code for each in asked} == {200}
            found = np.array(as_json(server.infer(X))["outputs"][0]["data"], np.float32).reshape(3, 3)
            assert np.array_equal(found, expected(server, 1))
        before = as_json(server.infer(X))["outputs"]
        (tmp_path / "models" / "tiny" / "1" / "model.onnx").write_bytes(b"broken")
        response = server.client.post(path)
        why = "tiny/1/model.onnx is truncated: it has 6 bytes, expected 116 [R106]"
        assert response.status_code == 400
        assert as_json(response) == {"error": f"tiny 1 is not loaded: {why} [R543]; put a sound file there"}
        assert as_json(server.infer(X))["outputs"] == before  # the old one goes on
        assert as_json(server.client.post("/v2/repository/index")) == [
            {"name": "tiny", "version": "1", "state": "READY", "reason": why}
        ]
        assert server.client.post("/v2/repository/models/tiny/unload").status_code == 200
        assert server.infer(X).status_code == 404
    finally:
        assert server.stop() == 0


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "netc_runtime", "serve", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_that_is_taken_ends_it_with_3(server: Served) -> None:
    done = command(str(server.models), "--port", server.url.rpartition(":")[2])
    assert done.returncode == 3
    assert "error[R408]: 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_there_ends_it_with_1(tmp_path: Path) -> None:
    done = command(str(tmp_path / "none"))
    assert (done.returncode, "error[R542]" in done.stderr) == (1, True)


@pytest.mark.parametrize("option", [("--port", "70000"), ("--batch", "0"), ("--workers", "2")])
def test_options_are_checked(tmp_path: Path, option: tuple[str, str]) -> None:
    assert command(str(tmp_path), *option).returncode == 2


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from netc_runtime.cli import main
sys.exit(main(["serve", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    "package", ["uvicorn", "starlette", "orjson", "prometheus_client", "uvloop", "httptools", "python_multipart"]
)
def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path: Path, package: str) -> None:
    write_model(tmp_path / "tiny" / "1" / "model.onnx")
    line = [sys.executable, "-c", WITHOUT, package, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error[R406]: a package of the server cannot be imported: ")
    assert package in done.stderr
    assert 'pip install "netc-runtime[serve]"' in done.stderr
