"""Latencies in bounded memory: every one of them up to a bound, beyond it a histogram that keeps three digits."""

import math
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

EXACT = 2**20  # latencies that are kept one by one, 8 bytes each
BITS = 10  # a histogram's buckets are at most 2**-10 of their latency wide
_BUCKETS = (64 - BITS) << BITS

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Latencies:
    """Latencies in nanoseconds, from one thread; `most` of them are kept one by one."""

    def __init__(self, most: int = EXACT) -> None:
        self._most = most
        self._kept = array("q")
        self._counts: npt.NDArray[np.int64] | None = None
        self._count = self._sum = 0
        self._least, self._largest = 2**63 - 1, 0

    def record(self, latency_ns: int) -> None:
        """Add a latency of at least 0 ns."""
        self._kept.append(latency_ns)
        if len(self._kept) > self._most:
            self._fold()

    @staticmethod
    def merged(parts: Sequence["Latencies"], most: int = EXACT) -> "Latencies":
        """Give several threads' latencies as one's; they stay exact where all are and `most` holds them."""
        whole = Latencies(most)
        for part in parts:
            if part._counts is not None:
                whole._add_counts(part._counts, part._count, part._sum, part._least, part._largest)
            whole._kept.extend(part._kept)
        if whole._kept and (whole._counts is not None or len(whole._kept) > most):
            whole._fold()
        return whole

    @property
    def exact(self) -> bool:
        """Whether every latency is kept, so that percentiles are latencies that occurred."""
        return self._counts is None

    @property
    def count(self) -> int:
        return self._count + len(self._kept)

    def summary_ms(self) -> dict[str, float | None]:
        """Give mean, least, percentiles and largest in milliseconds.

        A percentile is the least latency that so many percent of all do not exceed. One that needs more latencies than
        there are is None: p99 says nothing of fewer than 100, p99.9 of fewer than 1,000.
        """
        count = self.count
        if count == 0:
            return dict.fromkeys(("mean", "min", *(_key(each) for each in PERCENTILES), "max"))
        kept = np.frombuffer(self._kept, np.int64) if self._kept else np.empty(0, np.int64)
        total = self._sum + int(kept.sum())
        least = min(self._least, int(kept.min(initial=2**63 - 1)))
        largest = max(self._largest, int(kept.max(initial=0)))
        if self._counts is None:
            ordered = np.sort(kept)
            found = {p: float(ordered[_rank(p, count) - 1]) for p in PERCENTILES}
        else:
            running = np.cumsum(self._counts + _histogram(kept))
            found = {p: _middle(int(np.searchsorted(running, _rank(p, count)))) for p in PERCENTILES}
        stated = {
            _key(p): None if count * (100 - p) < 99.999 else min(max(each, least), largest) / 1e6
            for p, each in found.items()
        }
        return {"mean": total / count / 1e6, "min": least / 1e6, **stated, "max": largest / 1e6}

    def _fold(self) -> None:
        kept = np.array(self._kept, np.int64)
        self._add_counts(_histogram(kept), len(kept), int(kept.sum()), int(kept.min()), int(kept.max()))
        self._kept = array("q")

    def _add_counts(self, counts: npt.NDArray[np.int64], count: int, total: int, least: int, largest: int) -> None:
        self._counts = counts.copy() if self._counts is None else self._counts + counts
        self._count += count
        self._sum += total
        self._least, self._largest = min(self._least, least), max(self._largest, largest)


def _key(percentile: float) -> str:
    return f"p{percentile:g}".replace(".", "_")  # a name that JSON's query languages take without quotes


def _rank(percentile: float, count: int) -> int:
    """Give the place, from 1, of a percentile among so many in order."""
    # In thousandths, so that 99.9 % of 1,000 is 999 and not a float's hair above it.
    return max(1, math.ceil(round(percentile * 1000) * count / 100_000))


def _histogram(latencies_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count latencies by bucket: one for each number below 2**11, then 2**10 for each doubling."""
    exponent = np.frexp(latencies_ns.astype(np.float64))[1]  # of 2**n it is n + 1
    shift = np.maximum(exponent - (BITS + 1), 0)
    return np.bincount((shift << BITS) + (latencies_ns >> shift), minlength=_BUCKETS).astype(np.int64)


def _middle(bucket: int) -> float:
    """Give the latency in the middle of a bucket, in nanoseconds."""
    shift = max((bucket >> BITS) - 1, 0)
    start = (bucket - (shift << BITS)) << shift
    return start + ((1 << shift) - 1) / 2
