"""Trains a graph on labelled pictures as its `train` section says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from operator import add, mul
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from netc.backends.torch import as_tensor, module
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.sections import Cosine, CrossEntropy, Loss, Train
from netc.training.data import Data
from netc.training.feed import Feed
from netc.training.task import Head, Task, admits_batch, enough_for_batch_norm, task
from netc.weights import Weights

REPORT_S = 0.1  # between two reports of progress; each waits for the device

OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@dataclass(frozen=True, slots=True)
class Step:
    """How far an epoch has got. `loss` and `accuracy` are means over its images so far, taken while it learns."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """A finished epoch: the mean loss of its images while it learned, and the accuracy on the test part, by output."""

    epoch: int
    loss: float
    accuracy: dict[str, float]
    seconds: float


class Progress(Protocol):
    """Who wants to hear how training goes. Epochs and steps count from 1."""

    def step(self, at: Step, /) -> None:
        """Some steps on, about every tenth of a second and at the end of each epoch."""

    def epoch(self, done: Epoch, /) -> None:
        """An epoch is done and tested."""


class Silent:
    """Hears nothing."""

    def step(self, at: Step, /) -> None:
        pass

    def epoch(self, done: Epoch, /) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Result:
    """A trained net: its tensors by `state_dict` name, and the share of test images each output names rightly."""

    weights: dict[str, NDArray[Any]]
    history: tuple[Epoch, ...]
    accuracy: dict[str, float]
    seconds: float


def train(
    graph: Graph,
    data: Data,
    *,
    seed: int = 0,
    epochs: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    weights: Weights = MappingProxyType({}),
) -> Result:
    """Train from fresh weights but for those given; `epochs` and `batch` override the `train` section's.

    The same seed gives the same weights on the same machine: it sets torch's global generator (weights, dropout) and
    the order of the images. The weights are those after the last epoch, not the best on the test part.
    Raises Fault: N511 to N513 the graph cannot be trained on pictures, or not in such batches, N514 the loss is no
    longer finite, N515 the device is not there, N516 a batch norm would see one value a channel, N517 the device's
    memory does not suffice.
    Raises ValueError where `epochs` or `batch` is below 1.
    """
    wanted = task(graph)
    epochs = wanted.train.epochs if epochs is None else epochs
    batch = wanted.train.batch if batch is None else batch
    if epochs < 1 or batch < 1:
        raise ValueError(f"{epochs} epochs with batches of {batch}: both must be 1 or more")
    place = _device(device)
    admits_batch(graph, data.train.shape, batch)
    enough_for_batch_norm(graph, data.train.shape, len(data.train), batch)
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True  # some of cuDNN's gradients add in whatever order threads end
    try:
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
        net = module(graph)
        net.load_state_dict({n: as_tensor(np.array(weights[n])) for n in weights}, strict=False)
        net = net.to(place)
        return _Training(wanted, net, data, batch, epochs, place, progress or Silent()).run(seed)
    except RuntimeError as error:
        # For a GPU torch has a class, for a CPU words.
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        message = f"{place} has not enough memory to train `{graph.name}` with batches of {batch}"
        raise Fault("N517", message, help=f"try `--batch {max(1, batch // 2)}`", exit_code=3) from error
    finally:
        torch.backends.cudnn.deterministic = deterministic


def refuse_untrainable(graph: Graph, device: str) -> None:
    """See that a graph can be trained on a device, before its pictures are read.

    Raises Fault: N511 to N513 the graph cannot be trained on pictures, N515 the device is not there.
    """
    wanted = task(graph)
    _device(device)
    with torch.device("meta"):
        _optimizer(wanted.train, module(graph))


class _Training:
    def __init__(
        self, wanted: Task, net: nn.Module, data: Data, batch: int, epochs: int, place: torch.device, progress: Progress
    ) -> None:
        self.net, self.epochs, self.progress = net, epochs, progress
        self.heads = wanted.heads
        self.main = next(head.name for head in wanted.heads if head.tested)
        self.train, self.test = Feed(data.train, batch, place), Feed(data.test, batch, place)
        self.optimizer = _optimizer(wanted.train, net)
        self.schedule: LRScheduler | None = None
        if isinstance(wanted.train.schedule, Cosine):
            self.schedule = CosineAnnealingLR(self.optimizer, T_max=epochs * self.train.steps)

    def run(self, seed: int) -> Result:
        start = time.perf_counter()
        random = torch.Generator().manual_seed(seed)
        history: list[Epoch] = []
        for epoch in range(1, self.epochs + 1):
            began = time.perf_counter()
            loss = self._learn(epoch, torch.randperm(len(self.train.split), generator=random))
            history.append(Epoch(epoch, loss, self._measure(), time.perf_counter() - began))
            self.progress.epoch(history[-1])
        weights = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.net.state_dict().items()}
        for name, values in weights.items():
            if not np.isfinite(values).all():
                raise _diverged(f"`{name}` is no longer finite after epoch {self.epochs}")
        return Result(weights, tuple(history), history[-1].accuracy, time.perf_counter() - start)

    def _learn(self, epoch: int, order: Tensor) -> float:
        """One epoch in this order; its mean loss."""
        self.net.train()
        steps = self.train.steps
        # Reading a number waits for the device, and each operation takes time to start: both are left for now and then.
        told: list[tuple[Tensor, Tensor, Tensor]] = []
        lost, right, seen = 0.0, 0, 0
        began = reported = time.perf_counter()
        for step, (pictures, labels) in enumerate(self.train.batches(order)):
            logits = _by_name(self.net(pictures), self.heads)
            loss = total_loss(self.heads, logits, labels)
            self.optimizer.zero_grad()
            loss.backward()  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()
            told.append((loss.detach(), logits[self.main].detach(), labels))
            now = time.perf_counter()
            if now - reported >= REPORT_S or step + 1 == steps:
                reported = now
                losses, answers, classes = zip(*told, strict=True)
                told.clear()
                values = [float(each) for each in torch.stack(losses).cpu()]
                for at, value in enumerate(values, step + 2 - len(values)):
                    if not isfinite(value):
                        raise _diverged(f"the loss is {value} in epoch {epoch}, step {at} of {steps}")
                sizes = [len(each) for each in classes]
                lost += sum(map(mul, values, sizes))
                right += int((torch.cat(answers).argmax(1) == torch.cat(classes)).sum())
                seen += sum(sizes)
                rate = seen / (time.perf_counter() - began)
                self.progress.step(Step(epoch, self.epochs, step + 1, steps, lost / seen, right / seen, rate))
        return lost / seen

    @torch.inference_mode()
    def _measure(self) -> dict[str, float]:
        """The share of test images that each output names rightly."""
        self.net.eval()
        heads = [head for head in self.heads if head.tested]
        right = {head.name: torch.zeros((), dtype=torch.int64, device=self.test.device) for head in heads}
        for pictures, labels in self.test.batches(torch.arange(len(self.test.split))):
            logits = _by_name(self.net(pictures), heads)
            for head in heads:
                right[head.name] += (logits[head.name].argmax(1) == labels).sum()
        return {name: int(count) / len(self.test.split) for name, count in right.items()}


def total_loss(heads: Sequence[Head], logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """The heads' losses, summed with their weights.

    `bce_with_logits` asks each class's sigmoid whether the picture is of this class: 1 for its label, 0 for the others.
    """
    return reduce(add, (_weighted(head.loss, logits[head.name], labels) for head in heads))


def _weighted(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    if isinstance(loss, CrossEntropy):
        mean = F.cross_entropy(logits, labels)
    else:
        mean = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype))
    return mean if loss.weight == 1 else loss.weight * mean


def _by_name(outputs: Tensor | dict[str, Tensor], heads: Sequence[Head]) -> Mapping[str, Tensor]:
    return outputs if isinstance(outputs, dict) else {heads[0].name: outputs}


def _optimizer(recipe: Train, net: nn.Module) -> torch.optim.Optimizer:
    """Raises Fault N512 where `lr_scale` names no weights."""
    settings = recipe.optimizer.model_dump(exclude={"kind"})
    scaled: dict[str, list[nn.Parameter]] = {"": [], **{label: [] for label in recipe.lr_scale}}
    for name, parameter in net.named_parameters():
        # The longest label that the name stands under counts: `lr_scale.body.layer4` within `lr_scale.body`.
        under = [label for label in recipe.lr_scale if f"{name}.".startswith(f"{label}.")]
        scaled[max(under, key=len, default="")].append(parameter)
    for label in recipe.lr_scale:
        if not any(f"{name}.".startswith(f"{label}.") for name, _ in net.named_parameters()):
            raise Fault("N512", f"`lr_scale.{label}`: nothing under `{label}` learns", help="name a label with weights")
    groups = [
        {"params": parameters, "lr": settings["lr"] * recipe.lr_scale.get(label, 1.0)}
        for label, parameters in scaled.items()
        if parameters
    ]
    if not groups:
        raise Fault(
            "N512", "the net has no weights to train", help="give it a layer with weights, such as `fc(classes)`"
        )
    return OPTIMIZERS[recipe.optimizer.kind](groups, **settings)


def _device(name: str) -> torch.device:
    """Raises Fault N515 where there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise Fault("N515", f"`{name}` is no device", help="write auto, cpu, cuda or cuda:N")
    place = torch.device(name)
    if place.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (place.index or 0) >= found:
            why = "this torch was built without CUDA" if torch.version.cuda is None else f"torch sees {found} GPUs"
            raise Fault("N515", f"{name} is not there: {why}", help="train with `--device cpu`", exit_code=3)
    return place


def _diverged(message: str) -> Fault:
    return Fault("N514", message, help="lower the learning rate, or check `scale`, `mean` and `std` of the input")
