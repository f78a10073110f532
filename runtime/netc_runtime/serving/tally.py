"""What a model has done so far, as the Open Inference Protocol's statistics extension counts it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Duration:
    """How often something took place, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, times: int = 1) -> None:
        self.count += times
        self.ns += ns

    def to_dict(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class _Batch:
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


@dataclass(slots=True)
class Tally:
    """Counts of a version, over its reloads; only the event loop writes them.

    `fail` counts what had a fault for an answer, and `refused` its codes; `cancelled` counts clients that left.
    """

    inferences: int = 0
    executions: int = 0
    last_inference_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    cancelled: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    batches: dict[int, _Batch] = field(default_factory=dict[int, _Batch])

    def answered(self, requests: int, rows: int, total_ns: int, queue_ns: int, stages_ns: tuple[int, int, int]) -> None:
        """Count a batch's requests that have their tensors.

        `total_ns` and `queue_ns` are theirs in all; `stages_ns` are input, inference and output of the batch, each's.
        """
        self.inferences += rows
        self.success.add(total_ns, requests)
        self.queue.add(queue_ns, requests)
        for duration, ns in zip((self.compute_input, self.compute_infer, self.compute_output), stages_ns, strict=True):
            duration.add(ns * requests, requests)

    def failed(self, code: str, total_ns: int) -> None:
        """Count a request that has a fault for an answer."""
        self.fail.add(total_ns)
        self.refused[code] = self.refused.get(code, 0) + 1

    def executed(self, runs: Sequence[int], stages_ns: tuple[int, int, int]) -> None:
        """Count the graph's runs, by their rows; they share the time by their rows."""
        self.executions += len(runs)
        self.last_inference_ms = time.time_ns() // 1_000_000
        rows = sum(runs) or 1
        for size in runs:
            batch = self.batches.get(size)
            if batch is None:
                batch = self.batches[size] = _Batch()
            durations = (batch.compute_input, batch.compute_infer, batch.compute_output)
            for duration, ns in zip(durations, stages_ns, strict=True):
                duration.add(ns * size // rows)

    def to_dict(self) -> dict[str, Any]:
        """Give the counts as the protocol's JSON, all but the model's name and version."""
        stages = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
        return {
            "last_inference": self.last_inference_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {name: getattr(self, name).to_dict() for name in stages},
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": batch.compute_input.to_dict(),
                    "compute_infer": batch.compute_infer.to_dict(),
                    "compute_output": batch.compute_output.to_dict(),
                }
                for size, batch in sorted(self.batches.items())
            ],
        }
