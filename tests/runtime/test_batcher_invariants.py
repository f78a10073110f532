"""Whatever comes in whatever order: one answer for each request, bounds kept, order kept, nothing run in vain.

Hypothesis submits, cancels, lets time pass, lets batches end and kills the worker; the loop's clock and the worker are
the test's own, so that nothing depends on real time or threads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netc_runtime.errors import ServeFault
from netc_runtime.rows import Tensors
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.batcher import Answer, Batcher
from netc_runtime.serving.execution import Execution, Request

MAX_BATCH, MOST_ROWS, MOST_BYTES = 4, 12, 120  # bytes of 15 narrow rows, or of 7 wide ones
POISON = 1000.0  # added to a number that makes the model fail


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes when the test says so."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Hand:
    """A worker whose jobs are done when the test says so."""

    def __init__(
        self, done: Callable[[Execution], None], died: Callable[[BaseException], None], begins: Callable[[], None]
    ) -> None:
        self.job: Callable[[], Execution] | None = None
        self.begins = begins
        self.done = done
        self.died = died
        self.closed = False

    def start(self, job: Callable[[], Execution]) -> None:
        assert self.job is None, "one batch at a time"
        self.job = job
        self.begins()

    async def perform(self, job: Callable[[], object]) -> object:
        raise AssertionError("nothing is to be prepared")

    async def close(self) -> None:
        assert self.job is None
        self.closed = True


@dataclass(eq=False)
class Sent:
    """One submission and what is known of it."""

    number: int
    rows: int
    size_bytes: int
    key: str | None
    deadline: float
    poisoned: bool
    task: "asyncio.Task[Answer]"
    left_at_start: bool = False  # its client was gone before any batch of it began
    left: bool = False


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Clock()
        self.sent: list[Sent] = []
        self.begun: set[int] = set()
        self.succeeded: dict[str | None, list[int]] = {}
        self.dead = False
        self.wrong: list[str] = []  # what the model and the worker see: an assertion there would be a batch's error

        async def make() -> Batcher:
            return Batcher(
                "m",
                self.model,
                MAX_BATCH,
                Limits(MOST_ROWS, MOST_BYTES, timeout_s=None),
                worker=self.hire,
                clock=self.loop.time,
            )

        self.batcher = self.loop.run_until_complete(make())

    def hire(self, name: str, done: Callable[[Execution], None], died: Callable[[BaseException], None]) -> Hand:
        self.hand = Hand(done, died, self.begins)
        return self.hand

    def begins(self) -> None:
        """See that of those who wait none had come before the first of the batch."""
        waiting = [
            each.number
            for each in self.sent
            if not each.task.done()
            and not each.left
            and each.number not in self.begun
            and each.deadline > self.loop.now
        ]
        if min(self.running()) != min(waiting):
            self.wrong.append(f"of {waiting}, {self.running()} begin")

    def model(self, feed: Tensors) -> Tensors:
        numbers = [int(each) % 1000 for each in dict.fromkeys(feed["x"][:, 0].tolist())]
        members = [self.sent[number] for number in numbers]
        together = len({each.key for each in members}) == 1 and members[0].key is not None
        if len(members) > 1 and not (together and len(feed["x"]) <= MAX_BATCH):
            self.wrong.append(f"{numbers} share a batch of {len(feed['x'])} rows")
        self.begun |= set(numbers)
        if (feed["x"] >= POISON).any():
            raise ValueError("poison")
        for each in members:
            self.succeeded.setdefault(each.key, []).append(each.number)
        return {"y": feed["x"] % 1000}

    def settle(self, turns: int = 6) -> None:
        async def pass_by() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(pass_by())

    # --- what may happen

    @rule(
        requests=st.lists(
            st.tuples(
                st.sampled_from([1, 1, 1, 2, 3, 6]),
                st.sampled_from(["a", "a", "b", None]),
                st.integers(1, 9),
                st.sampled_from([False, False, False, True]),
                st.sampled_from([False, False, False, True]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def submit(self, requests: list[tuple[int, str | None, int, bool, bool]]) -> None:
        """Submit some in one turn of the loop; clients may leave in the next, before any batch has begun."""

        async def arrive() -> None:
            leaving: list[Sent] = []
            for rows, key, timeout_s, poisoned, leaves in requests:
                number = len(self.sent)
                x = np.full((rows, 2 if key == "b" else 1), number + (POISON if poisoned else 0), np.float64)
                request = Request({"x": x}, rows, key, x.nbytes)
                task = self.loop.create_task(self.batcher.submit(request, float(timeout_s)))
                self.sent.append(Sent(number, rows, x.nbytes, key, self.loop.now + timeout_s, poisoned, task))
                if leaves:
                    leaving.append(self.sent[-1])
            await asyncio.sleep(0)
            for each in leaving:
                self.go(each)

        self.loop.run_until_complete(arrive())
        self.settle()

    def go(self, one: Sent) -> None:
        if not one.task.done():
            one.left = one.task.cancel()
            one.left_at_start = one.number not in self.running()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.go(data.draw(st.sampled_from(self.sent)))
        self.settle()

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.loop.now += seconds
        self.settle()

    @precondition(lambda self: self.hand.job is not None)
    @rule()
    def end_batch(self) -> None:
        job, self.hand.job = self.hand.job, None
        assert job is not None
        self.hand.done(job())
        self.settle()

    @precondition(lambda self: self.hand.job is not None and len(self.sent) > 8)
    @rule()
    def kill(self) -> None:
        self.hand.job = None
        self.dead = True
        self.hand.died(SystemExit())
        self.settle()

    # --- what always holds

    @invariant()
    def bounds_hold_and_nothing_leaks(self) -> None:
        running = self.running()
        # A request whose client left counts until its batch has ended: its rows are being computed.
        held = [each for each in self.sent if not each.task.done() or each.number in running]
        assert self.batcher.holdings.rows == sum(each.rows for each in held) <= MOST_ROWS
        assert self.batcher.holdings.size_bytes == sum(each.size_bytes for each in held) <= MOST_BYTES
        assert not held or self.hand.job is not None, "idle while requests wait"

    @invariant()
    def nobody_waits_past_the_deadline(self) -> None:
        running = self.running()
        for each in self.sent:
            assert each.task.done() or each.number in running or each.deadline > self.loop.now

    @invariant()
    def order_is_kept_within_a_key(self) -> None:
        for key, numbers in self.succeeded.items():
            assert numbers == sorted(set(numbers)), key

    @invariant()
    def batches_are_right(self) -> None:
        assert self.wrong == []

    @invariant()
    def nothing_is_run_in_vain(self) -> None:
        for each in self.sent:
            if each.number in self.begun:
                assert not each.left_at_start
                fault = self.outcome(each)
                assert fault not in ("R530", "R532", "R536")

    def teardown(self) -> None:
        self.settle()
        draining = self.loop.create_task(self.batcher.drain())
        self.settle()
        while self.hand.job is not None:
            self.end_batch()
        assert draining.done()
        assert self.hand.closed
        for each in self.sent:
            assert each.task.done(), "every request has its answer"
            outcome = self.outcome(each)
            if each.left:
                assert outcome == "left"
            elif outcome == "answered":
                y = each.task.result().outputs["y"]
                assert y.shape[0] == each.rows
                assert (y == each.number).all(), "its own answer"
                assert not each.poisoned
            elif outcome == "R533":
                assert each.poisoned, "a neighbour's failure is its own"
            elif outcome == "R535":
                assert self.dead
            else:
                assert outcome in ("R530", "R532", "R536")
        tally = self.batcher.tally
        assert tally.success.count + tally.fail.count + tally.cancelled == len(self.sent)
        self.loop.close()

    def running(self) -> set[int]:
        job: Any = self.hand.job
        if job is None:
            return set()
        members = job.args[2]
        return {int(member.request.feed["x"][0, 0]) % 1000 for member in members}

    def outcome(self, each: Sent) -> str:
        if not each.task.done():
            return "waits"
        if each.task.cancelled():
            return "left"
        error = each.task.exception()
        if error is None:
            return "answered"
        assert isinstance(error, ServeFault)
        return error.code


TestBatcher = Machine.TestCase
TestBatcher.settings = settings(derandomize=True, deadline=None, max_examples=150, stateful_step_count=40)
