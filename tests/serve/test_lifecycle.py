"""What a server's process does when its load, its models or its operator ask too much of it, seen over raw sockets."""

import gzip
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.serve.conftest import Served
from tests.serve.raw import Raw, Reply, request, rows

# x is (N, 2). A row's answer is the line of TABLE that its first number names; its second number is how many turns of a
# loop the run takes, which last about a microsecond each.
TABLE = [10.0 * line for line in range(64)]
ABSENT = 64  # no line of the table: the graph fails
DEADLY, SHORT, ALWAYS_SHORT = 63, 62, 61  # what LAUNCHER does something else for
FOREVER = float(1 << 62)

# The command as it is, but for what a test cannot wait for or bring about: runs and loads wait while a gate's file is
# there, every run's first numbers are written down, and three of them end the thread or take all memory.
LAUNCHER = f"""
import sys
import time
from pathlib import Path

from netc_runtime.cli import main
from netc_runtime.serving import loading, served
from netc_runtime.session import Model

gates, run, load = Path(sys.argv.pop(1)), Model.run, loading.load


def wait(gate):
    while (gates / gate).exists():
        time.sleep(0.002)


def gated_run(model, feed):
    numbers = [int(number) for number in feed["x"][:, 0]]
    with (gates / "ran").open("a") as ran:
        print(*numbers, file=ran)
    wait("run")
    if {DEADLY} in numbers:
        raise SystemExit
    if {ALWAYS_SHORT} in numbers or ({SHORT} in numbers and len(numbers) > 2):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1073741824")
    return run(model, feed)


def gated_load(*arguments, **options):
    wait("load")
    return load(*arguments, **options)


served.AT_ONCE_S = 0.0  # a gate in the event loop would stop the server
Model.run, loading.load = gated_run, gated_load
sys.exit(main(sys.argv[1:]))
"""


def write_table(path: Path, factor: float = 1.0, least_turns: float = 0) -> None:
    """Write the model, whose answers are the table's lines times `factor`, after `least_turns` more turns."""
    sides = [helper.make_tensor_value_info("turn", TensorProto.INT64, [])]
    more = helper.make_tensor_value_info("more", TensorProto.BOOL, [])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [])
    more_then = helper.make_tensor_value_info("more_then", TensorProto.BOOL, [])
    total_then = helper.make_tensor_value_info("total_then", TensorProto.FLOAT, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["more_then"]),
            helper.make_node("Add", ["total", "one"], ["total_then"]),
        ],
        "turn",
        [*sides, more, total],
        [more_then, total_then],
    )
    nodes = [
        helper.make_node("Split", ["x"], ["line", "turns"], axis=1, num_outputs=2),
        helper.make_node("Cast", ["turns"], ["whole_turns"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["whole_turns"], ["most_turns"], keepdims=0),
        helper.make_node("Add", ["most_turns", "least_turns"], ["all_turns"]),
        helper.make_node("Loop", ["all_turns", "", "zero"], ["turned"], body=body),
        helper.make_node("Mul", ["turned", "zero"], ["nothing"]),
        helper.make_node("Cast", ["line"], ["whole_line"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole_line", "axis"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["found"], axis=0),
        helper.make_node("Add", ["found", "nothing"], ["y"]),
    ]
    constants = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "axis": np.array([1], np.int64),
        "least_turns": np.int64(least_turns),
        "table": np.array(TABLE, np.float32)[:, None] * np.float32(factor),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(model.SerializeToString())
    beside.rename(path)


INFER = "/v2/models/table/infer"


def asks(line: float, turns: float = 0, more: int = 0, path: str = INFER, **parameters: Any) -> bytes:
    """Write a request for one line, or for `more` of the same."""
    return request(path, rows([[line, turns]] * (1 + more), **parameters))


class Gated(Served):
    """A server whose runs and loads wait while their gates are shut."""

    def __init__(self, folder: Path, *options: str, ready: bool = True, shut: str = "") -> None:
        self.folder = folder
        if shut:
            self.shut(shut)
        launcher = folder / "launcher.py"
        launcher.write_text(LAUNCHER)
        super().__init__(folder / "models", *options, launch=(str(launcher), str(folder)), ready=ready)

    def shut(self, gate: str) -> None:
        (self.folder / gate).touch()

    def open(self, gate: str) -> None:
        (self.folder / gate).unlink(missing_ok=True)

    @property
    def ran(self) -> list[str]:
        """The first numbers of every run that has begun."""
        file = self.folder / "ran"
        return file.read_text().splitlines() if file.exists() else []

    def busy(self, line: int) -> Raw:
        """Have a request run, and wait at the gate."""
        self.shut("run")
        client = Raw(self.url).send(asks(line))
        until(lambda: self.ran[-1:] == [str(line)])
        return client

    def metric(self, name: str) -> float:
        text = self.client.get("/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name}{{"))

    def waits(self, requests: int) -> None:
        """Wait until so many requests are queued behind the one that runs."""
        until(lambda: self.metric("netc_queue_requests") == requests)

    def stop(self) -> int:
        self.open("run")
        self.open("load")
        return super().stop()


def until(claim: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, f"it did not come about in {seconds} s"
        time.sleep(0.005)


def ask(server: Served, sent: bytes) -> Reply:
    with Raw(server.url) as client:
        return client.send(sent).answer()


def number(reply: Reply) -> float:
    assert reply.status == 200, reply
    return reply.told["outputs"][0]["data"][0]


def index(server: Served) -> dict[str, tuple[str, str]]:
    """What is said of each version of the model."""
    told = ask(server, request("/v2/repository/index", b"{}")).told
    return {each["version"]: (each["state"], each["reason"]) for each in told}


LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="what a process takes is read from /proc")


def forget_peak(server: Served) -> None:
    Path("/proc", str(server.process.pid), "clear_refs").write_text("5")


def peak_kib(server: Served) -> int:
    """The most memory that the process has had since it was to forget it."""
    text = Path("/proc", str(server.process.pid), "status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))


def no_traceback(server: Served) -> None:
    log = server.log.read_text()
    assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gated]:
    """A server with room for 8 rows, for bodies of 1 MiB, and for what is slow as short a time as may be."""
    folder = tmp_path_factory.mktemp("gated")
    write_table(folder / "models" / "table" / "1" / "model.onnx")
    limits = ("--queue-rows", "8", "--body-mib", "1", "--head-seconds", "1", "--body-seconds", "1")
    made = Gated(folder, *limits, "--drain-seconds", "1")
    yield made
    assert made.stop() == 0
    no_traceback(made)


@pytest.fixture
def server(gated: Gated) -> Generator[Gated]:
    """The same; after the test it holds nothing, and its next answer is right."""
    yield gated
    gated.open("run")
    until(lambda: gated.metric("netc_queue_rows") == 0)
    assert number(ask(gated, asks(7))) == TABLE[7]


# --- transport


def test_a_length_over_the_limit_is_refused_before_the_body_comes(server: Gated) -> None:
    with Raw(server.url) as client:
        client.send(request(INFER, method="POST", headers=["content-length: 1048577"]))
        reply = client.answer()  # no byte of the body was sent
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert "the body has 1048577 bytes, at most 1048576 are taken" in reply.told["error"]
        assert client.rest() == b""


CHUNKED = request(INFER, method="POST", headers=["transfer-encoding: chunked"])


def test_chunks_past_the_limit_are_refused_and_end_the_connection(server: Gated) -> None:
    with Raw(server.url) as client:
        client.send(CHUNKED, b"ffff\r\n" + b" " * 65535 + b"\r\n")
        client.send(*[b"ffff\r\n" + b" " * 65535 + b"\r\n"] * 16)  # 17 x 65,535 bytes are more than 1 MiB
        reply = client.answer()
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert "larger than the 1048576 bytes" in reply.told["error"]


@LINUX
def test_seventy_thousand_chunks_of_a_byte_take_little_memory(server: Gated) -> None:
    body = rows([[5, 0]]).rjust(70_000)
    sent = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    ask(server, asks(5))
    forget_peak(server)
    before = peak_kib(server)
    with Raw(server.url) as client:
        assert number(client.send(CHUNKED, sent, b"0\r\n\r\n").answer()) == TABLE[5]
    # 70,000 objects of Python's take at least 33 bytes each: 2.3 MB, and 4 MB with the list that holds them.
    assert peak_kib(server) - before < 2_000


@LINUX
def test_a_gzip_bomb_takes_no_more_memory_than_the_limit(server: Gated) -> None:
    ask(server, asks(5))
    bomb = request(INFER, gzip.compress(b" " * (1 << 27)), headers=["content-encoding: gzip"])
    forget_peak(server)
    before = peak_kib(server)
    reply = ask(server, bomb)
    assert (reply.status, "inflates to more than the 1048576 bytes" in reply.told["error"]) == (413, True)
    assert peak_kib(server) - before < 16 << 10  # it inflates to 128 MiB


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (request(INFER, b"{}", headers=["content-length: 2"]), "not a request of HTTP/1.1"),
        (request(INFER, b"{}", headers=["transfer-encoding: chunked"]), "not a request of HTTP/1.1"),
        (request(INFER, b"{}").replace(b"content-length: 2", b"content-length: 2, 2"), "not a request of HTTP/1.1"),
        (request(INFER, b"{}").replace(b"content-length: 2", b"content-length: 0x2"), "not a request of HTTP/1.1"),
    ],
    ids=["the same length twice", "a length and chunks", "a list of lengths", "a length in hexadecimal"],
)
def test_a_length_that_two_readers_may_read_in_two_ways_is_400(server: Gated, sent: bytes, words: str) -> None:
    with Raw(server.url) as client:
        reply = client.send(sent + asks(1)).answer()  # what follows is no second request
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert words in reply.told["error"]
        assert client.rest() == b""


@pytest.mark.parametrize("part", ["head", "body"])
def test_what_comes_too_slowly_is_408_though_bytes_keep_coming(server: Gated, part: str) -> None:
    sent = asks(1)
    begin = 20 if part == "head" else sent.index(b"\r\n\r\n") + 4
    with Raw(server.url) as client:
        client.send(sent[:begin])
        for place in range(begin, begin + 60):  # for 3 s at most
            if select.select([client.socket], [], [], 0.05)[0]:
                break
            client.send(sent[place : place + 1])
        found = client.answer()
        assert (found.status, found.headers["connection"]) == (408, "close")
        assert f"the {part} of the request was not whole after 1 s" in found.told["error"]


def test_a_method_that_is_not_taken_is_405_with_those_that_are(server: Gated) -> None:
    for method, path, allowed in (
        ("GET", INFER, {"POST"}),
        ("DELETE", INFER, {"POST"}),
        ("PUT", "/v2", {"GET", "HEAD"}),
        ("GET", "/v2/repository/index", {"POST"}),
        ("DELETE", "/v2/models/table/images", {"GET", "HEAD", "POST"}),
    ):
        reply = ask(server, request(path, method=method))
        assert (reply.status, set(reply.headers["allow"].split(", "))) == (405, allowed), (method, path)


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "../../etc/passwd",
        "..",
        "%2fetc%2fpasswd",
        "table%00",
        "%00",
        "table%2f1",
        "..%5c..%5cetc",
        "%c0%ae%c0%ae",
        "%252e%252e",
        "table%0d%0ax:%20y",
        "",
    ],
)
def test_a_name_that_leads_elsewhere_is_404(server: Gated, name: str) -> None:
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/infer", f"/v2/repository/models/{name}/load"):
        posts = path.endswith(("infer", "load"))
        reply = ask(server, request(path, b"{}" if posts else b""))
        # /v2/models/ and the like are no path of the protocol, the others name no model.
        assert reply.status == 404, path
        assert "root:" not in reply.body.decode()
        assert "x" not in reply.headers


# --- load


def test_a_client_that_leaves_in_the_middle_of_its_body_gives_its_place_back(server: Gated) -> None:
    paths = (INFER, "/v2/models/table/images", "/v2/repository/index", "/v2/repository/models/table/load")
    for path in paths * 9:  # more of each than the queue holds
        with Raw(server.url) as client:
            client.send(request(path, b"{}  ", headers=["expect: 100-continue"])[:-2])
            assert client.read_to(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"  # the body is waited for
    assert number(ask(server, asks(2))) == TABLE[2]
    no_traceback(server)


def test_a_client_that_leaves_the_queue_frees_its_place_and_is_never_run(server: Gated) -> None:
    with server.busy(20) as running, Raw(server.url) as leaver, Raw(server.url) as stayer:
        stayer.send(asks(21, more=5))
        server.waits(1)
        leaver.send(asks(22))
        server.waits(2)
        assert ask(server, asks(23)).status == 503  # 8 rows are held
        leaver.socket.close()
        server.waits(1)
        with Raw(server.url) as newcomer:
            newcomer.send(asks(24))
            server.waits(2)
            server.open("run")
            assert [number(client.answer()) for client in (running, stayer, newcomer)] == [
                TABLE[20],
                TABLE[21],
                TABLE[24],
            ]
    assert not {"22", "23"} & set(" ".join(server.ran).split())


def test_a_full_queue_is_503_at_once_and_says_when_to_come_again(server: Gated) -> None:
    with server.busy(25) as running, Raw(server.url) as waiting:
        waiting.send(asks(26, more=6))
        server.waits(1)
        reply = ask(server, asks(27))
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert "[R530]" in reply.told["error"]
        assert ask(server, asks(27, more=8)).status == 503  # before its body is read nobody knows that it never fits
        server.open("run")
        assert number(running.answer()) == TABLE[25]
        assert number(waiting.answer()) == TABLE[26]
    reply = ask(server, asks(27, more=8))
    assert (reply.status, "[R536]" in reply.told["error"]) == (413, True)
    assert "27" not in " ".join(server.ran).split()


def test_a_deadline_that_passes_in_the_queue_is_504_while_the_run_goes_on_and_is_never_run(server: Gated) -> None:
    with server.busy(30) as running, Raw(server.url) as waiting:
        began = time.monotonic()
        waiting.send(asks(31, timeout=200_000))  # microseconds
        reply = waiting.answer()  # the gate is still shut
        assert 0.2 <= time.monotonic() - began < 5
        assert (reply.status, "[R532]" in reply.told["error"]) == (504, True)
        assert int(reply.headers["retry-after"]) >= 1
        assert number(ask_open(server, waiting, 32)) == TABLE[32]  # its connection goes on
        assert number(running.answer()) == TABLE[30]
    assert "31" not in " ".join(server.ran).split()


def ask_open(server: Gated, client: Raw, line: int) -> Reply:
    client.send(asks(line))
    server.waits(1)
    server.open("run")
    return client.answer()


def test_an_error_in_a_batch_is_500_for_its_culprit_alone(server: Gated) -> None:
    lines = [33, 34, ABSENT, 35]
    clients = [Raw(server.url) for _ in lines]
    with server.busy(36) as running:
        for count, (client, line) in enumerate(zip(clients, lines, strict=True), 1):
            client.send(asks(line))
            server.waits(count)
        server.open("run")
        assert number(running.answer()) == TABLE[36]
        replies = [client.answer() for client in clients]
    assert [reply.status for reply in replies] == [200, 200, 500, 200]
    assert [number(replies[place]) for place in (0, 1, 3)] == [TABLE[33], TABLE[34], TABLE[35]]
    assert "[R533]" in replies[2].told["error"]
    assert server.ran[-5:] == ["33 34 64 35", "33", "34", "64", "35"]  # together, then each alone
    for client in clients:
        client.socket.close()


def test_memory_that_does_not_suffice_has_a_batch_run_in_two_halves_once(server: Gated) -> None:
    assert number(ask(server, asks(SHORT, more=3))) == TABLE[SHORT]
    assert server.ran[-3:] == ["62 62 62 62", "62 62", "62 62"]
    reply = ask(server, asks(ALWAYS_SHORT, more=3))
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "[R534]" in reply.told["error"]
    assert "1073741824" not in reply.told["error"]  # what the machine has is for the log
    assert server.ran[-2:] == ["61 61 61 61", "61 61"]  # no quarters


# --- its end


def made(folder: Path) -> Path:
    write_table(folder / "models" / "table" / "1" / "model.onnx")
    return folder


def test_a_worker_that_dies_makes_it_not_ready_and_ends_it_with_70(tmp_path: Path) -> None:
    server = Gated(made(tmp_path), "--drain-seconds", "1")
    with server.busy(1) as dies, Raw(server.url) as waits:
        server.open("run")
        assert number(dies.answer()) == TABLE[1]
        server.shut("run")
        # The second request of a connection is begun when the first one is answered: before the server has ended.
        dies.send(asks(DEADLY) + request("/v2/health/ready"))
        until(lambda: server.ran[-1:] == [str(DEADLY)])
        waits.send(asks(2) + request("/v2/health/live"))
        server.waits(1)
        server.open("run")
        for client, path in ((dies, {"ready": False}), (waits, {"live": False})):
            reply = client.answer()
            assert (reply.status, "[R535]" in reply.told["error"]) == (503, True)
            reply = client.answer()
            assert (reply.status, reply.told) == (503, path)
            assert client.rest() == b""
    assert server.process.wait(20) == 70
    assert server.stop() == 70
    assert "a model's worker has died: the server ends" in server.log.read_text()
    assert server.ran[-1] == str(DEADLY)


def test_a_run_that_hangs_makes_it_not_live_and_a_second_signal_ends_it(
    tmp_path: Path, serving: Callable[..., Served]
) -> None:
    server = serving(made(tmp_path) / "models", "--hung-after", "1", "--drain-seconds", "1")
    assert server.client.get("/v2/health/live").status_code == 200
    with Raw(server.url) as hangs, Raw(server.url) as probe:
        hangs.send(asks(1, FOREVER))  # a graph that does not end: nothing here is made to wait

        def live() -> bool:
            reply = probe.send(request("/v2/health/live")).answer()
            assert (reply.status, reply.told) in ((200, {"live": True}), (503, {"live": False}))
            return reply.status == 200

        began = time.monotonic()
        until(lambda: not live())
        assert time.monotonic() - began > 0.5  # it was live until it had run for a second
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "Waiting for connections to close" in server.log.read_text())
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 0  # and not by SIGABRT, though C++ still runs
        told_to_ask_again(hangs)
    server.stop()
    no_traceback(server)


def test_a_run_that_hangs_in_the_loop_ends_the_server_with_70(tmp_path: Path, serving: Callable[..., Served]) -> None:
    server = serving(made(tmp_path) / "models", "--hung-after", "1")
    with Raw(server.url) as client:
        quick = 0  # what is expected to be as quick as the last ones runs in the loop
        while quick < 20:
            before = busy_ns(client)
            assert client.send(asks(1)).answer().status == 200
            quick = quick + 1 if busy_ns(client) - before < 300_000 else 0
        client.send(asks(1, FOREVER))
        assert server.process.wait(20) == 70  # it can say nothing itself, nor hear a signal
    assert "does not end: the server ends" in server.log.read_text()
    server.stop()


def busy_ns(client: Raw) -> int:
    """How long the table's batches have taken."""
    (told,) = client.send(request("/v2/models/table/stats")).answer().told["model_stats"]
    return sum(told["inference_stats"][stage]["ns"] for stage in ("compute_input", "compute_infer", "compute_output"))


def told_to_ask_again(client: Raw) -> None:
    reply = client.answer()
    assert (reply.status, reply.told) == (503, {"error": "the server ends"})
    assert (reply.headers["retry-after"], reply.headers["connection"]) == ("1", "close")
    assert client.rest() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_loads_ends_it_with_0(tmp_path: Path, number: signal.Signals) -> None:
    server = Gated(made(tmp_path), "--drain-seconds", "1", ready=False, shut="load")
    with Raw(server.url) as client:
        until(lambda: client.send(request("/v2/repository/index", b"{}")).answer().told != [])
        (line,) = client.send(request("/v2/repository/index", b"{}")).answer().told
        assert line["state"] == "LOADING"
        assert client.send(request("/v2/health/live")).answer().status == 200
        assert client.send(request("/v2/health/ready")).answer().status == 503
        reply = client.send(asks(1)).answer()
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "[R544]" in reply.told["error"]
    server.process.send_signal(number)
    assert server.process.wait(20) == 0  # the gate is still shut: the load is not waited for
    no_traceback(server)
    server.stop()


def processor_s(server: Served) -> float:
    """How long the process has been at work, in seconds of a processor."""
    fields = Path("/proc", str(server.process.pid), "stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@LINUX
def test_a_signal_while_a_warm_up_runs_ends_it_with_0(tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_table(tmp_path / "models" / "table" / "1" / "model.onnx", least_turns=FOREVER)
    server = serving(tmp_path / "models", "--drain-seconds", "1", ready=False)
    until(lambda: index(server).get("1") == ("LOADING", ""))
    began = processor_s(server)
    until(lambda: processor_s(server) > began + 0.5)  # to load it takes less
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    no_traceback(server)
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_whatever_it_holds(tmp_path: Path, number: signal.Signals) -> None:
    server = Gated(made(tmp_path), "--drain-seconds", "60")
    with server.busy(1) as running, Raw(server.url) as reading, Raw(server.url) as idle:
        reading.send(asks(2)[:-1])
        assert idle.send(request("/v2/health/live")).answer().status == 200
        server.process.send_signal(number)
        until(lambda: idle.send(request("/v2/health/ready")).answer().status == 503)
        assert server.process.poll() is None
        server.process.send_signal(number)
        assert server.process.wait(5) == 0
        told_to_ask_again(running)
        told_to_ask_again(reading)
        assert idle.rest() == b""
    assert server.ran == ["1"]
    no_traceback(server)
    server.stop()


class Caller(threading.Thread):
    """A client that asks again and again, on connections that it keeps or on a new one each time, until it is refused.

    `answers` are the statuses by when their requests were sent, `lost` the requests without an answer: whether each was
    the first of its connection, and when that was opened.
    """

    def __init__(self, url: str, *, keeps: bool) -> None:
        super().__init__()
        self.answers: list[tuple[float, int]] = []
        self.lost: list[tuple[bool, float]] = []
        self.accepted = 0.0  # when the last connection was opened that had an answer
        self._url, self._keeps = url, keeps

    def run(self) -> None:
        while True:
            opened = time.monotonic()
            try:
                client = Raw(self._url)
            except ConnectionRefusedError:
                return
            with client:
                self._ask(client, opened)

    def _ask(self, client: Raw, opened: float) -> None:
        first = True
        while True:
            try:
                if client.ended():
                    return
                client.send(asks(11))
                sent = time.monotonic()
                reply = client.answer()
            except (EOFError, ConnectionError):
                self.lost.append((first, opened))
                return
            self.answers.append((sent, reply.status))
            self.accepted, first = opened, False
            if not self._keeps or reply.headers.get("connection") == "close":
                return


def test_a_signal_drains_it_while_requests_come(tmp_path: Path, serving: Callable[..., Served]) -> None:
    server = serving(made(tmp_path) / "models", "--drain-seconds", "1")
    callers = [Caller(server.url, keeps=index < 6) for index in range(8)]
    for caller in callers:
        caller.start()
    try:
        until(lambda: all(len(caller.answers) >= 20 for caller in callers))
        with Raw(server.url) as probe:
            assert probe.send(request("/v2/health/ready")).answer().status == 200
            server.process.send_signal(signal.SIGTERM)
            until(lambda: probe.send(request("/v2/health/ready")).answer().status == 503)
            seen = time.monotonic()
            assert not any(caller.lost for caller in callers)
            assert all(caller.is_alive() for caller in callers)  # none was refused
            assert probe.send(request("/v2/health/live")).answer().status == 200
            assert probe.send(request("/v2/models/table/ready")).answer().status == 503
            # Whoever has not seen it yet is answered, on connections that are open and on new ones.
            assert number(probe.send(asks(12)).answer()) == TABLE[12]
            assert number(ask(server, asks(13))) == TABLE[13]
        assert server.process.wait(20) == 0
    finally:
        server.stop()
        for caller in callers:
            caller.join(20)
    assert not any(caller.is_alive() for caller in callers)
    for caller in callers:
        assert {status for _, status in caller.answers} == {200}
        assert sum(sent > seen for sent, _ in caller.answers) >= 10
    # A connection is opened by the kernel, and accepted a moment later by the server, in the order that they came: one
    # that was opened before one that was accepted was accepted as well. What is then sent on it is answered.
    accepted = max(caller.accepted for caller in callers)
    lost = [each for caller in callers for each in caller.lost]
    assert [each for each in lost if each[1] < accepted or not each[0]] == []
    no_traceback(server)


# --- versions that come and go


@pytest.mark.slow
def test_a_broken_new_version_leaves_the_old_one_and_the_index_says_why(tmp_path: Path) -> None:
    server = Gated(made(tmp_path), "--poll-seconds", "1", "--drain-seconds", "1")
    two = tmp_path / "models" / "table" / "2" / "model.onnx"
    try:
        write_table(tmp_path / "whole.onnx", factor=2)
        whole = (tmp_path / "whole.onnx").read_bytes()
        two.parent.mkdir()
        two.write_bytes(whole[: len(whole) // 2])  # half of it is there
        until(lambda: "R1" in index(server).get("2", ("", ""))[1])
        state, reason = index(server)["2"]
        assert state == "UNAVAILABLE"
        assert "table/2/model.onnx" in reason
        assert str(tmp_path) not in reason
        assert index(server)["1"] == ("READY", "")
        assert number(ask(server, asks(3))) == TABLE[3]
        reply = ask(server, asks(3, path="/v2/models/table/versions/2/infer"))
        assert (reply.status, "[R544]" in reply.told["error"]) == (503, True)
        with two.open("ab") as file:  # and now the other half
            file.write(whole[len(whole) // 2 :])
        until(lambda: number(ask(server, asks(3))) == 2 * TABLE[3])
        assert index(server) == {"2": ("READY", "")}
    finally:
        assert server.stop() == 0
    no_traceback(server)


def test_a_version_that_is_removed_is_404_and_answers_what_it_had(tmp_path: Path) -> None:
    folder = made(tmp_path)
    write_table(folder / "models" / "table" / "2" / "model.onnx", factor=2)
    server = Gated(folder, "--poll-seconds", "1", "--versions", "2", "--drain-seconds", "1")
    first = "/v2/models/table/versions/1/infer"
    try:
        server.shut("run")
        with Raw(server.url) as running, Raw(server.url) as waiting:
            running.send(asks(4, path=first))
            until(lambda: server.ran[-1:] == ["4"])
            waiting.send(asks(5, path=first))
            server.waits(1)
            shutil.rmtree(folder / "models" / "table" / "1")
            until(lambda: "1" not in index(server))
            reply = ask(server, asks(6, path=first))
            assert (reply.status, "[R541]" in reply.told["error"]) == (404, True)
            assert "6" not in server.ran
            server.open("run")
            assert number(running.answer()) == TABLE[4]
            assert number(waiting.answer()) == TABLE[5]
        shutil.rmtree(folder / "models" / "table")
        until(lambda: ask(server, asks(6)).status == 404)
        assert ask(server, asks(6)).told["error"].startswith("there is no model 'table'")
        assert ask(server, request("/v2/health/live")).status == 200
    finally:
        assert server.stop() == 0
    no_traceback(server)
