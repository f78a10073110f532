"""Parity, measured so that it can fail: an ONNX file in ONNX Runtime against float64 torch.

R is float64 torch's answer, in evaluation mode, to 8 seeded inputs. V is the root mean square, over the 8 inputs and
all elements of an output, of R minus its mean over the 8. The figure is max |ours - R| / V; the worst output counts.

Where an output hardly depends on its input, float32 itself lies far from R on this measure: a new GoogLeNet at 0.1. So
a figure above the bound is held against float32 torch's own, and where that says little, the same net is measured with
Kaiming weights too, which a wrong border or a wrong order of channels cannot pass.
"""

from __future__ import annotations

from netc.backends.verify.cases import SAMPLES, SEED, Case, reference
from netc.backends.verify.figures import BOUND, FACTOR, MEASURE, TELLING, Agreement, Parity, spread
from netc.backends.verify.kaiming import kaiming
from netc.backends.verify.measured import verify

__all__ = [
    "BOUND",
    "FACTOR",
    "MEASURE",
    "SAMPLES",
    "SEED",
    "TELLING",
    "Agreement",
    "Case",
    "Parity",
    "kaiming",
    "reference",
    "spread",
    "verify",
]
