"""One side of a comparison: a process of its own that loads a net in one engine, and runs it when it is told to.

A process each, so that no thread pool, allocator or library of one side is in the other's way. Lines of JSON come in on
standard input and an answer to each goes out on standard output; `Contender` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Arrays], list[npt.NDArray[Any]]]

TUNED = {
    # glibc hands large blocks back to the system and takes them anew, page by page: up to half of torch's time.
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "PYTHONWARNINGS": "ignore",
}


class Refused(Exception):
    """The engine is not there, or does not take the net."""


class Taken(NamedTuple):
    """Seconds that one inference took: on the clock, and of the process on all cores."""

    wall: float
    processor: float


class Contender:
    """A net in an engine, in a process that ends with the `with` statement, and that is ready within it.

    Several may be made before the first is entered: then they load at the same time. `given` are the arguments of one
    of the functions in ENGINES.
    """

    def __init__(
        self, engine: str, *, threads: int, environment: Mapping[str, str] | None = None, **given: Any
    ) -> None:
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **TUNED, **counts, **(environment or {})},
        )
        self._say(threads=threads, **given)

    def __enter__(self) -> Contender:
        """Wait until the net is loaded. Raises Refused."""
        try:
            self._hear()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def feed(self, file: Path) -> None:
        """Take the inputs from an `.npz` file. Raises Refused."""
        self._ask(feed=str(file))

    def answer(self, file: Path) -> dict[str, npt.NDArray[Any]]:
        """One inference's outputs, by way of an `.npz` file. Raises Refused."""
        self._ask(answer=str(file))
        with np.load(file) as found:
            return {name: found[name] for name in found.files}

    def run(self, times: int, *, wake: bool = True) -> Taken:
        """The mean of so many inferences; one more before them is not counted, where it is to `wake` the threads.

        Raises Refused.
        """
        found = self._ask(run=times, wake=wake)
        return Taken(found["wall"], found["processor"])

    def _ask(self, **question: Any) -> dict[str, Any]:
        self._say(**question)
        return self._hear()

    def _say(self, **question: Any) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a process that ended says nothing, either
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Refused("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer


# --- in the process


def onnxruntime(threads: int, file: str, provider: str = "CPUExecutionProvider") -> Run:
    """An ONNX file in ONNX Runtime."""
    import onnxruntime

    ort: Any = onnxruntime  # its names are made at import time, which the type checker cannot follow
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = ort.InferenceSession(file, options, providers=[provider])
    if provider not in session.get_providers():
        raise Refused(f"{provider} is not to be had")
    return lambda feed: session.run(None, dict(feed))


def torch(threads: int, spec: str, weights: str, *, compiled: bool = False, device: str = "cpu") -> Run:
    """The same net as netc's module, with the same weights; compiled for each batch, with weights as constants."""
    import torch

    from netc import api

    torch.set_num_threads(threads)
    module = api.compile(spec, weights=weights).eval().to(device)
    if compiled:
        from torch._inductor import config

        config.freezing = True
        call: Any = torch.compile(module, dynamic=False)
    else:
        call = module

    def run(feed: Arrays) -> list[npt.NDArray[Any]]:
        with torch.inference_mode():
            found = call(*(torch.from_numpy(each).to(device) for each in feed.values()))
        return [each.cpu().numpy() for each in (found.values() if isinstance(found, dict) else [found])]

    return run


def openvino(threads: int, file: str, precision: str | None = None) -> Run:
    """An ONNX file in OpenVINO, one request at a time; without a precision in the one that it takes by itself."""
    openvino: Any = import_module("openvino")  # of `make bench` alone: the type checker never sees it
    words = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if precision is not None:
        words["INFERENCE_PRECISION_HINT"] = precision
    compiled: Any = openvino.Core().compile_model(file, "CPU", words)
    request = compiled.create_infer_request()
    outputs = range(len(compiled.outputs))

    def run(feed: Arrays) -> list[npt.NDArray[Any]]:
        request.infer(dict(feed), share_inputs=True)
        return [request.get_output_tensor(index).data.copy() for index in outputs]

    return run


ENGINES: Mapping[str, Callable[..., Run]] = {"onnxruntime": onnxruntime, "torch": torch, "openvino": openvino}


def measured(run: Run, feed: Arrays, times: int) -> Taken:
    """The mean of so many."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        run(feed)
    return Taken((time.perf_counter() - wall) / times, (time.process_time() - processor) / times)


def serve(engine: Callable[..., Run]) -> None:
    """Answer until there is no more to answer."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    run: Run | None = None
    feed: dict[str, npt.NDArray[Any]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if run is None:
                run = engine(**question)
            elif "feed" in question:
                with np.load(question["feed"]) as read:
                    feed = {name: read[name] for name in read.files}
            elif "answer" in question:
                np.savez(question["answer"], *run(feed))
            else:
                if question["wake"]:
                    run(feed)
                answer = measured(run, feed, question["run"])._asdict()
        except Exception as error:  # every library has its own
            answer = {"refused": f"{type(error).__name__}: {error}".splitlines()[0]}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    serve(ENGINES[sys.argv[1]])
