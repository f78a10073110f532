"""The doctor: what it finds on machines that we have not got, made of fakes, and on this one."""

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import netc_runtime
from netc_runtime import doctor
from netc_runtime.doctor import engine, gpu, limits, packages, probe
from netc_runtime.doctor.probed import Probed, run_probe
from netc_runtime.doctor.tiny_model import ANSWER, SHAPE, tiny_model
from netc_runtime.providers import CPU, CUDA, TENSORRT, parse_device

NVIDIA_LIBRARIES = ["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudnn.so.9"]
GIB = 2**30


def card(name: str = "NVIDIA H100") -> dict[str, Any]:
    return {"name": name, "memory_bytes": 80 * GIB}


def driver(cards: int = 1, cuda: tuple[int, int] = (13, 0), error: str | None = None) -> dict[str, Any]:
    return {"kind": "driver", "loaded": True, "error": error, "cuda": list(cuda), "cards": [card()] * cards}


NO_DRIVER: dict[str, Any] = {"kind": "driver", "loaded": False, "error": "libcuda.so.1: no such file"}


def ort(available: tuple[str, ...] = (TENSORRT, CUDA, CPU), cuda: str = "13.0") -> dict[str, Any]:
    return {"kind": "onnxruntime", "error": None, "version": "1.31.1", "cuda": cuda, "available": list(available)}


def libraries(*missing: str) -> dict[str, Any]:
    found = {name: None if name in missing else f"/opt/nvidia/lib/{name}" for name in NVIDIA_LIBRARIES}
    return {"kind": "libraries", "found": found}


def opened(provider: str, *got: str, right: bool = True, error: str | None = None, log: str = "") -> dict[str, Any]:
    return {"kind": "provider", "provider": provider, "got": list(got), "right": right, "error": error, "log": log}


CPU_OPENED = opened(CPU, CPU)
TENSORRT_LACKS = opened(TENSORRT, error="RuntimeError: ...", log="E: with error: libnvinfer.so.10: cannot open\nmore")


def judged(device: str, *lines: dict[str, Any], root: Path = Path("/nowhere"), ended: str | None = None) -> Any:
    findings = engine.engine_findings(Probed(lines, ended), parse_device(device), root)
    return {finding.name: finding for finding in findings}


def statuses(findings: Any) -> dict[str, str]:
    return {name: finding.status for name, finding in findings.items()}


# --- NVIDIA's side


def test_a_machine_without_a_card_is_fine_and_runs_on_the_processor() -> None:
    lines = (NO_DRIVER, ort(), libraries(*NVIDIA_LIBRARIES), CPU_OPENED, opened(CUDA, CPU), TENSORRT_LACKS)
    found = judged("auto", *lines)
    assert statuses(found) == {
        "nvidia driver": "absent",
        "onnxruntime": "ok",
        CPU: "ok",
        CUDA: "absent",
        TENSORRT: "absent",
    }
    assert found["nvidia driver"].found == "none, and no NVIDIA card: models run on the processor"
    assert found[CUDA].found.startswith("listed, but a session gets CPUExecutionProvider")


def test_the_same_machine_fails_where_a_gpu_is_asked_for() -> None:
    lines = (NO_DRIVER, ort(), libraries(*NVIDIA_LIBRARIES), CPU_OPENED, opened(CUDA, CPU), TENSORRT_LACKS)
    found = judged("cuda", *lines)
    assert statuses(found)["nvidia driver"] == "fail"
    assert found["nvidia driver"].fix == "use --device cpu, or a machine with an NVIDIA card"
    assert statuses(found)[CUDA] == "fail"
    assert statuses(judged("tensorrt", *lines))[TENSORRT] == "fail"


def test_a_machine_whose_gpu_works_is_all_ok() -> None:
    found = judged("auto", driver(2), ort(), libraries(), CPU_OPENED, opened(CUDA, CUDA, CPU), TENSORRT_LACKS)
    assert statuses(found) == {
        "nvidia driver": "ok",
        "cuda and cudnn": "ok",
        "onnxruntime": "ok",
        CPU: "ok",
        CUDA: "ok",
        TENSORRT: "absent",
    }
    assert found["nvidia driver"].found == "for CUDA 13.0: NVIDIA H100 (80 GiB), NVIDIA H100 (80 GiB)"
    assert found["cuda and cudnn"].found.endswith("from /opt/nvidia/lib")
    assert found[TENSORRT].found == "listed, but a session gets none: libnvinfer.so.10: cannot open"


def test_of_the_processor_nothing_of_a_gpu_is_looked_at() -> None:
    found = judged("cpu", driver(error="cuInit gives 999"), ort(), libraries("libcudnn.so.9"), CPU_OPENED)
    assert statuses(found) == {"onnxruntime": "ok", CPU: "ok"}


def test_a_card_without_a_driver_is_told_with_the_driver_to_install(tmp_path: Path) -> None:
    folder = tmp_path / "sys/bus/pci/devices/0000:65:00.0"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x10de\n")
    (folder / "class").write_text("0x030200\n")
    found = judged("auto", NO_DRIVER, ort(), CPU_OPENED, opened(CUDA, CPU), root=tmp_path)["nvidia driver"]
    assert found.status == "warn"
    assert found.fix == "install NVIDIA's driver, 580 or newer; start a container with the GPU (docker run --gpus all)"
    (folder / "class").write_text("0x040300\n")  # a card's sound is no display
    assert judged("auto", NO_DRIVER, ort(), CPU_OPENED, root=tmp_path)["nvidia driver"].status == "absent"


@pytest.mark.parametrize(
    ("line", "device", "status", "words"),
    [
        (driver(error="cuInit gives 999"), "auto", "warn", "it does not start: cuInit gives 999"),
        (driver(error="cuInit gives 999"), "cuda", "fail", "it does not start: cuInit gives 999"),
        (driver(cards=0), "auto", "absent", "for CUDA 13.0, but it shows no card"),
        (driver(cards=0), "tensorrt", "fail", "for CUDA 13.0, but it shows no card"),
        (driver(2), "cuda:2", "fail", "there is no cuda:2"),
        (driver(cuda=(12, 8)), "auto", "warn", "this ONNX Runtime needs CUDA 13"),
        (driver(cuda=(12, 8)), "cuda", "fail", "this ONNX Runtime needs CUDA 13"),
        (driver(cuda=(13, 2)), "cuda", "ok", "for CUDA 13.2: NVIDIA H100 (80 GiB)"),
    ],
)
def test_a_driver_is_judged(line: dict[str, Any], device: str, status: str, words: str) -> None:
    found = gpu.driver_finding(line, ort(), parse_device(device), Path("/nowhere"))
    assert found.status == status
    assert words in found.found
    assert (found.fix == "") == (status == "ok")


def test_a_driver_that_is_too_old_names_the_one_to_install() -> None:
    found = gpu.driver_finding(driver(cuda=(12, 8)), ort(), parse_device("cuda"), Path("/nowhere"))
    assert found.fix == "install driver 580 or newer"


def test_libraries_that_a_working_gpu_lacks_are_named_with_the_command_that_brings_them() -> None:
    log = "\x1b[1;31mE provider_bridge: Failed to load cuda.so with error: libcudnn.so.9: cannot open\x1b[m"
    found = judged("auto", driver(), ort(), libraries("libcudnn.so.9"), CPU_OPENED, opened(CUDA, CPU, log=log))
    assert statuses(found)["cuda and cudnn"] == "fail"
    assert found["cuda and cudnn"].found == "libcudnn.so.9 cannot be loaded"
    assert found["cuda and cudnn"].fix == 'python -m pip install "onnxruntime-gpu[cuda,cudnn]>=1.31,<2"'
    assert found[CUDA].status == "fail"
    assert found[CUDA].found == "listed, but a session gets CPUExecutionProvider: libcudnn.so.9: cannot open"


def test_a_wheel_without_cuda_beside_a_gpu_is_a_warning_and_a_failure_where_it_is_asked_for() -> None:
    lines = (driver(), ort((CPU,), cuda=""), CPU_OPENED)
    found = judged("auto", *lines)
    assert statuses(found) == {"nvidia driver": "ok", "cuda and cudnn": "warn", "onnxruntime": "ok", CPU: "ok"}
    asked = judged("cuda", *lines)
    assert statuses(asked)[CUDA] == "fail"
    assert asked[CUDA].fix.startswith("python -m pip uninstall -y onnxruntime; then: python -m pip install ")


# --- ONNX Runtime


def test_an_onnx_runtime_that_does_not_import_is_told_with_its_reason() -> None:
    line = {"kind": "onnxruntime", "error": "ImportError: libstdc++.so.6: version `GLIBCXX_3.4.30' not found"}
    found = judged("auto", NO_DRIVER, line)
    assert statuses(found) == {"nvidia driver": "absent", "onnxruntime": "fail"}
    assert "GLIBCXX_3.4.30" in found["onnxruntime"].found
    assert found["onnxruntime"].fix.startswith("python -m pip install --force-reinstall --no-deps onnxruntime")


def test_an_import_that_ends_the_process_is_told() -> None:
    found = judged("auto", NO_DRIVER, ended="was ended by signal 11")
    assert found["onnxruntime"].status == "fail"
    assert found["onnxruntime"].found == "the process that imports it was ended by signal 11"


def test_a_provider_that_ends_the_process_leaves_the_others_known_as_untried() -> None:
    trying = {"kind": "trying", "provider": CUDA}
    lines = (driver(), ort((CUDA, TENSORRT, CPU)), libraries(), CPU_OPENED, trying)
    found = judged("auto", *lines, ended="was ended by signal 11")
    assert statuses(found) == {
        "nvidia driver": "ok",
        "cuda and cudnn": "ok",
        "onnxruntime": "ok",
        CPU: "ok",
        CUDA: "fail",
        TENSORRT: "warn",
    }
    assert found[CUDA].found == "the process that tried it was ended by signal 11"


def test_a_wrong_answer_is_a_failure() -> None:
    found = judged("cuda", driver(), ort(), libraries(), CPU_OPENED, opened(CUDA, CUDA, CPU, right=False))
    assert found[CUDA].status == "fail"
    assert "wrong answer" in found[CUDA].found


# --- the process apart


def test_the_tiny_model_is_onnx_and_its_answer_is_that_of_onnx_s_own_reference() -> None:
    model = onnx.load_from_string(tiny_model())
    onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType]
    (found,) = ReferenceEvaluator(model).run(None, {"x": np.ones(SHAPE, np.float32)})  # pyright: ignore[reportUnknownMemberType]
    assert np.array_equal(np.ravel(found), ANSWER)


def test_the_probe_opens_a_session_on_this_machine_s_processor() -> None:
    probed = run_probe()
    assert probed.ended is None
    assert probed.by_kind["onnxruntime"]["version"] == metadata.version("onnxruntime-gpu")
    found = probed.opened()[CPU]
    assert (found["got"], found["right"], found["error"]) == ([CPU], True, None)
    assert "driver" in probed.by_kind


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_probe_that_dies_gives_the_lines_it_wrote_and_its_last_words() -> None:
    line = json.dumps(NO_DRIVER)
    code = f"import os, sys; print({line!r}, flush=True); print('oh', file=sys.stderr, flush=True); os.abort()"
    probed = run_probe(python(code))
    assert probed.by_kind == {"driver": NO_DRIVER}
    assert (probed.ended, probed.complaint) == ("was ended by signal 6", "oh")


def test_a_probe_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc_runtime.doctor.probed.TIMEOUT_S", 0.5)
    probed = run_probe(python("import time; print('{\"kind\": \"driver', end='', flush=True); time.sleep(60)"))
    assert (probed.lines, probed.ended) == ((), "did not end within 0.5 s")


def test_a_probe_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    assert run_probe([str(tmp_path / "absent")]).ended == "could not be started: No such file or directory"
    assert run_probe(python("raise SystemExit(4)")).ended == "exited with 4"


class Driver:
    """A stand-in for NVIDIA's driver library with two cards."""

    def __init__(self, init: int = 0) -> None:
        self.init = init

    def cuInit(self, flags: int) -> int:  # noqa: N802  # the driver's name
        return self.init

    def cuDriverGetVersion(self, number: Any) -> int:  # noqa: N802
        number._obj.value = 13020
        return 0

    def cuDeviceGetCount(self, number: Any) -> int:  # noqa: N802
        number._obj.value = 2
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = f"card {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, device: ctypes.c_int) -> int:  # noqa: N802
        size._obj.value = (device.value + 1) * GIB
        return 0


def test_the_driver_is_asked_for_its_version_and_its_cards() -> None:
    assert probe.driver(lambda name: Driver()) == {
        "loaded": True,
        "error": None,
        "cuda": [13, 2],
        "cards": [{"name": "card 0", "memory_bytes": GIB}, {"name": "card 1", "memory_bytes": 2 * GIB}],
    }
    assert probe.driver(lambda name: Driver(init=100))["error"] == "cuInit gives 100"

    def absent(name: str) -> None:
        raise OSError(f"{name}: no such file")

    assert probe.driver(absent)["loaded"] is False


# --- packages


def requires(*lines: str) -> Callable[[str], list[str]]:
    return lambda name: list(lines)


def version_of(found: str | None) -> Callable[[str], str]:
    def version(name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    return version


def fails(module: str) -> object:
    raise ImportError(f"{module}: undefined symbol")


NUMPY, OPENVINO = packages.PACKAGES[0], packages.PACKAGES[2]


@pytest.mark.parametrize(
    ("package", "version", "load", "status", "found", "fix"),
    [
        (NUMPY, "2.4.6", str, "ok", "2.4.6", ""),
        (NUMPY, "2.10", str, "ok", "2.10", ""),  # 10 is more than 4
        (NUMPY, "2.3.9", str, "fail", "2.3.9, needs at least 2.4", 'python -m pip install --upgrade "numpy>=2.4"'),
        (NUMPY, None, str, "fail", "not installed", 'python -m pip install "numpy>=2.4"'),
        (
            NUMPY,
            "2.4.6",
            fails,
            "fail",
            "2.4.6 does not import: ImportError: numpy: undefined symbol",
            "python -m pip install --force-reinstall --no-deps numpy",
        ),
        (
            OPENVINO,
            None,
            str,
            "absent",
            "not installed; optional: a second engine for processors",
            "python -m pip install openvino",
        ),
    ],
)
def test_a_package_is_judged(
    package: packages.Package,
    version: str | None,
    load: Callable[[str], object],
    status: str,
    found: str,
    fix: str,
) -> None:
    finding = packages.package_finding(package, version_of(version), load, requires("pillow>=13", "numpy>=2.4"))
    assert (finding.status, finding.found, finding.fix) == (status, found, fix)


def test_without_the_runtime_s_metadata_any_version_does() -> None:
    def absent(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    assert packages.package_finding(NUMPY, version_of("1.0"), str, absent).status == "ok"
    assert packages.least_version("numpy", requires('numpy>=2.4,<3; python_version > "3"')) == "2.4"
    assert packages.least_version("num", requires("numpy>=2.4")) is None


def test_this_runtime_is_named_with_its_place() -> None:
    assert packages.runtime_finding().found == f"{netc_runtime.__version__} in {Path(netc_runtime.__file__).parent}"


def test_two_wheels_over_one_another_are_told_with_both_commands() -> None:
    finding = packages.wheel_finding(["onnxruntime", "onnxruntime-gpu"], version_of("1.31.1"))
    assert finding.status == "fail"
    assert finding.fix == (
        "python -m pip uninstall -y onnxruntime onnxruntime-gpu; then: python -m pip install onnxruntime-gpu"
    )
    assert packages.wheel_finding([], version_of(None)).status == "fail"
    one = packages.wheel_finding(["onnxruntime"], version_of("1.31.1"))
    assert (one.status, one.found) == ("ok", "onnxruntime 1.31.1, and no other")


def test_an_old_python_is_told() -> None:
    assert packages.python_finding((3, 10, 1)).status == "fail"
    assert "needs at least 3.11" in packages.python_finding((3, 10, 1)).found
    assert packages.python_finding((3, 11, 0)).status == "ok"


# --- limits


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_memory_is_what_the_tightest_limit_leaves(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/meminfo": f"MemTotal: {64 * 2**20} kB\nMemAvailable:   {32 * 2**20} kB\n",
            "proc/self/cgroup": "0::/job/inner\n",
            "sys/fs/cgroup/job/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/job/memory.current": f"{1 * GIB}\n",
            "sys/fs/cgroup/job/inner/memory.max": "max\n",
        },
    )
    finding = limits.memory_finding(root, 2**62)
    assert (finding.status, finding.found.partition(";")[0]) == ("ok", "3.0 GiB left, by the control group")
    (root / "sys/fs/cgroup/job/memory.current").write_text(str(4 * GIB - 2**20))
    tight = limits.memory_finding(root, 2**62)
    assert tight.status == "warn"
    assert tight.fix == "give the container more (docker run --memory)"


def test_memory_of_version_1_and_a_limit_of_addresses(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/meminfo": f"MemAvailable: {32 * 2**20} kB\n",
            "proc/self/cgroup": "7:memory:/job\n3:cpu:/job\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "0\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert limits.memory_finding(root, 2**62).found.startswith("2.0 GiB left, by the control group")
    narrow = limits.memory_finding(root, 2 * GIB)
    assert narrow.status == "warn"
    assert "2.0 GiB of addresses" in narrow.found
    assert narrow.fix.startswith("ulimit -v unlimited")


def test_a_system_that_tells_nothing_is_no_fault(tmp_path: Path) -> None:
    assert limits.memory_finding(tmp_path, 2**62).status == "ok"
    assert limits.processor_finding(tmp_path).status == "ok"
    assert limits.threads_finding(tmp_path).status == "ok"


def test_a_processor_is_named_with_what_matters(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "proc/cpuinfo"
    lay(
        tmp_path, {"proc/cpuinfo": "model name\t: Fast 9\nflags\t\t: fpu sse avx2 avx512_vnni\n\nmodel name\t: other\n"}
    )
    assert limits.processor_finding(tmp_path).found == "Fast 9 with avx2, avx512_vnni"
    cpuinfo.write_text("model name : Old 1\nflags : fpu sse\n")
    assert limits.processor_finding(tmp_path).status == "warn"
    cpuinfo.write_text("processor : 0\nFeatures : fp asimd i8mm\n")  # ARM names no model
    assert limits.processor_finding(tmp_path).found.endswith("with asimd, i8mm")


def test_a_quota_holds_the_threads_down(tmp_path: Path) -> None:
    lay(tmp_path, {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "100000 100000\n"})
    assert limits.threads_finding(tmp_path).found.startswith("1 for a session")


# --- the whole


def test_nothing_that_may_be_broken_is_imported_at_the_start() -> None:
    code = "import sys, netc_runtime.doctor; print(sorted({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_this_machine_is_examined() -> None:
    found = {finding.name: finding for finding in doctor.examine(parse_device("cpu"))}
    assert {"python", "numpy", "pillow", "onnxruntime wheel", "onnxruntime", CPU, "threads", "memory"} <= set(found)
    assert [finding for finding in found.values() if finding.status == "fail"] == []
    assert found["numpy"].found == np.__version__


# --- the command


def test_the_command_prints_a_line_a_finding_and_its_fix(
    command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = doctor.Finding("numpy", "fail", "not installed", "install it")
    findings = [doctor.Finding("python", "ok", "3.11.7"), lacking]

    def examined(device: object) -> list[doctor.Finding]:
        return findings

    monkeypatch.setattr(doctor, "examine", examined)
    code, out, err = command("doctor")
    assert code == 3
    assert out == "ok    python  3.11.7\nfail  numpy   not installed\n              -> install it\n"
    assert err == "1 thing is broken: see the lines that begin with fail\n"
    code, out, err = command("doctor", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out) == {
        "schema": 1,
        "ok": False,
        "findings": [
            {"name": "python", "status": "ok", "found": "3.11.7", "fix": ""},
            {"name": "numpy", "status": "fail", "found": "not installed", "fix": "install it"},
        ],
    }
    findings.pop()
    code, out, err = command("doctor")
    assert (code, err) == (0, "all that is needed works\n")


def test_the_command_works_on_this_machine_s_processor(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command("doctor", "--device", "cpu")
    assert code == 0
    assert ["ok", CPU] in [line.split()[:2] for line in out.splitlines()]
    assert command("doctor", "--device", "gpu")[0] == 2


def without(*packages: str) -> str:
    return f"""
import sys
for name in {packages!r}:
    sys.modules[name] = None
from netc_runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("package", ["numpy", "PIL", "onnxruntime"])
def test_the_command_works_where_a_package_is_missing(package: str) -> None:
    line = [*python(without(package)), "doctor", "--device", "cpu", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    failed = [each["name"] for each in json.loads(done.stdout)["findings"] if each["status"] == "fail"]
    # What is optional imports numpy as well, if it is installed here.
    failed = [name for name in failed if name not in {each.name for each in packages.PACKAGES if each.optional}]
    # ONNX Runtime is imported by a process of its own, where it is not missing.
    assert (done.returncode, failed) == {
        "numpy": (3, ["numpy"]),
        "PIL": (3, ["pillow"]),
        "onnxruntime": (0, []),
    }[package]


@pytest.mark.parametrize("package", ["numpy", "PIL"])
def test_other_commands_say_that_a_package_is_missing_and_name_the_doctor(package: str) -> None:
    done = subprocess.run([*python(without(package)), "check", "m.onnx"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(f"error[R406]: the package {package} cannot be imported: ")
    assert "run netc-runtime doctor" in done.stderr
