"""Which configurations of layers the tests have tried: counted once each, over all of pytest's workers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # conftest reads this file, and most tests need no layer
    from netc.op import Layer
    from netc.tensor import TensorType

_tried: dict[str, set[int]] = {}


def tried(op: Layer, xs: Iterable[TensorType]) -> None:
    """Count a layer with these arguments and operands, where it is a new one."""
    told = repr((op.model_dump(), [x.dims for x in xs]))
    key = int.from_bytes(hashlib.sha256(told.encode()).digest()[:6])
    _tried.setdefault(op.kind, set()).add(key)


def to_send() -> dict[str, list[int]]:
    """What this process has counted, in the types that a worker can send."""
    return {kind: sorted(keys) for kind, keys in _tried.items()}


def receive(counted: Mapping[str, Iterable[int]]) -> None:
    """Add what a worker has counted."""
    for kind, keys in counted.items():
        _tried.setdefault(kind, set()).update(keys)


def summary() -> str:
    """Layers and configurations in all, and how many of each layer; empty where none was tried."""
    if not _tried:
        return ""
    counts = {kind: len(keys) for kind, keys in sorted(_tried.items())}
    each = fill(", ".join(f"{kind} {count:,}" for kind, count in counts.items()), 116, break_on_hyphens=False)
    return f"layers: {len(counts)} kinds, {sum(counts.values()):,} configurations tried\n{each}"
