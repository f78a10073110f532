"""What the library asks of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

Tensors: TypeAlias = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Placement:
    """What a graph really runs on."""

    engine: str
    device: str
    arithmetic: str
    providers: tuple[str, ...] = ()
    nodes: Mapping[str, int] = field(default_factory=dict[str, int])
    cached: bool = False
    """Whether the session came from the session cache; its nodes are then the optimised graph's."""


class Runner(Protocol):
    """A graph that is ready to run. Its methods may be called from several threads at once."""

    def run(self, feed: Tensors) -> Tensors:
        """Give every output by name. Raises: RequestFault R208 when the engine gives up."""
        ...

    def placement(self) -> Placement:
        """Say what it runs on."""
        ...

    def batches(self, most: int) -> tuple[int, ...]:
        """Give the numbers of rows, `most` at most, whose first run is slow: what a warm-up runs."""
        ...


def buckets(most: int) -> tuple[int, ...]:
    """Give the powers of two below `most`, and `most`."""
    found = [1]
    while found[-1] * 2 < most:
        found.append(found[-1] * 2)
    return (*found, most) if most > 1 else (1,)
