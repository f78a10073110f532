"""Every registered layer, on random configurations, down every road: nothing here knows a layer by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from netc.backends import torch as torch_backend
from netc.op import Layer, Reject
from netc.ops import kinds
from netc.tensor import LARGEST, Size, Symbol, TensorType, at
from tests.drawn import DRAWN, OFTEN, PHASES
from tests.one_layer import (
    NAME,
    Case,
    arrays,
    close,
    in_onnxruntime,
    in_torch,
    inferred_by_onnx,
    net,
    randomised,
    to_onnx,
)
from tests.tried import tried

Types = tuple[TensorType, ...]

OPSETS = (17, 20, 26)
MANY = 40  # times as many in the long run

UNKNOWN = {"N208", "N209", "N216", "N221", "N223", "N301", "N302"}
"""Codes of what a number settles and a symbol leaves open: an argument that needs it, two sizes that may differ."""


def each_kind(examples: int) -> Callable[[Callable[..., None]], Any]:
    """The test, of a kind and how many examples; with many times as many it is a long one."""
    long = pytest.param(examples * MANY, marks=[pytest.mark.long, pytest.mark.timeout(3600)], id="long")

    def parametrised(test: Callable[..., None]) -> Any:
        shown = pytest.mark.parametrize("examples", [pytest.param(examples, id="some"), long])
        return shown(pytest.mark.parametrize("kind", sorted(DRAWN))(test))

    return parametrised


def drive(
    kind: str, examples: int, road: Callable[..., None], cases: st.SearchStrategy[Any], **drawn: st.SearchStrategy[Any]
) -> None:
    """Call `road` with random layers and what enters; what the layer refuses there is for other tests."""

    @settings(max_examples=examples * OFTEN.get(kind, 1), phases=PHASES)
    @given(case=cases, **drawn)
    def run(case: tuple[Any, ...], **given: Any) -> None:
        op, xs, *more = case
        for part in op.spread(*xs) if op.spreads else (op,):
            road(part, xs, *more, **given)
        if op.spreads:
            tried(op, xs)

    run()


def inferred(op: Layer, *xs: TensorType) -> TensorType | Reject:
    """The output's type, or the refusal."""
    try:
        return op.infer(*xs)
    except Reject as refused:
        return refused


def test_every_kind_has_a_strategy() -> None:
    assert sorted(DRAWN) == kinds()


@each_kind(30)
def test_shape_parameters_and_macs_are_torchs(kind: str, examples: int) -> None:
    def road(op: Layer, xs: Types) -> None:
        y = inferred(op, *xs)
        if isinstance(y, Reject):
            return
        module = torch_backend.module(net(op, *xs)).to("meta").eval()
        state = [(name, tuple(t.shape)) for name, t in module.state_dict().items()]
        ours = op.params(*xs)
        assert [(f"{NAME}.{name}".rstrip("."), p.shape) for name, p in ours.items()] == state
        assert [name for name, _ in module.named_parameters()] == [
            f"{NAME}.{name}".rstrip(".") for name, p in ours.items() if p.learned
        ]
        counter = FlopCounterMode(display=False)
        with counter:
            found = module(*(torch.empty((1, *cast(Any, x.dims[1:])), device="meta") for x in xs))
        assert y.dims[1:] == tuple(found.shape[1:])
        assert op.macs(y, *xs) * 2 == counter.get_total_flops()
        tried(op, xs)

    drive(kind, examples, road, DRAWN[kind])


@each_kind(30)
def test_onnx_runtime_computes_what_torch_does(kind: str, examples: int) -> None:
    def road(op: Layer, xs: Types, opset: int, seed: int) -> None:
        y = inferred(op, *xs)
        if isinstance(y, Reject) or op.opset > opset:
            return
        graph = net(op, *xs)
        # Three times as wide as usual: activations bend at 3 and 6.
        module, inputs = randomised(graph), [3 * x for x in arrays(xs, seed=seed)]
        model = to_onnx(graph, module, opset)
        close(in_onnxruntime(model, inputs), in_torch(module, inputs))
        assert inferred_by_onnx(model)[1:] == list(y.dims[1:])
        tried(op, xs)

    drive(kind, examples, road, DRAWN[kind], opset=st.sampled_from(OPSETS), seed=st.integers(0, 99))


@each_kind(12)
def test_gradients_through_the_module_are_finite_differences(kind: str, examples: int) -> None:
    def road(op: Layer, xs: Types, seed: int, training: bool) -> None:
        if isinstance(inferred(op, *xs), Reject):
            return
        module = randomised(net(op, *xs)).double().train(training)
        # Random numbers keep clear of kinks: the differences are of 1e-6.
        inputs = [torch.asarray(3 * x, dtype=torch.float64, requires_grad=True) for x in arrays(xs, seed=seed)]
        learned = dict(module.named_parameters())

        def forward(*values: torch.Tensor) -> torch.Tensor:
            torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] -- what is dropped stays dropped
            named = dict(zip(learned, values[len(inputs) :], strict=True))
            return torch.func.functional_call(module, named, values[: len(inputs)])

        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
            assert torch.autograd.gradcheck(forward, (*inputs, *learned.values()), fast_mode=True)
        tried(op, xs)

    drive(kind, examples, road, DRAWN[kind], seed=st.integers(0, 99), training=st.booleans())


@st.composite
def symbolic(
    draw: st.DrawFn, cases: st.SearchStrategy[Case], every: bool = False
) -> tuple[Layer, Types, Types, dict[str, int]]:
    """A case, its operands with symbols for some sides or all (equal numbers, equal symbols), and their numbers."""
    op, xs = draw(cases)
    names: dict[tuple[int, int], Size | int] = {}
    sizes: dict[str, int] = {}

    def symbol(i: int, n: int) -> Size | int:
        if every and n == 1 and len(xs) > 1:
            return 1  # it broadcasts, which a symbol does not
        if (i, n) not in names and (every or draw(st.booleans())):
            divisor = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
            low, high = draw(st.sampled_from([1, n])), draw(st.sampled_from([None, n, 2 * n]))
            names[i, n] = Size.of(Symbol(f"S{i}_{n}", divisor, low, high))
            sizes[f"S{i}_{n}"] = n
        return names.setdefault((i, n), n)

    some = [x.with_(sides=tuple(symbol(i, cast(int, n)) for i, n in enumerate(x.sides))) for x in xs]
    return op, xs, tuple(some), sizes


@each_kind(60)
def test_a_symbol_stands_for_every_size(kind: str, examples: int) -> None:
    def road(op: Layer, xs: Types, some: Types, sizes: dict[str, int]) -> None:
        known, unknown = inferred(op, *xs), inferred(op, *some)
        if isinstance(unknown, Reject):
            # What holds for every size is refused at once, with the same code.
            assert unknown.code in UNKNOWN or (isinstance(known, Reject) and known.code == unknown.code), unknown
            return
        below = {need.code for need in op.needs(*some) if at(need.size, sizes) < 1}
        if isinstance(known, TensorType):
            assert unknown.at(sizes) == known
            assert not below
            tried(op, some)
        else:
            # The size that does not fit is below 1: a side, or one that the layer needs.
            empty = any(isinstance(side, int) and side < 1 for side in unknown.at(sizes).sides)
            assert empty or known.code in below, known

    drive(kind, examples, road, symbolic(DRAWN[kind]))


@each_kind(16)
def test_one_onnx_file_serves_every_size(kind: str, examples: int) -> None:
    def road(op: Layer, xs: Types, some: Types, sizes: dict[str, int], opset: int) -> None:
        known = inferred(op, *xs)
        if not sizes or isinstance(known, Reject) or isinstance(inferred(op, *some), Reject) or op.opset > opset:
            return
        graph = net(op, *some)
        module = randomised(graph)
        model = to_onnx(graph, module, opset)
        symbols = [s for x in some for side in x.sides if isinstance(side, Size) for s in side.symbols().values()]
        most = {s.name: LARGEST if s.high is None else s.high for s in symbols}  # what the net is told to expect
        for times in (1, 2):
            numbers = {name: n * times for name, n in sizes.items()}
            now = [x.at(numbers) for x in some]
            y = inferred(op, *now)
            if isinstance(y, Reject) or any(n > most[name] for name, n in numbers.items()):
                continue
            inputs = arrays(now)
            expected = in_torch(module, inputs)
            assert expected.shape[1:] == y.dims[1:]
            close(in_onnxruntime(model, inputs), expected)
        tried(op, some)

    drive(kind, examples, road, symbolic(DRAWN[kind], every=True), opset=st.sampled_from(OPSETS))
