"""f16 and bf16: the f32 file is held to float64 torch, then the same nodes compute in halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from netc.backends.built import measured as as_values
from netc.backends.built import words
from netc.backends.manifest import golden
from netc.backends.onnx import emit
from netc.backends.precision.half import Narrowed, too_large
from netc.backends.precision.parity import BOUNDS, MEASURE, measured
from netc.backends.precision.ranges import Run, beyond
from netc.backends.precision.road import Job, f32_file
from netc.backends.precision.widths import F32, HALVES, Half
from netc.backends.verify import SEED, Parity
from netc.backends.verify.batches import prescribed
from netc.backends.verify.measured import batches
from netc.backends.verify.session import open_session
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.weights import Array, Weights
from netc_runtime.manifest import Golden

HEADROOM = 4  # a value may grow so many times before it is too large
SPARE = 2  # of the bound: other processors sum in another order, or in halves
ROUNDINGS = 16  # of the largest answer


class HalfRoad:
    """As `netc.backends.precision.road.Road` says. `work` is a folder for files.

    Raises: Fault N420 for a layer that takes the precision at a newer opset only, N466 for more weights than one file
    takes where it is verified; as the job's `hold` does.
    """

    def __init__(self, precision: Half, job: Job, work: Path) -> None:
        self.precision: Half = precision
        self.parity: Parity | None = None
        self.found: Parity | None = None
        self.measure, self.bound = MEASURE.format(width=precision), BOUNDS[precision]
        self._job, self._width = job, HALVES[precision]
        hot = too_large(job.lowered_weights, job.lowered.params, self._width)
        if job.hold is not None:
            if emit.too_large(job.lowered):
                said = f"{job.net.name}: {precision} is verified on a file with all of its f32 weights"
                raise Fault("N466", f"{said}, and protobuf takes 2 GiB", help="--no-verify writes it without")
            # The same nodes and casts, but all in f32: what is held to f32's bound is the graph that is written.
            exact = Narrowed(job.lowered, F32, hot)
            path = work / "exact.onnx"
            f32_file(exact, job.lowered_weights, path)
            self.parity, self._cases = job.hold(path)
            hot += beyond(path, self._feeds(), self._width.largest / HEADROOM, partial(_open, job.net))
        self._narrowed = Narrowed(job.lowered, self._width, hot)

    def emittable(self) -> tuple[emit.Emittable, Weights]:
        """As `Road` says."""
        return self._narrowed, self._narrowed.weights(self._job.lowered_weights)

    def check(self, path: Path) -> Golden | None:
        """As `Road` says. Raises: Fault N464 where the half loses too much; as verify does."""
        if self.parity is None:
            return None
        net = self._job.net
        self.found = measured(path, net, self._job.weights, self._cases, self._width)
        far = self.found.worst
        if far.excess > 1:
            said = far.reason or f"parity is {far.figure:.2e}, and {far.allowed:.0e} is allowed"
            raise Fault(
                "N464",
                f"{net.name}: {self.precision} is too coarse: output {far.output} ({far.origin} inputs): {said}",
                help=f"build it in {'bf16 or ' if self.precision == 'f16' else ''}f32; the file was not kept",
            )
        case = self._cases[0]
        spreads = {each.output: each.spread for each in self.parity.agreements}
        return golden(
            SEED,
            case.feed,
            case.answers,
            spreads,
            prescribed(net, case.sizes) or 1,
            spare=SPARE * max(self.bound, self.found.figure),
            rounding=ROUNDINGS * self._width.epsilon / 2,
        )

    def _feeds(self) -> Iterator[Mapping[str, Array]]:
        for case in self._cases:
            for batch in batches(self._job.net, case):
                yield {name: case.feed[name][part] for name, part in batch.inputs.items()}

    def record(self) -> dict[str, Any]:
        """As `Road` says."""
        found = None if self.found is None else as_values(self.found, self.measure)
        return {"parity": found, "in_f32": list(self._narrowed.kept)}

    def lines(self) -> list[str]:
        """As `Road` says."""
        said: list[str] = []
        if self.found is not None:
            said.append(f"{self.precision}: {words(self.found, 'torch with kernels rounded')}")
        if self._narrowed.kept:
            said.append(f"in f32, for numbers that {self.precision} does not hold: {', '.join(self._narrowed.kept)}")
        return said


def _open(net: Graph, path: Path, outputs: Sequence[str]) -> Run:
    return open_session(path, net, outputs)
