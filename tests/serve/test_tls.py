"""A server's certificate: https is answered, plain http is not left waiting, a pair that is none is told at once."""

import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import httpx
import pytest

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving import tls
from tests.processes import environment
from tests.serve.conftest import Served, as_json, write_model
from tests.serve.test_http import BIG, LARGE, LIMITS, Running, rest

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")


def make(folder: Path, name: str, *more: str) -> tuple[str, str]:
    """A certificate for localhost and its key."""
    certificate, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    line += ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"]
    line += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", *(more or ("-nodes",))]
    subprocess.run(line, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make(tmp_path_factory.mktemp("pair"), "one")


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Served], pair: tuple[str, str]
) -> Generator[Served]:
    models = tmp_path_factory.mktemp("secure") / "models"
    write_model(models / "tiny" / "1" / "model.onnx")
    trusted = ssl.create_default_context(cafile=pair[0])
    options = ("--tls-cert", pair[0], "--tls-key", pair[1], "--drain-seconds", "1", "--body-mib", "1")
    made = serving(models, *options, verify=trusted)
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


def connect(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def test_https_is_answered(secure: Served) -> None:
    assert secure.url.startswith("https://127.0.0.1:")
    assert as_json(secure.client.get("/v2/health/ready")) == {"ready": True}
    assert secure.infer([[[[0.0] * 4] * 4]] * 200).status_code == 200


def test_a_refusal_is_read_by_who_is_still_sending(secure: Served) -> None:
    # Under TLS a connection has no half to close: the answer has to come through all the same.
    response = secure.client.post("/v2/models/tiny/infer", content=b" " * (3 << 20))
    assert (response.status_code, "at most 1048576" in as_json(response)["error"]) == (413, True)
    assert secure.client.get("/v2/health/live").status_code == 200


def test_an_answer_that_nobody_takes_is_not_kept(pair: tuple[str, str]) -> None:
    running = Running(LIMITS, tls.context(*pair))
    trusting = ssl.create_default_context(cafile=pair[0])
    with running.connect() as plain, trusting.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(BIG + b"content-length: %d\r\n\r\n" % LARGE + b"a" * LARGE)
        client.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + 10
        while running.server.server_state.connections:
            assert time.monotonic() < ends
            time.sleep(0.05)
    running.stop()


def test_an_answer_that_is_taken_slowly_is_sent_to_its_end(pair: tuple[str, str]) -> None:
    running = Running(LIMITS, tls.context(*pair))
    trusting = ssl.create_default_context(cafile=pair[0])
    with running.connect() as plain, trusting.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(BIG + b"connection: close\r\ncontent-length: %d\r\n\r\n" % LARGE + b"a" * LARGE)
        found, began = 0, time.monotonic()
        while part := client.recv(1 << 14):
            found += len(part)
            time.sleep(3 * LIMITS.body_seconds / (LARGE >> 14))
        assert time.monotonic() - began > 3 * LIMITS.body_seconds
    assert found > LARGE
    running.stop()


def test_a_handshake_that_does_not_come_is_not_waited_for(pair: tuple[str, str]) -> None:
    running = Running(LIMITS, tls.context(*pair))
    with running.connect() as client:
        began = time.monotonic()
        assert rest(client) == b""
        assert time.monotonic() - began < 10 * LIMITS.head_seconds
    running.stop()


def test_plain_http_is_ended_and_harms_nobody(secure: Served) -> None:
    began = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError), httpx.Client(timeout=20) as client:
        client.get(secure.url.replace("https://", "http://"))
    assert time.monotonic() - began < 5
    assert secure.client.get("/v2/health/live").status_code == 200


def test_what_is_older_than_tls_1_2_is_not_spoken(secure: Served, pair: tuple[str, str]) -> None:
    client = ssl.create_default_context(cafile=pair[0])
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(secure) as inner, client.wrap_socket(inner, server_hostname="localhost") as found:
        assert found.version() == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), connect(secure) as inner:
        client.wrap_socket(inner, server_hostname="localhost")


def test_a_pair_that_is_none_is_told(tmp_path: Path, pair: tuple[str, str]) -> None:
    other = make(tmp_path, "two")
    locked = make(tmp_path, "locked", "-passout", "pass:secret")
    none = str(tmp_path / "none")
    for certificate, key, code, words in (
        (pair[0], other[1], "R411", "are no pair: KEY_VALUES_MISMATCH"),
        (pair[1], pair[0], "R411", "are no pair: "),
        (*locked, "R411", "are no pair: "),
        (none, pair[1], "R410", "the certificate cannot be read: No such file"),
        (pair[0], none, "R410", "its key cannot be read: No such file"),
    ):
        with pytest.raises(EnvironmentFault) as caught:
            tls.context(certificate, key)
        assert (caught.value.code, words in caught.value.message) == (code, True), caught.value


def test_it_is_told_before_a_port_is_taken(tmp_path: Path, pair: tuple[str, str]) -> None:
    write_model(tmp_path / "tiny" / "1" / "model.onnx")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = [sys.executable, "-m", "netc_runtime", "serve", str(tmp_path), "--port", port]
        line += ["--tls-cert", pair[0], "--tls-key", pair[0]]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert (done.returncode, done.stderr.startswith("error[R411]")) == (1, True), done.stderr
