"""Which engine is the quickest for this model on this machine, by a short trial of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from netc_runtime.engines.runner import Tensors
from netc_runtime.errors import RuntimeFault

SECONDS = 1.0  # of runs, an engine
FEWEST, MOST = 5, 200


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine that was tried: its device, and the median of its runs in seconds, or why there is none."""

    device: str
    seconds: float | None
    problem: str = ""


def trials(engines: Sequence[tuple[str, Callable[[], Callable[[Tensors], object]]]], feed: Tensors) -> list[Trial]:
    """Open each engine and run it on one feed; the runs of the engines take turns, so that what slows the machine for a
    while slows all of them.
    """
    found: dict[str, Trial] = {}
    runs: dict[str, Callable[[Tensors], object]] = {}
    for device, opened in engines:
        try:
            runs[device] = opened()
            for _ in range(2):
                runs[device](feed)
        except RuntimeFault as fault:
            runs.pop(device, None)
            found[device] = Trial(device, None, fault.message)
    taken: dict[str, list[float]] = {device: [] for device in runs}
    end = time.perf_counter() + SECONDS * len(runs)
    for count in range(MOST):
        if count >= FEWEST and time.perf_counter() > end:
            break
        for device, run in list(runs.items()):
            start = time.perf_counter()
            try:
                run(feed)
            except RuntimeFault as fault:
                del runs[device], taken[device]
                found[device] = Trial(device, None, fault.message)
                continue
            taken[device].append(time.perf_counter() - start)
    found |= {device: Trial(device, median(each)) for device, each in taken.items()}
    return [found[device] for device, _ in engines]


def quickest(found: Sequence[Trial]) -> str | None:
    """Give the device whose runs were the shortest, or nothing where none could run."""
    ran = [each for each in found if each.seconds is not None]
    return min(ran, key=lambda each: each.seconds or 0.0).device if ran else None


def words(found: Sequence[Trial], rows: int) -> str:
    """Say what was tried and what came of it."""
    said = [
        f"{each.device} {1e3 * each.seconds:.2f} ms"
        if each.seconds is not None
        else f"{each.device} not: {each.problem}"
        for each in found
    ]
    return f"tuned: {quickest(found)} is the quickest for a batch of {rows}: {', '.join(said)}"
