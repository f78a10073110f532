"""What `load` is told, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netc_runtime.errors import EnvironmentFault
from netc_runtime.providers import Device, parse_device, usable_threads

Arithmetic: TypeAlias = Literal["f32", "bf16", "f16"]
ARITHMETICS = ("f32", "bf16", "f16")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is loaded, as `load` says."""

    device: Device
    threads: int
    strict: bool = True
    max_batch: int = 64
    arithmetic: Arithmetic = "f32"
    cuda_graph: bool | None = None
    cache: bool = True
    spin: bool = True


def settings(
    device: str,
    *,
    strict: bool,
    max_batch: int,
    threads: int | None,
    arithmetic: str,
    cuda_graph: bool | None,
    cache: bool,
    spin: bool,
) -> Settings:
    """Check what `load` is given.

    Raises: EnvironmentFault R404.
    """
    wanted = parse_device(device)
    check_counts({"max_batch": max_batch, "threads": threads})
    if arithmetic not in ARITHMETICS:
        raise EnvironmentFault("R404", f"there is no arithmetic {arithmetic!r}", f"write {', '.join(ARITHMETICS)}")
    if arithmetic != "f32" and wanted.kind != "openvino":
        raise EnvironmentFault(
            "R404",
            f"arithmetic {arithmetic} is OpenVINO's, and the device is {wanted}",
            "write device=openvino, or build the model with that precision",
        )
    if cuda_graph and wanted.kind not in ("cuda", "tensorrt"):
        raise EnvironmentFault("R404", f"cuda_graph is for a GPU, and the device is {wanted}", "write device=cuda")
    return Settings(
        device=wanted,
        threads=usable_threads() if threads is None else threads,
        strict=strict,
        max_batch=max_batch,
        arithmetic=arithmetic,
        cuda_graph=cuda_graph,
        cache=cache,
        spin=spin,
    )


def check_counts(counts: Mapping[str, int | None]) -> None:
    """Check that numbers are at least 1, where they are given.

    Raises: EnvironmentFault R404.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise EnvironmentFault("R404", f"{name} is {value}, expected at least 1", f"leave {name} out, or give more")
