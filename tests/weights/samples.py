"""A small net, its weights, and a way to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from netc import weights as stored
from netc.diagnostic import Fault
from netc.graph import Graph
from tests.graphs import Net, randomised


def small() -> Graph:
    """A convolution, its batch norm, a dense layer, and a head that only training has."""
    net = Net("Small", image=("N", 3, 8, 8))
    x = net("bn", net("conv", "image", label="conv1", c=4, k=3), label="bn1")
    y = net("flatten", net("gap", x))
    return net.graph(train_only=("aux",), scores=net("fc", y, label="fc", c=5), aux=net("fc", y, label="head", c=2))


def arrays() -> dict[str, npt.NDArray[Any]]:
    return randomised(small())


def state(prefix: str = "") -> dict[str, torch.Tensor]:
    """The weights as a module's `state_dict`, with something before each name."""
    return {prefix + name: torch.from_numpy(array.copy()) for name, array in arrays().items()}  # pyright: ignore[reportUnknownMemberType]


class Loaded:
    """What came of loading: the weights, and what was said."""

    def __init__(self, source: str | Path, graph: Graph | None = None, **options: Any) -> None:
        self.said: list[str] = []
        reading = stored.Reading(**options)
        self.weights = stored.load(source, graph or small(), reading, say=self.said.append)

    def is_the_samples(self, times: float = 1) -> bool:
        """Whether every tensor is the sample's, floats multiplied."""
        expected = arrays()
        return list(self.weights) == list(expected) and all(
            array.dtype == expected[name].dtype
            and np.array_equal(array, expected[name] * times if array.dtype.kind == "f" else expected[name])
            for name, array in self.weights.items()
        )


def refused(source: str | Path, code: str, graph: Graph | None = None, **options: Any) -> Fault:
    """The fault that loading ends with, of this code; it names the source."""
    with pytest.raises(Fault) as caught:
        Loaded(source, graph, **options)
    assert caught.value.code == code, str(caught.value)
    assert Path(source).name in caught.value.message
    return caught.value
