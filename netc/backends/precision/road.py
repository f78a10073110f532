"""What a build in another precision than f32 does, before its file is written and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from netc.backends import onnx
from netc.backends.onnx import emit
from netc.backends.onnx.lowering import Lowered
from netc.backends.verify import Case, Parity
from netc.graph import Graph
from netc.weights import Weights
from netc_runtime.manifest import Golden, Precision


class Held(NamedTuple):
    """An f32 file that is what float64 torch computes: how near it lies, and on what."""

    parity: Parity
    cases: Sequence[Case]


Hold = Callable[[Path], Held]
"""Holds an f32 file to float64 torch. Raises Fault N430 where it is something else."""


class Job(NamedTuple):
    """What is built: the net, as it is lowered and with its weights; `hold` is None for what is not verified."""

    net: Graph
    weights: Weights
    lowered: Lowered
    lowered_weights: Weights
    hold: Hold | None


class Road(Protocol):
    """A precision's way to a file."""

    parity: Parity | None
    """The f32 file's that it came from."""
    measure: str
    """What the manifest says that the file was held to, and how near it must come."""
    bound: float

    @property
    def precision(self) -> Precision: ...

    def emittable(self) -> tuple[emit.Emittable, Weights]:
        """What is to be written."""
        ...

    def check(self, path: Path) -> Golden | None:
        """Judge the file that was written; the manifest's golden example comes of it. Raises: Fault."""
        ...

    def record(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        ...

    def lines(self) -> list[str]:
        """The same for people."""
        ...


def f32_file(lowered: emit.Emittable, weights: Weights, path: Path) -> None:
    """Write a file on the way. Raises: as `netc.backends.onnx.emitting` does."""
    with onnx.emitting(lowered, weights, path):
        pass
