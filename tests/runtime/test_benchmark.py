"""Benchmarks: what is measured, from when, in how much memory, and on which input."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import netc_runtime
from netc_runtime.benchmark import bare, inputs
from netc_runtime.benchmark.latency import Latencies
from netc_runtime.benchmark.load import Load, run_load
from netc_runtime.errors import EnvironmentFault, RequestFault
from netc_runtime.manifest import Golden, ImageRecipe, Input, Manifest, Output

# --- latencies


def recorded(values: list[int], most: int = 2**20) -> Latencies:
    latencies = Latencies(most)
    for value in values:
        latencies.record(value)
    return latencies


def test_percentiles_are_latencies_that_so_many_percent_do_not_exceed() -> None:
    values = np.random.RandomState(3).permutation(np.arange(1, 1001)) * 1_000_000
    found = recorded([int(value) for value in values]).summary_ms()
    # Of 1 to 1,000 ms, p percent do not exceed p/100 * 1,000 ms.
    assert found == {"mean": 500.5, "min": 1.0, "p50": 500.0, "p90": 900.0, "p99": 990.0, "p99_9": 999.0, "max": 1000.0}


@pytest.mark.parametrize(("count", "stated"), [(1, 0), (2, 1), (9, 1), (10, 2), (99, 2), (100, 3), (999, 3), (1000, 4)])
def test_a_percentile_that_needs_more_latencies_is_not_stated(count: int, stated: int) -> None:
    found = recorded([5] * count).summary_ms()
    given = [found[name] is not None for name in ("p50", "p90", "p99", "p99_9")]
    assert given == [index < stated for index in range(4)]


def test_nothing_is_stated_of_no_latencies() -> None:
    assert set(Latencies().summary_ms().values()) == {None}


def test_a_histogram_takes_over_in_bounded_memory_and_keeps_three_digits() -> None:
    # A long tail over nine decades, as of stalls.
    values = [int(each) for each in np.exp(np.random.RandomState(5).uniform(3, 24, 20_000))]
    folded = recorded(values, most=1000)
    assert not folded.exact
    assert folded.count == len(values)
    assert len(folded._kept) <= 1000  # pyright: ignore[reportPrivateUsage]  # what the claim is about
    ordered = np.sort(values)
    found = folded.summary_ms()
    for name, rank in (("p50", 10_000), ("p90", 18_000), ("p99", 19_800), ("p99_9", 19_980)):
        assert found[name] == pytest.approx(ordered[rank - 1] / 1e6, rel=2**-10)
    assert found["min"] == ordered[0] / 1e6
    assert found["max"] == ordered[-1] / 1e6
    assert found["mean"] == pytest.approx(sum(values) / len(values) / 1e6)


def test_threads_latencies_are_merged_whether_kept_or_folded() -> None:
    first, second = list(range(1, 500)), list(range(500, 1001))
    exact = Latencies.merged([recorded(first), recorded(second)])
    assert exact.exact
    assert exact.summary_ms() == recorded(first + second).summary_ms()
    mixed = Latencies.merged([recorded(first, most=100), recorded(second)])
    assert not mixed.exact
    assert mixed.count == 1000
    # Buckets below 2,048 ns hold one number each, so nothing is lost here.
    assert mixed.summary_ms() == exact.summary_ms()
    assert not Latencies.merged([recorded(first), recorded(second)], most=999).exact


# --- loads


def test_a_closed_loop_makes_so_many_requests_each_once() -> None:
    made: list[int] = []
    measured = run_load(made.append, Load(concurrency=3, requests=100))
    assert sorted(made) == list(range(100))
    assert (measured.requests, measured.latencies.count, measured.unstarted) == (100, 100, 0)
    assert (measured.services, measured.delays) == (None, None)


def test_a_closed_loop_runs_so_many_at_once() -> None:
    # Each waits until three are here: with fewer threads it would break.
    gate = threading.Barrier(3)
    measured = run_load(lambda number: gate.wait(10), Load(concurrency=3, requests=9))
    assert measured.requests == 9


def test_a_closed_loop_ends_with_its_seconds() -> None:
    measured = run_load(lambda number: time.sleep(0.01), Load(seconds=0.1))
    assert 1 <= measured.requests <= 10
    assert measured.seconds >= 0.01


def test_a_closed_loop_makes_a_request_a_thread_however_short_it_is() -> None:
    assert run_load(lambda number: None, Load(concurrency=3, seconds=1e-9)).requests == 3


def test_an_open_loop_makes_its_arrivals_when_they_are_due() -> None:
    began: list[float] = []
    start = time.perf_counter()
    load = Load(concurrency=2, requests=20, rate=100.0, arrivals="constant")
    measured = run_load(lambda number: began.append(time.perf_counter() - start), load)
    assert measured.requests == 20
    # Nothing begins before it is due, the last at 0.19 s.
    assert all(at >= number / 100.0 for number, at in enumerate(sorted(began)))
    assert measured.delays is not None
    assert measured.delays.count > 0


def test_arrivals_of_poisson_have_the_rate_and_a_seed() -> None:
    def arrivals(seed: int) -> list[int]:
        from netc_runtime.benchmark.load import _Run  # pyright: ignore[reportPrivateUsage]  # the schedule alone

        made = _Run(lambda number: None, Load(requests=20_000, rate=1000.0, seed=seed))._arrivals()  # pyright: ignore[reportPrivateUsage]
        return [at for _, at in made]

    found = arrivals(1)
    assert found == arrivals(1)
    assert found != arrivals(2)
    gaps = np.diff(found) / 1e9
    # Exponential gaps of mean 1 ms have a deviation of 1 ms; of 20,000 the means are within 5 sigma = 3.5 %.
    assert gaps.mean() == pytest.approx(1e-3, rel=0.035)
    assert gaps.std() == pytest.approx(1e-3, rel=0.05)


def test_latencies_of_an_open_loop_count_the_wait_behind_a_stall() -> None:
    """One stall of 0.4 s delays the 39 arrivals behind it: a closed loop would see one slow request of 40."""

    def call(number: int) -> None:
        if number == 0:
            time.sleep(0.4)

    measured = run_load(call, Load(requests=40, rate=100.0, arrivals="constant"))
    waits, services = measured.latencies.summary_ms(), measured.services
    assert services is not None
    median = waits["p50"]
    # Arrival n is due at 10 n ms and begins at 400 ms at the earliest, so that half of them waited 200 ms or more.
    assert median is not None
    assert median >= 195
    assert measured.latencies.count == services.count == 40
    served = services.summary_ms()["p90"]
    assert served is not None
    assert served < median  # the calls themselves were quick


def test_arrivals_that_never_begin_are_told_and_counted_with_their_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc_runtime.benchmark.load.GRACE_S", 0.05)
    load = Load(seconds=0.3, rate=1000.0, arrivals="constant")
    measured = run_load(lambda number: time.sleep(0.02), load)
    assert measured.unstarted > 200
    assert measured.requests + measured.unstarted == 300
    assert measured.latencies.count == 300
    median = measured.latencies.summary_ms()["p50"]
    assert median is not None
    assert median > 100  # in the middle of 0.3 s they had waited for 0.2 s


def test_requests_that_fail_are_counted_by_code_and_are_no_latencies() -> None:
    def call(number: int) -> None:
        if number % 4 == 3:
            raise RequestFault("R208", f"request {number}", "none")

    for load in (Load(concurrency=1, requests=20), Load(requests=20, rate=10_000.0)):
        measured = run_load(call, load)
        assert (measured.requests, measured.latencies.count, measured.errors) == (15, 15, {"R208": 5})
        assert measured.first_fault is not None
        assert measured.first_fault.message == "request 3"


def test_a_bug_in_a_thread_is_raised_in_the_caller_s() -> None:
    def call(number: int) -> None:
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError, match="oh"):
        run_load(call, Load(concurrency=2, seconds=30))


def test_an_interrupt_gives_what_was_measured_so_far() -> None:
    def progress(seconds: float, done: int) -> None:
        if done:
            raise KeyboardInterrupt

    for load in (Load(concurrency=2, seconds=60), Load(concurrency=2, seconds=60, rate=100.0)):
        measured = run_load(lambda number: time.sleep(0.001), load, progress)
        assert measured.interrupted
        assert measured.requests > 0
        assert measured.seconds < 30


def test_an_interrupt_lets_the_requests_end_that_have_begun() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # to the main thread, which waits
        time.sleep(0.2)
        ended.append(number)

    measured = run_load(call, Load(concurrency=2, seconds=60))
    assert measured.interrupted
    assert sorted(begun) == sorted(ended)
    assert measured.requests == len(ended)


# --- inputs


def loaded(path: Path) -> netc_runtime.Model:
    return netc_runtime.load(path, "cpu", threads=1)


def test_a_request_is_seeded_and_has_the_batch(digits: Path) -> None:
    model = loaded(digits)
    request = inputs.make_request(model, 3, {}, 5)
    assert request.rows == 3
    assert {name: (each.dtype, each.shape) for name, each in request.feed.items()} == {
        "image": ("float32", (3, 1, 4, 4))
    }
    same, other = inputs.make_request(model, 3, {}, 5), inputs.make_request(model, 3, {}, 6)
    assert np.array_equal(request.feed["image"], same.feed["image"])
    assert not np.array_equal(request.feed["image"], other.feed["image"])
    assert inputs.make_request(model, None, {}, 5).rows == 1
    assert inputs.make_request(model, None, {"N": 4}, 5).rows == 4
    model.predict(request.feed)


@pytest.mark.parametrize(
    ("batch", "sizes", "words"),
    [
        (None, {}, "the size of H, W is free [R404]; say how large, such as --shape H=224,W=224"),
        (1, {"H": 8}, "the size of W is free [R404]; say how large, such as --shape W=224"),
        (1, {"H": 8, "W": 8, "D": 2}, "it has no size D; its sizes are N, H, W [R404]"),
        (2, {"H": 8, "W": 8, "N": 3}, "N is 3 and the batch 2 [R404]"),
        (2**20, {"H": 512, "W": 512}, "would take 1,099,511,627,776 bytes, at most 4,294,967,296 [R404]"),
    ],
)
def test_sizes_that_do_not_suit_the_model_are_refused(
    segmenter: Callable[..., Path], batch: int | None, sizes: dict[str, int], words: str
) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        inputs.make_request(loaded(segmenter()), batch, sizes, 0)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_sizes_are_held_to_what_the_spec_requires(segmenter: Callable[..., Path]) -> None:
    with pytest.raises(RequestFault, match=r"H = 6, W = 8 breaks .* the nearest admissible sizes are H = 4 or 8"):
        inputs.make_request(loaded(segmenter()), 1, {"H": 6, "W": 8}, 0)


def test_a_size_that_is_not_given_is_the_golden_example_s_or_the_crop_s(
    segmenter: Callable[..., Path], save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    cropped = loaded(segmenter(recipe=ImageRecipe(color="gray", resize=20, crop=(8, 12))))
    assert inputs.make_request(cropped, 2, {}, 0).feed["image"].shape == (2, 1, 8, 12)
    assert inputs.make_request(cropped, 2, {"H": 16}, 0).feed["image"].shape == (2, 1, 16, 12)
    model = cropped
    example = Golden(0, {"image": (1, 1, 20, 24)}, {"mask": ((0, 0.0),)}, 1.0)
    assert model.manifest is not None
    object.__setattr__(model.manifest, "golden", example)
    assert inputs.make_request(model, 2, {}, 0).feed["image"].shape == (2, 1, 20, 24)


def test_a_fixed_batch_is_kept(save_raw: Callable[..., Path]) -> None:
    shape = (2, 3)
    path = save_raw([helper.make_node("Relu", ["x"], ["y"])], [Input("x", "f32", shape)], [Output("y", "f32", shape)])
    model = loaded(path)
    assert inputs.make_request(model, None, {}, 0).rows == 2
    assert inputs.make_request(model, 2, {}, 0).rows == 2
    with pytest.raises(EnvironmentFault, match="a batch of 8 is asked for, its inputs always have 2 row") as caught:
        inputs.make_request(model, 8, {}, 0)
    assert caught.value.code == "R404"


def test_inputs_of_any_type_and_rank_are_made(save_raw: Callable[..., Path]) -> None:
    tensors = [Input("a", "f32", ("N", 5)), Input("b", "i64", ("N",)), Input("c", "f64", ()), Input("d", "f32", (3,))]
    outputs = [Output(f"{each.name}2", each.dtype, each.shape) for each in tensors]
    nodes = [helper.make_node("Identity", [each.name], [f"{each.name}2"]) for each in tensors]
    model = loaded(save_raw(nodes, tensors, outputs))
    request = inputs.make_request(model, 4, {}, 0)
    shapes = {name: (str(each.dtype), each.shape) for name, each in request.feed.items()}
    assert shapes == {
        "a": ("float32", (4, 5)),
        "b": ("int64", (4,)),
        "c": ("float64", ()),
        "d": ("float32", (3,)),
    }
    assert set(request.feed["b"].tolist()) <= {0, 1}
    model.predict(request.feed)


# --- beside the bare loop


def test_a_model_is_compared_pair_by_pair(digits: Path) -> None:
    model = loaded(digits)
    request = inputs.make_request(model, 2, {}, 0)
    call: Callable[[int], Any] = bare.bare_call(model, request)
    assert np.array_equal(call(0)[0], model.predict(request.feed)["scores"])
    seen: list[tuple[int, int]] = []
    beside = bare.compare(
        lambda number: model.predict(request.feed), call, 1, 0.2, lambda done, of: seen.append((done, of))
    )
    assert beside.pairs >= bare.FEWEST
    assert seen[-1] == (beside.pairs, beside.pairs)
    assert beside.calls >= bare.CALLS
    assert beside.ratio is not None
    assert beside.ratio.low <= beside.ratio.median <= beside.ratio.high


def test_a_slower_side_has_the_greater_ratio() -> None:
    def slow(number: int) -> None:
        time.sleep(0.02)

    def quick(number: int) -> None:
        time.sleep(0.002)

    beside = bare.compare(slow, quick, 1, 0.3)
    assert beside.ratio is not None
    assert beside.added_us is not None
    assert beside.ratio.median > 1
    assert beside.added_us.median > 0
    other = bare.compare(quick, slow, 1, 0.3)
    assert other.ratio is not None
    assert other.ratio.median < 1


def test_a_side_that_fails_is_told() -> None:
    def fails(number: int) -> Any:
        raise RequestFault("R208", "it fails", "none")

    with pytest.raises(RequestFault, match="it fails"):
        bare.compare(fails, lambda number: None, 1, 0.1)
