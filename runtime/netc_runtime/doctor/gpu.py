"""NVIDIA's driver and the libraries of CUDA and cuDNN, from what the probe found."""

import re
from pathlib import Path

from netc_runtime.doctor.finding import Finding, Status
from netc_runtime.doctor.probed import Line
from netc_runtime.providers import Device

DRIVERS = {12: "525", 13: "580"}  # the oldest driver of each major version of CUDA, by NVIDIA's release notes
EXTRAS = 'python -m pip install "onnxruntime-gpu[cuda,cudnn]>=1.31,<2"'
WITH_CUDA = f"python -m pip uninstall -y onnxruntime; then: {EXTRAS}"


def needs_gpu(device: Device) -> bool:
    """Say whether a device is a GPU that was named, and so must work."""
    return device.kind in ("cuda", "tensorrt")


def driver_finding(driver: Line | None, ort: Line | None, device: Device, root: Path) -> Finding:
    """Say whether NVIDIA's driver is here, has cards, and is new enough for the installed ONNX Runtime."""
    name = "nvidia driver"
    if driver is None:
        return Finding(name, "warn", "not known: the process that asks it was ended", "see onnxruntime, below")
    lacking: Status = "fail" if needs_gpu(device) else "absent"
    if not driver["loaded"]:
        if _has_card(root):
            help = "install NVIDIA's driver, 580 or newer; start a container with the GPU (docker run --gpus all)"
            found = "none, though the machine has an NVIDIA card: models run on the processor"
            return Finding(name, "fail" if needs_gpu(device) else "warn", found, help)
        return Finding(name, lacking, "none, and no NVIDIA card: models run on the processor", _without_gpu(device))
    if driver["error"] is not None:
        help = "see that nvidia-smi works: restart after a driver's update, or start the container with the GPU"
        return Finding(name, "fail" if needs_gpu(device) else "warn", f"it does not start: {driver['error']}", help)
    cards, (major, minor) = driver["cards"], driver["cuda"]
    if not cards:
        help = "give this process a card: see CUDA_VISIBLE_DEVICES, or docker run --gpus all"
        return Finding(name, lacking, f"for CUDA {major}.{minor}, but it shows no card", help)
    listed = ", ".join(f"{card['name']} ({card['memory_bytes'] / 2**30:.0f} GiB)" for card in cards)
    found = f"for CUDA {major}.{minor}: {listed}"
    if needs_gpu(device) and device.index >= len(cards):
        return Finding(name, "fail", f"{found}; there is no {device}", f"use cuda:0 to cuda:{len(cards) - 1}")
    wanted = _major((ort or {}).get("cuda", ""))
    if wanted is not None and major < wanted:
        help = f"install driver {DRIVERS.get(wanted, 'of a later release')} or newer"
        status = "fail" if needs_gpu(device) else "warn"
        return Finding(name, status, f"{found}; this ONNX Runtime needs CUDA {wanted}", help)
    return Finding(name, "ok", found)


def _without_gpu(device: Device) -> str:
    return "use --device cpu, or a machine with an NVIDIA card" if needs_gpu(device) else ""


def _has_card(root: Path) -> bool:
    """Look for a display controller (class 03) of NVIDIA (vendor 10de) on the PCI bus."""
    for folder in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = ((folder / name).read_text("ascii").strip() for name in ("vendor", "class"))
        except (OSError, ValueError):
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False


def libraries_finding(line: Line | None, device: Device, gpu_works: bool) -> Finding:
    """Say whether the libraries of CUDA and cuDNN load."""
    name = "cuda and cudnn"
    if line is None:
        said = "the installed ONNX Runtime is built without CUDA"
        return Finding(name, "fail" if needs_gpu(device) else "warn", said, WITH_CUDA)
    found: dict[str, str | None] = line["found"]
    missing = [library for library, path in found.items() if path is None]
    if missing:
        return Finding(name, "fail" if gpu_works else "warn", f"{', '.join(missing)} cannot be loaded", EXTRAS)
    folders = list(dict.fromkeys(str(Path(path).parent) for path in found.values() if path is not None))
    return Finding(name, "ok", f"{', '.join(found)} from {', '.join(folders)}")


def _major(cuda: object) -> int | None:
    found = re.match("[0-9]+", str(cuda))
    return int(found[0]) if found else None
