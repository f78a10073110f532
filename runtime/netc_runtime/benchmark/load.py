"""The load that a benchmark puts on a model: threads that call it in a closed loop, or at scheduled arrivals."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias

from netc_runtime.benchmark.latency import EXACT, Latencies
from netc_runtime.errors import RuntimeFault

Call: TypeAlias = Callable[[int], object]  # makes the request of this number, from 0
Progress: TypeAlias = Callable[[float, int], None]  # takes the seconds gone and the requests answered

GRACE_S = 2.0  # how long after the last arrival those that wait may still begin
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests run at once, and until when: so many seconds, so many requests, or whichever comes first.

    Without `rate` each thread begins its next request when it has the answer to the last (a closed loop). With it
    requests arrive at so many a second, whether or not the model keeps up (an open loop).
    """

    concurrency: int = 1
    seconds: float | None = None
    requests: int | None = None
    rate: float | None = None
    arrivals: Literal["poisson", "constant"] = "poisson"
    seed: int = 0


@dataclass(slots=True)
class Measured:
    """What came of a load.

    In an open loop `latencies` run from the scheduled arrival to the answer, so that a model that falls behind cannot
    hide the wait; `services` are the part from the call on, and `delays` how late an idle thread was woken, which is
    the measurement's own fault. Arrivals that never began, `unstarted`, are among `latencies` with the time that they
    had waited, a lower bound. Requests that failed are in `errors`, by code, and nowhere else.
    """

    seconds: float
    requests: int
    latencies: Latencies
    services: Latencies | None = None
    delays: Latencies | None = None
    unstarted: int = 0
    errors: dict[str, int] = field(default_factory=dict[str, int])
    first_fault: RuntimeFault | None = None
    interrupted: bool = False


def run_load(call: Call, load: Load, progress: Progress | None = None) -> Measured:
    """Put a load on `call` and measure it; an interrupt (Ctrl-C) ends it early and is noted in the result.

    Raises: whatever `call` raises that is no RuntimeFault; those are counted.
    """
    assert load.seconds is not None or load.requests is not None
    return _Run(call, load).measured(progress)


class _Worker:
    """One thread's share of the result; no other thread writes to it."""

    def __init__(self, most: int) -> None:
        self.latencies, self.services, self.delays = Latencies(most), Latencies(most), Latencies(most)
        self.answered = 0
        self.last_ns = 0
        self.errors: dict[str, int] = {}
        self.first_fault: RuntimeFault | None = None
        self.ended = threading.Event()

    def fails(self, fault: RuntimeFault) -> None:
        self.last_ns = time.perf_counter_ns()
        self.errors[fault.code] = self.errors.get(fault.code, 0) + 1
        self.first_fault = self.first_fault or fault


class _Run:
    def __init__(self, call: Call, load: Load) -> None:
        self.call, self.load = call, load
        self.stop = threading.Event()
        self.ticket = itertools.count()
        self.taking = threading.Lock()
        self.workers = [_Worker(EXACT // load.concurrency) for _ in range(load.concurrency)]
        self.bug: BaseException | None = None
        self.start_ns = 0
        self.end_ns = 2**63 - 1
        self.schedule: Iterator[tuple[int, int]] = iter(())

    def measured(self, progress: Progress | None) -> Measured:
        body = self._closed if self.load.rate is None else self._open
        # No daemons: a process that ends while one of them is inside ONNX Runtime is aborted.
        threads = [threading.Thread(target=self._guarded, args=(body, each)) for each in self.workers]
        self.start_ns = time.perf_counter_ns()
        if self.load.seconds is not None:
            self.end_ns = self.start_ns + round(self.load.seconds * _NS)
        self.schedule = self._arrivals()
        interrupted = False
        try:
            for thread in threads:
                thread.start()
            self._wait(progress)
        except KeyboardInterrupt:
            # What runs is let finish; a second interrupt does not wait for it.
            interrupted = True
            self.end_ns = min(self.end_ns, time.perf_counter_ns())
            self.stop.set()
            self._wait(None)
        finally:
            self.stop.set()
        if self.bug is not None:
            raise self.bug
        return self._result(interrupted)

    def _wait(self, progress: Progress | None) -> None:
        # Not Thread.join: Python 3.11 takes a thread for ended once an interrupt has broken off a join of it.
        for worker in self.workers:
            while not worker.ended.wait(0.25):
                if progress is not None:
                    done = sum(worker.answered for worker in self.workers)
                    progress((time.perf_counter_ns() - self.start_ns) / _NS, done)

    def _guarded(self, body: Callable[[_Worker], None], worker: _Worker) -> None:
        try:
            body(worker)
        except BaseException as error:  # raised again where the caller sees it
            self.bug = error
            self.stop.set()
        finally:
            worker.ended.set()

    def _closed(self, worker: _Worker) -> None:
        clock, call, record = time.perf_counter_ns, self.call, worker.latencies.record
        most = self.load.requests
        number = -1
        # At least one request a thread, however late a busy machine starts it.
        while (number < 0 or clock() < self.end_ns) and not self.stop.is_set():
            number = next(self.ticket)
            if most is not None and number >= most:
                return
            begin = clock()
            try:
                call(number)
            except RuntimeFault as fault:
                worker.fails(fault)
                continue
            worker.last_ns = clock()
            record(worker.last_ns - begin)
            worker.answered += 1

    def _open(self, worker: _Worker) -> None:
        clock = time.perf_counter_ns
        give_up_ns = self.end_ns + round(GRACE_S * _NS)
        while not self.stop.is_set():
            with self.taking:
                if clock() >= give_up_ns or (taken := next(self.schedule, None)) is None:
                    return
            number, arrival_ns = taken
            if clock() < arrival_ns:
                if not self._sleep_until(arrival_ns):
                    return
                worker.delays.record(clock() - arrival_ns)
            begin = clock()
            try:
                self.call(number)
            except RuntimeFault as fault:
                worker.fails(fault)
                continue
            worker.last_ns = clock()
            worker.services.record(worker.last_ns - begin)
            worker.latencies.record(worker.last_ns - arrival_ns)
            worker.answered += 1

    def _arrivals(self) -> Iterator[tuple[int, int]]:
        """Give the number and the time of each arrival; the times are fixed beforehand by rate and seed."""
        rate, random = self.load.rate, Random(self.load.seed)
        if rate is None:
            return
        at = 0.0
        for number in itertools.count() if self.load.requests is None else range(self.load.requests):
            at = number / rate if self.load.arrivals == "constant" else at + random.expovariate(rate)
            arrival_ns = self.start_ns + round(at * _NS)
            if arrival_ns >= self.end_ns:
                return
            yield number, arrival_ns

    def _sleep_until(self, arrival_ns: int) -> bool:
        """Sleep, and say whether the run goes on; a long sleep ends when the run is stopped."""
        while (left := (arrival_ns - time.perf_counter_ns()) / _NS) > 0:
            if left < 0.05:
                time.sleep(left)  # finer than an event's timeout
            elif self.stop.wait(left - 0.02):
                return False
        return True

    def _result(self, interrupted: bool) -> Measured:
        workers, errors = self.workers, dict[str, int]()
        for worker in workers:
            for code, count in worker.errors.items():
                errors[code] = errors.get(code, 0) + count
        waited = Latencies()
        # What nobody took has waited until now, and would have waited longer.
        over_ns = time.perf_counter_ns()
        for _, arrival_ns in self.schedule:
            waited.record(max(0, over_ns - arrival_ns))
        last_ns = max(worker.last_ns for worker in workers)
        opened = self.load.rate is not None
        return Measured(
            seconds=max(0, last_ns - self.start_ns) / _NS,
            requests=sum(worker.answered for worker in workers),
            latencies=Latencies.merged([*(worker.latencies for worker in workers), waited]),
            services=Latencies.merged([worker.services for worker in workers]) if opened else None,
            delays=Latencies.merged([worker.delays for worker in workers]) if opened else None,
            unstarted=waited.count,
            errors=errors,
            first_fault=next((worker.first_fault for worker in workers if worker.first_fault), None),
            interrupted=interrupted,
        )
