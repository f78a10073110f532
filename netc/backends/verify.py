"""Parity, measured so that it can fail: an ONNX file in ONNX Runtime against float64 torch.

R is float64 torch's answer, in evaluation mode, to 8 seeded inputs. V is the root mean square, over the 8 inputs and
all elements of an output, of R minus its mean over the 8. The figure is max |ours - R| / V; the worst output counts.

Where an output hardly depends on its input, float32 itself lies far from R on this measure: a new GoogLeNet at 0.1. So
a figure above the bound is held against float32 torch's own, and where that says little, the same net is measured with
Kaiming weights too, which a wrong border or a wrong order of channels cannot pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from math import inf, isfinite, prod
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from netc.backends.torch import as_tensor, module
from netc.diagnostic import Fault
from netc.graph import Graph, Input
from netc.tensor import Expr, Side, Symbol, at
from netc.weights import Array, Weights
from netc_runtime.golden import golden_input
from netc_runtime.manifest import Expr as RuntimeExpr
from netc_runtime.manifest import ManifestError, evaluate

BOUND = 1e-4
FACTOR = 4  # or so many times float32 torch's own figure, where that is more
TELLING = 1e-2  # a figure of float32 torch above this says that the weights hide the layers' work
MEASURE = "max |ours - R| / V, R float64 torch, V the spread of R over 8 seeded inputs; or 4 x float32 torch's own"
SAMPLES = 8
BATCHES = (slice(0, 1), slice(1, 8), slice(3, 5))  # of 1, 7 and 2, cut from the 8
SEED = 0
SIDE = 64  # symbolic sides are verified from here on, or from where the spec admits them

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Inputs of one size, and float64 torch's answers by output. `sizes` gives the symbols their numbers."""

    origin: Literal["seeded", "data"]
    sizes: Mapping[str, int]
    feed: Mapping[str, Array]
    answers: Mapping[str, Floats]


@dataclass(frozen=True)
class Agreement:
    """One output on one case: the figure, or infinity with the reason why there is none.

    `spread` is V; `own` is float32 torch's figure, measured where ours is above the bound. Where `own` says that the
    figure is all rounding, `rounding` is allowed: 1e-5 of the largest answer, the plain relative error.
    """

    output: str
    origin: str
    sizes: Mapping[str, int]
    figure: float
    spread: float
    own: float = 0.0
    rounding: float = 0.0
    reason: str = ""

    @property
    def telling(self) -> bool:
        """Whether the weights let an error of ours be seen."""
        return self.own <= TELLING

    @property
    def allowed(self) -> float:
        return max(BOUND, FACTOR * self.own, 0.0 if self.telling else self.rounding)

    @property
    def excess(self) -> float:
        """The figure as a share of what is allowed."""
        return self.figure / self.allowed


@dataclass(frozen=True)
class Parity:
    """How far an ONNX file lies from the reference; `probe` is the same net's with Kaiming weights, where it counts."""

    agreements: tuple[Agreement, ...]
    probe: Parity | None = None
    bound: float = BOUND

    @property
    def worst(self) -> Agreement:
        return max(self.agreements, key=lambda each: each.excess)

    @property
    def figure(self) -> float:
        return self.worst.figure

    @property
    def telling(self) -> bool:
        """Whether the weights let an error of ours be seen."""
        return all(each.telling for each in self.agreements)

    @property
    def passed(self) -> bool:
        sound = self.worst.excess <= 1
        return sound and (self.telling or (self.probe is not None and self.probe.telling and self.probe.passed))

    @property
    def outputs(self) -> dict[str, float]:
        """The worst figure of each output."""
        found: dict[str, float] = {}
        for each in self.agreements:
            found[each.output] = max(each.figure, found.get(each.output, 0.0))
        return found


def reference(
    graph: Graph,
    weights: Weights,
    *,
    samples: int = SAMPLES,
    every_size: bool = True,
    seed: int = SEED,
    data: Array | Mapping[str, Array] | None = None,
) -> list[Case]:
    """What float64 torch answers to seeded inputs, and to `data` where it is given (an array, or one for each input).

    Symbolic sides take two sizes that the spec admits; a fixed batch takes whole batches. `graph` is a deployed net.

    Raises: Fault N431 where no sizes can be found, N432 for data that is not the net's input.
    """
    batch = _batch(graph)
    count = samples if batch is None else -(-samples // batch) * batch
    sizes = _sizes(graph)
    feeds: list[tuple[Literal["seeded", "data"], Mapping[str, int], dict[str, Array]]] = []
    for each in sizes if every_size else sizes[:1]:
        feed = {i.name: golden_input(seed + n, _shape(i, count, each)) for n, i in enumerate(graph.inputs)}
        feeds.append(("seeded", each, feed))
    if data is not None:
        feeds.append(("data", *_given(graph, data, batch)))
    network = _network(graph, weights, np.float64)
    return [Case(origin, each, feed, _answers(graph, network, feed, np.float64)) for origin, each, feed in feeds]


def verify(path: str | os.PathLike[str], graph: Graph, weights: Weights, cases: Sequence[Case]) -> Parity:
    """Run an ONNX file on the CPU, in batches of 1, 2 and 7, and measure how far its outputs lie from the cases'.

    Raises: Fault N433 where ONNX Runtime cannot load or run the file.
    """
    run = _session(path, graph)
    batch = _batch(graph)
    names = [output.name for output in graph.outputs]
    seeded = dict.fromkeys(names, 0.0)
    found: list[Agreement] = []
    for case in cases:
        far = dict.fromkeys(names, 0.0)
        for part in _parts(case, batch):
            answers = run({name: array[part] for name, array in case.feed.items()})
            for name, ours in zip(names, answers, strict=True):
                distance = _distance(ours, case.answers[name][part])
                far[name] = max(far[name], distance)
        each = [_agreement(name, case, far[name], seeded[name]) for name in names]
        if any(BOUND < agreement.figure < inf for agreement in each):
            own = _float32(graph, weights, case)
            each = [replace(a, own=own[a.output] / a.spread) if a.figure < inf else a for a in each]
        for agreement in each:
            seeded[agreement.output] = seeded[agreement.output] or agreement.spread
        found += each
    return Parity(tuple(found))


def kaiming(graph: Graph, seed: int = SEED) -> dict[str, Array]:
    """Weights that let a net's output depend on its input: He et al., arXiv:1502.01852, with random statistics."""
    random = np.random.RandomState(seed)
    made: dict[str, Array] = {}
    for name, param in graph.parameters():
        if param.dtype != "f32":
            made[name] = np.zeros(param.shape, np.int64)
        elif len(param.shape) > 1:
            scale = np.sqrt(2 / (param.size // param.shape[0]))
            made[name] = (scale * random.standard_normal(param.shape)).astype(np.float32)
        elif name.endswith(".running_var"):
            made[name] = random.uniform(1, 4, param.shape).astype(np.float32)
        elif name.endswith(".weight"):
            made[name] = random.uniform(0.5, 1.5, param.shape).astype(np.float32)
        else:
            made[name] = (0.1 * random.standard_normal(param.shape)).astype(np.float32)
    return made


def _session(path: str | os.PathLike[str], graph: Graph) -> Callable[[Mapping[str, Array]], list[Array]]:
    import onnxruntime

    ort: Any = onnxruntime  # its names are made at import time, which the type checker cannot follow
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    names = [output.name for output in graph.outputs]

    def refused(error: Exception) -> Fault:
        words = " ".join(str(error).split())
        return Fault("N433", f"ONNX Runtime refuses what netc wrote for {graph.name}: {words}", exit_code=3)

    try:
        session = ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common that it exports
        raise refused(error) from error

    def run(feed: Mapping[str, Array]) -> list[Array]:
        try:
            return session.run(names, dict(feed))
        except Exception as error:
            raise refused(error) from error

    return run


def spread(answers: Floats) -> float:
    """V: the root mean square, over examples and elements, of the answers minus their mean over the examples."""
    apart: Floats = answers - answers.mean(axis=0)
    return float(np.sqrt((apart * apart).mean()))


def _distance(ours: Array, answers: Floats) -> float:
    # Infinity where there is none: a NaN would lose every comparison, and so pass.
    if ours.shape != answers.shape:
        return inf
    difference: Array = ours.astype(np.float64)
    difference -= answers
    found = float(np.abs(difference).max(initial=0.0))
    return found if isfinite(found) else inf


def _agreement(name: str, case: Case, distance: float, seeded: float) -> Agreement:
    answers = case.answers[name]
    v = spread(answers) if len(answers) > 1 else seeded

    def nothing(reason: str) -> Agreement:
        return Agreement(name, case.origin, case.sizes, inf, v, reason=reason)

    if not np.isfinite(answers).all():
        return nothing("float64 torch itself answers with a NaN or an infinity: the weights are not usable")
    if v <= 1e-12 * np.abs(answers).max(initial=0.0):
        # Not a division by nearly zero: such an output says nothing about the layers before it.
        return nothing("the output does not depend on the input, so nothing can be measured (a layer of zeros?)")
    if distance == inf:
        return nothing("ONNX Runtime answers with a NaN, an infinity, or another shape")
    return Agreement(name, case.origin, case.sizes, distance / v, v, rounding=1e-5 * float(np.abs(answers).max()) / v)


def _float32(graph: Graph, weights: Weights, case: Case) -> dict[str, float]:
    # How far float32 torch lies from float64 torch.
    answers = _answers(graph, _network(graph, weights, np.float32), case.feed, np.float32)
    return {name: _distance(answer, case.answers[name]) for name, answer in answers.items()}


def _parts(case: Case, batch: int | None) -> Iterable[slice]:
    count = len(next(iter(case.feed.values())))
    if batch is not None:
        return [slice(i, i + batch) for i in range(0, count, batch)]
    if case.origin == "seeded" and count == SAMPLES:
        return BATCHES
    return [slice(i, min(i + 7, count)) for i in range(0, count, 7)]


Float = type[np.float32] | type[np.float64]


def _network(graph: Graph, weights: Weights, kind: Float) -> torch.nn.Module:
    with torch.device("meta"):
        network = module(graph)
    state = {
        name: as_tensor(weights[name].astype(kind if param.dtype == "f32" else np.int64))
        for name, param in graph.parameters()
    }
    network.load_state_dict(state, assign=True)
    return network.eval()


def _answers(graph: Graph, network: torch.nn.Module, feed: Mapping[str, Array], kind: Float) -> dict[str, Array]:
    # torch unfolds float64 images for a convolution: 9 times 8 bytes an element with a 3x3 kernel, for the whole batch.
    sizes = {name: size for i in graph.inputs for name, size in _bound(i, feed[i.name].shape).items()}
    largest = max((prod(at(side, sizes) for side in node.type.dims[1:]) for node in graph.nodes), default=1)
    batch = _batch(graph)
    step = max(1, 2**29 // (72 * largest)) if batch is None else batch
    count = len(next(iter(feed.values())))
    parts: dict[str, list[Array]] = {output.name: [] for output in graph.outputs}
    with torch.inference_mode():
        for start in range(0, count, step):
            tensors = [as_tensor(feed[i.name][start : start + step].astype(kind)) for i in graph.inputs]
            answer: Any = network(*tensors)
            if not isinstance(answer, dict):
                answer = {graph.outputs[0].name: answer}
            for name, value in cast(dict[str, torch.Tensor], answer).items():
                parts[name].append(value.numpy())
    return {name: np.concatenate(each) for name, each in parts.items()}


def _shape(tensor: Input, count: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return (count, *(at(side, sizes) for side in tensor.type.dims[1:]))


def _bound(tensor: Input, shape: Sequence[int]) -> dict[str, int]:
    # The numbers of an input's symbols; an input's side is a number or a plain symbol.
    pairs = zip(tensor.type.dims, shape, strict=True)
    return {name: size for side, size in pairs for name in _names(side)}


def _names(side: Side) -> Mapping[str, Symbol]:
    return {} if isinstance(side, int) else side.symbols()


def _batch(graph: Graph) -> int | None:
    # A fixed batch, or None where it is a symbol.
    found = {i.type.batch for i in graph.inputs if isinstance(i.type.batch, int)}
    tied = {n for i in graph.inputs for n in _names(i.type.batch)} & {
        n for i in graph.inputs for s in i.type.sides for n in _names(s)
    }
    if len(found) > 1 or tied:
        raise Fault("N431", f"{graph.name}: inputs whose batches differ, or tie with a side, cannot be verified yet")
    return found.pop() if found else None


def _sizes(graph: Graph) -> list[dict[str, int]]:
    # Two different sizes that the spec admits, height unlike width where it may be.
    symbols: dict[str, Symbol] = {}
    for tensor in graph.inputs:
        for side in tensor.type.sides:
            symbols |= _names(side)
    if not symbols:
        return [{}]
    choices = [_choices(symbol) for symbol in symbols.values()]
    shifted = ([c[(n + step) % len(c)] for n, c in enumerate(choices)] for step in range(8))
    rest = islice(product(*choices), 20_000)
    found: list[dict[str, int]] = []
    for numbers in (*shifted, *rest):
        sizes = dict(zip(symbols, numbers, strict=True))
        if sizes not in found and _admitted(graph, sizes):
            found.append(sizes)
        if len(found) == 2:
            break
    if not found:
        raise Fault("N431", f"{graph.name}: found no size for {', '.join(symbols)} that every `require` admits")
    return found


def _choices(symbol: Symbol) -> list[int]:
    step = symbol.divisor
    first = -(-max(symbol.low, 1) // step) * step
    start = max(first, -(-SIDE // step) * step)
    most = inf if symbol.high is None else symbol.high
    large = [n for n in range(start, start + 32 * step, step) if n <= most]
    small = [n for n in range(first, first + 32 * step, step) if n <= most and n not in large]
    return large + small or [first]


def _admitted(graph: Graph, sizes: Mapping[str, int]) -> bool:
    try:
        if any(evaluate(_tuples(r.expr), sizes) is not True for r in graph.requires):
            return False
        return all(at(side, sizes) > 0 for node in graph.nodes for side in node.type.dims[1:])
    except (ManifestError, AssertionError):  # a requirement on the batch, which any number meets, or a side not whole
        return False


def _tuples(expr: Expr) -> RuntimeExpr:
    return tuple(_tuples(each) for each in expr) if isinstance(expr, list) else expr


def _given(
    graph: Graph, data: Array | Mapping[str, Array], batch: int | None
) -> tuple[Mapping[str, int], dict[str, Array]]:
    arrays = data if isinstance(data, Mapping) else {graph.inputs[0].name: data}
    if set(arrays) != {i.name for i in graph.inputs}:
        wanted = ", ".join(i.name for i in graph.inputs)
        raise Fault("N432", f"the data to verify on is for {', '.join(arrays)}, and the net's inputs are {wanted}")
    sizes: dict[str, int] = {}
    feed: dict[str, Array] = {}
    for tensor in graph.inputs:
        array = np.asarray(arrays[tensor.name])
        words = f"the data to verify on is {array.dtype}{list(array.shape)} for {tensor.name}"
        dims = tensor.type.dims[1:]
        fits = array.ndim == len(dims) + 1 and all(
            not isinstance(side, int) or side == size for side, size in zip(dims, array.shape[1:], strict=True)
        )
        if not fits or array.dtype.kind != "f" or not array.size:
            raise Fault("N432", f"{words}, expected float32{tensor.type}", help="give tensors, after the recipe")
        if not np.isfinite(array).all():
            raise Fault("N432", f"{words}, and holds a NaN or an infinity")
        whole = len(array) if batch is None else len(array) // batch * batch
        if not whole:
            raise Fault("N432", f"{words}, fewer than one batch of {batch}")
        feed[tensor.name] = np.ascontiguousarray(array[:whole], np.float32)
        sizes |= {n: s for n, s in _bound(tensor, array.shape).items() if n not in _names(tensor.type.batch)}
    if len({len(array) for array in feed.values()}) > 1:
        raise Fault("N432", "the data to verify on has another number of examples for each input")
    if not _admitted(graph, sizes):
        raise Fault("N432", f"the data to verify on has sizes that a `require` of {graph.name} refuses: {sizes}")
    return sizes, feed
