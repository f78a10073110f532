"""A model beside the bare loop around ONNX Runtime: what everything that is not ONNX Runtime costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from typing import Any, TypeAlias

from netc_runtime import engine, providers
from netc_runtime.benchmark.inputs import Request
from netc_runtime.benchmark.load import Call, Load, Measured, run_load
from netc_runtime.session import Model

FEWEST, MOST = 5, 25  # pairs of runs
CALLS = 3  # at least so many in a run

PairProgress: TypeAlias = Callable[[int, int], None]  # takes the pairs that are done, and all of them


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the middle half of what it is the median of."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        low, _, high = quantiles(values, n=4)
        return Spread(median(values), low, high)


@dataclass(frozen=True, slots=True)
class Beside:
    """Pairs of runs, one of the model and one of the bare loop, in an order drawn anew for each pair.

    `ratio` is the time of a call through the model over that of the bare loop, `added_us` their difference; nothing
    where an interrupt left fewer than two pairs.
    """

    pairs: int
    calls: int
    ratio: Spread | None
    added_us: Spread | None
    interrupted: bool


def bare_call(model: Model, request: Request) -> Call:
    """Open a second session of the same file and options, and give the call of its `run` with a request's arrays."""
    report = model.report()
    device = providers.parse_device(report.device)
    session = engine.open_session(model.path, device.providers, report.threads)
    names = [output.name for output in model.outputs]

    def call(number: int) -> Any:
        return session.run(names, request.feed)

    return call


def compare(ours: Call, bare: Call, concurrency: int, seconds: float, progress: PairProgress | None = None) -> Beside:
    """Run both in turns for about so many seconds, 5 to 25 pairs of at least 3 calls.

    Raises: RequestFault where a call of the model fails, or whatever one of the bare loop raises.
    """
    trial_s = min(0.2, seconds / 20)
    call_s = max(_seconds_of(ours, concurrency, trial_s), _seconds_of(bare, concurrency, trial_s))
    pairs = max(FEWEST, min(MOST, int(seconds / (2 * CALLS * call_s * concurrency))))
    calls = max(CALLS * concurrency, round(seconds / (2 * pairs * call_s)))
    random, sides = Random(0), [("ours", ours), ("bare", bare)]
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    interrupted = False
    for done in range(pairs):
        random.shuffle(sides)
        pair: dict[str, float] = {}
        for name, call in sides:
            turn = run_load(call, Load(concurrency, requests=calls))
            if turn.first_fault is not None:
                raise turn.first_fault
            interrupted = interrupted or turn.interrupted
            pair[name] = turn.seconds * concurrency / calls
            if interrupted:
                break
        if interrupted:
            break
        for name, each_s in pair.items():
            found[name].append(each_s)
        if progress is not None:
            progress(done + 1, pairs)
    both = list(zip(found["ours"], found["bare"], strict=True))
    enough = len(both) > 1
    return Beside(
        pairs=len(both),
        calls=calls,
        ratio=Spread.of([a / b for a, b in both]) if enough else None,
        added_us=Spread.of([(a - b) * 1e6 for a, b in both]) if enough else None,
        interrupted=interrupted,
    )


def _seconds_of(call: Call, concurrency: int, seconds: float) -> float:
    """Warm a side up, and give the seconds between two answers; each takes so long."""
    _tried(call, concurrency, seconds)
    turn = _tried(call, concurrency, seconds)
    return turn.seconds / turn.requests


def _tried(call: Call, concurrency: int, seconds: float) -> Measured:
    turn = run_load(call, Load(concurrency, seconds=seconds))
    if turn.first_fault is not None:
        raise turn.first_fault
    if turn.interrupted:
        raise KeyboardInterrupt
    return turn
