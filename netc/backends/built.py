"""What a build left, as a record and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.backends.manifest import versions
from netc.backends.verify import MEASURE, Parity

if TYPE_CHECKING:
    from netc.backends.precision.road import Road


def record_path(out: Path) -> Path:
    """Where the measured figures of a file are: `OUT.onnx.verify.json`."""
    return out.with_name(f"{out.name}.verify.json")


@dataclass(frozen=True)
class Built:
    """What a build left: the file, what is in it, and how far it lies from float64 torch (None: not measured)."""

    path: Path
    net: str
    size_bytes: int
    sha256: str
    opset: int
    nodes: int
    folded: int
    parity: Parity | None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """Symbols that are numbers in the file."""
    data: Mapping[str, str | int] | None = None
    """The file beside it that holds its weights: its name, size and hash."""
    road: Road | None = None
    """How it came to another precision than f32, and what that cost."""
    embed: tuple[str, ...] = ()
    """What the graph does itself: preprocess, decode."""

    @property
    def record_path(self) -> Path:
        """Where the measured figures are: `OUT.onnx.verify.json`."""
        return record_path(self.path)

    def record(self) -> dict[str, Any]:
        """The build as JSON values; a figure that does not exist is null."""
        precision = "f32" if self.road is None else self.road.precision
        found: dict[str, Any] = {
            "schema": 1,
            "net": self.net,
            "file": self.path.name,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "opset": self.opset,
            "nodes": self.nodes,
            "folded": self.folded,
            "sizes": dict(self.sizes),
            "data": None if self.data is None else dict(self.data),
            "embed": list(self.embed),
            "precision": precision,
            **({} if self.road is None else {precision: self.road.record()}),
            "verdict": "not verified",
            "versions": versions(verified=self.parity is not None, quantised=precision == "int8"),
        }
        if self.parity is None:
            return found
        return {**found, "verdict": "passed", "parity": measured(self.parity)}

    def lines(self) -> list[str]:
        """The build for people."""
        folded = f", {self.folded} batch norms folded" if self.folded else ""
        steps = "".join(f", {_STEPS[step]}" for step in self.embed)
        size = f"{self.size_bytes / 2**20:.1f} MiB"
        said = [f"{self.path}: {size}, opset {self.opset}, {self.nodes} nodes{folded}{steps}"]
        if self.sizes:
            said.append(f"sizes: {', '.join(f'{name} = {size}' for name, size in self.sizes.items())}")
        if self.data is not None:
            beside = self.path.with_name(str(self.data["file"]))
            said.append(f"{beside}: {int(self.data['size_bytes']) / 2**20:.1f} MiB, its weights: keep both together")
        if self.road is not None:
            said += self.road.lines()
        if self.parity is None:
            return [*said, "not verified"]
        title = f"verified against float64 torch{', in f32' if self.road is not None else ''}"
        said.append(f"{title}: {words(self.parity)}")
        if self.parity.probe is not None:
            said.append("these weights' output hardly depends on the input, so Kaiming weights were tried as well:")
            said.append(f"{title}: {words(self.parity.probe)}")
        return said


_STEPS = {"preprocess": "pixels enter", "decode": "decoded answers leave"}


def words(parity: Parity, yardstick: str = "float32 torch itself") -> str:
    """A parity for people: its worst figure, and the yardstick's where it was asked."""
    worst = parity.worst
    at = "".join(f", {name} = {size}" for name, size in worst.sizes.items())
    own = f"; {yardstick} {worst.own:.1e}" if worst.own else ""
    return f"parity {worst.figure:.1e}, {worst.allowed:.0e} allowed (output {worst.output}{at}{own})"


def measured(parity: Parity, measure: str = MEASURE) -> dict[str, Any]:
    """A parity as JSON values."""
    return {
        "measure": measure,
        "bound": parity.bound,
        "figure": _finite(parity.figure),
        "measured": [
            {
                "output": each.output,
                "inputs": each.origin,
                "sizes": dict(each.sizes),
                "figure": _finite(each.figure),
                "spread": each.spread,
                "float32_torch": each.own or None,
            }
            for each in parity.agreements
        ],
        "kaiming": None if parity.probe is None else measured(parity.probe),
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
