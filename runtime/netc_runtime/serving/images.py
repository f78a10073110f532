"""Pictures in place of tensors: what a model says of one, or of each of several in one request."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

from netc_runtime.errors import ModelFault, RuntimeFault, ServeFault
from netc_runtime.pictures import MAX_WORKERS
from netc_runtime.providers import usable_threads
from netc_runtime.serving.batcher import Answer
from netc_runtime.serving.form import File
from netc_runtime.serving.room import Part
from netc_runtime.serving.served import Served
from netc_runtime.serving.threads import ASIDE_BYTES, aside
from netc_runtime.show import said

Json: TypeAlias = dict[str, Any]

MOST_LABELS = 9999


def gate() -> asyncio.Semaphore:
    """Make what bounds how many pictures a server decodes at once: a large one takes a gigabyte meanwhile."""
    return asyncio.Semaphore(min(MAX_WORKERS, usable_threads()))


def recipe(served: Served) -> Json | None:
    """Give which input takes a picture, in which colours and of which size; nothing where the model takes none.

    A side of any size is null.
    """
    tensor = served.model.inputs[0] if len(served.model.inputs) == 1 else None
    if tensor is None or tensor.image is None:
        return None
    sides = tensor.shape[1:3] if tensor.dtype == "u8" else tensor.shape[2:]  # pixels have their channels last
    height, width = (side if isinstance(side, int) else None for side in sides)
    return {"input": tensor.name, "color": tensor.image.color, "height": height, "width": width}


def read_top(*given: str | None) -> int:
    """Give how many labels are asked for, where it is said at one of several places; else 5.

    Raises: ServeFault R504.
    """
    found = [each for each in given if each is not None]
    if len(found) > 1:
        raise ServeFault("R504", "top stands in the address and in the form", "say it once")
    text = found[0] if found else "5"
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= MOST_LABELS):
        raise ServeFault(
            "R504", f"top is {text[:20]!r}, expected a whole number from 1 to {MOST_LABELS}", "leave it out"
        )
    return int(text)


async def see(served: Served, content: bytes, top: int, gate: asyncio.Semaphore) -> tuple[Json, list[Answer]]:
    """Answer one picture, which is decoded when the gate lets it.

    Raises: ImageFault; RequestFault R203 to R206 and R210; ModelFault R112; ServeFault R530 to R536.
    """
    async with gate:
        tensor, picture = await aside(served.model.picture, content)
    answer = await served.infer({tensor: picture[None]})
    # Maps of megapixels are counted, and become JSON.
    large = sum(output.nbytes for output in answer.outputs.values()) > ASIDE_BYTES
    outputs = await aside(_said, served, answer, top) if large else _said(served, answer, top)
    return {"outputs": outputs}, [answer]


async def see_all(
    served: Served, files: Sequence[File], top: int, gate: asyncio.Semaphore, part: Part
) -> tuple[Json, list[Answer]]:
    """Answer pictures in order; one that cannot be answered has an `error` in place of its outputs.

    All are read before the first is queued, so that those of one size share batches. `part` grows by what they take.

    Raises: ModelFault R112; ServeFault R530 to R532, R534 to R537 where the server cannot answer now, or not so many.
    """
    served.batcher.admit(len(files), 0)
    prepared = await _prepared(served, files, gate, part)
    answers = await asyncio.gather(*(_inferred(served, each) for each in prepared))
    for answer in answers:
        # The client is to come again: answers to some of the pictures would not tell it so.
        if isinstance(answer, ServeFault) and answer.status in (503, 504):
            raise answer
    # In a thread: maps of megapixels are counted.
    results = await aside(lambda: [_result(served, file, each, top) for file, each in zip(files, answers, strict=True)])
    return {"results": results}, [answer for answer in answers if isinstance(answer, Answer)]


async def _prepared(
    served: Served, files: Sequence[File], gate: asyncio.Semaphore, part: Part
) -> list[Json | RuntimeFault]:
    most, taken, read = served.batcher.limits.size_bytes, 0, part.size_bytes

    async def prepare(file: File) -> Json | RuntimeFault:
        nonlocal taken
        async with gate:
            if taken <= most:
                try:
                    tensor, picture = await aside(served.model.picture, file.content)
                    part.grow(read + taken + picture.nbytes)
                except ModelFault:
                    raise  # none of them can be answered
                except RuntimeFault as fault:
                    return fault
                taken += picture.nbytes
                if taken <= most:
                    return {tensor: picture[None]}
        message = f"{served.name}: the pictures before this one take the {most:,} bytes that the queue holds at most"
        return ServeFault("R536", message, "send it in another request")

    return await asyncio.gather(*map(prepare, files))


async def _inferred(served: Served, feed: Json | RuntimeFault) -> Answer | RuntimeFault:
    if isinstance(feed, RuntimeFault):
        return feed
    try:
        return await served.infer(feed)
    except RuntimeFault as fault:
        return fault


def _result(served: Served, file: File, answer: Answer | RuntimeFault, top: int) -> Json:
    named = {"filename": file.name} if file.name else {}
    if isinstance(answer, RuntimeFault):
        return {**named, "error": str(answer)}
    try:
        return {**named, "outputs": _said(served, answer, top)}
    except RuntimeFault as fault:
        return {**named, "error": str(fault)}


def _said(served: Served, answer: Answer, top: int) -> Json:
    return {name: said(results[0]) for name, results in served.model.decode(answer.outputs, top).items()}


def timing(answers: Sequence[Answer]) -> str:
    """Give the Server-Timing of answers, in milliseconds; of several, the longest."""
    queue = max((each.queue_ns for each in answers), default=0)
    compute = max((each.input_ns + each.infer_ns + each.output_ns for each in answers), default=0)
    return f"queue;dur={queue / 1e6:.3f}, compute;dur={compute / 1e6:.3f}"
