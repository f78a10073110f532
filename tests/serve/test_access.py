"""Who may ask a server: the token that requests bear, and the pages of other origins."""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving.bearer import reaches_others, token_of
from netc_runtime.serving.options import Options
from netc_runtime.serving.settings import resolve
from tests.serve.conftest import Served, as_json, write_model

TOKEN = "5f0c-Secret"
ZEROS = [[[[0.0] * 4] * 4]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Served]) -> Generator[Served]:
    """A server that asks for a token and lets pages of two origins ask."""
    folder = tmp_path_factory.mktemp("guarded")
    write_model(folder / "models" / "tiny" / "1" / "model.onnx")
    (folder / "token").write_text(f"{TOKEN}\n")
    origins = ("--cors-origin", "https://app.example", "--cors-origin", "http://localhost:3000")
    made = serving(
        folder / "models", "--token-file", str(folder / "token"), *origins, "--drain-seconds", "1", "--access-log"
    )
    yield made
    assert made.stop() == 0
    log = made.log.read_text()
    assert "Traceback" not in log
    assert TOKEN not in log


def bearing(token: str) -> dict[str, str]:
    return {"authorization": token}


PATHS = (
    ("GET", "/v2"),
    ("GET", "/metrics"),
    ("GET", "/v2/models/tiny"),
    ("GET", "/v2/models/tiny/ready"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/models/tiny/infer"),
    ("POST", "/v2/models/tiny/images"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/tiny/unload"),
    ("GET", "/v2/health/live/"),
    ("GET", "/v2/health/../models/tiny"),
    ("GET", "/nowhere"),
)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_who_bears_no_token_is_told_401(guarded: Served, method: str, path: str) -> None:
    response = guarded.client.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "asks for a token" in as_json(response)["error"]
    assert response.headers["x-request-id"]


def test_each_who_is_refused_is_told_of_one_request(tmp_path: Path, serving: Callable[..., Served]) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "token").write_text(TOKEN)
    server = serving(tmp_path / "models", "--token-file", str(tmp_path / "token"), "--drain-seconds", "1")
    told = [server.client.get("/v2").headers.get_list("x-request-id") for _ in range(3)]
    assert {len(ids) for ids in told} == {1}
    assert len({ids[0] for ids in told}) == 3
    assert server.stop() == 0


def test_who_bears_it_is_answered(guarded: Served) -> None:
    guarded.client.headers.update(bearing(f"bearer  {TOKEN}"))
    try:
        assert guarded.infer(ZEROS).status_code == 200
    finally:
        del guarded.client.headers["authorization"]
    for path in ("/v2", "/metrics", "/v2/models/tiny"):
        assert guarded.client.get(path, headers=bearing(f"Bearer {TOKEN}")).status_code == 200


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_is_told_to_everybody(guarded: Served, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"],
)
def test_another_token_is_none(guarded: Served, given: str) -> None:
    response = guarded.client.get("/v2", headers={b"authorization": given.encode("latin-1")})
    assert response.status_code == 401


def test_two_tokens_are_none(guarded: Served) -> None:
    headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
    assert guarded.client.get("/v2", headers=headers).status_code == 401


def test_a_token_may_come_from_the_environment(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    server = serving(tmp_path / "models", "--host", "0.0.0.0", "--drain-seconds", "1", NETC_SERVE_TOKEN=TOKEN)
    try:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.client.get(f"{url}/v2").status_code == 401
        assert server.client.get(f"{url}/v2", headers=bearing(f"Bearer {TOKEN}")).status_code == 200
    finally:
        assert server.stop() == 0
    log = server.log.read_text()
    assert (TOKEN in log, "no token" in log) == (False, False)


def test_without_a_token_a_server_for_others_warns(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    server = serving(tmp_path / "models", "--host", "0.0.0.0", "--drain-seconds", "1")
    assert server.stop() == 0
    assert "WARNING no token is asked for, and 0.0.0.0 may be reached from elsewhere" in server.log.read_text()


def test_this_machine_alone_is_no_reason_to_warn(server: Served) -> None:
    assert "WARNING" not in server.log.read_text()
    reached = {"0.0.0.0": True, "::": True, "10.0.0.1": True, "a.example": True}
    alone = {"127.0.0.1": False, "127.9.9.9": False, "::1": False, "localhost": False}
    assert {host: reaches_others(host) for host in {**reached, **alone}} == {**reached, **alone}


@pytest.mark.parametrize("text", ["", "\n", "a b\n", " a", "a\nb\n", "a\t", "é"])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="the token is empty, or holds") as caught:
        token_of(Options(token_file=str(file)))
    assert (caught.value.code, caught.value.exit_code) == ("R410", 1)
    with pytest.raises(EnvironmentFault, match="the token cannot be read"):
        token_of(Options(token_file=str(tmp_path / "none")))


# --- pages of other origins


def test_a_page_of_a_named_origin_may_ask(guarded: Served) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    more = {"access-control-request-headers": "authorization,content-type,inference-header-content-length"}
    before = guarded.client.options("/v2/models/tiny/infer", headers={**asked, **more})
    assert before.status_code == 200  # a preflight cannot bear the token
    assert before.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in before.headers
    response = guarded.client.get("/v2", headers={"origin": "https://app.example", **bearing(f"Bearer {TOKEN}")})
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in response.headers["access-control-expose-headers"]
    # The page is to see why it was refused as well.
    refused = guarded.client.get("/v2", headers={"origin": "http://localhost:3000"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://localhost:3000")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", "https://app.example:444", "null"])
def test_a_page_of_another_origin_may_not(guarded: Served, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    before = guarded.client.options("/v2/models/tiny/infer", headers=asked)
    assert before.status_code == 400
    assert "access-control-allow-origin" not in before.headers
    response = guarded.client.get("/v2", headers={"origin": origin, **bearing(f"Bearer {TOKEN}")})
    assert "access-control-allow-origin" not in response.headers


def test_no_page_may_ask_unless_it_is_said(server: Served) -> None:
    response = server.client.get("/v2", headers={"origin": "https://app.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    assert server.client.options("/v2", headers=asked).status_code == 405


@pytest.mark.parametrize("origin", ["a.example", "http://", "http://a/", "http://a b", "http://a:x", "null", "", "**"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(EnvironmentFault, match="is no origin"):
        resolve({}, {"NETC_SERVE_CORS_ORIGIN": origin})


def test_origins_are_compared_as_browsers_write_them() -> None:
    found = resolve({}, {"NETC_SERVE_CORS_ORIGIN": "HTTP://A.example, https://[::1]:8443,*"})
    assert found.options.cors_origin == ("http://a.example", "https://[::1]:8443", "*")


@pytest.mark.parametrize("call", ["load", "unload"])
def test_a_page_of_another_origin_changes_no_models(tmp_path: Path, serving: Callable[..., Served], call: str) -> None:
    write_model(tmp_path / "tiny" / "1" / "model.onnx")
    server = serving(tmp_path, "--cors-origin", "https://app.example", "--drain-seconds", "1")
    path = f"/v2/repository/models/tiny/{call}"
    for origin in ("https://evil.example", "null", f"{server.url}.evil.example"):
        refused = server.client.post(path, headers={"origin": origin})
        assert refused.status_code == 403
        assert "--cors-origin" in as_json(refused)["error"]
    assert server.infer(ZEROS).status_code == 200
    for headers in ({}, {"origin": server.url}, {"origin": "https://app.example"}):
        assert server.client.post("/v2/repository/models/tiny/load", headers=headers).status_code == 200
        assert server.client.post(path, headers=headers).status_code == 200
    assert server.stop() == 0


def test_an_address_with_a_slash_too_many_is_none(guarded: Served) -> None:
    response = guarded.client.post("/v2/repository/index/", headers=bearing(f"Bearer {TOKEN}"))
    assert response.status_code == 404
    assert "error" in as_json(response)
