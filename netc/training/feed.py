"""Batches of labelled pictures on a device: from memory where they fit, else prepared while the net works."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod

import torch
from torch import Tensor

from netc.training.data import Split

RESIDENT_BYTES = 2**31  # normalised pictures up to this stay on the device for the whole training
AHEAD = 2  # batches in preparation while the net works on one

Batch = tuple[Tensor, Tensor]


class Feed:
    """The batches of a split: pictures (B, C, H, W) in float32 and classes (B) in int64."""

    def __init__(self, split: Split, batch: int, device: torch.device) -> None:
        self.split, self.batch, self.device = split, batch, device
        self.resident: Batch | None = None
        limit = RESIDENT_BYTES
        if device.type == "cuda":
            limit = min(limit, torch.cuda.mem_get_info(device)[0] // 4)  # the net needs the most of what is free
        if 4 * len(split) * prod(split.shape) <= limit:
            pictures, labels = torch.as_tensor(split.tensor(range(len(split)))), torch.as_tensor(split.labels)
            self.resident = pictures.to(device), labels.to(device)

    @property
    def steps(self) -> int:
        """Batches an epoch; the last may be smaller."""
        return -(-len(self.split) // self.batch)

    def batches(self, order: Tensor) -> Iterator[Batch]:
        """The pictures in this order of rows (int64, on the CPU), batch by batch."""
        if self.resident is None:
            yield from self._prepared(order)
            return
        pictures, labels = self.resident
        order = order.to(self.device)
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            yield pictures.index_select(0, rows), labels.index_select(0, rows)

    def _prepared(self, order: Tensor) -> Iterator[Batch]:
        with ThreadPoolExecutor(1, "netc-batches") as beside:
            waiting: list[Future[Batch]] = []
            for start in range(0, len(order), self.batch):
                waiting.append(beside.submit(self._read, order[start : start + self.batch]))
                if len(waiting) > AHEAD:
                    yield self._placed(waiting.pop(0).result())
            for batch in waiting:
                yield self._placed(batch.result())

    def _read(self, rows: Tensor) -> Batch:
        chosen = rows.numpy()
        pictures, labels = torch.as_tensor(self.split.tensor(chosen)), torch.as_tensor(self.split.labels[chosen])
        return (pictures.pin_memory(), labels.pin_memory()) if self.device.type == "cuda" else (pictures, labels)

    def _placed(self, batch: Batch) -> Batch:
        pictures, labels = batch
        return pictures.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
