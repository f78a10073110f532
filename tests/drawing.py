"""Arguments and values drawn at random, for the strategies of layers."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from netc.tensor import TensorType
from tests.one_layer import image

LARGEST_SIDE = {1: 12, 2: 9, 3: 5}
"""By how many sides an image has: what a test takes grows with their product."""


def per_side(draw: st.DrawFn, rank: int, low: int, high: int) -> int | tuple[int, ...]:
    """One number, or one a side."""
    numbers = st.integers(low, high)
    return draw(numbers | st.tuples(*[numbers] * rank))


def image_of(draw: st.DrawFn, c: int, largest: Mapping[int, int] = LARGEST_SIDE) -> TensorType:
    """An image of one to three sides with `c` channels; `largest` bounds a side by how many there are."""
    rank = draw(st.integers(1, 3))
    return image(c, *(draw(st.integers(1, largest[rank])) for _ in range(rank)))


def value_of(draw: st.DrawFn, c: int) -> TensorType:
    """Features or a small image with `c` channels."""
    return image(c, *draw(st.lists(st.integers(1, 4), max_size=3)))
