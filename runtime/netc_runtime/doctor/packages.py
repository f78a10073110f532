"""The Python, and the packages that the runtime stands on."""

import importlib
import platform
import re
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import netc_runtime
from netc_runtime import providers
from netc_runtime.doctor.finding import Finding

OLDEST_PYTHON = (3, 11)
_PIP = "python -m pip install"


class Package(NamedTuple):
    """A package by the name that pip knows, the module that is imported, and what it is for where it may be absent."""

    name: str
    module: str
    optional: str | None = None


PACKAGES = (
    Package("numpy", "numpy"),
    Package("pillow", "PIL._imaging"),
    Package("openvino", "openvino", "a second engine for processors"),
)


def python_finding(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Say whether this Python is one that the runtime is for."""
    found = f"{'.'.join(map(str, version))} ({platform.python_implementation()}, {8 * _pointer_bytes()} bit)"
    least = ".".join(map(str, OLDEST_PYTHON))
    if version < OLDEST_PYTHON:
        return Finding("python", "fail", f"{found}, needs at least {least}", f"install Python {least} or newer")
    if _pointer_bytes() < 8:
        return Finding("python", "fail", f"{found}: ONNX Runtime is for 64 bit", "install a Python of 64 bit")
    return Finding("python", "ok", found)


def runtime_finding() -> Finding:
    """Say which netc-runtime this is, and where it lies: another may be installed than the one that was meant."""
    return Finding("netc-runtime", "ok", f"{netc_runtime.__version__} in {Path(netc_runtime.__file__).parent}")


def package_finding(
    package: Package,
    version_of: Callable[[str], str] = metadata.version,
    load: Callable[[str], object] = importlib.import_module,
    needs: Callable[[str], list[str] | None] = metadata.requires,
) -> Finding:
    """Say whether a package is installed, new enough and can be imported.

    `version_of`, `load` and `needs` ask for a distribution's version, import a module, and list what one requires.
    """
    least = least_version(package.name, needs)
    try:
        found = version_of(package.name)
    except metadata.PackageNotFoundError:
        install = f'{_PIP} "{package.name}>={least}"' if least else f"{_PIP} {package.name}"
        if package.optional is not None:
            return Finding(package.name, "absent", f"not installed; optional: {package.optional}", install)
        return Finding(package.name, "fail", "not installed", install)
    if least is not None and _numbers(found) < _numbers(least):
        upgrade = f'{_PIP} --upgrade "{package.name}>={least}"'
        return Finding(package.name, "fail", f"{found}, needs at least {least}", upgrade)
    try:
        load(package.module)
    except Exception as error:  # whatever a broken package raises is the finding
        again = f"{_PIP} --force-reinstall --no-deps {package.name}"
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        status = "fail" if package.optional is None else "warn"  # the runtime does without it
        return Finding(package.name, status, f"{found} does not import: {reason}", again)
    return Finding(package.name, "ok", found)


def wheel_finding(installed: Iterable[str], version_of: Callable[[str], str] = metadata.version) -> Finding:
    """Say which of ONNX Runtime's wheels is installed, and whether it is the only one."""
    wheels = list(installed)
    clash = providers.wheel_clash(wheels)
    if clash is not None:
        return Finding("onnxruntime wheel", "fail", clash.message, clash.help.removeprefix("run: "))
    if not wheels:
        wanted = wanted_wheel()
        return Finding("onnxruntime wheel", "fail", "none is installed", f'{_PIP} "{wanted}>=1.31,<2"')
    return Finding("onnxruntime wheel", "ok", f"{wheels[0]} {version_of(wheels[0])}, and no other")


def least_version(name: str, needs: Callable[[str], list[str] | None]) -> str | None:
    """Give the oldest version of a package that the installed runtime asks for, where it is installed and asks."""
    try:
        required = needs("netc-runtime") or []
    except metadata.PackageNotFoundError:
        return None  # run from a checkout
    for line in required:
        found = re.match(rf"{re.escape(name)}\s*>=\s*([0-9][0-9.]*)", line)
        if found is not None:
            return found[1].rstrip(".")
    return None


def wanted_wheel() -> str:
    """Give the wheel of ONNX Runtime that the runtime asks for on this system."""
    with_cuda = (sys.platform, platform.machine()) in (("linux", "x86_64"), ("win32", "AMD64"))
    return "onnxruntime-gpu" if with_cuda else "onnxruntime"


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _pointer_bytes() -> int:
    return 8 if sys.maxsize > 2**32 else 4
