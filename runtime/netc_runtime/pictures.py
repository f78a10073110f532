"""Pictures to answers: prepared one by one, run with their neighbours of the same size, given back in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from netc_runtime import image
from netc_runtime.decode import Decoded
from netc_runtime.errors import RequestFault, RuntimeFault

Array: TypeAlias = npt.NDArray[Any]

MAX_PENDING = 2**28  # bytes of prepared pictures that wait for a batch; huge ones run in smaller batches


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What the outputs say of one picture, or the fault that kept it from being answered."""

    source: str
    outputs: dict[str, Decoded] = field(default_factory=dict[str, Decoded])
    fault: RuntimeFault | None = None


def answer(
    sources: Iterable[image.Source],
    prepare: Callable[[image.Source], Array],
    run: Callable[[Array], dict[str, tuple[Decoded, ...]]],
    most: int,
) -> Iterator[ImageResult]:
    """Answer pictures in order; `prepare` makes a picture's tensor and `run` takes a batch of at most `most` of them.

    Shape: `prepare` gives (C, H, W) and `run` takes (N, C, H, W); or of pixels (H, W, C) and (N, H, W, C)
    """
    names: list[str] = []
    waiting: list[Array] = []
    for source in sources:
        name = image.named(source)
        try:
            picture = prepare(source)
        except RuntimeFault as fault:
            yield from _batch(names, waiting, run)
            names, waiting = [], []
            yield ImageResult(name, fault=fault)
            continue
        full = len(waiting) == most or (len(waiting) + 1) * picture.nbytes > MAX_PENDING
        if waiting and (full or waiting[0].shape != picture.shape):
            yield from _batch(names, waiting, run)
            names, waiting = [], []
        names.append(name)
        waiting.append(picture)
    yield from _batch(names, waiting, run)


def _batch(
    names: Sequence[str],
    waiting: Sequence[Array],
    run: Callable[[Array], dict[str, tuple[Decoded, ...]]],
) -> Iterator[ImageResult]:
    if not waiting:
        return
    try:
        decoded = run(np.stack(waiting))
    except RequestFault as fault:
        yield from (ImageResult(name, fault=fault) for name in names)
        return
    for row, name in enumerate(names):
        yield ImageResult(name, {output: results[row] for output, results in decoded.items()})
