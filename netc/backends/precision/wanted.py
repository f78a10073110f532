"""What a build is asked for in precision, and the road to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netc.diagnostic import Fault
from netc.sections import Export
from netc_runtime.manifest import Precision

if TYPE_CHECKING:
    from netc.backends.precision.examples import Calibration
    from netc.backends.precision.road import Job, Road


def _silent(_: str) -> None:
    pass


class Wanted(NamedTuple):
    """A precision, the spec's where it is None, and what int8 needs.

    That is real examples, the percentage points that may be lost, patterns of layers that stay in float, and who hears
    how it gets on.
    """

    precision: Precision | None = None
    calibration: Calibration | None = None
    max_drop: float | None = None
    keep_float: Sequence[str] = ()
    told: Callable[[str], None] = _silent

    def of(self, export: Export) -> Precision:
        """The precision that is built."""
        return self.precision or export.precision

    def refuse_strange(self, export: Export) -> None:
        """Raises: Fault N467 where something of int8's alone comes with another precision."""
        of_int8 = {
            "calibration data": self.calibration is not None,
            "max_drop": self.max_drop is not None,
            "keep_float": bool(self.keep_float),
        }
        strange = [name for name, given in of_int8.items() if given]
        if strange and self.of(export) != "int8":
            raise Fault(
                "N467",
                f"{' and '.join(strange)} would be ignored: the build is {self.of(export)}, and only int8 takes them",
                help="ask for precision int8, or leave them out",
            )

    def opset(self, export: Export, given: int | None) -> int:
        """The opset: what is given, or the spec says, or the lowest from the default on that knows the precision."""
        if given is not None:
            return given
        if self.of(export) == "bf16" and "opset" not in export.model_fields_set:
            from netc.backends.precision.widths import BF16

            return max(export.opset, BF16.opset)
        return export.opset

    def road(self, precision: Precision, job: Job, work: Path) -> Road:
        """The road to another precision than f32; `work` is a folder for files. Raises: as the roads do."""
        if precision == "int8":
            from netc.backends.precision.int8_road import Int8Road

            return Int8Road(job, work, self.calibration, self.max_drop, self.keep_float, self.told)
        from netc.backends.precision.half_road import HalfRoad

        assert precision != "f32"
        return HalfRoad(precision, job, work)
