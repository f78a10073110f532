"""The engines behind a model: equal answers, batches on a GPU in a few sizes, strictness, warm-up, tuning."""

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import netc_runtime
from netc_runtime import engine, opening, providers, tune
from netc_runtime.engines import buckets, gpu, openvino
from netc_runtime.engines.bound import MOST_KEPT, BoundRunner
from netc_runtime.engines.plain import PlainRunner
from netc_runtime.errors import EnvironmentFault, ModelFault, RequestFault
from netc_runtime.manifest import ImageRecipe, Input
from netc_runtime.providers import CPU, CUDA, TENSORRT, parse_device
from netc_runtime.settings import Settings
from netc_runtime.tune import Trial, quickest, trials, words
from netc_runtime.warmup import known_sizes, zeros

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the package openvino is not installed"
)


def draw(rows: int) -> npt.NDArray[np.float32]:
    return np.random.RandomState(rows).standard_normal((rows, 1, 4, 4)).astype(np.float32)


# --- settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"arithmetic": "int4"}, "there is no arithmetic 'int4'"),
        ({"arithmetic": "bf16", "device": "cpu"}, "arithmetic bf16 is OpenVINO's, and the device is cpu"),
        ({"cuda_graph": True, "device": "cpu"}, "cuda_graph is for a GPU, and the device is cpu"),
        ({"tune": True, "device": "cpu"}, "tune chooses the device, and it is cpu"),
        ({"max_batch": 0}, "max_batch is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"sizes": {"H": 0}}, "H is 0"),
    ],
)
def test_what_does_not_go_together_is_refused(digits: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(EnvironmentFault, match="R404") as caught:
        netc_runtime.load(digits, **given)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


# --- batches of a few sizes


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, (1,)), (2, (1, 2)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12)), (64, (1, 2, 4, 8, 16, 32, 64))],
)
def test_sizes_are_powers_of_two_and_the_largest(most: int, expected: tuple[int, ...]) -> None:
    assert buckets(most) == expected


@pytest.fixture
def session(digits: Path) -> engine.Session:
    return engine.open_session(digits, [(CPU, {})], 1)


def bound(session: Any, **changes: Any) -> BoundRunner:
    named: dict[str, Any] = {"rows": True, "most": 8, "kind": "cpu", **changes}
    return BoundRunner("digits.onnx", session, ["scores"], **named)


def test_bound_buffers_give_what_a_plain_run_gives(session: engine.Session) -> None:
    plain, runner = PlainRunner("digits.onnx", session, ["scores"]), bound(session)
    kept: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
    for turn, rows in enumerate((1, 3, 8, 5, 3, 1, 8, 3)):
        feed = {"image": draw(rows) + turn}
        kept.append((runner.run(feed)["scores"], plain.run(feed)["scores"]))
    for found, expected in kept:  # an answer stays when its buffer is used again
        assert np.allclose(found, expected, atol=1e-6)


def test_an_array_that_is_not_contiguous_is_read_in_order(session: engine.Session) -> None:
    x = np.asfortranarray(draw(4))
    expected = PlainRunner("", session, ["scores"]).run({"image": np.ascontiguousarray(x)})
    assert np.allclose(bound(session).run({"image": x})["scores"], expected["scores"], atol=1e-6)


def test_threads_share_the_buffers_one_at_a_time(session: engine.Session) -> None:
    runner, plain = bound(session), PlainRunner("", session, ["scores"])
    inputs = [draw(1 + index % 8) + index for index in range(40)]

    def answer(x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        return runner.run({"image": x})["scores"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, inputs))
    for x, got in zip(inputs, found, strict=True):
        assert np.allclose(got, plain.run({"image": x})["scores"], atol=1e-5)


class Watched:
    """A session that keeps what it is run with."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.graphs: list[str | None] = []
        self.bindings: list[Any] = []

    def io_binding(self) -> Any:
        self.bindings.append(self._session.io_binding())
        return self.bindings[-1]

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.graphs.append(None if options is None else options.get_run_config_entry("gpu_graph_id"))
        self._session.run_with_iobinding(binding)


def test_a_graph_is_captured_once_for_each_size_after_a_run_without(session: engine.Session) -> None:
    watched = Watched(session)
    runner = bound(watched, cuda_graph=True)
    for rows in (1, 1, 1, 3, 4, 3, 1):  # 3 and 4 are one size
        runner.run({"image": draw(rows)})
    assert watched.graphs == ["-1", "1", "1", "-1", "2", "2", "1"]
    assert len(watched.bindings) == 2


def test_a_session_without_graphs_is_given_no_options(session: engine.Session) -> None:
    watched = Watched(session)
    runner = bound(watched)
    for _ in range(2):
        runner.run({"image": draw(1)})
    assert watched.graphs == [None, None]


def test_many_shapes_are_not_captured(session: engine.Session) -> None:
    watched = Watched(session)
    runner = bound(watched, cuda_graph=True, capture=False)
    for _ in range(2):
        runner.run({"image": draw(1)})
    assert watched.graphs == ["-1", "-1"]


def test_the_buffers_that_are_kept_are_bounded(session: engine.Session) -> None:
    watched = Watched(session)
    runner = bound(watched, rows=False, cuda_graph=True)
    for rows in (*range(1, MOST_KEPT + 2), 1):
        runner.run({"image": draw(rows)})
    assert len(watched.bindings) == MOST_KEPT + 2  # the first shape's went, and are made anew


def test_a_run_that_fails_is_a_fault_and_the_next_one_works(session: engine.Session) -> None:
    runner = bound(session)
    with pytest.raises(RequestFault) as caught:
        runner.run({"image": np.zeros((2, 1, 4, 5), np.float32)})
    assert caught.value.code == "R208"
    assert runner.run({"image": draw(2)})["scores"].shape == (2, 3)


@pytest.mark.parametrize(("spin", "expected"), [(True, {}), (False, {"session.intra_op.allow_spinning": "0"})])
def test_threads_spin_unless_they_are_to_sleep(
    digits: Path, monkeypatch: pytest.MonkeyPatch, spin: bool, expected: dict[str, str]
) -> None:
    real, told = engine.open_session, list[Any]()

    def open_session(*given: Any, **named: Any) -> Any:
        told.append(named["entries"])
        return real(*given, **named)

    monkeypatch.setattr(engine, "open_session", open_session)
    model = netc_runtime.load(digits, "cpu", spin=spin)
    assert told == [expected]
    assert model.check().samples == 3


# --- GPUs


def of(device: str, **changes: Any) -> Settings:
    return Settings(device=parse_device(device), threads=1, **changes)


def test_a_named_gpu_leaves_nothing_to_the_cpu() -> None:
    asked, entries = gpu.wanted(of("cuda:1"), graphs=False)
    assert [name for name, _ in asked] == [CUDA]
    assert asked[0][1]["device_id"] == "1"
    assert entries == {"session.disable_cpu_ep_fallback": "1"}
    for settings in (of("auto"), of("cuda", strict=False)):
        asked, entries = gpu.wanted(settings, graphs=False)
        assert ([name for name, _ in asked], entries) == ([CUDA, CPU], {})


def test_a_cuda_graph_is_asked_of_each_provider_by_its_own_word() -> None:
    asked = dict(gpu.wanted(of("tensorrt"), graphs=True)[0])
    assert asked[TENSORRT]["trt_cuda_graph_enable"] == "1"
    assert asked[CUDA]["enable_cuda_graph"] == "1"
    assert "enable_cuda_graph" not in dict(gpu.wanted(of("cuda"), graphs=False)[0])[CUDA]


@pytest.mark.parametrize(
    ("device", "said", "expected"),
    [
        ("auto", None, (True, False)),
        ("cuda:1", None, (True, False)),
        ("tensorrt", None, (False,)),
        ("cuda", False, (False,)),
        ("tensorrt", True, (True,)),
    ],
)
def test_cuda_graphs_are_tried_where_nothing_is_said(
    device: str, said: bool | None, expected: tuple[bool, ...]
) -> None:
    assert gpu.attempts(of(device, cuda_graph=said)) == expected


def test_tensorrt_has_a_profile_from_one_row_to_the_most(tmp_path: Path) -> None:
    inputs = [Input("image", "f32", ("N", 3, "H", "W")), Input("scale", "f32", ("N", 1))]
    options = gpu.tensorrt(inputs, 12, {"H": 64, "W": 32}, tmp_path)
    assert options["trt_profile_min_shapes"] == "image:1x3x64x32,scale:1x1"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "image:12x3x64x32,scale:12x1"
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert gpu.tensorrt(inputs, 12, {"H": 64}, None) == {}


def test_engines_are_kept_by_model_card_and_version(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_DIR", "off")
    assert gpu.engine_folder(digits) is None
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "cache"))
    first = gpu.engine_folder(digits)
    assert first is not None
    assert first.is_dir()
    assert gpu.engine_folder(digits) == first
    monkeypatch.setattr(gpu, "cards", lambda: ["another card"])
    assert gpu.engine_folder(digits) != first
    (tmp_path / "cache").chmod(0o777)
    assert gpu.engine_folder(digits) is None


def with_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(index: int, available: object) -> None:
        return None

    monkeypatch.setattr(providers, "gpu_problem", fine)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_whose_libraries_are_missing_is_refused_when_it_is_named(
    digits: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    # ONNX Runtime's own answer where CUDA's libraries are not there: this machine has none, or this test says nothing.
    if CUDA in engine.open_session(digits, parse_device("cuda").providers, 1).get_providers():
        pytest.skip("there is a GPU here")
    with_driver(monkeypatch)
    with pytest.raises(EnvironmentFault) as caught:
        netc_runtime.load(digits, device)
    assert (caught.value.code, caught.value.exit_code) == ("R403", 3)
    assert f"device {device} is asked for and not available" in caught.value.message
    report = netc_runtime.load(digits, device, strict=False).report()
    assert report.device == "cpu"
    assert "falls back" in report.notes[0]


@pytest.mark.parametrize("refuses", [False, True])
def test_what_a_gpu_really_gave_runs_in_bound_buffers(
    digits: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    with_driver(monkeypatch)
    asked: list[str | None] = []
    real = engine.open_session

    class OnGpu:
        """A session on the CPU that says it is on a GPU."""

        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def get_providers(self) -> list[str]:
            return [CUDA, CPU]

    def open_session(path: Path, wanted: Any, threads: int, **named: Any) -> Any:
        asked.append(wanted[0][1].get("enable_cuda_graph"))
        if refuses and asked[-1] is not None:
            raise ModelFault("R107", "a node is left to the CPU, and it cannot be captured", "")
        return OnGpu(real(path, [(CPU, {})], threads))

    def on_cpu(array: Any, kind: str, index: int) -> Any:
        assert kind == "cuda"
        return plain(array, "cpu", 0)

    plain = engine.device_value
    monkeypatch.setattr(engine, "open_session", open_session)
    monkeypatch.setattr(engine, "device_value", on_cpu)
    monkeypatch.setattr(
        "netc_runtime.engines.bound.BoundRunner._prepared",
        prepared_on_cpu(BoundRunner._prepared),  # pyright: ignore[reportPrivateUsage]
    )
    model = netc_runtime.load(digits, "cuda:2", max_batch=4, warm=True)
    assert [warmed.rows for warmed in model.report().warm_up] == [1, 2, 4]
    assert model.report().device == "cuda:2"
    assert asked == (["1", None] if refuses else ["1"])
    assert model.check().samples == 3


def prepared_on_cpu(prepared: Callable[..., Any]) -> Callable[..., Any]:
    """Outputs whose buffers ONNX Runtime makes itself are the CPU's too."""

    def make(self: Any, key: Any) -> Any:
        self._kind_before = self._kind
        found = prepared(self, key) if key in self._bound else None
        if found is None:
            session = self._session
            binding = session.io_binding()

            class Binding:
                def __getattr__(self, name: str) -> Any:
                    return getattr(binding, name)

                def bind_output(self, name: str, kind: str, index: int) -> None:
                    binding.bind_output(name, "cpu", 0)

            class Once:
                def io_binding(self) -> Any:
                    return Binding()

            self._session = Once()
            found = prepared(self, key)
            found.binding = binding
            self._session = session
        return found

    return make


# --- OpenVINO


@needs_openvino
@pytest.mark.parametrize("rows", [0, 1, 3, 5])
def test_openvino_answers_as_onnx_runtime_does(digits: Path, rows: int) -> None:
    ours, theirs = (netc_runtime.load(digits, device, max_batch=4) for device in ("cpu", "openvino"))
    found, expected = (model.predict(draw(rows))["scores"] for model in (theirs, ours))
    assert found.shape == expected.shape == (rows, 3)
    assert np.allclose(found, expected, atol=1e-4)
    assert theirs.check().samples == 3
    report = theirs.report()
    assert report.engine.startswith("openvino ")
    assert (report.device, report.arithmetic, report.providers, report.nodes) == ("cpu", "f32", (), {})


@needs_openvino
def test_openvino_runs_in_threads(digits: Path) -> None:
    model = netc_runtime.load(digits, "openvino")
    plain = netc_runtime.load(digits, "cpu")
    inputs = [draw(1 + index % 3) + index for index in range(30)]

    def answer(x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        return model.predict(x)["scores"]

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(answer, inputs))
    for x, got in zip(inputs, found, strict=True):
        assert np.allclose(got, plain.predict(x)["scores"], atol=1e-3)


@needs_openvino
def test_openvino_has_faults_of_its_own(digits: Path, tmp_path: Path) -> None:
    model = netc_runtime.load(digits, "openvino")
    with pytest.raises(RequestFault) as caught:
        model._run({"image": np.zeros((1, 1, 4, 5), np.float32)})  # pyright: ignore[reportPrivateUsage]
    assert caught.value.code == "R208"
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFault) as refused:
        openvino.OpenVinoRunner(tmp_path / "bad.onnx", 1, "f32")
    assert refused.value.code == "R107"


def test_openvino_that_is_not_installed_is_refused_by_name(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "problem", lambda: "the package openvino is not installed")
    with pytest.raises(EnvironmentFault) as caught:
        netc_runtime.load(digits, "openvino")
    assert caught.value.code == "R403"
    assert 'pip install "netc-runtime[openvino]"' in caught.value.help
    report = netc_runtime.load(digits, "openvino", strict=False).report()
    assert (report.engine, report.notes) == (
        "onnxruntime",
        ("device openvino falls back: the package openvino is not installed",),
    )


# --- warm-up


def test_on_the_cpu_one_row_is_warm_enough(digits: Path) -> None:
    model = netc_runtime.load(digits, "cpu", warm=True)
    (warmed,) = model.report().warm_up
    assert warmed.rows == 1
    assert warmed.second_seconds is not None
    assert min(warmed.first_seconds, warmed.second_seconds) > 0


def test_sizes_that_nobody_said_are_named(segmenter: Callable[..., Path]) -> None:
    model = netc_runtime.load(segmenter(), "cpu", warm=True)
    assert (model.report().warm_up, model.report().notes) == ((), ("no warm-up: the size of H, W is not known",))
    assert netc_runtime.load(segmenter(), "cpu", warm=True, sizes={"H": 8, "W": 4}).report().warm_up
    with pytest.raises(EnvironmentFault, match="the size of H, W is not known"):
        netc_runtime.load(segmenter(), tune=True)


def test_a_recipes_crop_tells_the_sizes() -> None:
    inputs = [Input("image", "f32", ("N", 3, "H", "W"), ImageRecipe(resize=9, crop=(8, 6)))]
    assert known_sizes(inputs, None, {}) == {"H": 8, "W": 6}
    assert known_sizes(inputs, None, {"W": 5}) == {"H": 8, "W": 5}
    made = zeros(inputs, known_sizes(inputs, None, {}), 2)
    assert not isinstance(made, str)
    assert made["image"].shape == (2, 3, 8, 6)


# --- tuning


def test_auto_takes_the_quickest_of_what_is_here_and_says_why(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "SECONDS", 0.01)
    model = netc_runtime.load(digits, tune=True)
    (note,) = [each for each in model.report().notes if each.startswith("tuned: ")]
    assert "is the quickest for a batch of 1: cpu " in note
    assert ("openvino" in note) == (importlib.util.find_spec("openvino") is not None)
    assert model.check().samples == 3


def test_engines_take_turns_and_what_cannot_run_is_left_out() -> None:
    order: list[str] = []

    def engine_of(name: str) -> Callable[[], Callable[[Any], object]]:
        def opened() -> Callable[[Any], object]:
            if name == "broken":
                raise EnvironmentFault("R403", "there is none", "do without")
            return lambda feed: order.append(name)

        return opened

    found = trials([(name, engine_of(name)) for name in ("a", "broken", "b")], {})
    assert [(each.device, each.seconds is None) for each in found] == [("a", False), ("broken", True), ("b", False)]
    assert order[4:8] == ["a", "b", "a", "b"]
    assert quickest(found) in ("a", "b")
    assert "broken not: there is none" in words(found, 1)
    assert quickest([Trial("x", None, "no")]) is None


def test_an_engine_that_fails_meanwhile_is_left_out() -> None:
    calls = 0

    def failing(feed: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RequestFault("R208", "it gives up", "do without")

    found = trials([("a", lambda: lambda feed: None), ("b", lambda: failing)], {})
    assert [(each.device, each.seconds is None) for each in found] == [("a", False), ("b", True)]
    assert "b not: it gives up" in words(found, 1)


def test_an_engine_that_answers_wrongly_is_not_chosen(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(PlainRunner):
        def run(self, feed: Any) -> Any:
            return {name: array + 1 for name, array in super().run(feed).items()}

    plain = opening.open_model

    def open_model(files: Any, settings: Settings, sizes: Any) -> opening.Opened:
        if settings.device.kind != "openvino":
            return plain(files, settings, sizes)
        contract = plain(files, of("cpu"), sizes).contract
        session = engine.open_session(files.paths[0], [(CPU, {})], 1)
        return opening.Opened(Wrong("wrong", session, contract.names), contract)

    monkeypatch.setattr("netc_runtime.session.open_model", open_model)
    monkeypatch.setattr(openvino, "problem", lambda: None)
    monkeypatch.setattr(tune, "SECONDS", 0.01)
    report = netc_runtime.load(digits, tune=True).report()
    assert "tuned: cpu is the quickest" in report.notes[-1]
    assert "openvino not: digits.onnx: the golden example does not reproduce" in report.notes[-1]


def test_running_in_threads_leaves_none_behind(digits: Path) -> None:
    before = threading.active_count()
    netc_runtime.load(digits, "cpu", warm=True).check()
    assert threading.active_count() == before
