"""The colours of a picture, on white and on black paper. Contrast of words to their ground is 7 to 1 or more."""

from __future__ import annotations

from typing import NamedTuple


class Paint(NamedTuple):
    """A ground and its outline, in the light and in the dark."""

    light: str
    light_line: str
    dark: str
    dark_line: str


FAMILIES = {
    "conv": Paint("#d8e8fc", "#6f9fd8", "#1d3a5f", "#5f95d6"),
    "dense": Paint("#e6dcfa", "#9a80d4", "#3a2d60", "#9a80e0"),
    "norm": Paint("#eef1f5", "#b3bdca", "#2a313c", "#66717f"),
    "act": Paint("#fdebd3", "#dcaa66", "#4a3617", "#c08f45"),
    "pool": Paint("#d8f1e2", "#6db58b", "#17432c", "#54a377"),
    "merge": Paint("#fdf3b8", "#cdb338", "#4a4310", "#bfa838"),
    "shape": Paint("#f6e1ec", "#cf8fb1", "#4b2438", "#c07a9f"),
    "block": Paint("#ffffff", "#64748b", "#1e2530", "#8796ab"),
    "io": Paint("#334155", "#334155", "#cbd5e1", "#cbd5e1"),
}

PAPER = Paint("#ffffff", "#e5e9ef", "#11151b", "#2a313c")
"""Ground and lines of the paper."""
INK = Paint("#14202e", "#4c5969", "#e8edf4", "#a3afbf")
"""Words, and words of the second rank."""
EDGE = Paint("#8592a3", "#4c5969", "#718096", "#a3afbf")
"""Arrows, and the shapes on them."""
FRAME = Paint("#f6f8fb", "#b9c4d2", "#171d26", "#3d4958")
"""An open block, and its outline. Blocks in one another alternate with the paper."""
ON_IO = ("#ffffff", "#14202e")
"""Words on inputs and outputs."""
