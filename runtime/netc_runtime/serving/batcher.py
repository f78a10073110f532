"""Requests to one model, batched greedily: when idle it runs what has come, and together what came while it ran."""

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from netc_runtime.errors import ServeFault
from netc_runtime.rows import Tensors
from netc_runtime.serving.admission import Holdings, Limits
from netc_runtime.serving.execution import Execution, Request, Run, execute
from netc_runtime.serving.tally import Tally
from netc_runtime.serving.waiting import Pending, Waiting
from netc_runtime.serving.worker import Worker

ROUNDS = 3  # of the loop, in which it reads what clients have sent since they had their answers


class Answer(NamedTuple):
    """A request's outputs, as views into those of its batch; how long it waited, and its batch's rows and stages."""

    outputs: Tensors
    rows: int
    batch_rows: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


class Works(Protocol):
    """What runs a batch beside the event loop: `Worker`, or a test's."""

    def start(self, job: Callable[[], Execution]) -> None: ...
    async def perform(self, job: Callable[[], object]) -> object: ...
    async def close(self) -> None: ...


class Makes(Protocol):
    """What makes one: it is told whom to call in the event loop with a job's result, and with what ended the thread."""

    def __call__(
        self, name: str, done: Callable[[Execution], None], died: Callable[[BaseException], None]
    ) -> Works: ...


class Batcher:
    """The queue before one model, and the thread behind it; everything here is called in one event loop.

    `run` gives a batch's outputs by name; rows beyond `max_batch` of a single request are for it to split. A `tally`
    goes on counting, `died` is called when the thread has died. A batch that is expected to take less than `at_once_s`
    runs in the loop: to hand it to a thread and back would take longer. The loop reads nothing meanwhile, so after a
    batch of several requests such a one lets it go round twice; no batch waits for a time.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        max_batch: int,
        limits: Limits | None = None,
        *,
        tally: Tally | None = None,
        died: Callable[[], None] = lambda: None,
        at_once_s: float = 0.0,
        worker: Makes = Worker[Execution],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.tally = tally or Tally()
        self.holdings = Holdings(name, self.limits)
        self.failed: BaseException | None = None
        self.at_once_since: float | None = None  # when the run began that keeps the loop; other threads look
        self._run = run
        self._max_batch = max_batch
        self._died = died
        self._at_once_s = at_once_s
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting()
        self._running: list[Pending] = []
        self._scheduled = False
        self._together = False  # whether the last batch had more than one request
        self._draining = False
        self._empty: asyncio.Event = asyncio.Event()
        self._empty.set()
        self._clock = clock  # uvloop's own counts whole milliseconds
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf  # when the timer goes off: at the earliest deadline, or before it
        self._worker = worker(f"netc-{name}", self._finish, self._fail)

    @property
    def open(self) -> bool:
        """Whether requests are taken."""
        return self.failed is None and not self._draining

    @property
    def live(self) -> bool:
        """Whether the worker is there and no batch has been running for longer than the limit."""
        if self.failed is not None:
            return False
        return self._busy_s() <= self.limits.hung_after_s

    @property
    def hangs_in_the_loop(self) -> bool:
        """Whether a run that should have been short keeps the loop for longer than the limit. Any thread may ask."""
        since = self.at_once_since
        return since is not None and self._clock() - since > self.limits.hung_after_s

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def retry_after_s(self) -> float:
        """How long what is accepted will take, by the time that the last batches took a row; 1 before the first."""
        return self.holdings.left_s(self._busy_s())

    def admit(self, rows: int, size_bytes: int) -> None:
        """See that a request of this size would be taken now, before its body is read; one that is not is counted.

        Raises: ServeFault, R535 when the worker has died, R531 when it drains, R536 when such a request never fits,
        R530 when it does not fit now.
        """
        if self.failed is None and not self._draining and self.holdings.fit(rows, size_bytes):
            return
        try:
            self._check(rows, size_bytes)
        except ServeFault as fault:
            self._count(fault, 0)
            raise

    async def submit(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Wait for a request's answer; the limit, and `timeout_s` where it is less, bounds how long it waits to run.

        When the caller is cancelled the request is dropped, and if it has not begun it never will.

        Raises: ServeFault R530 to R536.
        """
        self.admit(request.rows, request.size_bytes)
        limit = self.limits.timeout_s
        if timeout_s is not None and (limit is None or timeout_s < limit):
            limit = timeout_s
        pending = self._accept(request, limit)
        assert pending.future is not None
        try:
            return await pending.future
        except asyncio.CancelledError:
            self._forget(pending)
            raise
        finally:
            del pending  # a fault keeps this frame, which would keep the fault

    async def prepare(self, job: Callable[[], object]) -> None:
        """Have the thread of the batches do something before the first: a GPU captures its graphs for one thread.

        Raises: what the job raises.
        """
        await self._worker.perform(job)

    async def drain(self) -> None:
        """Take no more requests, answer those accepted, end the thread and let go of the model."""
        self._draining = True
        await self._empty.wait()
        await self._worker.close()
        # The thread's callbacks lead back here, and a timer may: a session is too large to wait for the collector.
        self._run = _closed
        if self._timer is not None:
            self._timer.cancel()

    def _check(self, rows: int, size_bytes: int) -> None:
        if self.failed is not None:
            raise ServeFault("R535", f"{self.name}: its worker has died", "the server ends; ask another one")
        if self._draining:
            raise ServeFault("R531", f"{self.name} takes no more requests", "it is about to close; come again", 1.0)
        self.holdings.check(rows, size_bytes, self._busy_s())

    def _accept(self, request: Request, timeout_s: float | None) -> Pending:
        now = self._clock()
        deadline = None if timeout_s is None else now + timeout_s
        pending = Pending(request, False, self._loop.create_future(), now, deadline)
        self.holdings.take(request.rows, request.size_bytes)
        self._empty.clear()
        self._waiting.add(pending)
        if deadline is not None and deadline < self._looks_at:
            self._look_at(deadline)
        self._schedule()
        return pending

    def _schedule(self) -> None:
        if self._waiting and not self._running and not self._scheduled:
            # After what is ready in the loop already: requests read in one go are one batch.
            self._scheduled = True
            self._start_after(ROUNDS if self._together and self._next_is_short() else 1)

    def _start_after(self, rounds: int) -> None:
        if rounds:
            self._loop.call_soon(self._start_after, rounds - 1)
        else:
            self._start()

    def _next_is_short(self) -> bool:
        """Say whether what waits, or as much of it as runs together, will run in the loop."""
        held = self.holdings
        return self._is_short(held.size_bytes * min(held.rows, self._max_batch) // max(held.rows, 1))

    def _is_short(self, size_bytes: int) -> bool:
        return self.holdings.takes_s(size_bytes) < self._at_once_s

    def _start(self) -> None:
        self._scheduled = False
        if self._running:
            return
        now = self._clock()
        self._expire(now)
        # A caller that has just been cancelled is not awake yet: what it asked for still waits here.
        while self._waiting and not self._running:
            first = self._waiting.first()
            if _left(first):
                self._waiting.remove(first)
                self._drop(first)
                continue
            for pending in self._waiting.batch_of(first, self._max_batch):
                if _left(pending):
                    self._drop(pending)
                else:
                    pending.started = now
                    self._running.append(pending)
        if self._running:
            job = partial(execute, self.name, self._run, self._running, self._max_batch)
            if self._is_short(sum([each.request.size_bytes for each in self._running])):
                self._run_at_once(job, now)
            else:
                self._worker.start(job)

    def _run_at_once(self, job: Callable[[], Execution], now: float) -> None:
        self.at_once_since = now
        try:
            execution = job()
        except BaseException as error:  # as in the thread, which ends by it
            self._fail(error)
            return
        finally:
            self.at_once_since = None
        self._finish(execution)

    def _finish(self, execution: Execution) -> None:
        ran, self._running = self._running, []
        self._together = len(ran) > 1
        now = self._clock()
        rows = counted = size_bytes = 0
        for pending in ran:
            rows += (own := pending.request.rows)
            counted += own or 1
            size_bytes += pending.request.size_bytes
        assert ran[0].started is not None
        stages = execution.input_ns, execution.infer_ns, execution.output_ns
        took_s = now - ran[0].started
        failed = any(isinstance(result, ServeFault) for result in execution.results)  # whose time is in no stage
        self.holdings.measured(rows, size_bytes, took_s, took_s if failed else sum(stages) / 1e9)
        self._release(counted, size_bytes)
        soon = self._next_is_short()
        if not soon:
            self._schedule()  # first: the answers are handed on while the next batch runs in the thread
        self.tally.executed(execution.runs, stages)
        answered = answered_rows = 0
        total_s = queue_s = 0.0
        for pending, result in zip(ran, execution.results, strict=True):
            if pending.gone:
                self.tally.cancelled += 1
            elif isinstance(result, ServeFault):
                self._answer_fault(pending, result, now)
            else:
                assert result is not None, "only a member that is gone has no result"
                assert pending.future is not None
                assert pending.started is not None
                answered += 1
                answered_rows += pending.request.rows
                total_s += now - pending.arrived
                queue_s += (waited := pending.started - pending.arrived)
                if not pending.future.done():
                    pending.future.set_result(Answer(result, pending.request.rows, rows, _ns(waited), *stages))
        self.tally.answered(answered, answered_rows, _ns(total_s), _ns(queue_s), stages)
        if soon:
            self._schedule()  # last: it would run before who waits for these answers is woken

    def _fail(self, error: BaseException) -> None:
        self.failed = error
        ran, self._running = self._running, []
        for pending in [*ran, *self._waiting.all()]:
            self._waiting.remove(pending)
            self._refuse(pending, ServeFault("R535", f"{self.name}: its worker has died", "ask another server"))
        self._died()

    def _forget(self, pending: Pending) -> None:
        assert pending.future is not None
        if not pending.future.cancelled():
            pending.future.exception()  # answered in the same moment: a fault that nobody reads is not worth a warning
        elif self._waiting.remove(pending):
            self._drop(pending)
        else:
            pending.gone = True

    def _drop(self, pending: Pending) -> None:
        self.tally.cancelled += 1
        self._release(pending.request.rows, pending.request.size_bytes)

    def _look_at(self, deadline: float) -> None:
        """Set the one timer: one for each request would cost more than the rest of its queueing."""
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = deadline
        self._timer = self._loop.call_later(max(deadline - self._clock(), 0.0), self._look)

    def _look(self) -> None:
        self._expire(self._clock())
        self._timer, self._looks_at = None, math.inf
        deadlines = [pending.deadline for pending in self._waiting.all() if pending.deadline is not None]
        if deadlines:
            self._look_at(min(deadlines))

    def _expire(self, now: float) -> None:
        if now < self._looks_at:
            return
        for pending in self._waiting.all():
            if pending.deadline is not None and pending.deadline <= now:
                self._waiting.remove(pending)
                self._refuse(
                    pending,
                    ServeFault(
                        "R532",
                        f"{self.name}: the request waited {now - pending.arrived:.3f} s for its turn, its deadline",
                        "come again when the load is lower, or give it more time",
                        self.retry_after_s,
                    ),
                )

    def _refuse(self, pending: Pending, fault: ServeFault) -> None:
        self._release(pending.request.rows, pending.request.size_bytes)
        self._answer_fault(pending, fault, self._clock())

    def _answer_fault(self, pending: Pending, fault: ServeFault, now: float) -> None:
        self._count(fault, _ns(now - pending.arrived))
        assert pending.future is not None
        if not pending.future.done():
            pending.future.set_exception(fault)

    def _count(self, fault: ServeFault, took_ns: int) -> None:
        self.tally.failed(fault.code, took_ns)
        fault.counted = True

    def _release(self, rows: int, size_bytes: int) -> None:
        self.holdings.give_back(rows, size_bytes)
        if self.holdings.rows == 0:
            self._empty.set()

    def _busy_s(self) -> float:
        """How long the batch that runs has been running; 0 when none does."""
        started = self._running[0].started if self._running else None
        return 0.0 if started is None else self._clock() - started


def _closed(feed: Tensors) -> Tensors:
    raise AssertionError("nothing is run after the end")


def _left(pending: Pending) -> bool:
    assert pending.future is not None
    return pending.future.cancelled()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
