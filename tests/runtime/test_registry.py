"""Models on disk and in service: versions, swaps that lose nothing, broken files that change nothing."""

import asyncio
import contextlib
import gc
import hashlib
import json
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import onnx
import pytest
from onnx import helper

import netc_runtime
from netc_runtime import Model
from netc_runtime.errors import ModelFault, RequestFault, RuntimeFault, ServeFault
from netc_runtime.golden import golden_input
from netc_runtime.manifest import Golden, Input, Output
from netc_runtime.serving import repository
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.loading import HeadStart, open_version
from netc_runtime.serving.registry import Registry
from netc_runtime.serving.repository import Repository, name_of, version_of
from netc_runtime.serving.served import Served

T = TypeVar("T")
Put: TypeAlias = Callable[..., Path]

load: Callable[[Path], Model] = partial(netc_runtime.load, device="cpu", threads=1, max_batch=4)
X = np.zeros((1, 2), np.float32)


@pytest.fixture
def plus(save_raw: Callable[..., Path]) -> Callable[[int], bytes]:
    """A model that adds a number, so that an answer tells which file it is from."""

    def make(number: int) -> bytes:
        inputs, outputs = [Input("x", "f32", ("N", 2))], [Output("y", "f32", ("N", 2))]
        weights = {"number": np.full(2, number, np.float32)}
        path = save_raw([helper.make_node("Add", ["x", "number"], ["y"])], inputs, outputs, weights)
        return path.read_bytes()

    return make


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def put(models: Path, tmp_path: Path) -> Put:
    """Put a file into the repository in one step, as one should."""

    def write(data: bytes, version: int | str = 1, name: str = "m") -> Path:
        path = models / name / str(version) / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = tmp_path / "part"
        part.write_bytes(data)
        return part.replace(path)

    return write


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


async def started(models: Path, **options: Any) -> Registry:
    registry = Registry(Repository(models), options.pop("load", load), **options)
    await registry.start()
    return registry


async def ask(registry: Registry, version: str | None = None, name: str = "m") -> float:
    with registry.held(name, version) as served:
        return await answer(served)


async def answer(served: Served) -> float:
    return float((await served.infer({"x": X})).outputs["y"][0, 0])


def entries(registry: Registry) -> list[tuple[str, int, str]]:
    return [(each.name, each.version, each.state) for each in registry.index()]


def refusal(registry: Registry, name: str = "m", version: str | None = None) -> ServeFault:
    with pytest.raises(ServeFault) as caught, registry.held(name, version):
        pass
    return caught.value


# --- versions


def test_the_latest_version_answers_unless_another_is_named(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    for version in (1, 2, 10):
        put(plus(version), version)

    async def main() -> None:
        registry = await started(models)
        assert registry.ready
        assert registry.versions("m") == [1, 2, 10]
        assert [await ask(registry, each) for each in (None, "1", "2", "10")] == [10, 1, 2, 10]
        await registry.drain()

    run(main())


def test_only_whole_numbers_are_versions(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    for version in (3, "03", "0", "-1", "v2", "1.0", "٣"):
        put(plus(0), version)
    (models / "a note").write_text("not a model")
    (models / "empty").mkdir()
    (models / ".hidden" / "1").mkdir(parents=True)

    async def main() -> None:
        registry = await started(models)
        assert entries(registry) == [("m", 3, "READY")]
        for version in ("03", "0", "-1", "v2", "1.0", "4", "٣", "", "../3", "9" * 5000):
            fault = refusal(registry, version=version)
            assert (fault.code, fault.status) == ("R541", 404)
        await registry.drain()

    run(main())


def test_one_plain_file_is_version_1_of_the_model_named_after_it(tmp_path: Path, plus: Callable[[int], bytes]) -> None:
    path = tmp_path / "lenet-5.onnx"
    path.write_bytes(plus(7))

    async def main() -> None:
        registry = await started(path)
        assert entries(registry) == [("lenet-5", 1, "READY")]
        assert await ask(registry, "1", "lenet-5") == 7
        await registry.drain()

    run(main())


def test_the_latest_are_kept_and_an_old_one_goes_when_the_new_one_serves(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1), 1)

    async def main() -> None:
        registry = await started(models, latest=1)
        put(b"garbage", 2)
        with pytest.raises(ServeFault):
            await registry.load("m")
        assert entries(registry) == [("m", 1, "READY"), ("m", 2, "UNAVAILABLE")]
        assert await ask(registry) == 1
        put(plus(2), 2)
        await registry.load("m")
        assert entries(registry) == [("m", 2, "READY")]
        assert await ask(registry) == 2
        await registry.drain()

    run(main())


# --- names and links


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/b", "../m", "a\0b", "a\\b", ".hidden", "é", "a b", "m\n", "a" * 129]
)
def test_a_name_that_could_lead_elsewhere_is_no_model(
    models: Path, put: Put, plus: Callable[[int], bytes], name: str
) -> None:
    put(plus(1))
    assert name_of(name) is None

    async def main() -> None:
        registry = await started(models)
        assert (refusal(registry, name).code, refusal(registry, name).status) == ("R540", 404)
        for call in (registry.load, registry.unload):
            with pytest.raises(ServeFault) as caught:
                await call(name)
            assert caught.value.code == "R540"
            assert "\0" not in caught.value.message
        await registry.drain()

    run(main())


def test_names_and_versions_are_bounded() -> None:
    assert name_of("LeNet-5_v1.2") == "LeNet-5_v1.2"
    assert (version_of("1"), version_of("120"), version_of("1" * 19)) == (1, 120, None)


@pytest.mark.parametrize("where", ["file", "version", "model", "beside"])
def test_a_link_that_leaves_the_repository_is_refused(
    models: Path, tmp_path: Path, put: Put, plus: Callable[[int], bytes], where: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    (outside / "1" / "model.onnx").write_bytes(plus(1))
    put(plus(2), 1, "sound")
    if where == "model":
        (models / "m").symlink_to(outside)
    elif where == "version":
        (models / "m").mkdir()
        (models / "m" / "1").symlink_to(outside / "1")
    elif where == "file":
        (models / "m" / "1").mkdir(parents=True)
        (models / "m" / "1" / "model.onnx").symlink_to(outside / "1" / "model.onnx")
    else:
        put(plus(1)).with_name("weights.data").symlink_to(outside / "1" / "model.onnx")

    async def main() -> None:
        registry = await started(models)
        assert entries(registry) == [("m", 1, "UNAVAILABLE"), ("sound", 1, "READY")]
        assert "leads out of the repository" in registry.index()[0].reason
        assert str(tmp_path) not in registry.index()[0].reason
        await registry.drain()

    run(main())


def test_a_link_to_nothing_is_a_reason(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1)).unlink()
    (models / "m" / "1" / "model.onnx").symlink_to("missing")

    async def main() -> None:
        registry = await started(models)
        assert [(each.state, each.reason) for each in registry.index()] == [
            ("UNAVAILABLE", "m/1: No such file or directory")
        ]
        await registry.drain()

    run(main())


def test_a_folder_of_too_many_files_is_not_read_on(
    models: Path, put: Put, plus: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MOST_FILES", 2)
    path = put(plus(1))
    for name in ("a", "b"):
        path.with_name(name).write_text("")

    async def main() -> None:
        registry = await started(models)
        assert registry.index()[0].reason == "m/1 has 3 files, at most 2 lie beside a model"
        await registry.drain()

    run(main())


def test_a_link_within_the_repository_is_followed(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1)).parent.rename(models / "m" / "data")
    (models / "m" / "1").symlink_to("data")  # as Kubernetes mounts a ConfigMap

    async def main() -> None:
        registry = await started(models)
        assert await ask(registry) == 1
        await registry.drain()

    run(main())


@pytest.mark.parametrize("kind", ["missing", "fifo", "bad name"])
def test_a_repository_that_is_none_is_a_fault(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("bad name.onnx" if kind == "bad name" else "models")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "bad name":
        path.write_bytes(b"x")
    with pytest.raises(ServeFault) as caught:
        run(started(path))
    assert (caught.value.code, caught.value.status) == ("R542", 503)


# --- broken files


def test_a_broken_new_version_leaves_the_old_one_serving_and_the_index_says_why(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1), 1)

    async def main() -> None:
        registry = await started(models)
        put(plus(2)[:-20], 2)
        with pytest.raises(ServeFault) as caught:
            await registry.load("m")
        assert (caught.value.code, caught.value.status) == ("R543", 400)
        assert "m/2/model.onnx is truncated" in caught.value.message
        assert entries(registry) == [("m", 1, "READY"), ("m", 2, "UNAVAILABLE")]
        reason = registry.index()[1].reason
        assert "[R106]" in reason
        assert str(models) not in reason
        assert await ask(registry) == 1
        assert registry.ready
        fault = refusal(registry, version="2")
        assert (fault.code, fault.status) == ("R544", 503)
        await registry.drain()

    run(main())


def test_a_broken_file_in_a_version_s_place_leaves_the_version_serving(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1), 1)

    async def main() -> None:
        registry = await started(models)
        put(b"garbage", 1)
        await registry.poll()
        await registry.poll()
        assert entries(registry) == [("m", 1, "READY")]
        assert "[R106]" in registry.index()[0].reason
        assert await ask(registry) == 1
        put(plus(3), 1)
        await registry.poll()
        await registry.poll()
        assert registry.index()[0].reason == ""
        assert await ask(registry) == 3
        await registry.drain()

    run(main())


def test_a_model_that_does_not_reproduce_its_golden_example_is_not_loaded(
    models: Path, put: Put, save_linear: Callable[..., Path], linear_manifest: Callable[..., Any], linear: Any
) -> None:
    expected = float(linear(golden_input(11, (1, 1, 4, 4)))[0, 0])
    for version, value in ((1, expected), (2, expected + 1)):
        golden = Golden(11, {"image": (1, 1, 4, 4)}, {"scores": ((0, value),)}, 1e-4)
        put(save_linear(linear_manifest(golden=golden)).read_bytes(), version)

    async def main() -> None:
        registry = await started(models)
        assert entries(registry) == [("m", 1, "READY"), ("m", 2, "UNAVAILABLE")]
        assert "[R111]" in registry.index()[1].reason
        await registry.drain()

    run(main())


def test_weights_of_another_hash_are_not_loaded(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    held = b"weights" * 10
    said = {"file": "w.data", "size_bytes": len(held), "sha256": hashlib.sha256(held).hexdigest()}
    model = onnx.load_model_from_string(plus(1))
    helper.set_model_props(model, {"netc_data": json.dumps(said)})
    path = put(model.SerializeToString())
    weights = path.with_name("w.data")
    weights.write_bytes(bytes(len(held)))

    async def main() -> None:
        registry = await started(models)
        assert entries(registry) == [("m", 1, "UNAVAILABLE")]
        assert "[R114]" in registry.index()[0].reason
        weights.write_bytes(held)
        await registry.load("m")
        assert entries(registry) == [("m", 1, "READY")]
        await registry.drain()

    run(main())


def test_a_file_that_changes_while_it_is_loaded_is_not_served(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    path = put(plus(1))
    writers = [lambda: path.write_bytes(plus(2))]

    def overtaken(file: Path) -> Model:
        model = load(file)
        if writers:
            writers.pop()()
        return model

    async def main() -> None:
        registry = await started(models, load=overtaken)
        assert entries(registry) == [("m", 1, "UNAVAILABLE")]
        assert "[R546]" in registry.index()[0].reason
        assert not registry.ready
        await registry.poll()
        await registry.poll()
        assert await ask(registry) == 2
        assert registry.ready
        await registry.drain()

    run(main())


def test_a_file_is_polled_until_it_stays_the_same(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))
    opened: list[Path] = []

    def counting(path: Path) -> Model:
        opened.append(path)
        return load(path)

    async def main() -> None:
        registry = await started(models, load=counting)
        path = models / "m" / "2" / "model.onnx"
        path.parent.mkdir()
        whole = plus(2)
        for part in (10, 50, len(whole)):
            path.write_bytes(whole[:part])
            await registry.poll()
            assert len(opened) == 1
            assert entries(registry)[1] == ("m", 2, "UNAVAILABLE")
        await registry.poll()
        assert len(opened) == 2
        assert await ask(registry) == 2
        await registry.poll()
        assert len(opened) == 2
        put(b"garbage", 3)
        for _ in range(4):
            await registry.poll()
        assert len(opened) == 3  # a file that failed is left alone until it changes
        await registry.drain()

    run(main())


def test_a_file_that_is_put_back_before_it_was_loaded_is_nothing_new(
    models: Path, tmp_path: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    path = put(plus(1))

    async def main() -> None:
        registry = await started(models)
        path.rename(tmp_path / "kept")
        put(plus(2))
        await registry.poll()
        assert "its files are new" in registry.index()[0].reason
        (tmp_path / "kept").rename(path)
        await registry.poll()
        assert registry.index()[0].reason == ""
        await registry.drain()

    run(main())


def test_a_version_that_is_removed_while_it_is_loaded_is_not_served(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    path = put(plus(1))

    def removed(file: Path) -> Model:
        model = load(file)
        path.unlink()
        path.parent.rmdir()
        return model

    async def main() -> None:
        registry = await started(models, load=removed)
        assert registry.index()[0].reason == "m/1/model.onnx cannot be opened: No such file or directory [R101]"
        await registry.poll()
        assert registry.index() == []
        with pytest.raises(ServeFault) as caught:
            await registry.load("m")
        assert caught.value.code == "R540"
        await registry.drain()

    run(main())


def test_a_version_that_is_removed_before_its_last_look_is_not_served(
    models: Path, put: Put, plus: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(plus(1))
    found = Repository(models).scan()["m"][1]
    real = Model.check

    def checked(model: Model) -> Any:
        path.unlink()
        path.parent.rmdir()
        return real(model)

    monkeypatch.setattr(Model, "check", checked)
    with pytest.raises(ServeFault) as caught:
        open_version(Repository(models), found, load)
    assert (caught.value.code, caught.value.status) == ("R546", 503)
    assert "No such file or directory" in caught.value.message


class Loads:
    """Loads files, and knows which."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> Model:
        self.paths.append(path)
        return load(path)


def test_what_was_opened_ahead_is_served_and_not_opened_again(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    for version in (1, 2):
        put(plus(version), version)
    put(plus(3), name="z")
    loads = Loads()

    async def main() -> None:
        with HeadStart(Repository(models), loads) as ahead:
            registry = await started(models, load=loads, ahead=ahead.take)
            assert (await ask(registry, "1"), await ask(registry), await ask(registry, name="z")) == (1, 2, 3)
            assert [str(path.parent.relative_to(models)) for path in loads.paths] == ["m/2", "m/1", "z/1"]
            await registry.load("m")  # no file has changed
            put(plus(4), 2)
            await registry.load("m")
            assert await ask(registry) == 4
            await registry.drain()

    run(main())


def test_what_was_opened_ahead_of_a_file_that_has_changed_is_not_served(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))

    async def main() -> None:
        with HeadStart(Repository(models), load) as ahead:
            put(plus(22))
            registry = await started(models, ahead=ahead.take)
            assert await ask(registry) == 22
            await registry.drain()

    run(main())


def test_a_fault_of_what_was_opened_ahead_is_the_reason_and_keeps_no_memory(
    models: Path, put: Put, plus: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(plus(1))
    kept: list[weakref.ref[Model]] = []

    def failing(model: Model) -> Any:
        kept.append(weakref.ref(model))
        raise ModelFault("R111", "it does not reproduce", "export again")

    monkeypatch.setattr(Model, "check", failing)

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            with HeadStart(Repository(models), load) as ahead:
                registry = await started(models, ahead=ahead.take)
            (entry,) = registry.index()
            assert (entry.state, entry.reason) == ("UNAVAILABLE", "it does not reproduce [R111]")
            for _ in range(500):  # what woke this task, and the thread that told it, hold the fault for a moment
                await asyncio.sleep(0.01)
                if kept[0]() is None:
                    break
            assert [model() for model in kept] == [None]
        finally:
            gc.enable()
        await registry.drain()

    run(main())


@pytest.mark.parametrize("there", ["nothing", "no file"])
def test_where_nothing_can_be_opened_ahead_nothing_is(models: Path, there: str) -> None:
    if there == "no file":
        (models / "m" / "1").mkdir(parents=True)
    loads = Loads()
    with HeadStart(Repository(models), loads) as ahead:
        for versions in Repository(models).scan().values():
            assert ahead.take(versions[1]) is None
    assert loads.paths == []


def test_an_error_of_a_library_is_a_reason_without_its_words(
    models: Path, put: Put, plus: Callable[[int], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    put(plus(1))

    def failing(path: Path) -> Model:
        raise KeyError("secret")

    async def main() -> None:
        registry = await started(models, load=failing)
        assert entries(registry) == [("m", 1, "UNAVAILABLE")]
        assert registry.index()[0].reason == "it fails with KeyError; see the server's log"
        await registry.drain()

    run(main())
    assert "secret" in caplog.text


# --- swaps


def test_a_reload_under_load_loses_no_request(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    files = {number: plus(number) for number in range(1, 13)}
    put(files[1])

    async def main() -> None:
        registry = await started(models, latest=1, limits=Limits(rows=10_000))
        answers: dict[int, int] = {}
        new = asyncio.Event()
        wanted = 1
        stop = False

        async def client() -> None:
            while not stop:
                got = int(await ask(registry))
                answers[got] = answers.get(got, 0) + 1
                if got == wanted:
                    new.set()

        clients = [asyncio.create_task(client()) for _ in range(64)]
        for number in range(2, 13):
            put(files[number], 1 if number % 2 else number)  # in its place, or a new version beside it
            if number % 2:
                for version in [each for each in registry.versions("m") if each != 1]:
                    (models / "m" / str(version) / "model.onnx").unlink()
                    (models / "m" / str(version)).rmdir()
            wanted = number
            new.clear()
            await registry.load("m")
            await new.wait()
        stop = True
        await asyncio.gather(*clients)  # raises what any request had for a fault
        assert set(answers) == set(range(1, 13))
        await registry.drain()
        assert [each.name for each in threading.enumerate() if each.name == "netc-m"] == []

    run(main())


def test_a_version_that_was_swapped_leaves_memory_at_once(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))
    loaded: list[weakref.ref[Model]] = []

    def noting(path: Path) -> Model:
        model = load(path)
        loaded.append(weakref.ref(model))
        return model

    async def main() -> None:
        registry = await started(models, load=noting)
        for number in (2, 3):
            assert await ask(registry) == number - 1  # its deadline's timer still runs
            put(b"broken")
            with contextlib.suppress(ServeFault):
                await registry.load("m")  # what the fault went through may not keep the version that goes on
            put(plus(number))
            await registry.load("m")
        await registry.settled()
        assert [each() is None for each in loaded] == [True, True, False]
        await registry.drain()

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_what_is_held_is_answered_by_the_version_that_was_removed(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1), 1)
    second = put(plus(2), 2)

    async def main() -> None:
        registry = await started(models)
        with registry.held("m") as served:
            second.unlink()
            second.parent.rmdir()
            await registry.poll()
            assert (refusal(registry, version="2").code, refusal(registry, version="2").status) == ("R541", 404)
            assert await ask(registry) == 1
            assert await answer(served) == 2
            assert served.batcher.open
        await registry.drain()
        assert not served.batcher.open

    run(main())


def test_a_model_that_is_removed_is_gone(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))
    put(plus(2), 1, "n").unlink()
    (models / "n" / "1").rmdir()

    async def main() -> None:
        registry = await started(models)
        (models / "m" / "1" / "model.onnx").unlink()
        await registry.poll()
        assert await ask(registry) == 1  # the folder is there: its file may be about to be written
        assert "has no model.onnx" in registry.index()[0].reason
        (models / "m" / "1").rmdir()
        await registry.poll()
        assert refusal(registry).code == "R540"
        assert registry.index() == []
        await registry.drain()

    run(main())


def test_unloading_lasts_until_it_is_loaded_again(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))

    async def main() -> None:
        registry = await started(models)
        await registry.unload("m")
        await registry.poll()
        await registry.poll()
        assert refusal(registry).code == "R540"
        assert [(each.state, each.reason) for each in registry.index()] == [("UNAVAILABLE", "it was unloaded")]
        assert registry.ready
        await registry.load("m")
        assert await ask(registry) == 1
        assert [each.state for each in registry.index()] == ["READY"]
        await registry.drain()

    run(main())


def test_there_are_no_more_models_than_the_limit(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    for name in ("a", "b", "c"):
        put(plus(1), 1, name)

    async def main() -> None:
        registry = await started(models, most=2)
        assert entries(registry) == [("a", 1, "READY"), ("b", 1, "READY"), ("c", 1, "UNAVAILABLE")]
        assert "[R545]" in registry.index()[2].reason
        await registry.unload("a")
        await registry.load("c")
        assert await ask(registry, name="c") == 1
        await registry.drain()

    run(main())


def test_a_new_version_takes_the_place_of_the_old_one_at_the_limit(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1), 1)

    async def main() -> None:
        registry = await started(models, most=1, latest=1)
        put(plus(2), 2)
        await registry.load("m")
        assert entries(registry) == [("m", 2, "READY")]
        await registry.drain()

    run(main())


def test_a_request_at_fault_is_told_the_model_s_name(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))

    async def main() -> None:
        registry = await started(models)
        with registry.held("m") as served, pytest.raises(RequestFault) as caught:
            await served.infer({"x": np.zeros((1, 3), np.float32)})
        assert caught.value.message == 'm: input "x" is (1, 3), expected (N, 2)'
        await registry.drain()

    run(main())


# --- the end, and what is counted


def test_draining_answers_what_is_held_and_refuses_the_rest(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))

    async def main() -> None:
        registry = await started(models)
        with registry.held("m") as served:
            draining = asyncio.create_task(registry.drain())
            await asyncio.sleep(0)
            assert not registry.ready
            assert (refusal(registry).code, refusal(registry).status) == ("R531", 503)
            assert await answer(served) == 1
            assert not draining.done()
        await draining

    run(main())


def test_draining_does_not_wait_for_a_load(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1))
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> Model:
        begun.set()
        go_on.wait()
        return load(path)

    async def main() -> None:
        registry = Registry(Repository(models), slow)
        starting = asyncio.create_task(registry.start())
        await asyncio.to_thread(begun.wait)
        assert [(each.state, each.reason) for each in registry.index()] == [("LOADING", "")]
        assert (refusal(registry).code, refusal(registry).retry_after_s) == ("R544", 1.0)
        await registry.drain()
        go_on.set()
        await starting
        assert registry.served() == []
        assert not registry.ready

    run(main())


def test_a_start_that_is_cancelled_leaves_nothing_half_loaded(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> Model:
        begun.set()
        go_on.wait()
        return load(path)

    async def main() -> None:
        registry = Registry(Repository(models), slow)
        starting = asyncio.create_task(registry.start())
        await asyncio.to_thread(begun.wait)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert [each.state for each in registry.index()] == ["UNAVAILABLE"]
        go_on.set()
        await registry.start()
        assert await ask(registry) == 1
        await registry.drain()

    run(main())


def test_a_version_that_hangs_while_it_is_closed_is_seen_by_the_watchdog(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))
    begun, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        registry = await started(models, limits=Limits(hung_after_s=0.0))
        with registry.held("m") as served:
            real = served.model.predict

            def hangs(feed: Any) -> Any:
                begun.set()
                go_on.wait()
                return real(feed)

            served.batcher._run = hangs  # pyright: ignore[reportPrivateUsage]  # a model cannot be told to wait
            asked = asyncio.create_task(answer(served))
            await asyncio.to_thread(begun.wait)
        await registry.unload("m")
        assert registry.ready
        assert not registry.live
        assert (registry.served(), registry.at_work()) == ([], [served])
        go_on.set()
        assert await asked == 1
        await registry.drain()
        assert registry.live

    run(main())


def test_a_worker_that_dies_makes_the_server_neither_live_nor_ready(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))
    died: list[bool] = []

    async def main() -> None:
        registry = await started(models, died=lambda: died.append(True))
        with registry.held("m") as served:

            def dies(feed: Any) -> Any:
                raise SystemExit

            assert registry.live
            served.batcher._run = dies  # pyright: ignore[reportPrivateUsage]  # what a session cannot be made to do
            with pytest.raises(ServeFault) as caught:
                await answer(served)
        assert caught.value.code == "R535"
        assert (registry.live, registry.ready, died) == (False, False, [True])
        await registry.drain()

    run(main())


def test_statistics_are_each_version_s(models: Path, put: Put, plus: Callable[[int], bytes]) -> None:
    put(plus(1), 1)
    put(plus(2), 2)
    put(plus(3), 1, "n")

    async def main() -> None:
        registry = await started(models)
        for version in ("1", "2", "2"):
            await ask(registry, version)
        with pytest.raises(RuntimeFault), registry.held("m", "1") as served:
            await served.infer({"wrong": X})
        chosen = registry.statistics()["model_stats"]
        assert [(each["name"], each["version"], each["inference_count"]) for each in chosen] == [
            ("m", "1", 1),
            ("m", "2", 2),
            ("n", "1", 0),
        ]
        assert chosen[1]["inference_stats"]["success"]["count"] == 2
        assert chosen[1]["inference_stats"]["success"]["ns"] > 0
        assert [each["version"] for each in registry.statistics("m")["model_stats"]] == ["1", "2"]
        assert [each["version"] for each in registry.statistics("m", "2")["model_stats"]] == ["2"]
        put(plus(4), 2)
        await registry.load("m")
        assert await ask(registry) == 4
        assert registry.statistics("m", "2")["model_stats"][0]["inference_count"] == 3  # counters go on over a reload
        for name, version, code in (("x", None, "R540"), ("m", "7", "R541")):
            with pytest.raises(ServeFault) as caught:
                registry.statistics(name, version)
            assert caught.value.code == code
        await registry.drain()

    run(main())


# --- what one call, or one folder, does to the others


def test_a_load_whose_caller_leaves_goes_on_and_the_next_one_finds_it(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    begun, go_on, loads = threading.Event(), threading.Event(), list[Path]()

    def slow(path: Path) -> Model:
        loads.append(path)
        begun.set()
        go_on.wait()
        return load(path)

    async def main() -> None:
        registry = await started(models, load=slow)
        put(plus(1))
        for _ in range(3):
            asks = asyncio.create_task(registry.load("m"))
            await asyncio.to_thread(begun.wait)
            asks.cancel()
            await asyncio.wait([asks])
        go_on.set()
        await registry.load("m")
        assert await ask(registry) == 1
        assert len(loads) == 1
        await registry.drain()

    run(main())


def test_a_model_that_comes_later_and_is_broken_takes_nobody_away_from_the_others(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))

    async def main() -> None:
        registry = await started(models)
        put(b"broken", name="other")
        for _ in range(3):
            await registry.poll()
            assert registry.ready
        assert entries(registry) == [("m", 1, "READY"), ("other", 1, "UNAVAILABLE")]
        put(plus(2), name="other")
        for _ in range(2):
            await registry.poll()
        assert await ask(registry, name="other") == 2
        assert registry.ready
        with registry.held("other") as served:
            served.batcher.failed = RuntimeError()  # now that it is served it counts
            assert not registry.ready
        await registry.unload("other")
        assert registry.ready
        await registry.drain()

    run(main())


def test_a_start_that_fails_is_made_up_for(tmp_path: Path, plus: Callable[[int], bytes]) -> None:
    root = tmp_path / "models"
    path = root / "m" / "1" / "model.onnx"

    async def main() -> None:
        registry = Registry(Repository(root), load)
        with pytest.raises(ServeFault) as caught:
            await registry.start()
        assert caught.value.code == "R542"
        path.parent.mkdir(parents=True)
        path.write_bytes(plus(1))
        await registry.poll()
        assert not registry.ready  # it is new
        await registry.poll()
        assert registry.ready
        assert await ask(registry) == 1
        await registry.drain()

    run(main())


def test_a_link_that_leads_to_itself_is_one_version_s_trouble(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))
    put(plus(2), 2).with_name("x").symlink_to("x")

    async def main() -> None:
        registry = await started(models)
        assert entries(registry) == [("m", 1, "READY"), ("m", 2, "UNAVAILABLE")]
        assert await ask(registry) == 1
        await registry.poll()
        await registry.drain()

    run(main())


def test_a_load_tries_again_what_failed_for_a_moment_while_an_older_one_serves(
    models: Path, put: Put, plus: Callable[[int], bytes]
) -> None:
    put(plus(1))
    fails: list[bool] = []

    def sometimes(path: Path) -> Model:
        if fails:
            raise OSError("for a moment")
        return load(path)

    async def main() -> None:
        registry = await started(models, load=sometimes)
        put(plus(2))
        fails.append(True)
        with pytest.raises(ServeFault) as caught:
            await registry.load("m")
        assert caught.value.code == "R543"
        assert await ask(registry) == 1
        fails.clear()
        await registry.load("m")
        assert await ask(registry) == 2
        await registry.drain()

    run(main())
