"""Pictures in place of tensors: what a model says of one, or of each of several in one request."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from netc_runtime.errors import ModelFault, RuntimeFault, ServeFault
from netc_runtime.pictures import MAX_WORKERS
from netc_runtime.providers import usable_threads
from netc_runtime.serving.batcher import Answer
from netc_runtime.serving.execution import untraced
from netc_runtime.serving.form import File
from netc_runtime.serving.room import Part
from netc_runtime.serving.served import Served
from netc_runtime.serving.threads import ASIDE_BYTES, aside, together
from netc_runtime.show import said

Json: TypeAlias = dict[str, Any]

MOST_LABELS = 9999


class Decoder:
    """Reads the pictures of a server: as many at once as it has cores, as a large one takes a gigabyte meanwhile."""

    def __init__(self) -> None:
        self._most = min(MAX_WORKERS, usable_threads())
        self._turns = asyncio.Semaphore(self._most)

    async def read(self, served: Served, content: bytes, deadline: float | None = None) -> Json:
        """Make what a model takes of a picture, when it is its turn.

        Raises: ImageFault; RequestFault R210; ModelFault R112; ServeFault R532 where its turn does not come in time.
        """
        if recipe(served) is None:
            served.model.picture(content)  # which is R112, and no picture's turn
        async with self._turn(served, deadline or self._deadline(served)):
            tensor, picture = await aside(served.model.picture, content)
        return {tensor: picture[None]}

    @staticmethod
    def _deadline(served: Served) -> float | None:
        limit = served.batcher.limits.timeout_s
        return None if limit is None else asyncio.get_running_loop().time() + limit

    async def read_all(self, served: Served, files: Sequence[File], part: Part) -> list[Json | RuntimeFault]:
        """Do so for each of several, or give its fault; `part` grows by what they take.

        Raises: ModelFault R112, as none of them can be answered.
        """
        most, taken, read = served.batcher.limits.size_bytes, 0, part.size_bytes
        full: ServeFault | None = None
        deadline = self._deadline(served)
        own = asyncio.Semaphore(self._most)  # no more of them wait for a turn before somebody else's

        async def prepare(file: File) -> Json | RuntimeFault:
            nonlocal taken, full
            async with own:
                if full is not None:
                    return full
                try:
                    feed = await self.read(served, file.content, deadline)
                    size = sum(array.nbytes for array in feed.values())
                    if taken + size > most:
                        raise _no_place(served, size, taken, most)
                    part.grow(read + taken + size)
                except ModelFault:
                    raise
                except RuntimeFault as fault:
                    if isinstance(fault, ServeFault) and (fault.status in (503, 504) or taken):
                        full = fault  # the rest need not be read
                    return untraced(fault)  # frames keep the picture
                taken += size
                return feed

        return await together(prepare, list(files))

    @asynccontextmanager
    async def _turn(self, served: Served, deadline: float | None) -> AsyncGenerator[None]:
        its_turn = False
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                its_turn = await self._turns.acquire()
        if not its_turn:
            raise ServeFault(
                "R532",
                f"{served.name}: the picture waited for its turn to be read until its deadline",
                "come again when the load is lower",
                served.batcher.retry_after_s,
            )
        try:
            yield
        finally:
            self._turns.release()


def _no_place(served: Served, size: int, taken: int, most: int) -> ServeFault:
    return ServeFault(
        "R536",
        f"{served.name}: the picture takes {size:,} bytes, those before it {taken:,}; the queue holds {most:,} at most",
        "send it in another request, or smaller",
    )


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


async def see(served: Served, feed: Json, top: int) -> tuple[Json, list[Answer]]:
    """Answer one picture that was read.

    Raises: RequestFault R203 to R206; ServeFault R530 to R536.
    """
    answer = await served.infer(feed)
    # Maps of megapixels are counted, and become JSON.
    large = sum(output.nbytes for output in answer.outputs.values()) > ASIDE_BYTES
    outputs = await aside(_said, served, answer, top) if large else _said(served, answer, top)
    return {"outputs": outputs}, [answer]


async def see_all(
    served: Served, names: Sequence[str], feeds: list[Json | RuntimeFault], top: int
) -> tuple[Json, list[Answer]]:
    """Answer pictures that were read, in order; one that cannot be answered has an `error` in place of its outputs.

    Those of one size share batches. `feeds` is emptied: each is let go of when its batch has run.

    Raises: ServeFault R530 to R532, R534, R535 and R537, where the server cannot answer now.
    """
    _come_again(feeds)
    answers = await together(lambda feed: _inferred(served, feed), feeds)
    _come_again(answers)
    # In a thread: maps of megapixels are counted.
    results = await aside(lambda: [_result(served, name, each, top) for name, each in zip(names, answers, strict=True)])
    return {"results": results}, [answer for answer in answers if isinstance(answer, Answer)]


def _come_again(found: Sequence[object]) -> None:
    # The client is to come again: answers to some of the pictures would not tell it so.
    for each in found:
        if isinstance(each, ServeFault) and each.status in (503, 504):
            raise _copy(each)  # a fault keeps the frames that it is raised through, which keep what was found


def _copy(fault: ServeFault) -> ServeFault:
    made = ServeFault(fault.code, fault.message, fault.help, fault.retry_after_s)
    made.counted = fault.counted
    return made


async def _inferred(served: Served, feed: Json | RuntimeFault) -> Answer | RuntimeFault:
    if isinstance(feed, RuntimeFault):
        return feed
    try:
        return await served.infer(feed)
    except RuntimeFault as fault:
        return untraced(fault)


def _result(served: Served, name: str, answer: Answer | RuntimeFault, top: int) -> Json:
    named = {"filename": name} if name else {}
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
