"""Triton's own client against the server: JSON and bytes, compressed or not, at once or awaited; answers are predict's.

A served batch is one request's rows here, so that both sides run the same batch on the same number of threads: then the
answers are equal to the last bit.
"""

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as sync_client
import tritonclient.http.aio as aio_client
from tritonclient.utils import InferenceServerException

import netc_runtime
from tests.serve.conftest import Served, write_lenet5, write_model

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

THREADS = 2
ROWS = (1, 3, 8, 100)
COMPRESSION = (None, "gzip", "deflate")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory, root: Path, serving: Callable[..., Served]) -> Generator[Served]:
    """LeNet-5 with initial weights, and the tiny model beside it."""
    models = tmp_path_factory.mktemp("clients") / "models"
    write_lenet5(models, root)
    write_model(models / "tiny" / "1" / "model.onnx")
    made = serving(models, "--threads", str(THREADS), "--drain-seconds", "1")
    yield made
    assert made.stop() == 0
    log = made.log.read_text()
    assert "Traceback" not in log, log


@pytest.fixture
def client(nets: Served) -> Generator[Any]:
    with sync_client.InferenceServerClient(nets.url.removeprefix("http://"), concurrency=4) as made:
        yield made


def pictures(rows: int) -> Any:
    return np.random.RandomState(rows).standard_normal((rows, 1, 28, 28)).astype(np.float32)


def expected(nets: Served, x: Any) -> Any:
    return netc_runtime.load(nets.models / "lenet5" / "1" / "model.onnx", "cpu", threads=THREADS).predict(x)["digit"]


def asked(module: Any, x: Any, *, binary_in: bool = True, binary_out: bool = True) -> dict[str, Any]:
    given = module.InferInput("image", list(x.shape), "FP32")
    given.set_data_from_numpy(x, binary_data=binary_in)
    return {"inputs": [given], "outputs": [module.InferRequestedOutput("digit", binary_data=binary_out)]}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("compression", COMPRESSION)
@pytest.mark.parametrize(("binary_in", "binary_out"), [(True, True), (False, False), (True, False), (False, True)])
def test_answers_are_predicts_bit_for_bit(
    nets: Served, client: Any, rows: int, compression: str | None, binary_in: bool, binary_out: bool
) -> None:
    x = pictures(rows)
    found = client.infer(
        "lenet5",
        **asked(sync_client, x, binary_in=binary_in, binary_out=binary_out),
        request_id="one",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert np.array_equal(found.as_numpy("digit"), expected(nets, x))
    assert found.get_response()["id"] == "one"
    assert found.get_response()["model_name"] == "lenet5"


def test_all_outputs_come_where_none_is_named(nets: Served, client: Any) -> None:
    x = pictures(2)
    found = client.infer("lenet5", asked(sync_client, x)["inputs"], model_version="1")
    assert np.array_equal(found.as_numpy("digit"), expected(nets, x))


def test_requests_at_once_have_their_own_answers(nets: Served, client: Any) -> None:
    inputs = [pictures(1) + index for index in range(24)]
    sent = [client.async_infer("lenet5", **asked(sync_client, x)) for x in inputs]
    for x, each in zip(inputs, sent, strict=True):
        # They share batches, and so may differ in the last bits from a batch of one.
        assert np.allclose(each.get_result().as_numpy("digit"), expected(nets, x), atol=1e-6)


# aiohttp's own, on bodies of more than 1 MiB.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
@pytest.mark.parametrize("compression", COMPRESSION)
@pytest.mark.parametrize("binary", [True, False])
def test_the_awaited_client_has_the_same_answers(nets: Served, compression: str | None, binary: bool) -> None:
    async def work() -> None:
        async with aio_client.InferenceServerClient(nets.url.removeprefix("http://")) as client:
            assert await client.is_server_ready()
            for rows in ROWS:
                x = pictures(rows)
                found = await client.infer(
                    "lenet5",
                    **asked(aio_client, x, binary_in=binary, binary_out=binary),
                    request_compression_algorithm=compression,
                    response_compression_algorithm=compression,
                )
                answer: Any = found.as_numpy("digit")
                assert np.array_equal(answer, expected(nets, x))

    asyncio.run(work())


def test_the_client_is_told_of_the_server_and_its_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "netc-runtime"
    assert client.is_model_ready("lenet5")
    assert not client.is_model_ready("none")
    assert client.get_model_metadata("lenet5")["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}
    ]
    assert {each["name"] for each in client.get_model_repository_index()} >= {"lenet5"}
    assert client.get_inference_statistics("lenet5")["model_stats"][0]["version"] == "1"


def test_a_model_is_unloaded_and_loaded(client: Any) -> None:
    client.unload_model("tiny")
    assert not client.is_model_ready("tiny")
    client.load_model("tiny")
    assert client.is_model_ready("tiny")


@pytest.mark.parametrize(
    ("model", "shape", "status", "words"),
    [("none", (1, 1, 28, 28), "404", "there is no model"), ("lenet5", (1, 1, 28, 27), "400", "R204")],
)
def test_an_error_comes_as_the_clients_own(
    client: Any, model: str, shape: tuple[int, ...], status: str, words: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, asked(sync_client, np.zeros(shape, np.float32))["inputs"])
    assert caught.value.status() == status
    assert words in str(caught.value)
