"""Where a server's options come from: a flag, else the environment, else a file, else the default."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving.options import Options, rows
from netc_runtime.serving.settings import Settings, resolve
from tests.processes import environment
from tests.serve.conftest import Served, write_model

SECRET = "c0rrect-horse"


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "netc_runtime", "serve", *arguments]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
    )


def test_a_flag_is_before_a_variable_before_the_file_before_the_default(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('model = "file"\nbatch = 2\nqueue-rows = 2\ntimeout = 2\n')
    found = resolve(
        {"batch": 4},
        {"NETC_SERVE_BATCH": "3", "NETC_SERVE_QUEUE_ROWS": "3", "NETC_SERVE_CONFIG": str(file), "PATH": "/bin"},
    )
    options = found.options
    assert (options.model, options.batch, options.queue_rows, options.timeout) == ("file", 4, 3, 2)
    assert options.poll_seconds == Options().poll_seconds
    assert found.sources == {
        "model": str(file),
        "batch": "--batch",
        "queue_rows": "NETC_SERVE_QUEUE_ROWS",
        "timeout": str(file),
    }


def test_the_flag_s_file_is_before_the_variable_s(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("batch = 1\n")
    two.write_text("batch = 2\n")
    assert resolve({}, {"NETC_SERVE_CONFIG": str(one)}, str(two)).options.batch == 2


OTHER: dict[str, tuple[str, str, Any]] = {  # as a variable, in a file, and what both mean
    "model": ("m.onnx", '"m.onnx"', "m.onnx"),
    "host": ("::1", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "device": ("cpu", '"cpu"', "cpu"),
    "cache": ("false", "false", False),
    "token_file": ("t", '"t"', "t"),
    "tls_cert": ("c", '"c"', "c"),
    "tls_key": ("k", '"k"', "k"),
    "cors_origin": ("http://a, https://b:1", '["http://a", "https://b:1"]', ("http://a", "https://b:1")),
    "log_format": ("json", '"json"', "json"),
    "log_level": ("debug", '"debug"', "debug"),
    "access_log": ("true", "true", True),
    "trace": ("true", "true", True),
    "reading_mib": ("5000", "5000", 5000),
}
PAIRS = {"tls_cert": "tls_key", "tls_key": "tls_cert"}


@pytest.mark.parametrize("name", [each.name for each in fields(Options) if each.name != "token"])
def test_every_option_has_a_flag_a_variable_and_a_key(tmp_path: Path, name: str) -> None:
    text, written, value = OTHER.get(name, ("7", "7", 7))
    also = {PAIRS[name]: "x"} if name in PAIRS else {}
    file = tmp_path / "serve.toml"
    file.write_text(f"{name.replace('_', '-')} = {written}\n")
    for found in (
        resolve(also, {f"NETC_SERVE_{name.upper()}": text}),
        resolve(also, {}, str(file)),
        resolve({**also, name: [*value] if name == "cors_origin" else value}, {}),
    ):
        assert getattr(found.options, name) == value
        assert name in found.sources


def test_every_option_is_told_by_the_help() -> None:
    told = command("--help").stdout
    for row in rows():
        assert row.secret or row.flag in told, row
    assert "--token " not in told


REFUSED: dict[str, tuple[dict[str, str], str, str, str]] = {
    "unknown variable": ({"NETC_SERVE_QUEUE_ROW": "1"}, "", "R409", "did you mean NETC_SERVE_QUEUE_ROWS?"),
    "unknown key": ({}, "queue_rows = 1", "R409", "did you mean queue-rows?"),
    "table": ({}, "[serve]\nbatch = 1", "R409", "'serve'"),
    "a secret in the file": ({}, 'token = "x"', "R409", "did you mean token-file?"),
    "variable of words": ({"NETC_SERVE_BATCH": "many"}, "", "R404", "NETC_SERVE_BATCH: 'many' is not a whole number"),
    "empty variable": ({"NETC_SERVE_BATCH": ""}, "", "R404", "NETC_SERVE_BATCH: '' is not a whole number"),
    "variable out of range": ({"NETC_SERVE_PORT": "65536"}, "", "R404", "NETC_SERVE_PORT: '65536' is no port"),
    "variable of no switch": ({"NETC_SERVE_TRACE": "yes"}, "", "R404", "neither true nor false"),
    "variable of no device": ({"NETC_SERVE_DEVICE": "tpu"}, "", "R404", "NETC_SERVE_DEVICE: "),
    "variable of no choice": ({"NETC_SERVE_LOG_FORMAT": "xml"}, "", "R404", "'xml' is none of text, json"),
    "key of another type": ({}, 'batch = "8"', "R404", "serve.toml: batch: '8' is not a whole number"),
    "key of a fraction": ({}, "batch = 8.0", "R404", "batch: 8.0 is not a whole number"),
    "key of a bool": ({}, "batch = true", "R404", "batch: True is not a whole number"),
    "key out of range": ({}, "batch = 0", "R404", "serve.toml: batch: '0' is not a whole number from 1"),
    "key below zero": ({}, "batch = -1", "R404", "'-1'"),
    "switch of a number": ({}, "trace = 1", "R404", "trace: 1 is not true or false"),
    "word of a number": ({}, "host = 1", "R404", "host: 1 is not a string"),
    "origins of a string": ({}, 'cors-origin = "*"', "R404", "is not an array of strings"),
    "origins of numbers": ({}, "cors-origin = [1]", "R404", "1 is not a string"),
    "no origin": ({}, 'cors-origin = ["http://a/b"]', "R404", "'http://a/b' is no origin"),
    "not TOML": ({}, "batch = ", "R410", "this is not TOML"),
    "token empty": ({"NETC_SERVE_TOKEN": ""}, "", "R404", "NETC_SERVE_TOKEN: the token is empty"),
    "token with a space": ({"NETC_SERVE_TOKEN": f"{SECRET} x"}, "", "R404", "something else than ASCII"),
    "two tokens": ({"NETC_SERVE_TOKEN": SECRET}, 'token-file = "t"', "R404", "two tokens: NETC_SERVE_TOKEN and "),
    "half of a pair": ({"NETC_SERVE_TLS_KEY": "k"}, "", "R404", "NETC_SERVE_TLS_KEY is given without tls-cert"),
    "a body that never fits": ({}, "body-mib = 2000", "R404", "twice body-mib, which is 2000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_where_it_stands(tmp_path: Path, name: str) -> None:
    variables, text, code, words = REFUSED[name]
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(EnvironmentFault) as caught:
        resolve({}, variables, str(file))
    said = str(caught.value)
    assert caught.value.code == code
    assert words in said
    assert SECRET not in said
    assert caught.value.exit_code == (1 if code == "R410" else 2)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    for name in ("none", "bytes", "large", "."):
        with pytest.raises(EnvironmentFault, match=r"the configuration cannot be read") as caught:
            resolve({}, {}, str(tmp_path / name))
        assert (caught.value.code, caught.value.exit_code) == ("R410", 1)


def test_the_log_says_where_what_is_no_default_came_from_and_no_secret() -> None:
    told = resolve({"batch": 4}, {"NETC_SERVE_TIMEOUT": "9", "NETC_SERVE_TOKEN": SECRET}).told()
    assert "batch=4 (--batch)" in told
    assert "timeout=9 (NETC_SERVE_TIMEOUT)" in told
    assert "poll-seconds=5," in told
    assert "token=*** (NETC_SERVE_TOKEN)" in told
    assert SECRET not in told
    assert SECRET not in repr(resolve({}, {"NETC_SERVE_TOKEN": SECRET}))


def test_what_is_printed_is_read_again_as_the_same(tmp_path: Path) -> None:
    values = {name: value for name, (_, _, value) in OTHER.items()}
    odd = 'a "quoted" \\ name\nand\x7f\u00e9\U0001f600'
    before = resolve({**values, "model": odd}, {})
    file = tmp_path / "printed.toml"
    file.write_text(before.to_toml(), encoding="utf-8")
    assert resolve({}, {}, str(file)).options == before.options
    assert Settings(Options()).to_toml() == resolve({}, {}).to_toml()


def test_the_command_prints_its_options_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("queue-rows = 5\n")
    done = command("--print-config", "--config", str(file), "--no-cache", "m", NETC_SERVE_TOKEN=SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    found = tomllib.loads(done.stdout)
    assert (found["queue-rows"], found["model"], found["cache"], found["port"]) == (5, "m", False, 8000)
    assert SECRET not in done.stdout
    assert "threads" not in found


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "words"),
    [
        ((), {}, 2, "the following arguments are required: MODEL"),
        (("m", "--cors-origin", "a.example"), {}, 2, "'a.example' is no origin"),
        (("m", "--log-level", "loud"), {}, 2, "'loud' is none of debug"),
        (("m", "--token", SECRET), {}, 2, "unrecognized arguments"),
        (("m",), {"NETC_SERVE_WORKERS": "2"}, 2, "error[R409]"),
        (("m", "--config", "none.toml"), {}, 1, "error[R410]: none.toml"),
        (("m", "--tls-cert", "c.pem"), {}, 2, "--tls-cert is given without tls-key"),
    ],
)
def test_the_command_ends_with_2_where_the_call_is_wrong(
    arguments: tuple[str, ...], variables: dict[str, str], code: int, words: str
) -> None:
    done = command(*arguments, **variables)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_takes_its_options_from_all_three(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    file = tmp_path / "serve.toml"
    file.write_text("drain-seconds = 1\nbody-mib = 2\n")
    server = serving(tmp_path / "models", "--config", str(file), NETC_SERVE_BODY_MIB="1")
    try:
        large = server.client.post("/v2/models/tiny/infer", content=b" " * ((1 << 20) + 1))
        assert large.status_code == 413
    finally:
        assert server.stop() == 0
    log = server.log.read_text()
    assert f"drain-seconds=1 ({file})" in log
    assert "body-mib=1 (NETC_SERVE_BODY_MIB)" in log
