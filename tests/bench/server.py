"""The server beside a bare loop, and beside LitServe, MLServer and Triton with a Python backend.

Every server has the same file in the same ONNX Runtime with as many threads, and is held to the same cores; the client
is a process of its own, on the other core where the server has one, and its load on the processor is told. Servers run
in turns; a figure is the median over rounds of ours divided by theirs, with its middle half. Peers are installed into
environments of their own.

Run `python tests/bench/server.py [--quick] [--peers DIR] [--json FILE]`.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from netc import api
from tests.bench.pairs import ENVIRONMENT, Ratio, alternate, ratio
from tests.bench.tables import Table, told, write

ROOT = Path(__file__).parent.parent.parent
PEERS = Path(__file__).parent / "peers"
REQUIRED = {
    "LitServe": ["litserve==0.2.19", "onnxruntime==1.31.1", "pillow==13.0.0"],
    "MLServer": ["mlserver==1.7.1", "onnxruntime==1.31.1"],
    "Triton": ["nvidia-pytriton==0.7.0", "numpy<2", "onnxruntime==1.31.1"],  # carries Triton 2.51
}
OURS, BARE = "netc-runtime", "bare loop"
BOTH, ONE, OTHER = "0,1", "0", "1"
START_S, SMALL_S, LARGE_S = 90, 1.0, 3.0
REQUESTS = 100_000
CROWDED = {"no-op": (1.0, 10.0), "LeNet-5": (1.2, 9.0)}
"""How many times as many as Triton, and as each other peer, ours answers on 64 connections."""
COLUMNS = ["net", "wire", "connections", "server", "requests/s", "p50, ms", "p99, ms", "ratio", "client"]


class Net(NamedTuple):
    """A model, its one input's name and sides without the rows, and its output's."""

    name: str
    spec: str
    input: str
    shape: tuple[int, ...]
    output: str
    classes: int


NOOP = Net("no-op", "", "x", (784,), "y", 784)
LENET = Net("LeNet-5", "lenet5.cnn:LeNet5", "image", (1, 28, 28), "digit", 10)
GOOGLENET = Net("GoogLeNet", "googlenet.cnn:GoogLeNet", "image", (3, 224, 224), "", 1000)
RESNET = Net("ResNet-50", "resnet.cnn:ResNet50", "image", (3, 224, 224), "", 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description="The server beside its peers.")
    parser.add_argument("--quick", action="store_true", help="LeNet-5 alone, beside Triton where it is there")
    parser.add_argument("--peers", type=Path, default=ROOT / ".bench" / "peers", help="the peers' environments")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("a server and its client need a core each: there is one")
    peers = {} if given.quick else installed(given.peers)
    with tempfile.TemporaryDirectory() as text:
        bench = Bench(Path(text), peers)
        tables = [small(bench, [LENET] if given.quick else [NOOP, LENET])]
        if not given.quick:
            tables += [large(bench), pictures(bench), paced(bench), lives(bench)]
    write(tables, given.json)


def installed(folder: Path) -> dict[str, Path]:
    """The peers' environments, made where they are not there; one that cannot be had is left out."""
    found: dict[str, Path] = {}
    for name, wanted in REQUIRED.items():
        place = folder / name.lower()
        python = place / "bin" / "python"
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
                subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
            found[name] = python
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


# --- servers


class Server:
    """A process that answers at a port; `cold_s` is the time from its start to its first answer.

    `idles` says that it leaves the processors alone while nobody asks it.
    """

    def __init__(self, command: Sequence[str], cores: str, port: int, path: str, env: Mapping[str, str]) -> None:
        self.port, self.path = port, path
        self._client = httpx.Client(timeout=10)  # made before the clock runs: that takes long
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process
        self._began = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, **env},
            cwd=tempfile.gettempdir(),  # LitServe leaves a file where it starts
            start_new_session=True,
        )
        self.cold_s = 0.0
        self.idles = False

    def await_answer(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Ask until it answers. Raises: SystemExit where it does not come up."""
        url = f"http://127.0.0.1:{self.port}{self.path}"
        while time.perf_counter() - self._began < START_S and self.process.poll() is None:
            with suppress(httpx.HTTPError):
                if self._client.post(url, content=body, headers=dict(headers)).status_code == 200:
                    self.cold_s = time.perf_counter() - self._began
                    return
            time.sleep(0.01)
        self._log.seek(0)
        raise SystemExit(f"{url} does not answer: {self._log.read()[-2000:].decode(errors='replace')}")

    @property
    def rss_mib(self) -> float:
        """The memory of the process and its children."""
        pages = 0
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getpgid(int(each.name)) == self.process.pid:
                    pages += int((each / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @contextmanager
    def alone(self, others: Iterable[Server]) -> Generator[None]:
        """The others halted meanwhile: a server may use a processor while nobody asks it.

        But for one that `idles`: Triton takes its backend for dead when the clock has gone on without it.
        """
        halted = [other for other in others if other is not self and not other.idles]
        for other in halted:
            os.killpg(other.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in halted:
                os.killpg(other.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._client.close()
        self._log.close()


class Bench:
    """The models' files and requests, and the servers over them."""

    def __init__(self, folder: Path, peers: Mapping[str, Path]) -> None:
        self.folder, self.peers = folder, peers
        self._port = 9300
        self._files: dict[str, Path] = {}

    def file(self, net: Net) -> Path:
        """A net's ONNX file, made at its first use."""
        if net.name not in self._files:
            path = self.folder / "models" / net.name.lower().replace("-", "") / "1" / "model.onnx"
            path.parent.mkdir(parents=True)
            if net.spec:
                api.build(ROOT / "specs" / net.spec, path, init=0, verify=False)
            else:
                onnx.save(identity(net), path)
            self._files[net.name] = path
        return self._files[net.name]

    def name(self, net: Net) -> str:
        return self.file(net).parent.parent.name

    def servers(self, net: Net, wire: str) -> list[str]:
        """Those that take a net's requests in this form."""
        speak = {"bytes": ("Triton",), "JSON": ("Triton", "MLServer", "LitServe"), "picture": ("LitServe",)}[wire]
        return [OURS, *(peer for peer in speak if peer in self.peers)]

    @contextmanager
    def running(self, name: str, net: Net, cores: str, threads: int, wire: str) -> Generator[Server]:
        """A server over a net, ready."""
        self._port += 3
        starts = {OURS: self._ours, "Triton": self._triton, "MLServer": self._mlserver, "LitServe": self._litserve}
        server = starts[name](net, cores, threads, self._port, wire)
        try:
            server.await_answer(*request(self, name, net, wire))
            yield server
        finally:
            server.stop()

    def _ours(self, net: Net, cores: str, threads: int, port: int, wire: str) -> Server:
        path = f"/v2/models/{self.name(net)}/{'images' if wire == 'picture' else 'infer'}"
        alone = self.folder / f"alone-{self.name(net)}"
        if not alone.exists():
            shutil.copytree(self.file(net).parent.parent, alone / self.name(net))
        command = [sys.executable, "-m", "netc_runtime", "serve", str(alone)]
        more = ["--port", str(port), "--threads", str(threads), "--device", "cpu"]
        return Server([*command, *more], cores, port, path, {"PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"})

    def _litserve(self, net: Net, cores: str, threads: int, port: int, wire: str) -> Server:
        script = str(PEERS / "litserve_peer.py")
        given = [str(self.file(net)), net.input, json.dumps(net.shape), str(port), str(threads), wire]
        # Pictures go through the same code as ours, so that what is compared is the serving.
        env = {"PYTHONPATH": str(ROOT / "runtime")}
        return Server([str(self.peers["LitServe"]), script, *given], cores, port, "/predict", env)

    def _mlserver(self, net: Net, cores: str, threads: int, port: int, _wire: str) -> Server:
        name = self.name(net)
        folder = self.folder / f"mlserver-{name}-{port}"
        folder.mkdir()
        shutil.copy(PEERS / "mlserver_peer.py", folder)
        settings = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0}
        (folder / "settings.json").write_text(json.dumps({**settings, "debug": False}))
        extra = {"extra": {"file": str(self.file(net)), "threads": threads}}
        model = {"name": name, "implementation": "mlserver_peer.Onnx", "parameters": extra}
        (folder / "model-settings.json").write_text(json.dumps(model))
        command = [str(self.peers["MLServer"].parent / "mlserver"), "start", str(folder)]
        return Server(command, cores, port, f"/v2/models/{name}/infer", {"PYTHONPATH": str(folder)})

    def _triton(self, net: Net, cores: str, threads: int, port: int, _wire: str) -> Server:
        name = self.name(net)
        repository = self.folder / f"triton-{name}-{port}"
        (repository / name / "1").mkdir(parents=True)
        shutil.copy(PEERS / "triton_peer.py", repository / name / "1" / "model.py")
        output = net.output or onnx.load(self.file(net), load_external_data=False).graph.output[0].name
        (repository / name / "config.pbtxt").write_text(f"""
            name: "{name}" backend: "python" max_batch_size: 64
            input [{{ name: "{net.input}" data_type: TYPE_FP32 dims: {list(net.shape)} }}]
            output [{{ name: "{output}" data_type: TYPE_FP32 dims: [{net.classes}] }}]
            dynamic_batching {{ }} instance_group [{{ kind: KIND_CPU count: 1 }}]
            parameters: {{ key: "file" value: {{ string_value: "{self.file(net)}" }} }}
            parameters: {{ key: "threads" value: {{ string_value: "{threads}" }} }}
        """)
        python = self.peers["Triton"]
        packages = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
        triton = packages / "pytriton" / "tritonserver"
        stubs = triton / "python_backend_stubs" / packages.parent.name.removeprefix("python")
        stub = stubs / "triton_python_backend_stub"
        if not (triton / "backends" / "python" / stub.name).exists():  # while one runs, its file cannot be written
            shutil.copy(stub, triton / "backends" / "python")
        command = [str(triton / "bin" / "tritonserver"), "--model-repository", str(repository)]
        more = ["--backend-directory", str(triton / "backends"), "--http-port", str(port)]
        off = ["--allow-grpc", "false", "--allow-metrics", "false"]
        env = {
            "PYTHONPATH": str(packages),
            "VIRTUAL_ENV": str(python.parent.parent),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": import_module("sysconfig").get_config_var("LIBDIR"),
        }
        server = Server([*command, *more, *off], cores, port, f"/v2/models/{name}/infer", env)
        server.idles = True
        return server


def identity(net: Net) -> onnx.ModelProto:
    """A graph that gives back what it is given."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *net.shape]) for name in (net.input, net.output)
    ]
    graph = helper.make_graph([helper.make_node("Identity", [net.input], [net.output])], "noop", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def request(bench: Bench, server: str, net: Net, wire: str) -> tuple[bytes, dict[str, str]]:
    """A body of one row and its headers."""
    if wire == "picture":
        content = picture(net)
        if server == OURS:
            return content, {"content-type": "application/octet-stream"}
        return json.dumps({"picture": b64encode(content).decode()}).encode(), {"content-type": "application/json"}
    x = np.random.default_rng(0).standard_normal((1, *net.shape), np.float32)
    kind = {"content-type": "application/json"}
    if server == "LitServe":
        return json.dumps({"input": x.reshape(-1).round(4).tolist()}).encode(), kind
    tensor: dict[str, Any] = {"name": net.input, "shape": list(x.shape), "datatype": "FP32"}
    if wire == "JSON":
        return json.dumps({"inputs": [{**tensor, "data": x.reshape(-1).round(4).tolist()}]}).encode(), kind
    tensor["parameters"] = {"binary_data_size": x.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    octets = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + x.tobytes(), octets


def picture(net: Net) -> bytes:
    """A photograph's size and kind for a net of photographs, else a digit's."""
    random = np.random.default_rng(0)
    file = io.BytesIO()
    if net.shape[0] == 1:
        Image.fromarray(random.integers(0, 256, net.shape[1:], np.uint8)).save(file, "PNG")
    else:
        rough = Image.fromarray(random.integers(0, 256, (15, 20, 3), np.uint8))
        rough.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def load(
    bench: Bench, server: Server, sent: tuple[bytes, Mapping[str, str]], cores: str, **asked: Any
) -> dict[str, Any]:
    """What the client found. Raises: SystemExit where an answer was not 200."""
    body, headers = sent
    lines = [f"POST {server.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    file = bench.folder / "request"
    file.write_bytes("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    command = ["taskset", "-c", cores, sys.executable, str(Path(__file__).with_name("load_client.py"))]
    given = {"host": "127.0.0.1", "port": server.port, "file": str(file), "rate": 0, **asked}
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["others"]:
        raise SystemExit(f"{found['others']} requests to {server.path} at {server.port} were not answered with 200")
    return found


# --- tables


def small(bench: Bench, nets: Sequence[Net]) -> Table:
    """Small nets, the server on one core: each peer's time a request beside ours."""
    rows: list[list[str]] = []
    missed: list[str] = []
    crowded: list[str] = []
    for net in nets:
        busiest: dict[str, list[dict[str, Any]]] = {}
        for wire in ("bytes", "JSON"):
            with ExitStack() as stack:
                running = {
                    name: stack.enter_context(bench.running(name, net, ONE, 1, wire))
                    for name in bench.servers(net, wire)
                }
                for connections in (1, 8, 64):
                    found = turns(bench, running, net, wire, OTHER, connections, SMALL_S)
                    rows += compared(net.name, wire, connections, found, missed)
                    if connections == 64:
                        busiest = {**found, **busiest}  # each by bytes, where it takes them
        if bench.peers:
            crowded.append(beside_all(net, busiest))
    notes = [
        told(not missed, "no peer answers more requests a second than ours, nor has a p99 below 0.91 of ours")
        + (f"; not {', '.join(missed)}." if missed else "."),
        *crowded,
        "A ratio is of requests a second, ours over theirs: above 1, ours answers more. The server has one core and "
        "one thread, the client the other core; `client` is how much of it the client took. Triton runs the file in "
        "its Python backend.",
    ]
    return Table("Small nets, one core", COLUMNS, rows, notes)


def beside_all(net: Net, found: Mapping[str, list[dict[str, Any]]]) -> str:
    """What a net has of each peer on 64 connections, each side by the form that it answers most in."""
    of_triton, of_others = CROWDED[net.name]
    rates = {name: [each["answered"] / each["seconds"] for each in rounds] for name, rounds in found.items()}
    times = {name: ratio(rates[OURS], rates[name]).median for name in rates if name != OURS}
    return told(
        all(value >= (of_triton if name == "Triton" else of_others) for name, value in times.items()),
        f"{net.name} by bytes on 64 answers {of_triton} times as many as Triton and {of_others} as each other, who "
        f"take JSON alone ({', '.join(f'{name} {value:.2f}' for name, value in times.items())}).",
    )


def turns(
    bench: Bench, running: Mapping[str, Server], net: Net, wire: str, cores: str, connections: int, seconds: float
) -> dict[str, list[dict[str, Any]]]:
    """What the client found of each server, round by round."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}

    def turn(name: str) -> Callable[[], float]:
        def run() -> float:
            sent = request(bench, name, net, wire)
            with running[name].alone(running.values()):
                told = load(bench, running[name], sent, cores, connections=connections, seconds=seconds)
            found[name].append(told)
            return told["seconds"] / max(told["answered"], 1)

        return run

    alternate({name: turn(name) for name in running}, 0, most=5)
    return found


def compared(
    net: str, wire: str, connections: int, found: Mapping[str, list[dict[str, Any]]], missed: list[str]
) -> list[list[str]]:
    """A row for each server; what is missed is noted."""
    rates = {name: [each["answered"] / each["seconds"] for each in rounds] for name, rounds in found.items()}
    rows: list[list[str]] = []
    for name, rounds in found.items():
        beside: Ratio | None = None if name == OURS else ratio(rates[OURS], rates[name])
        p50, p99 = (1e3 * median(each[key] for each in rounds) for key in ("p50", "p99"))
        ours = 1e3 * median(each["p99"] for each in found[OURS])
        if beside is not None and (beside.median < 1 or ours > 1.1 * p99):
            missed.append(f"{net} by {wire} on {connections} beside {name}")
        client = f"{100 * median(each['client'] for each in rounds):.0f} %"
        shown = "-" if beside is None else str(beside)
        rate = f"{median(rates[name]):,.0f}"
        rows.append([net, wire, str(connections), name, rate, f"{p50:.2f}", f"{p99:.2f}", shown, client])
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows


def large(bench: Bench) -> Table:
    """Nets that fill both cores, beside a loop of ONNX Runtime in a process of its own."""
    rows: list[list[str]] = []
    missed: list[str] = []
    cases: tuple[tuple[Net, str, dict[int, float]], ...] = (
        (GOOGLENET, "bytes", {1: 0.92, 8: 0.88}),
        (RESNET, "bytes", {1: 0.92, 8: 0.95}),
        (RESNET, "JSON", {1: 0.0, 8: 0.0}),
    )
    for net, wire, bars in cases:
        with ExitStack() as stack:
            names = bench.servers(net, wire)
            running = {n: stack.enter_context(bench.running(n, net, BOTH, 2, wire)) for n in names}
            loop = stack.enter_context(bare(bench, net))
            for connections, bar in bars.items():
                found = alternate(beside_the_loop(bench, running, loop, net, wire, connections), 0, most=5)
                for name, rates in found.items():
                    beside = "-" if name == OURS else str(ratio(found[OURS], rates))
                    rows.append([net.name, wire, str(connections), name, f"{median(rates):.1f}", beside])
                    print("  ".join(rows[-1]), file=sys.stderr, flush=True)
                if ratio(found[OURS], found[BARE]).median < bar:
                    missed.append(f"{net.name} on {connections} ({bar})")
                missed += [
                    f"{net.name} by {wire} on {connections} beside {name}"
                    for name in running
                    if name != OURS and ratio(found[OURS], found[name]).median < 1
                ]
    notes = [
        told(not missed, "ResNet-50 0.95 of the bare loop on 8, GoogLeNet 0.88, both 0.92 on 1, no peer faster")
        + (f"; not {', '.join(missed)}." if missed else "."),
        "Pictures a second; the loop runs batches of as many rows as there are connections. Two threads, and both "
        "cores for server and client alike.",
    ]
    columns = ["net", "wire", "connections", "server", "pictures/s", "ratio"]
    return Table("Large nets, two cores", columns, rows, notes)


def pictures(bench: Bench) -> Table:
    """Pictures as they are: decoded, resized and read."""
    rows: list[list[str]] = []
    missed: list[str] = []
    for net, ours, client, threads, several, seconds in (
        (LENET, ONE, OTHER, 1, (1, 8, 64), SMALL_S),
        (RESNET, BOTH, BOTH, 2, (1, 8), LARGE_S),
    ):
        with ExitStack() as stack:
            running = {
                name: stack.enter_context(bench.running(name, net, ours, threads, "picture"))
                for name in bench.servers(net, "picture")
            }
            for connections in several:
                found = turns(bench, running, net, "picture", client, connections, seconds)
                rows += compared(net.name, "picture", connections, found, missed)
    notes = [
        told(not missed, "LitServe answers no more pictures a second than ours, nor has a p99 below 0.91 of ours")
        + (f"; not {', '.join(missed)}." if missed else "."),
        "A PNG of 28 x 28 on one core, a JPEG of 640 x 480 on two. Ours takes the file as the body; LitServe takes it "
        "in base64 and makes its tensor with the same code.",
    ]
    return Table("Pictures", COLUMNS, rows, notes)


def beside_the_loop(
    bench: Bench, running: Mapping[str, Server], loop: Callable[[int], float], net: Net, wire: str, connections: int
) -> dict[str, Callable[[], float]]:
    """Pictures a second of each server, and of the loop."""

    def turn(name: str) -> Callable[[], float]:
        def run() -> float:
            sent = request(bench, name, net, wire)
            with running[name].alone(running.values()):
                told = load(bench, running[name], sent, BOTH, connections=connections, seconds=LARGE_S)
            return told["answered"] / told["seconds"]

        return run

    return {**{name: turn(name) for name in running}, BARE: lambda: loop(connections)}


@contextmanager
def bare(bench: Bench, net: Net) -> Generator[Callable[[int], float]]:
    """ONNX Runtime alone in a process: rows a second in batches of so many."""
    code = (
        "import sys, time, numpy as np, onnxruntime as ort\n"
        "o = ort.SessionOptions(); o.intra_op_num_threads = 2\n"
        f"s = ort.InferenceSession({str(bench.file(net))!r}, o, ['CPUExecutionProvider'])\n"
        "for line in sys.stdin:\n"
        f"    x = np.random.default_rng(0).standard_normal((int(line), *{net.shape!r}), np.float32)\n"
        f"    s.run(None, {{{net.input!r}: x}}); n = 0; t = time.perf_counter()\n"
        f"    while time.perf_counter() - t < {LARGE_S}:\n"
        f"        s.run(None, {{{net.input!r}: x}}); n += len(x)\n"
        "    print(n / (time.perf_counter() - t), flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(rows: int) -> float:
        stdin.write(f"{rows}\n")
        stdin.flush()
        return float(stdout.readline())

    try:
        yield run
    finally:
        process.kill()
        process.communicate()


def paced(bench: Bench) -> Table:
    """What a request takes at half and at four fifths of each server's own peak."""
    rows: list[list[str]] = []
    for name in bench.servers(LENET, "bytes"):
        with bench.running(name, LENET, ONE, 1, "bytes") as server:
            sent = request(bench, name, LENET, "bytes")
            tries = [load(bench, server, sent, OTHER, connections=64, seconds=SMALL_S) for _ in range(5)]
            peak = median(each["answered"] / each["seconds"] for each in tries)
            for share in (0.5, 0.8):
                found = [
                    load(bench, server, sent, OTHER, connections=64, seconds=2 * SMALL_S, rate=share * peak)
                    for _ in range(5)
                ]
                p50, p99 = (f"{1e3 * median(each[key] for each in found):.2f}" for key in ("p50", "p99"))
                rows.append([name, f"{100 * share:.0f} %", f"{share * peak:,.0f}", p50, p99])
                print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    notes = ["Requests come at a steady rate, and a time is counted from when a request was due. LeNet-5 by bytes."]
    return Table("At a steady rate", ["server", "of its peak", "requests/s", "p50, ms", "p99, ms"], rows, notes)


def lives(bench: Bench) -> Table:
    """From nothing to the first answer, and the memory over many requests."""
    rows: list[list[str]] = []
    cold: dict[str, float] = {}
    for name in bench.servers(RESNET, "JSON"):
        starts: list[float] = []
        for _ in range(5):
            with bench.running(name, RESNET, BOTH, 2, "JSON") as server:
                starts.append(server.cold_s)
        cold[name] = median(starts)
        rows.append([name, f"{cold[name]:.2f}"])
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    with bench.running(OURS, LENET, ONE, 1, "bytes") as server:
        sent = request(bench, OURS, LENET, "bytes")
        answered, sizes = 0, list[float]()
        while answered < REQUESTS:
            answered += load(bench, server, sent, OTHER, connections=64, seconds=5)["answered"]
            sizes.append(server.rss_mib)
    best = min((value for name, value in cold.items() if name != OURS), default=float("inf"))
    notes = [
        told(cold[OURS] <= best / 2, "the first answer of ResNet-50 comes in half the time of the best peer or less."),
        f"From the start of the process to the first answer, median of 5. Memory of ours over {answered:,} requests to "
        f"LeNet-5: {sizes[0]:.1f} MiB, then {max(sizes):.1f} at most, {sizes[-1]:.1f} at the end.",
    ]
    return Table("Cold start", ["server", "first answer, s"], rows, notes)


if __name__ == "__main__":
    main()
