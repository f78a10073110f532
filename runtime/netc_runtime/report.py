"""What is said of a loaded model."""

from dataclasses import asdict, dataclass
from typing import Any

from netc_runtime.warmup import Warmed


@dataclass(frozen=True, slots=True)
class Check:
    """The golden example's largest absolute difference over so many recorded elements; 0 when none are recorded."""

    samples: int
    difference: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a model is and what it really runs on."""

    file: str
    size_bytes: int
    net: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    precision: str | None
    parity: str | None
    versions: dict[str, str]
    onnxruntime: str
    engine: str
    device: str
    arithmetic: str
    providers: tuple[str, ...]
    cached: bool
    """Whether the session came from the session cache; its nodes are then the optimised graph's."""
    nodes: dict[str, int]
    threads: int
    max_batch: int
    warm_up: tuple[Warmed, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return asdict(self)
