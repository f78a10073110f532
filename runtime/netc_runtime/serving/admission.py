"""How much a model's queue may hold, and how long what it holds will take."""

import math
from dataclasses import dataclass

from netc_runtime.errors import ServeFault


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model's queue may hold, what waits and what runs together; and how long a request and a run may take.

    A request without rows counts as one. Nothing for `timeout_s` lets a request wait for ever, unless it says itself.
    """

    rows: int = 1024
    size_bytes: int = 2**30
    timeout_s: float | None = 30.0
    hung_after_s: float = 60.0


class Holdings:
    """The rows and bytes that a model has accepted and not yet answered, and the time that a row takes it."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._name = name
        self._limits = limits
        self._row_s: float | None = None
        self._ran_s: float | None = None  # that a byte takes, without the way to the thread and back

    def fit(self, rows: int, size_bytes: int) -> bool:
        """Say whether a request fits beside what is held."""
        limits = self._limits
        return self.rows + (rows or 1) <= limits.rows and self.size_bytes + size_bytes <= limits.size_bytes

    def check(self, rows: int, size_bytes: int, spent_s: float) -> None:
        """See that a request fits beside what is held, of whose time so many seconds have passed.

        Raises: ServeFault, R536 when it never fits, R530 when it does not fit now.
        """
        limits = self._limits
        for what, asked, held, most in (
            ("rows", max(rows, 1), self.rows, limits.rows),
            ("bytes", size_bytes, self.size_bytes, limits.size_bytes),
        ):
            if asked > most:
                raise ServeFault(
                    "R536",
                    f"{self._name}: the request has {asked:,} {what}, the queue holds at most {most:,}",
                    "send it in parts",
                )
            if held + asked > most:
                raise ServeFault(
                    "R530",
                    f"{self._name}: the queue is full: "
                    f"{held:,} {what} of {most:,} are taken, the request has {asked:,}",
                    "come again when some are answered",
                    self.left_s(spent_s),
                )

    def take(self, rows: int, size_bytes: int) -> None:
        self.rows += max(rows, 1)
        self.size_bytes += size_bytes

    def give_back(self, rows: int, size_bytes: int) -> None:
        self.rows -= max(rows, 1)
        self.size_bytes -= size_bytes

    def measured(self, rows: int, size_bytes: int, seconds: float, ran_s: float) -> None:
        """Learn from a batch how long a row takes, and how long of that it ran; the latest weighs most."""
        self._row_s = _learned(self._row_s, seconds / max(rows, 1))
        self._ran_s = _learned(self._ran_s, ran_s / max(size_bytes, 1))

    def takes_s(self, size_bytes: int) -> float:
        """Estimate how long a batch of such a size runs, rows of other sides among it; at first without end."""
        return math.inf if self._ran_s is None else self._ran_s * max(size_bytes, 1)

    def left_s(self, spent_s: float) -> float:
        """Estimate how long what is held will still take; 1 before anything was measured."""
        return 1.0 if self._row_s is None else max(self._row_s * self.rows - spent_s, 0.0)


def _learned(before: float | None, latest: float) -> float:
    return latest if before is None else 0.8 * before + 0.2 * latest
