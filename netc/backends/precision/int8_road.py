"""int8: the f32 file is held to float64 torch, then ONNX Runtime's quantiser makes integers of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netc.backends.manifest import golden
from netc.backends.onnx import emit, wire
from netc.backends.precision.examples import Calibration
from netc.backends.precision.int8 import MAX_DROP, Kept, Run, quantise
from netc.backends.precision.road import Job, f32_file
from netc.backends.verify import SEED, Case, Parity, spread
from netc.backends.verify.batches import prescribed
from netc.backends.verify.figures import Floats, distance
from netc.backends.verify.measured import batches
from netc.backends.verify.session import open_session
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.op import Param
from netc.weights import Weights
from netc_runtime.manifest import Golden

# The golden example allows for other processors: they may round where this one does not. Fused kernels do, beside the
# nodes that they stand for; so far apart, times 4, an answer may lie, or a hundredth of what it varies by.
SPARE, LEAST = 4, 1e-2


class Int8Road:
    """As `netc.backends.precision.road.Road` says. `work` is a folder for files; `told` hears how it gets on.

    Raises: Fault N465 without examples, N466 for more weights than one file takes; as the job's `hold` and `quantise`.
    """

    precision: Literal["int8"] = "int8"

    def __init__(
        self,
        job: Job,
        work: Path,
        given: Calibration | None,
        max_drop: float | None = None,
        keep_float: Sequence[str] = (),
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        name = job.net.name
        if given is None:
            raise Fault(
                "N465",
                f"{name}: int8 needs real examples, to take ranges from and to measure what is lost",
                help="pass --calibrate DATA: sample, idx:DIR or folder:DIR, as in `netc train`",
            )
        if emit.too_large(job.lowered):
            raise Fault("N466", f"{name}: int8 is made of a file with all of its weights, and protobuf takes 2 GiB")
        path = work / "f32.onnx"
        f32_file(job.lowered, job.lowered_weights, path)
        self.parity: Parity | None = None
        if job.hold is not None:
            self.parity, self._cases = job.hold(path)
        self._job, self._before_bytes, self._after_bytes = job, path.stat().st_size, 0
        self.bound = MAX_DROP if max_drop is None else max_drop
        self.found = quantise(path, job.net, given, work, max_drop=self.bound, keep_float=keep_float, told=told)
        self.measure = (
            f"percentage points of {self.found.worst.words} that int8 loses against f32, "
            f"on {self.found.tested} real examples"
        )

    def emittable(self) -> tuple[emit.Emittable, Weights]:
        """As `Road` says."""
        return _Whole(self.found.model.graph.SerializeToString(deterministic=True), self._job.lowered.opset), {}

    def check(self, path: Path) -> Golden | None:
        """As `Road` says: the golden example is the file's own answer. Raises: as ONNX Runtime does."""
        self._after_bytes = path.stat().st_size
        if self.parity is None:
            return None
        case, net = self._cases[0], self._job.net
        fused, plain = (_answers(net, case, open_session(path, net, fused=each)) for each in (True, False))
        spreads = {name: spread(found) for name, found in fused.items()}
        apart = max(distance(plain[name], found) for name, found in fused.items())
        spare = max(LEAST, SPARE * apart / (max(spreads.values()) or 1.0))
        return golden(SEED, case.feed, fused, spreads, prescribed(net, case.sizes) or 1, spare=spare)

    def record(self) -> dict[str, Any]:
        """As `Road` says."""
        found = self.found
        return {
            "max_drop": self.bound,
            "scores": [
                {"output": s.output, "measure": s.words, "f32": s.f32, "int8": s.found, "drop": s.drop}
                for s in found.scores
            ],
            "examples": {"ranges": found.ranged, "test": found.tested},
            "ranges": found.method,
            "int8_layers": found.weighted,
            "in_float": [each._asdict() for each in found.kept],
            "f32_size_bytes": self._before_bytes,
            "speed": [
                {"batch": s.batch, "f32_ms": s.before_ms, "int8_ms": s.after_ms, "ratio": s.ratio} for s in found.speeds
            ],
        }

    def lines(self) -> list[str]:
        """As `Road` says."""
        found, worst = self.found, self.found.worst
        faster = ", ".join(f"{each.ratio:.2f} times as fast at batch {each.batch}" for each in found.speeds)
        said = [
            f"int8: {worst.words} {worst.f32:.2f} % -> {worst.found:.2f} % (output {worst.output}): {worst.drop:.2f} "
            f"points lost, {self.bound:g} allowed, on {found.tested:,} examples; ranges from {found.ranged:,}",
            f"beside f32 it is {self._before_bytes / self._after_bytes:.1f} times as small, and on this CPU {faster}",
        ]
        if found.kept:
            kept = ", ".join(f"{each.layer} ({_why(each)})" for each in found.kept)
            said.append(f"in float: {kept}; {found.weighted} layers with weights are int8")
        return said


def _answers(net: Graph, case: Case, run: Run) -> dict[str, Floats]:
    found = {name: np.empty(each.shape) for name, each in case.answers.items()}
    for batch in batches(net, case):
        values = run({name: case.feed[name][part] for name, part in batch.inputs.items()})
        for output, value in zip(net.outputs, values, strict=True):
            found[output.name][batch.outputs[output.name]] = value
    return found


def _why(kept: Kept) -> str:
    return "asked for" if kept.noise is None else f"noise is {kept.noise:.1e} of its power"


class _Whole:
    """A graph with its weights inside, ready to be written; implements `emit.Emittable`."""

    def __init__(self, body: bytes, opset: int) -> None:
        self.opset = opset
        self.params: dict[str, Param] = {}
        self._body = body

    def graph(self, initializers: Sequence[bytes] = ()) -> bytes:
        return b"".join([self._body, *(wire.block(wire.INITIALIZER, each) for each in initializers)])
