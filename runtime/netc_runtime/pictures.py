"""Pictures to answers: prepared one by one, run with their neighbours of the same size, given back in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from netc_runtime import image
from netc_runtime.decode import Decoded
from netc_runtime.errors import RequestFault, RuntimeFault

Array: TypeAlias = npt.NDArray[Any]

MAX_PENDING = 2**28  # bytes of prepared pictures that wait for a batch; huge ones run in smaller batches
MAX_WORKERS = 8  # each may hold a picture of 64 megapixels, a gigabyte while it is decoded


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
    workers: int = 1,
) -> Iterator[ImageResult]:
    """Answer pictures in order; `prepare` makes a picture's tensor and `run` takes a batch of at most `most` of them.

    With several `workers`, so many threads, of at most MAX_WORKERS, prepare the next batch while one runs. Which
    pictures share a batch, and so every bit of the answers, does not depend on them.

    Shape: `prepare` gives (C, H, W) and `run` takes (N, C, H, W); or of pixels (H, W, C) and (N, H, W, C)
    """
    names: list[str] = []
    waiting: list[Array] = []
    for name, picture in _prepared(sources, prepare, most, workers):
        if isinstance(picture, RuntimeFault):
            yield from _batch(names, waiting, run)
            names, waiting = [], []
            yield ImageResult(name, fault=picture)
            continue
        full = (len(waiting) + 1) * picture.nbytes > MAX_PENDING
        if waiting and (full or waiting[0].shape != picture.shape):
            yield from _batch(names, waiting, run)
            names, waiting = [], []
        names.append(name)
        waiting.append(picture)
        if len(waiting) == most:  # the next source may be long in coming
            yield from _batch(names, waiting, run)
            names, waiting = [], []
    yield from _batch(names, waiting, run)


def _prepared(
    sources: Iterable[image.Source], prepare: Callable[[image.Source], Array], most: int, workers: int
) -> Iterator[tuple[str, Array | RuntimeFault]]:
    """Give each source's name and its tensor, or why there is none, in order."""

    def attempt(source: image.Source) -> Array | RuntimeFault:
        try:
            return prepare(source)
        except RuntimeFault as fault:
            return fault

    coming = iter(sources)
    # A thread for one picture would only cost its start.
    first = list(islice(coming, 2 if workers > 1 else 0))
    if len(first) < 2:
        for source in chain(first, coming):
            yield image.named(source), attempt(source)
        return
    workers = min(workers, MAX_WORKERS)
    pool = ThreadPoolExecutor(workers, "netc-images")
    ahead: deque[tuple[str, Future[Array | RuntimeFault]]] = deque()
    limit = workers
    try:
        for source in chain(first, coming):
            if len(ahead) >= limit:
                yield (found := _oldest(ahead))
                if not isinstance(found[1], RuntimeFault):
                    limit = max(1, min(most + workers, MAX_PENDING // max(1, found[1].nbytes)))
            ahead.append((image.named(source), _submit(pool, attempt, source)))
        while ahead:
            yield _oldest(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _oldest(ahead: deque[tuple[str, Future[Array | RuntimeFault]]]) -> tuple[str, Array | RuntimeFault]:
    name, future = ahead.popleft()
    return name, future.result()


def _submit(
    pool: ThreadPoolExecutor, attempt: Callable[[image.Source], Array | RuntimeFault], source: image.Source
) -> Future[Array | RuntimeFault]:
    if not isinstance(source, Image.Image):
        return pool.submit(attempt, source)
    # Pillow's pictures load when first looked at, and one may stand here twice: not for two threads.
    done: Future[Array | RuntimeFault] = Future()
    done.set_result(attempt(source))
    return done


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
