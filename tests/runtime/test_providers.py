"""Devices: what is asked for is had or refused, whatever ONNX Runtime lists."""

import ctypes
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netc_runtime import engine, errors, load, providers
from netc_runtime.errors import EnvironmentFault


@pytest.mark.parametrize(
    ("text", "kind", "index", "needed"),
    [
        ("auto", "auto", 0, "CUDAExecutionProvider"),
        ("cpu", "cpu", 0, "CPUExecutionProvider"),
        ("cuda", "cuda", 0, "CUDAExecutionProvider"),
        ("cuda:3", "cuda", 3, "CUDAExecutionProvider"),
        ("tensorrt", "tensorrt", 0, "TensorrtExecutionProvider"),
    ],
)
def test_a_device_word_names_its_providers(text: str, kind: str, index: int, needed: str) -> None:
    device = providers.parse_device(text)
    assert (device.kind, device.index, device.needed, str(device)) == (kind, index, needed, text)
    assert device.providers[0][0] == needed
    assert device.providers[-1][0] == "CPUExecutionProvider"
    assert all(
        options["device_id"] == str(index) for name, options in device.providers if name != "CPUExecutionProvider"
    )


@pytest.mark.parametrize("text", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1 ", "cuda:12345", "cuda:¹", "cuda:0\n"])
def test_another_word_is_refused(text: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        providers.parse_device(text)
    assert (caught.value.code, caught.value.exit_code) == ("R404", 2)
    assert repr(text) in caught.value.message


class Driver:
    """A stand-in for NVIDIA's driver library."""

    def __init__(self, init: int = 0, devices: int = 1) -> None:
        self.init, self.devices = init, devices

    def cuInit(self, flags: int) -> int:  # noqa: N802  # the driver's name
        return self.init

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.devices
        return 0


def use_driver(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def open_library(name: str) -> Driver:
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", open_library)


BUILT = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("driver", "index", "built", "words"),
    [
        (Driver(), 0, ["CPUExecutionProvider"], "built without CUDA"),
        (None, 0, BUILT, "no NVIDIA driver"),
        (Driver(init=100), 0, BUILT, "cuInit gives 100"),
        (Driver(devices=2), 2, BUILT, "cuda:2 is asked for, the NVIDIA driver has 2 device(s)"),
        (Driver(devices=2), 1, BUILT, None),
    ],
)
def test_the_driver_is_asked_before_onnx_runtime_is(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, index: int, built: list[str], words: str | None
) -> None:
    use_driver(monkeypatch, driver)
    problem = providers.gpu_problem(index, built)
    assert problem is None if words is None else words in str(problem)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_a_named_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, digits: Path, device: str
) -> None:
    use_driver(monkeypatch, None)
    with pytest.raises(EnvironmentFault) as caught:
        load(digits, device)
    assert (caught.value.code, caught.value.exit_code) == ("R403", 3)
    assert f"device {device} is asked for" in caught.value.message
    assert "no NVIDIA driver" in caught.value.message


def test_auto_falls_back_to_the_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch, digits: Path) -> None:
    use_driver(monkeypatch, None)
    report = load(digits, "auto").report()
    assert (report.device, report.providers) == ("cpu", ("CPUExecutionProvider",))
    assert "device auto falls back: there is no NVIDIA driver here" in report.notes[0]


def test_a_named_device_falls_back_only_when_not_strict(monkeypatch: pytest.MonkeyPatch, digits: Path) -> None:
    use_driver(monkeypatch, None)
    report = load(digits, "cuda", strict=False).report()
    assert report.device == "cpu"
    assert "device cuda falls back" in report.notes[0]
    assert load(digits, "cpu").report().notes == ()


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_onnx_runtime_s_silent_fall_back_is_seen(monkeypatch: pytest.MonkeyPatch, digits: Path, device: str) -> None:
    # A driver that starts, and an ONNX Runtime that drops the provider all the same: a CUDA library is missing.
    use_driver(monkeypatch, Driver())
    real = engine.open_session

    def without_cuda(path: Path, wanted: object, threads: int, **named: Any) -> engine.Session:
        if wanted == [(providers.CPU, {})]:
            return real(path, [(providers.CPU, {})], threads, **named)
        return real(path, [(providers.CPU, {})], threads)

    monkeypatch.setattr(engine, "open_session", without_cuda)
    with pytest.raises(EnvironmentFault) as caught:
        load(digits, device)
    assert caught.value.code == "R403"
    assert "ONNX Runtime gives CPUExecutionProvider" in caught.value.message
    assert "falls back: ONNX Runtime gives" in load(digits, "auto").report().notes[0]


def test_onnx_runtime_in_search_of_cuda_leaves_standard_output_alone(
    digits: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = engine.open_session(digits, providers.parse_device("cuda").providers, threads=1)
    assert session.get_providers()[-1] == "CPUExecutionProvider"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("wheels", "keep"),
    [
        (["onnxruntime", "onnxruntime-gpu"], "onnxruntime-gpu"),
        (["onnxruntime", "onnxruntime-openvino"], "onnxruntime"),
    ],
)
def test_two_wheels_are_a_clash_with_the_commands_that_mend_it(wheels: list[str], keep: str) -> None:
    clash = providers.wheel_clash(wheels)
    assert clash is not None
    assert (clash.code, clash.exit_code) == ("R402", 3)
    assert f"python -m pip uninstall -y {' '.join(wheels)}" in clash.help
    assert clash.help.endswith(f"python -m pip install {keep}")


def test_one_wheel_or_none_is_no_clash() -> None:
    assert providers.wheel_clash([]) is None
    assert providers.wheel_clash(providers.installed_wheels()) is None


def cgroup_tree(root: Path, membership: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": membership, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),  # 3.5 processors: the fourth would be throttled
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/from/the/host\n", {"sys/fs/cgroup/cpu.max": "500000 100000\n"}, 5),
        (
            "4:cpu,cpuacct:/job\n0::/\n",
            {
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            "4:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("3:memory:/\n", {}, 8),
        ("", {}, 8),
        ("nonsense\n", {"sys/fs/cgroup/cpu.max": "nonsense"}, 8),
    ],
)
def test_threads_follow_the_affinity_mask_and_the_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, membership: str, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]  # the stand-in needs no type
    assert providers.usable_threads(cgroup_tree(tmp_path, membership, files)) == expected


def test_a_broken_onnx_runtime_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Uninstalling one of two wheels leaves a folder that still imports, as an empty module.
    importer: Callable[[], object] = vars(engine)["_import"]

    def empty(name: str) -> object:
        return object()

    monkeypatch.setattr(importlib, "import_module", empty)
    with pytest.raises(EnvironmentFault) as caught:
        importer()
    assert (caught.value.code, caught.value.exit_code) == ("R401", 3)
    assert "has no InferenceSession" in caught.value.message
    assert "--force-reinstall" in caught.value.help

    def absent(name: str) -> object:
        raise ModuleNotFoundError("No module named 'onnxruntime'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(EnvironmentFault, match="R401"):
        importer()
    monkeypatch.setattr(providers, "installed_wheels", lambda: ["onnxruntime", "onnxruntime-gpu"])
    with pytest.raises(EnvironmentFault, match="R402"):
        importer()


def test_every_code_has_one_family_and_an_exit_code() -> None:
    families = {
        fault.family: fault
        for fault in (errors.ModelFault, errors.RequestFault, errors.ImageFault, EnvironmentFault, errors.ServeFault)
    }
    assert {code for code in errors.CODES if code.startswith("R5")} == set(errors.STATUSES)
    for code, kind in errors.CODES.items():
        fault = families[code[:2]](code, "a.onnx: one, expected two", "do this")
        assert fault.exit_code == kind.exit_code
        assert fault.exit_code in (1, 2, 3)
        assert fault.render() == f"error[{code}]: a.onnx: one, expected two\n  = help: do this"
    with pytest.raises(AssertionError):
        errors.ModelFault("R301", "an image's code", "is not a model's")
