"""Which device a model runs on: the device words, what this machine really has, and how many threads to start."""

import ctypes
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeAlias

from netc_runtime.errors import EnvironmentFault

# A provider's name and its options, as ONNX Runtime takes them.
Provider: TypeAlias = tuple[str, dict[str, str]]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

# All of these unpack into the one folder `onnxruntime`.
WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm")


@dataclass(frozen=True, slots=True)
class Device:
    """A device asked for: `auto` is CUDA where it works, else the CPU."""

    kind: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.kind == "cuda" and self.index else self.kind

    @property
    def needed(self) -> str:
        """The provider without which a session does not run on this device."""
        return {"cpu": CPU, "tensorrt": TENSORRT}.get(self.kind, CUDA)

    @property
    def providers(self) -> list[Provider]:
        """The providers to ask for, the preferred first."""
        on = {"device_id": str(self.index)}
        # EXHAUSTIVE would tune anew at every new shape; TF32 would cost parity.
        cuda: Provider = (CUDA, {**on, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
        if self.kind in ("cpu", "openvino"):
            return [(CPU, {})]
        return [*([(TENSORRT, on)] if self.kind == "tensorrt" else []), cuda, (CPU, {})]


def parse_device(text: str) -> Device:
    """Read `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `openvino`.

    Raises: EnvironmentFault R404.
    """
    match text:
        case "auto" | "cpu" | "cuda" | "tensorrt" | "openvino":
            return Device(text)
        case _:
            found = re.fullmatch("cuda:([0-9]{1,4})", text)
            if found is None:
                raise EnvironmentFault(
                    "R404", f"there is no device {text!r}", "write auto, cpu, cuda, cuda:1, tensorrt or openvino"
                )
            return Device("cuda", int(found[1]))


def gpu_problem(index: int, available: Iterable[str]) -> str | None:
    """Say why no CUDA session can start here, or nothing; `available` is what ONNX Runtime lists.

    What ONNX Runtime lists is what it was built with. Asking the driver costs nothing and prints nothing, whereas
    ONNX Runtime logs errors and then runs on the CPU.
    """
    if CUDA not in available:
        return "the installed ONNX Runtime was built without CUDA (the wheel with CUDA is onnxruntime-gpu)"
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"there is no NVIDIA driver here ({library} is not found)"
    status = int(driver.cuInit(0))
    if status != 0:
        return f"the NVIDIA driver does not start (cuInit gives {status})"
    count = ctypes.c_int(0)
    status = int(driver.cuDeviceGetCount(ctypes.byref(count)))
    if status != 0 or index >= count.value:
        return f"cuda:{index} is asked for, the NVIDIA driver has {count.value} device(s)"
    return None


def not_obtained(device: Device, reason: str) -> EnvironmentFault:
    """Make the error for a device that was named and cannot be had."""
    needs = 'a GPU needs its driver and python -m pip install "onnxruntime-gpu[cuda,cudnn]>=1.31,<2"'
    if device.kind == "openvino":
        needs = 'OpenVINO needs python -m pip install "netc-runtime[openvino]"'
    return EnvironmentFault(
        "R403",
        f"device {device} is asked for and not available: {reason}",
        f"use device=cpu or device=auto; {needs}",
    )


def installed_wheels() -> list[str]:
    """Give the ONNX Runtime wheels that are installed in this environment."""
    found: list[str] = []
    for name in WHEELS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def wheel_clash(wheels: Iterable[str]) -> EnvironmentFault | None:
    """Make the error for two wheels unpacked over one another, or nothing; `pip check` does not see it."""
    found = list(wheels)
    if len(found) < 2:
        return None
    keep = "onnxruntime-gpu" if "onnxruntime-gpu" in found else found[0]
    return EnvironmentFault(
        "R402",
        f"{' and '.join(found)} are both installed, and each overwrites files of the other",
        f"run: python -m pip uninstall -y {' '.join(found)}; then: python -m pip install {keep}",
    )


def usable_threads(root: Path = Path("/")) -> int:
    """Count the processors this process may use: its affinity mask, cut to its control group's quota.

    `root` is where /proc and /sys are read from.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1  # macOS and Windows have no mask and no quota to ask for
    return max(1, min([len(os.sched_getaffinity(0)), *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterable[float]:
    """Give every processor quota from this process's control group up to the root, versions 1 and 2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = Path(path.lstrip("/"))
        # In a container the path may be the host's, and what it names is then the mount itself.
        for folder in (group, *group.parents):
            if controllers:
                limit, period = _text(mount / folder / "cpu.cfs_quota_us"), _text(mount / folder / "cpu.cfs_period_us")
            else:
                limit, period = [*_text(mount / folder / "cpu.max").split(), "", ""][:2]
            if limit.strip().isdigit() and period.strip().isdigit() and int(period) > 0:
                yield int(limit) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):
        return ""
