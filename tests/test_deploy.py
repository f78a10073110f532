"""examples/deploy and docs/serving.md: what they say is what the server does."""

import configparser
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml

from netc_runtime.serving.options import rows
from netc_runtime.serving.settings import resolve
from tests.conftest import ROOT
from tests.serve.conftest import Served, write_model

FOLDER = ROOT / "examples" / "deploy"
PAGE = ROOT / "docs" / "serving.md"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")
OPTIONS = resolve({}, {}, str(FOLDER / "serve.toml")).options
LONGEST_S = OPTIONS.drain_seconds + OPTIONS.head_seconds + OPTIONS.body_seconds + OPTIONS.timeout
FLAGS = {row.flag for row in rows()} | {"--config", "--print-config", "--no-cache"}
VARIABLES = {row.variable for row in rows()} | {"NETC_SERVE_CONFIG", "NETC_CACHE_DIR"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("deploy")
    write_model(folder / "models" / "tiny" / "1" / "model.onnx")
    given = ("--host", "127.0.0.1", "--drain-seconds", "1", "--log-format", "text")
    made = Served(folder / "models", "--config", str(FOLDER / "serve.toml"), *given)
    yield made
    assert made.stop() == 0


def documents() -> dict[str, Any]:
    found = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
    return {each["kind"]: each for each in found}


def pod() -> Any:
    return documents()["Deployment"]["spec"]["template"]["spec"]


def container() -> Any:
    (found,) = pod()["containers"]
    return found


def instructions(stage: str | None = None) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, of one stage and of those that it comes from, in order."""
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    parts = [cast("tuple[str, str]", tuple(line.split(" ", 1))) for line in lines if line]
    stages: dict[str, list[tuple[str, str]]] = {}
    here: list[tuple[str, str]] = []
    for name, rest in parts:
        if name == "FROM":
            origin, _, called = rest.partition(" AS ")
            here = stages[called] = [*stages.get(origin, [])]
        here.append((name, rest))
    return parts if stage is None else stages[stage]


# --- what all of them share


@pytest.mark.parametrize("path", [*sorted(FOLDER.iterdir()), PAGE], ids=lambda path: path.name)
def test_every_option_that_is_named_is_one(path: Path) -> None:
    text = path.read_text("utf-8")
    others = {"--target", "--rm", "--read-only", "--tmpfs", "--from", "--from-file", "--patch-file", "--now"}
    others |= {"--no-cache-dir", "--gid", "--uid", "--no-create-home", "--home-dir"}
    others |= {"--interval", "--start-period"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= FLAGS | others
    assert set(re.findall(r"NETC_[A-Z_]+", text)) <= VARIABLES


def test_the_file_of_options_has_nothing_unknown_and_its_numbers_are_explained() -> None:
    assert OPTIONS.model == "/models"
    numbers = (OPTIONS.drain_seconds, OPTIONS.head_seconds, OPTIONS.body_seconds, OPTIONS.timeout)
    assert f"{' + '.join(map(str, numbers))} = {LONGEST_S} s" in " ".join(PAGE.read_text("utf-8").split())


def test_the_page_names_metrics_that_there_are(server: Served) -> None:
    told = set(re.findall(r"netc_[a-z_]+", PAGE.read_text("utf-8")))
    assert len(told) > 5
    x = [[[[0.0] * 4] * 4]]
    assert server.infer(x).status_code == 200
    metrics = server.client.get("/metrics").text
    types = set(re.findall(r"^# TYPE (\w+?)(?:_total)? ", metrics, re.MULTILINE))
    assert {name.removesuffix("_total") for name in told} <= types


def test_the_page_links_to_what_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / target).exists(), target


# --- the container


@pytest.mark.parametrize("stage", ["cpu", "gpu"])
def test_an_image_is_not_roots_and_hands_on_the_signal(stage: str) -> None:
    found = instructions(stage)
    users = [rest for name, rest in found if name == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", each) for each in users)
    assert ("STOPSIGNAL", "SIGTERM") in found
    assert json.loads(next(rest for name, rest in found if name == "ENTRYPOINT")) == ["netc-runtime", "serve"]
    assert f"--target {stage} " in DOCKERFILE
    assert f"`{stage}`" in PAGE.read_text("utf-8")


def test_what_is_copied_is_there_and_not_left_out() -> None:
    kept = [line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            source = rest.split()[0]
            assert (ROOT / source).exists()
            assert source in kept


def test_the_health_check_tells_a_server_from_none(server: Served) -> None:
    rest = next(rest for name, rest in instructions("cpu") if name == "HEALTHCHECK")
    command: list[str] = json.loads(rest[rest.index("[") :])
    assert command[0] == "python"
    for port, code in ((int(server.url.rpartition(":")[2]), 0), (1, 1)):
        asked = [sys.executable, *(each.replace(":8000", f":{port}") for each in command[1:])]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == code


def test_the_image_s_command_serves_and_ends_with_0(tmp_path: Path) -> None:
    found = instructions("cpu")
    variables = dict(
        each.split("=", 1) for name, rest in found if name == "ENV" for each in shlex.split(rest) if "NETC" in each
    )
    entry, given = (json.loads(next(rest for name, rest in found if name == each)) for each in ("ENTRYPOINT", "CMD"))
    assert given == [OPTIONS.model]
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    line = [sys.executable, "-m", "netc_runtime", *entry[1:], str(tmp_path / "models"), "--port", "0"]
    environment = {**os.environ, **variables, "NETC_CACHE_DIR": str(tmp_path / "cache"), "NETC_SERVE_HOST": "127.0.0.1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*line, "--drain-seconds", "1"], stderr=log, env=environment)
    try:
        ends = time.monotonic() + 20
        while not (address := re.search(r'listening at (http[^\s"]+)"', (tmp_path / "log").read_text())):
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert httpx.get(f"{address[1]}/v2/health/live").status_code == 200
        for text in (tmp_path / "log").read_text().splitlines():
            json.loads(text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()


# --- systemd


def unit() -> configparser.ConfigParser:
    class Last(dict[str, Any]):
        """Keys of a unit may stand more than once."""

        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                value = [*self[key], *value]
            super().__setitem__(key, value)

    found = configparser.ConfigParser(dict_type=Last, strict=False, interpolation=None, delimiters="=")
    found.optionxform = str  # pyright: ignore[reportAttributeAccessIssue] -- as the library's page has it
    found.read(FOLDER / "netc-runtime.service", "utf-8")
    return found


def test_the_unit_gives_it_time_and_does_not_repeat_what_cannot_help() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > LONGEST_S
    assert f"and {service['TimeoutStopSec']} in the examples" in " ".join(PAGE.read_text("utf-8").split())
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "1 2")
    assert service["DynamicUser"] == "yes"
    given = re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", service["ExecStart"])
    assert given == [each.split(":")[0] for each in service["LoadCredential"].splitlines()]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if subprocess.run(["sh", "-c", "command -v systemd-analyze"], capture_output=True, check=False).returncode:
        pytest.skip("no systemd-analyze")
    program = tmp_path / "netc-runtime"
    program.touch(0o755)
    text = (FOLDER / "netc-runtime.service").read_text("utf-8").replace("/opt/netc/bin/netc-runtime", str(program))
    (tmp_path / "netc-runtime.service").write_text(text)
    line = ["systemd-analyze", "verify", str(tmp_path / "netc-runtime.service")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "netc-runtime" in line]
    assert (done.returncode, ours) == (0, [])


# --- Kubernetes


def test_the_map_of_options_is_the_file() -> None:
    assert documents()["ConfigMap"]["data"]["serve.toml"].rstrip() == (FOLDER / "serve.toml").read_text().rstrip()
    mounted = {each["mountPath"] for each in container()["volumeMounts"]}
    arguments: list[str] = container()["args"]
    assert all(any(each.startswith(f"{one}/") for one in mounted) for each in arguments if each.startswith("/"))
    assert OPTIONS.model in mounted
    assert "/cache" in mounted
    assert f"EXPOSE {OPTIONS.port}" in DOCKERFILE
    assert container()["ports"][0]["containerPort"] == OPTIONS.port


def test_probes_ask_routes_that_there_are_and_drain_outlasts_them(server: Served) -> None:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert server.client.get(container()[name]["httpGet"]["path"]).status_code == 200
    assert container()["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    ready = container()["readinessProbe"]
    assert ready["httpGet"]["path"] == "/v2/health/ready"
    seen_s = ready["periodSeconds"] * ready["failureThreshold"]
    assert seen_s + 5 <= OPTIONS.drain_seconds
    assert f"= {seen_s} s" in PAGE.read_text("utf-8")
    assert pod()["terminationGracePeriodSeconds"] > LONGEST_S
    assert "lifecycle" not in container()


def test_the_pod_has_no_rights_and_runs_as_the_image_does() -> None:
    assert f"USER {pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}" in DOCKERFILE
    assert pod()["securityContext"]["runAsNonRoot"] is True
    rights = container()["securityContext"]
    assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
    assert rights["capabilities"] == {"drop": ["ALL"]}


def test_the_service_and_the_budget_mean_the_pods() -> None:
    labels = documents()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert documents()["Service"]["spec"]["selector"] == labels
    assert documents()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert documents()["Service"]["metadata"]["name"] != "netc-serve"  # NETC_SERVE_PORT would be an option
    patch = yaml.safe_load((FOLDER / "kubernetes-gpu.yaml").read_text("utf-8"))
    (patched,) = patch["spec"]["template"]["spec"]["containers"]
    assert patched["name"] == container()["name"]
    for resources in (container()["resources"], patched["resources"]):
        assert resources["requests"] == resources["limits"]
        assert resources["limits"]["cpu"].isdigit()
