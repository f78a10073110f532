"""The queue before a model: what shares a batch, who is refused and when, and what one failure means for the others."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from onnx import helper

from netc_runtime import load
from netc_runtime.errors import RequestFault, ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.providers import usable_threads
from netc_runtime.rows import Tensors
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.batcher import Answer, Batcher
from netc_runtime.serving.execution import Request
from netc_runtime.serving.intake import Intake
from tests.processes import run as process

T = TypeVar("T")


class Gate:
    """A model that doubles, lets a batch begin only when told to, and notes the rows of each."""

    def __init__(self, *, shut: bool = True) -> None:
        self.shut = shut
        self.batches: list[list[float]] = []
        self._entered = threading.Semaphore(0)
        self._free = threading.Semaphore(0)

    def __call__(self, feed: Tensors) -> Tensors:
        self.batches.append(feed["x"][:, 0].tolist())
        self._entered.release()
        if self.shut:
            self._free.acquire()
        return {"y": feed["x"] * 2}

    async def entered(self) -> None:
        """Wait until one more batch has begun."""
        await asyncio.to_thread(self._entered.acquire)

    def free(self, batches: int = 1) -> None:
        self._free.release(batches)

    def open(self) -> None:
        self.shut = False
        self._free.release()


def request(first: float, rows: int = 1, side: int = 2, key: str | None = "k") -> Request:
    x = np.full((rows, side), first, np.float32)
    return Request({"x": x}, rows, None if key is None else (key, side), x.nbytes)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop that reports every error as one of the test."""

    async def strict() -> T:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        result = await main
        assert reported == []
        return result

    return asyncio.run(strict())


def submit(batcher: Batcher, *requests: Request, timeout_s: float | None = None) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(batcher.submit(each, timeout_s)) for each in requests]


async def fault(task: "asyncio.Task[Answer]") -> ServeFault:
    with pytest.raises(ServeFault) as caught:
        await task
    return caught.value


async def settle() -> None:
    """Let the loop do all that it can do without the worker."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- what shares a batch


def test_what_came_while_busy_runs_together_and_in_order() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4)
        first = submit(batcher, request(1))
        await gate.entered()
        rest = submit(batcher, *(request(value) for value in (2, 3, 4, 5, 6)))
        await settle()
        gate.open()
        answers = await asyncio.gather(*first, *rest)
        assert gate.batches == [[1], [2, 3, 4, 5], [6]]
        assert [answer.outputs["y"][0, 0] for answer in answers] == [2, 4, 6, 8, 10, 12]
        assert [answer.batch_rows for answer in answers] == [1, 4, 4, 4, 4, 1]
        await batcher.drain()

    run(main())


def test_what_is_read_in_one_turn_of_the_loop_is_one_batch() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 4)
        await asyncio.gather(*submit(batcher, request(1), request(2), request(3)))
        assert gate.batches == [[1, 2, 3]]
        await batcher.drain()

    run(main())


@pytest.mark.parametrize(
    ("at_once_s", "before", "batches"),
    [
        (1.0, 2, [[1, 2]]),
        (1.0, 1, [[1], [2]]),  # who comes alone is not kept
        (0.0, 2, [[1], [2]]),  # and beside a thread the loop goes on reading
    ],
)
def test_a_batch_that_keeps_the_loop_lets_in_what_comes_first_where_requests_come_together(
    at_once_s: float, before: int, batches: list[list[float]]
) -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 4, at_once_s=at_once_s)
        await asyncio.gather(*submit(batcher, *(request(9) for _ in range(before))))
        gate.batches.clear()
        first = submit(batcher, request(1))
        await asyncio.sleep(0)  # the loop goes round once
        await asyncio.gather(*first, *submit(batcher, request(2)))
        assert gate.batches == batches
        await batcher.drain()

    run(main())


def test_rows_are_counted_and_not_requests() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 4)
        answers = await asyncio.gather(*submit(batcher, request(1, 3), request(2, 2), request(3, 1), request(4, 4)))
        assert gate.batches == [[1, 1, 1], [2, 2, 3], [4, 4, 4, 4]]
        assert [answer.outputs["y"].shape for answer in answers] == [(3, 2), (2, 2), (1, 2), (4, 2)]
        await batcher.drain()

    run(main())


def test_other_shapes_wait_in_a_queue_of_their_own_and_the_longest_wait_goes_first() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 8)
        await asyncio.gather(
            *submit(batcher, request(1, side=3), request(2, side=2), request(3, side=3), request(4, side=2))
        )
        assert gate.batches == [[1, 3], [2, 4]]
        await batcher.drain()

    run(main())


def test_a_request_without_a_key_or_with_too_many_rows_runs_alone() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 2)
        await asyncio.gather(*submit(batcher, request(1, key=None), request(2, key=None), request(3, 5), request(4)))
        assert gate.batches == [[1], [2], [3] * 5, [4]]
        await batcher.drain()

    run(main())


def test_an_answer_is_a_view_and_a_lone_request_is_not_copied() -> None:
    async def main() -> None:
        seen: list[Any] = []

        def model(feed: Tensors) -> Tensors:
            seen.append(feed["x"])
            return {"y": feed["x"] + 1}

        batcher = Batcher("m", model, 4)
        lone = request(1)
        await batcher.submit(lone)
        assert seen[0] is lone.feed["x"]
        one, two = await asyncio.gather(*submit(batcher, request(2), request(3)))
        assert one.outputs["y"].base is two.outputs["y"].base is not None
        await batcher.drain()

    run(main())


# --- who is refused, and when


def test_a_full_queue_is_503_and_says_when_to_come_again() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4, Limits(rows=3, size_bytes=1000))
        accepted = submit(batcher, request(1), request(2, 2))
        await gate.entered()
        refused = await fault(submit(batcher, request(3))[0])
        assert (refused.code, refused.status) == ("R530", 503)
        assert "3 rows of 3 are taken, the request has 1" in refused.message
        assert refused.retry_after_s == 1.0  # nothing measured yet
        gate.open()
        await asyncio.gather(*accepted)
        await batcher.submit(request(4))  # there is room again
        await batcher.drain()

    run(main())


def test_when_to_come_again_follows_the_measured_time_of_a_row() -> None:
    async def main() -> None:
        gate = Gate()
        now = [0.0]
        batcher = Batcher("m", gate, 2, Limits(rows=4, timeout_s=None), clock=lambda: now[0])
        first = submit(batcher, request(1, 2))
        await gate.entered()
        now[0] = 6.0
        gate.free()
        await asyncio.gather(*first)
        # 6 s for 2 rows; 4 rows are accepted and the first batch has run for 1 s: 4 * 3 - 1
        rest = submit(batcher, request(2, 2), request(3, 2))
        await gate.entered()
        now[0] = 7.0
        assert (await fault(submit(batcher, request(4))[0])).retry_after_s == 11.0
        gate.open()
        await asyncio.gather(*rest)
        await batcher.drain()

    run(main())


def test_bytes_are_bounded_too_and_what_never_fits_is_413() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4, Limits(rows=100, size_bytes=20))
        accepted = submit(batcher, request(1))  # 2 floats, 8 bytes
        await gate.entered()
        full = await fault(submit(batcher, request(2, 2))[0])
        assert (full.code, full.status) == ("R530", 503)
        assert "8 bytes of 20 are taken, the request has 16" in full.message
        never = await fault(submit(batcher, request(2, 3))[0])
        assert (never.code, never.status, never.retry_after_s) == ("R536", 413, None)
        gate.open()
        await asyncio.gather(*accepted)
        assert (batcher.holdings.rows, batcher.holdings.size_bytes) == (0, 0)
        await batcher.drain()

    run(main())


def test_requests_without_rows_are_bounded_as_well() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4, Limits(rows=2))
        accepted = submit(batcher, request(1, 0, key=None), request(1, 0, key=None))
        await gate.entered()
        assert (await fault(submit(batcher, request(1, 0, key=None))[0])).code == "R530"
        gate.open()
        assert [answer.outputs["y"].shape for answer in await asyncio.gather(*accepted)] == [(0, 2), (0, 2)]
        await batcher.drain()

    run(main())


def test_a_deadline_in_the_queue_is_504_while_the_worker_is_still_busy_and_is_never_executed() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 1)
        first = submit(batcher, request(1))
        await gate.entered()
        late, patient = (
            *submit(batcher, request(2), timeout_s=0.001),
            *submit(batcher, request(3)),
        )
        expired = await fault(late)  # the worker is held until after this
        assert (expired.code, expired.status) == ("R532", 504)
        assert batcher.waiting == 1
        gate.open()
        await asyncio.gather(*first, patient)
        assert gate.batches == [[1], [3]]
        await batcher.drain()

    run(main())


@pytest.mark.parametrize(("passed", "run_in_time"), [(3.0, [2, 3, 4]), (5.0, [3, 4]), (11.0, [])])
def test_a_request_may_ask_for_less_time_than_the_limit_and_not_for_more(
    passed: float, run_in_time: list[float]
) -> None:
    async def main() -> None:
        gate = Gate()
        now = [0.0]
        batcher = Batcher("m", gate, 1, Limits(timeout_s=10.0), clock=lambda: now[0])
        first = submit(batcher, request(1))
        await gate.entered()
        waiting = {
            2: submit(batcher, request(2), timeout_s=4.0),
            3: submit(batcher, request(3), timeout_s=1000.0),
            4: submit(batcher, request(4)),
        }
        await settle()
        now[0] = passed  # the loop's own clock has hardly moved
        gate.open()
        await asyncio.gather(*first)
        for number, (task,) in waiting.items():
            if number in run_in_time:
                await task
            else:
                assert (await fault(task)).code == "R532"
        assert gate.batches == [[1], *([number] for number in run_in_time)]
        await batcher.drain()

    run(main())


def test_a_deadline_that_passed_before_its_timer_went_off_is_not_executed_either() -> None:
    async def main() -> None:
        gate = Gate()
        now = [0.0]
        batcher = Batcher("m", gate, 1, Limits(timeout_s=1000.0), clock=lambda: now[0])
        first = submit(batcher, request(1))
        await gate.entered()
        late = submit(batcher, request(2))
        await settle()
        now[0] = 1000.0  # the loop's own clock has hardly moved
        gate.open()
        await asyncio.gather(*first)  # it began in time
        assert (await fault(late[0])).code == "R532"
        assert gate.batches == [[1]]
        await batcher.drain()

    run(main())


def test_a_client_that_leaves_the_queue_frees_its_place_and_is_never_executed() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4, Limits(rows=3))
        first = submit(batcher, request(1))
        await gate.entered()
        gone, neighbour = submit(batcher, request(2), request(3))
        await settle()
        gone.cancel()
        await settle()
        assert (batcher.holdings.rows, batcher.waiting) == (2, 1)
        newcomer = submit(batcher, request(4))  # in the place that became free
        await settle()
        gate.open()
        await asyncio.gather(*first, neighbour, *newcomer)
        assert gate.batches == [[1], [3, 4]]
        assert (batcher.tally.cancelled, batcher.tally.success.count) == (1, 3)
        assert gone.cancelled()
        await batcher.drain()

    run(main())


def test_a_client_that_leaves_just_before_its_batch_begins_is_not_executed() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 4)
        gone, stays = submit(batcher, request(1), request(2))
        await asyncio.sleep(0)  # both wait; the batch begins in the next turn
        gone.cancel()
        assert (await stays).outputs["y"].tolist() == [[4, 4]]
        assert gate.batches == [[2]]
        await batcher.drain()
        assert (batcher.holdings.rows, batcher.tally.cancelled) == (0, 1)

    run(main())


def test_a_client_that_has_left_does_not_bring_forward_those_behind_it() -> None:
    async def main() -> None:
        gate = Gate(shut=False)
        batcher = Batcher("m", gate, 4)
        gone, *stay = submit(batcher, request(1, side=2), request(2, side=3), request(3, side=2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(*stay)
        assert gate.batches == [[2], [3]]
        await batcher.drain()

    run(main())


def test_a_client_that_leaves_a_running_batch_does_not_disturb_it() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 4)
        gone, stays = submit(batcher, request(1), request(2))
        await gate.entered()
        gone.cancel()
        await settle()
        gate.open()
        assert (await stays).outputs["y"].tolist() == [[4, 4]]
        await batcher.drain()
        assert (batcher.holdings.rows, batcher.tally.cancelled, batcher.tally.success.count) == (0, 1, 1)

    run(main())


# --- failures


def poisoned(feed: Tensors) -> Tensors:
    if (feed["x"] == 13).any():
        raise RequestFault("R208", "m: the model fails on x", "check it")
    return {"y": feed["x"] * 2}


def test_only_the_culprit_of_a_failed_batch_is_500() -> None:
    async def main() -> None:
        batcher = Batcher("m", poisoned, 8)
        one, bad, two = submit(batcher, request(1), request(13), request(2))
        culprit = await fault(bad)
        assert (culprit.code, culprit.status, culprit.message) == ("R533", 500, "m: the model fails on x")
        assert (await one).outputs["y"].tolist() == [[2, 2]]
        assert (await two).outputs["y"].tolist() == [[4, 4]]
        assert batcher.open
        assert (await batcher.submit(request(3))).outputs["y"].tolist() == [[6, 6]]
        await batcher.drain()

    run(main())


def test_a_fault_that_was_answered_keeps_nothing() -> None:
    async def main() -> None:
        batcher = Batcher("m", poisoned, 8)
        found = None
        try:
            await batcher.submit(request(13))
        except ServeFault as culprit:
            found = weakref.ref(culprit)
        await batcher.drain()
        assert found is not None
        assert found() is None

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_an_error_that_is_no_fault_keeps_its_words_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def model(feed: Tensors) -> Tensors:
            raise KeyError("/secret/path")

        batcher = Batcher("m", model, 8)
        culprit = await fault(submit(batcher, request(1))[0])
        assert culprit.code == "R533"
        assert "secret" not in str(culprit)
        assert isinstance(culprit.__cause__, KeyError)
        await batcher.drain()

    run(main())
    assert "/secret/path" in caplog.text


def test_a_worker_that_dies_fails_everyone_and_says_so() -> None:
    async def main() -> None:
        gate = Gate()

        def model(feed: Tensors) -> Tensors:
            gate(feed)
            raise SystemExit(3)

        died: list[bool] = []
        batcher = Batcher("m", model, 1, died=lambda: died.append(True))
        tasks = submit(batcher, request(1), request(2))
        await gate.entered()
        assert batcher.live
        gate.open()
        for task in tasks:
            assert ((await fault(task)).code, (await fault(task)).status) == ("R535", 503)
        assert (died, batcher.open, batcher.live) == ([True], False, False)
        assert isinstance(batcher.failed, SystemExit)
        assert (await fault(submit(batcher, request(3))[0])).code == "R535"
        await batcher.drain()

    run(main())


def test_a_run_that_hangs_is_seen_by_the_watchdog() -> None:
    async def main() -> None:
        gate = Gate()
        now = [0.0]
        batcher = Batcher("m", gate, 1, Limits(timeout_s=None, hung_after_s=60.0), clock=lambda: now[0])
        now[0] = 1e6
        assert batcher.live  # an idle worker is no hung one
        task = submit(batcher, request(1))
        await gate.entered()
        now[0] += 60.0
        assert batcher.live
        now[0] += 0.1
        assert not batcher.live
        gate.open()
        await asyncio.gather(*task)
        assert batcher.live
        await batcher.drain()

    run(main())


class Timed:
    """A model that takes a millisecond for every 8 bytes, and notes whether it keeps the loop."""

    def __init__(self) -> None:
        self.in_the_loop: list[bool] = []

    def __call__(self, feed: Tensors) -> Tensors:
        self.in_the_loop.append(threading.current_thread() is threading.main_thread())
        time.sleep(feed["x"].nbytes / 8e3)
        return {"y": feed["x"]}


def test_what_keeps_the_loop_is_told_by_its_size_and_not_by_its_rows() -> None:
    async def main() -> None:
        model = Timed()
        batcher = Batcher("m", model, 4, at_once_s=0.02)
        none = Request({"x": np.empty((0, 2), np.float32)}, 0, None, 800)  # of the row that is run in their place
        for each in (request(1), request(1), request(1, side=100), none, request(1)):
            await batcher.submit(each)
        assert model.in_the_loop == [False, True, False, False, True]
        await batcher.drain()

    run(main())


def test_an_answer_is_handed_on_before_the_next_batch_keeps_the_loop() -> None:
    async def main() -> None:
        events: list[str] = []

        def runs(feed: Tensors) -> Tensors:
            events.append(f"runs {feed['x'][0, 0]:.0f}")
            return {"y": feed["x"]}

        async def asks(first: float) -> None:
            await batcher.submit(request(first, key=None))
            events.append(f"has {first:.0f}")

        batcher = Batcher("m", runs, 1, at_once_s=1.0)
        await asks(0)
        events.clear()
        await asyncio.gather(asks(1), asks(2))
        assert events == ["runs 1", "has 1", "runs 2", "has 2"]
        await batcher.drain()

    run(main())


def test_what_ends_a_run_in_the_loop_is_told_as_what_ends_the_thread() -> None:
    async def main() -> None:
        died: list[bool] = []

        def runs(feed: Tensors) -> Tensors:
            if feed["x"][0, 0] == 2:
                raise SystemExit
            return {"y": feed["x"]}

        batcher = Batcher("m", runs, 1, at_once_s=1.0, died=lambda: died.append(True))
        await batcher.submit(request(1))
        for task in submit(batcher, request(2), request(3)):
            assert (await fault(task)).code == "R535"
        assert (died, batcher.open, batcher.hangs_in_the_loop) == ([True], False, False)
        assert (batcher.holdings.rows, batcher.holdings.size_bytes) == (0, 0)
        await batcher.drain()

    run(main())


# A batch of 3 ms, again and again, by a process with so many cores.
WHERE = """
import asyncio, os, sys, threading, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
import numpy as np
from netc_runtime import load
from netc_runtime.serving import served
from netc_runtime.serving.admission import Limits

async def main():
    one = served.Served("m", 1, load(sys.argv[2], "cpu"), Limits())
    where = []
    def run(feed):
        where.append(threading.current_thread() is threading.main_thread())
        time.sleep(0.003)
        return {"y": feed["x"]}
    one.batcher._run = run
    for _ in range(5):
        await one.infer({"x": np.zeros((1, 2), np.float32)})
    await one.close()
    print(where[0], where[-1])

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives no process a number of cores")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_short_batch_keeps_the_loop_where_one_core_is_all_there_is(cores: int, save_raw: Callable[..., Path]) -> None:
    if cores > usable_threads():
        pytest.skip("this machine has one core")
    path = save_raw(
        [helper.make_node("Identity", ["x"], ["y"])], [Input("x", "f32", ("N", 2))], [Output("y", "f32", ("N", 2))]
    )
    done = process(sys.executable, "-c", WHERE, str(cores), str(path))
    # The first is in a thread wherever it is: nobody knows how long it takes.
    assert (done.stdout, done.stderr) == (f"False {cores == 1}\n", "")


# --- the end


def test_draining_refuses_newcomers_and_answers_everyone_accepted() -> None:
    async def main() -> None:
        gate = Gate()
        batcher = Batcher("m", gate, 1)
        accepted = submit(batcher, request(1), request(2), request(3))
        await gate.entered()
        draining = asyncio.create_task(batcher.drain())
        await settle()
        refused = await fault(submit(batcher, request(4))[0])
        assert (refused.code, refused.status) == ("R531", 503)
        assert not draining.done()
        gate.open()
        await draining
        assert [task.result().outputs["y"][0, 0] for task in accepted] == [2, 4, 6]
        assert [thread.name for thread in threading.enumerate() if thread.name == "netc-m"] == []

    run(main())


def test_a_loop_that_closes_before_its_batch_ends_leaves_no_error_behind() -> None:
    gate = Gate()

    async def main() -> None:
        batcher = Batcher("forgotten", gate, 1)
        task = submit(batcher, request(1))[0]
        await gate.entered()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(main())
    gate.open()
    for thread in threading.enumerate():
        if thread.name == "netc-forgotten":
            assert thread.daemon  # it waits for a next batch that never comes, and keeps no process


# --- what is counted


def test_the_statistics_are_the_protocol_s() -> None:
    async def main() -> None:
        batcher = Batcher("m", poisoned, 4)
        await asyncio.gather(*submit(batcher, request(1), request(2, 2)))
        await batcher.submit(request(3, 3))
        await fault(submit(batcher, request(13))[0])
        await batcher.submit(request(5, 9))
        values = batcher.tally.to_dict()
        # Runs of 3, 3 and, of nine rows at most four at a time, 4, 4 and 1.
        assert (values["inference_count"], values["execution_count"]) == (15, 5)
        counts = {name: each["count"] for name, each in values["inference_stats"].items()}
        assert counts == {
            "success": 4,
            "fail": 1,
            "queue": 4,
            "compute_input": 4,
            "compute_infer": 4,
            "compute_output": 4,
        }
        assert {each["batch_size"]: each["compute_infer"]["count"] for each in values["batch_stats"]} == {
            1: 1,
            3: 2,
            4: 2,
        }
        assert values["last_inference"] > 1_700_000_000_000
        assert batcher.tally.refused == {"R533": 1}
        await batcher.drain()

    run(main())


# --- a real model


def test_answers_equal_those_of_predict_bit_for_bit_at_an_equal_batch(digits: Path) -> None:
    model = load(digits, "cpu", max_batch=4, threads=1)
    random = np.random.RandomState(5)
    parts = [random.standard_normal((rows, 1, 4, 4)).astype(np.float32) for rows in (1, 2, 1, 0, 9)]

    async def main() -> list[Answer]:
        intake = Intake(model)
        batcher = Batcher(model.name, model.predict, model.max_batch)
        answers = await asyncio.gather(*submit(batcher, *(intake.request({"image": part}) for part in parts)))
        await batcher.drain()
        return answers

    answers = run(main())
    together = model.predict(np.concatenate(parts[:3]))["scores"]
    assert [answer.batch_rows for answer in answers] == [4, 4, 4, 0, 9]
    assert np.array_equal(np.concatenate([answer.outputs["scores"] for answer in answers[:3]]), together)
    assert answers[3].outputs["scores"].shape == (0, 3)
    assert np.array_equal(answers[4].outputs["scores"], model.predict(parts[4])["scores"])


def test_a_wrong_request_is_refused_before_the_queue(digits: Path) -> None:
    intake = Intake(load(digits, "cpu"))
    with pytest.raises(RequestFault) as caught:
        intake.request({"image": np.zeros((1, 3, 4, 4), np.float32)})
    assert caught.value.code == "R204"


def test_what_onnx_runtime_has_no_memory_for_is_503(save_raw: Callable[..., Path]) -> None:
    # Each row is made 1e16 numbers wide: 4e16 bytes, beyond any address space.
    inputs, outputs = [Input("x", "f32", ("N", 1))], [Output("y", "f32", ("N", "M"))]
    wide = np.array([1, 10**16], np.int64)
    path = save_raw([helper.make_node("Expand", ["x", "wide"], ["y"])], inputs, outputs, {"wide": wide})
    model = load(path, "cpu", threads=1)

    async def main() -> None:
        batcher = Batcher(model.name, model.predict, model.max_batch)
        made = Intake(model).request({"x": np.ones((2, 1), np.float32)})
        lacking = await fault(submit(batcher, made)[0])
        assert (lacking.code, lacking.status) == ("R534", 503)
        assert batcher.open
        await batcher.drain()

    run(main())


def test_a_model_whose_rows_do_not_follow_is_run_whole_and_bounded(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0)
    path = save_raw([node], [Input("x", "f32", ("N", 2))], [Output("mean", "f32", ())])
    intake = Intake(load(path, "cpu", max_batch=4))
    made = intake.request({"x": np.ones((3, 2), np.float32)})
    assert (made.rows, made.key, made.size_bytes) == (3, None, 24)
    with pytest.raises(RequestFault) as caught:
        intake.request({"x": np.ones((5, 2), np.float32)})
    assert caught.value.code == "R209"


def test_a_request_without_rows_counts_for_the_row_that_is_run(save_raw: Callable[..., Path]) -> None:
    sides = ("N", "W")
    path = save_raw(
        [helper.make_node("Identity", ["x"], ["y"])], [Input("x", "f32", sides)], [Output("y", "f32", sides)]
    )
    intake = Intake(load(path, "cpu", max_batch=4))
    for _ in range(2):
        made = intake.request({"x": np.empty((0, 100), np.float32)})
        assert (made.rows, made.key, made.size_bytes) == (0, None, 400)
    with pytest.raises(ServeFault) as caught:
        intake.request({"x": np.empty((0, 1 << 25), np.float32)})
    assert (caught.value.code, caught.value.status) == ("R536", 413)
    assert "134,217,728 bytes" in str(caught.value)
    assert intake.request({"x": np.zeros((1, 100), np.float32)}).rows == 1
