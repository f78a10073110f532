"""The source, executed: a module in memory, with weights or torch's initial ones."""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netc.backends.torch.source import written
from netc.graph import Graph


def module(graph: Graph, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> nn.Module:
    """`source(graph)`, executed: a fresh module in training mode, with copies of `weights` or torch's initial ones.

    Tracebacks show the source's lines.

    Raises: Fault as `source` does.
    """
    if weights is not None:
        with torch.device("meta"):
            built = module(graph)
        state = {name: as_tensor(np.array(weights[name])) for name, _ in graph.parameters()}
        built.load_state_dict(state, assign=True)
        return built
    code, top = written(graph)
    built = cast(nn.Module, getattr(_executed(code, top), top)())
    expected = {name: param.shape for name, param in graph.parameters()}
    found = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    assert found == expected, f"{graph.name}: torch has {_differences(found, expected)}"
    return built


def _executed(code: str, top: str) -> ModuleType:
    # A module like any other, so that its classes can be pickled and their source be read.
    digest = hashlib.sha256(code.encode()).hexdigest()[:16]
    name, filename = f"netc_generated_{digest}", f"<netc {top} {digest}>"
    if name not in sys.modules:
        made = ModuleType(name)
        linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
        exec(compile(code, filename, "exec"), made.__dict__)
        sys.modules[name] = made
    return sys.modules[name]


def as_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """The array as a tensor that shares its memory."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType] -- torch leaves its parameter untyped


def initial(graph: Graph, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Torch's initial weights for a seed, by `state_dict` name; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        state = module(graph).state_dict()
    return {name: np.array(tensor.numpy()) for name, tensor in state.items()}


def _differences(found: Mapping[str, object], expected: Mapping[str, object]) -> str:
    wrong = [
        f"{n}: {found.get(n)}, expected {expected.get(n)}"
        for n in {**found, **expected}
        if found.get(n) != expected.get(n)
    ]
    return "; ".join(wrong[:8])
