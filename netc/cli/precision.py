"""What `netc build` is told about precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.cli import terminal
from netc.cli.codes import UsageFault
from netc.graph import Graph

if TYPE_CHECKING:
    from netc.backends.precision.examples import Calibration, Examples
    from netc.backends.precision.wanted import Wanted
    from netc.training.data import Split
    from netc_runtime.manifest import Precision


@dataclass(frozen=True)
class PrecisionOptions:
    """The precision asked for, the spec's where it is None, and what int8 alone has."""

    precision: Precision | None = None
    calibrate: str | None = None
    max_drop: float | None = None
    keep_float: Sequence[str] = ()

    def given(self) -> dict[str, bool]:
        """Which of int8's own options are given, by name."""
        return {
            "--calibrate": self.calibrate is not None,
            "--max-drop": self.max_drop is not None,
            "--keep-float": bool(self.keep_float),
        }

    def wanted(self, graph: Graph) -> Wanted:
        """What the build of this graph is asked for; the data are read.

        Raises: UsageFault where an option of int8's comes with another precision; Fault as reading data does.
        """
        from netc.backends.precision.wanted import Wanted

        precision = self.precision or graph.export.precision
        strange = [name for name, is_given in self.given().items() if is_given]
        if strange and precision != "int8":
            verb = "is" if len(strange) == 1 else "are"
            raise UsageFault(f"{', '.join(strange)} {verb} about int8, and this build is {precision}: --precision int8")
        calibration = None if self.calibrate is None else _calibration(graph, self.calibrate)
        return Wanted(self.precision, calibration, self.max_drop, self.keep_float, terminal.err)


def _calibration(graph: Graph, spec: str) -> Calibration:
    from netc.backends.precision.examples import Calibration
    from netc.training import data

    loaded = data.load(spec, graph)
    return Calibration(_examples(graph, loaded.train), _examples(graph, loaded.test))


def _examples(graph: Graph, split: Split) -> Examples:
    from netc.backends.precision.examples import Examples

    name = graph.inputs[0].name
    return Examples(len(split), lambda rows: {name: split.tensor(rows)}, split.labels)
