"""One batch: its requests' rows joined, run and given back; and what a failure means for each of them."""

import logging
import re
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from netc_runtime.errors import RequestFault, RuntimeFault, ServeFault
from netc_runtime.rows import Tensors, run_rows

Run: TypeAlias = Callable[[Tensors], Tensors]
Error = TypeVar("Error", bound=BaseException)
_log = logging.getLogger(__name__)
_MEMORY = re.compile(
    "out of memory|smaller than requested bytes|failed to allocate|alloc_failed|bad_alloc|memory allocation",
    re.IGNORECASE,
)


class Request(NamedTuple):
    """The checked arrays of one request.

    `size_bytes` is what they take, and of a request without rows what the one row takes that is run in its place.
    Requests of one `key` may share a batch, whose outputs are then those of its rows, one after the other; one without
    a key runs alone.
    """

    feed: Tensors
    rows: int
    key: Hashable | None
    size_bytes: int


@dataclass(slots=True, eq=False)
class Member:
    """A request in a batch; `gone` is set, from another thread, when nobody waits for it any more."""

    request: Request
    gone: bool = False


@dataclass(slots=True)
class Execution:
    """What came of a batch: for each member its outputs, its fault, or nothing where it was gone before it ran.

    `runs` are the rows of each run of the graph that succeeded.
    """

    results: list[Tensors | ServeFault | None]
    runs: list[int] = field(default_factory=list[int])
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


def execute(where: str, run: Run, members: Sequence[Member], max_batch: int) -> Execution:
    """Run requests of one key together; rows beyond `max_batch` are for `run` to split.

    When memory does not suffice, the rows run again in two halves. When a batch fails, its members run again, each
    alone: those that fail again have R533, or R534 for want of memory. Outputs are views of the batch's.
    """
    execution = Execution([None] * len(members))
    requests = [member.request for member in members]
    try:
        execution.results[:] = _attempt(where, run, requests, max_batch, execution, halve=True)
    except Exception as error:  # whatever a graph raises is its request's answer
        if len(members) == 1:
            execution.results[0] = _fault(where, requests[0], error)
        else:
            for index, member in enumerate(members):
                if not member.gone:
                    execution.results[index] = _alone(where, run, member.request, max_batch, execution)
    return execution


def _alone(where: str, run: Run, request: Request, max_batch: int, into: Execution) -> Tensors | ServeFault:
    try:
        return _attempt(where, run, [request], max_batch, into, halve=False)[0]
    except Exception as error:
        return _fault(where, request, error)


def _attempt(
    where: str, run: Run, requests: Sequence[Request], max_batch: int, into: Execution, *, halve: bool
) -> list[Tensors]:
    rows = sum(request.rows for request in requests)
    began = time.perf_counter_ns()
    feed = requests[0].feed if len(requests) == 1 else _joined([request.feed for request in requests])
    joined = time.perf_counter_ns()
    most = max_batch
    try:
        outputs = run(feed)
    except Exception as error:
        if not halve or not _lacks_memory(error) or rows < 2 or requests[0].key is None:
            raise
        most = (min(rows, max_batch) + 1) // 2
        outputs = run_rows(where, run, feed, rows, most)
    ran = time.perf_counter_ns()
    results = [outputs] if len(requests) == 1 else _parted(where, outputs, [request.rows for request in requests])
    into.input_ns += joined - began
    into.infer_ns += ran - joined
    into.output_ns += time.perf_counter_ns() - ran
    into.runs += _runs(rows, most) if requests[0].key is not None else [rows]
    return results


def _joined(feeds: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def _parted(where: str, outputs: Tensors, counts: Sequence[int]) -> list[Tensors]:
    rows = sum(counts)
    for name, output in outputs.items():
        if output.shape[:1] != (rows,):
            raise RequestFault(
                "R208",
                f'{where}: output "{name}" is {output.shape} for a batch of {rows} rows',
                "the graph mixes rows: serve it with max_batch=1",
            )
    results: list[Tensors] = []
    start = 0
    for count in counts:
        results.append({name: output[start : start + count] for name, output in outputs.items()})
        start += count
    return results


def _runs(rows: int, most: int) -> list[int]:
    whole, rest = divmod(rows, most)
    return [most] * whole + ([rest] if rest else [])


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory was short: Python's own error, or ONNX Runtime's, CUDA's and cuBLAS's words for it."""
    while error is not None:
        # A fault of ours names the model, and a model may be named anything: its cause is what speaks.
        if isinstance(error, MemoryError) or (not isinstance(error, RuntimeFault) and _MEMORY.search(str(error))):
            return True
        error = error.__cause__
    return False


def _fault(where: str, request: Request, error: Exception) -> ServeFault:
    if _lacks_memory(error):
        sides = ", ".join(f"{name} {array.shape}" for name, array in request.feed.items())
        message = f"{where}: memory does not suffice for {sides}"
        fault = ServeFault("R534", message, "send fewer rows, or come again", retry_after_s=1.0)
    elif isinstance(error, RuntimeFault):
        fault = ServeFault("R533", error.message, error.help)
    else:  # its words may tell of the machine: they are for the log
        _log.error("%s: the model fails", where, exc_info=error)
        fault = ServeFault("R533", f"{where}: the model fails with {type(error).__name__}", "see the server's log")
    fault.__cause__ = untraced(error)
    return fault


def untraced(error: Error) -> Error:
    """Take the tracebacks off an error and its causes: their frames would keep the batch's arrays."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
