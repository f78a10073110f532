"""One batch run by fakes: its parts, and what each member gets when it fails or memory does not suffice."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from netc_runtime.errors import RequestFault, ServeFault
from netc_runtime.rows import Tensors
from netc_runtime.serving.execution import Execution, Member, Request, Run, execute


def member(first: float, rows: int = 1, key: str | None = "k") -> Member:
    x = np.full((rows, 2), first, np.float32)
    return Member(Request({"x": x}, rows, key, x.nbytes))


def codes(execution: Execution) -> list[Any]:
    return [
        each.code if isinstance(each, ServeFault) else each and each["y"][:, 0].tolist() for each in execution.results
    ]


class Small:
    """A device that has memory for so many rows at once."""

    def __init__(self, most: int, error: Exception | None = None) -> None:
        self.most = most
        self.error = error
        self.runs: list[int] = []

    def __call__(self, feed: Tensors) -> Tensors:
        rows = len(feed["x"])
        self.runs.append(rows)
        if rows > self.most:
            if self.error is not None:
                raise self.error
            try:
                raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")  # as ONNX Runtime says it
            except RuntimeError as error:
                raise RequestFault("R208", "m: the model fails on x", "check it") from error
        return {"y": feed["x"] * 2}


@pytest.mark.parametrize(
    "error",
    [
        None,
        MemoryError(),
        # ONNX Runtime 1.31 on an H200 with a limit on its arena
        RuntimeError("AllocateRawInternal Available memory of 0 is smaller than requested bytes of 4718592"),
    ],
)
def test_a_batch_beyond_memory_runs_in_two_halves(error: Exception | None) -> None:
    small = Small(3, error)
    execution = execute("m", small, [member(1, 2), member(2, 2), member(3, 1)], 8)
    assert codes(execution) == [[2, 2], [4, 4], [6]]
    assert small.runs == [5, 3, 2]
    assert execution.runs == [3, 2]


def test_what_halves_do_not_help_is_503_for_each() -> None:
    small = Small(2)
    execution = execute("m", small, [member(1, 3), member(2, 3)], 8)
    assert codes(execution) == ["R534", "R534"]
    assert small.runs == [6, 3, 3, 3]  # split once, then each alone, and no more
    fault = execution.results[0]
    assert isinstance(fault, ServeFault)
    assert (fault.status, fault.retry_after_s) == (503, 1.0)
    assert "x (3, 2)" in fault.message


def test_halves_that_do_not_help_one_request_are_the_end_of_it() -> None:
    small = Small(2)
    assert codes(execute("m", small, [member(1, 6)], 8)) == ["R534"]
    assert small.runs == [6, 3]


def test_one_request_that_takes_all_memory_does_not_fail_its_neighbours() -> None:
    def run(feed: Tensors) -> Tensors:
        if (feed["x"] == 13).any():
            raise MemoryError
        return {"y": feed["x"]}

    assert codes(execute("m", run, [member(1), member(13), member(2), member(3)], 8)) == [[1], "R534", [2], [3]]


@pytest.mark.parametrize("alone", [member(1), member(1, 4, None)], ids=["one row", "not to be split"])
def test_what_cannot_be_split_is_503_at_once(alone: Member) -> None:
    small = Small(0)
    assert codes(execute("m", small, [alone], 8)) == ["R534"]
    assert len(small.runs) == 1


def test_a_model_named_after_memory_is_no_shortage_of_it() -> None:
    def run(feed: Tensors) -> Tensors:
        raise RequestFault("R208", "out of memory.onnx: the model fails on x", "check it")

    assert codes(execute("m", run, [member(1)], 8)) == ["R533"]


def test_members_of_a_failed_batch_run_alone_and_those_gone_do_not() -> None:
    runs: list[list[float]] = []
    members = [member(1), member(2), member(3, 2)]

    def run(feed: Tensors) -> Tensors:
        runs.append(feed["x"][:, 0].tolist())
        if len(feed["x"]) == 4:
            members[0].gone = True
            raise ValueError("together they fail")
        return {"y": feed["x"]}

    execution = execute("m", run, members, 8)
    assert codes(execution) == [None, [2], [3, 3]]
    assert runs == [[1, 2, 3, 3], [2], [3, 3]]
    assert execution.runs == [1, 2]


def test_outputs_that_do_not_follow_the_rows_are_those_of_each_alone() -> None:
    def mean(feed: Tensors) -> Tensors:
        return {"y": feed["x"].mean(0, keepdims=True)}

    execution = execute("m", mean, [member(1), member(2, 3)], 8)
    assert codes(execution) == [[1], [2]]  # and not 1.75, their common mean


@pytest.mark.parametrize("poison", [0, 13])
def test_a_batch_is_not_kept_by_what_came_of_it(poison: int) -> None:
    def run(feed: Tensors) -> Tensors:
        kept.append(weakref.ref(feed["x"]))
        if (feed["x"] == 13).any():
            try:
                raise OSError("as ONNX Runtime does")
            except OSError as error:
                raise RequestFault("R208", "m: the model fails", "check it") from error
        return {"y": feed["x"] + 1}

    kept: list[weakref.ref[Any]] = []
    gc.disable()
    try:
        result = execute("m", run, [member(1), member(poison)], 8).results[1]
        assert isinstance(result, ServeFault) == (poison == 13)
        assert all(each() is None for each in kept)
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_thread_is_not_swallowed(error: type[BaseException]) -> None:
    def run(feed: Tensors) -> Tensors:
        raise error

    ending: Run = run
    with pytest.raises(error):
        execute("m", ending, [member(1)], 8)
