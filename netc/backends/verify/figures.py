"""The figure of parity: how far an output lies from the reference, as a share of what the reference varies by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from netc.weights import Array

BOUND = 1e-4
FACTOR = 4  # or so many times float32 torch's own figure, where that is more
TELLING = 1e-2  # a figure of float32 torch above this says that the weights hide the layers' work
MEASURE = "max |ours - R| / V, R float64 torch, V the spread of R over 8 seeded inputs; or 4 x float32 torch's own"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """One output on one case: the figure, or infinity with the reason why there is none.

    `spread` is V; `own` is float32 torch's figure, measured where ours is above the bound. Where `own` says that the
    figure is all rounding, `rounding` is allowed: 1e-5 of the largest answer, the plain relative error.
    """

    output: str
    origin: str
    sizes: Mapping[str, int]
    figure: float
    spread: float
    own: float = 0.0
    rounding: float = 0.0
    reason: str = ""
    bound: float = BOUND

    @property
    def telling(self) -> bool:
        """Whether the weights let an error of ours be seen."""
        return self.own <= TELLING

    @property
    def allowed(self) -> float:
        return max(self.bound, FACTOR * self.own, 0.0 if self.telling else self.rounding)

    @property
    def excess(self) -> float:
        """The figure as a share of what is allowed."""
        return self.figure / self.allowed if self.allowed else inf if self.figure else 0.0


@dataclass(frozen=True)
class Parity:
    """How far an ONNX file lies from the reference; `probe` is the same net's with Kaiming weights, where it counts."""

    agreements: tuple[Agreement, ...]
    probe: Parity | None = None
    bound: float = BOUND

    @property
    def worst(self) -> Agreement:
        return max(self.agreements, key=lambda each: each.excess)

    @property
    def figure(self) -> float:
        return self.worst.figure

    @property
    def telling(self) -> bool:
        """Whether the weights let an error of ours be seen."""
        return all(each.telling for each in self.agreements)

    @property
    def passed(self) -> bool:
        sound = self.worst.excess <= 1
        return sound and (self.telling or (self.probe is not None and self.probe.telling and self.probe.passed))

    @property
    def outputs(self) -> dict[str, float]:
        """The worst figure of each output."""
        found: dict[str, float] = {}
        for each in self.agreements:
            found[each.output] = max(each.figure, found.get(each.output, 0.0))
        return found


def agreement(
    output: str,
    origin: str,
    sizes: Mapping[str, int],
    answers: Floats,
    far: float,
    seeded: float = 0.0,
    bound: float = BOUND,
    *,
    reference: str = "float64 torch",
    other: str = "ONNX Runtime",
) -> Agreement:
    """The agreement of an output whose largest difference from the reference's answers is `far`.

    `seeded` is the spread for a single example, which has none of its own; the others name what is compared.
    """
    v = spread(answers) if len(answers) > 1 else seeded

    def nothing(reason: str) -> Agreement:
        return Agreement(output, origin, sizes, inf, v, reason=reason, bound=bound)

    if not np.isfinite(answers).all():
        return nothing(f"{reference} itself answers with a NaN or an infinity: the weights are not usable")
    largest = float(np.abs(answers).max(initial=0.0))
    if v <= 1e-12 * largest:
        # Not a division by nearly zero: such an output says nothing about the layers before it.
        return nothing("the output does not depend on the input, so nothing can be measured (a layer of zeros?)")
    if far == inf:
        return nothing(f"{other} answers with a NaN, an infinity, or another shape")
    return Agreement(output, origin, sizes, far / v, v, rounding=1e-5 * largest / v, bound=bound)


def spread(answers: Floats) -> float:
    """V: the root mean square, over examples and elements, of the answers minus their mean over the examples."""
    apart: Floats = answers - answers.mean(axis=0)
    return float(np.sqrt((apart * apart).mean()))


def distance(ours: Array, answers: Floats) -> float:
    """The largest difference; infinity where there is none: a NaN would lose every comparison, and so pass.

    Where ours are classes, for logits, how far these would have to be off for them.
    """
    if ours.dtype.kind == "i":
        return _missed(ours, answers)
    if ours.shape != answers.shape:
        return inf
    difference: Array = ours.astype(np.float64)
    difference -= answers
    found = float(np.abs(difference).max(initial=0.0))
    return found if isfinite(found) else inf


def _missed(classes: Array, logits: Floats) -> float:
    # At least: where none of the logits is off by more than this, another class is the largest.
    if classes.shape != (logits.shape[0], *logits.shape[2:]):
        return inf
    if (classes < 0).any() or (classes >= logits.shape[1]).any() or not np.isfinite(logits).all():
        return inf
    chosen = np.take_along_axis(logits, classes[:, None], axis=1)
    return float((logits.max(axis=1, keepdims=True) - chosen).max(initial=0.0)) / 2
