"""Loading a model in a process of its own first, which may fail in ways that this one would not survive.

A file of a stranger may ask for more memory than there is, never end, or crash ONNX Runtime. That ends the other
process, which is under limits, and here it is a fault like any other.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netc_runtime.errors import CODES, ManifestError, ModelFault, RequestFault, RuntimeFault

_FAMILIES: tuple[type[RuntimeFault], ...] = (ModelFault, RequestFault)
_MEMORY = ("bad_alloc", "Failed to allocate memory", "MemoryError", "Unable to allocate")
MOST_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DryLimits:
    """What a model may take to load and to run once: bytes beyond what its files take, and seconds."""

    memory_bytes: int = 8 << 30
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class DryLoad:
    """What came of it: whether a run was possible, the most memory it took, and whether that was bounded here."""

    ran: bool
    peak_bytes: int | None
    bounded: bool


def dry_load(path: str | os.PathLike[str], limits: DryLimits | None = None) -> DryLoad:
    """Load a model, and run it once where its sizes are known, in another process on the CPU.

    Memory is bounded where the system can do that (Linux), time everywhere.

    Raises: ModelFault R115 beyond the memory, R116 beyond the time, R117 where the process dies, and what `load` and
    `predict` raise.
    """
    limits = limits or DryLimits()
    where = Path(path)
    # Without the current folder on the path, which may be the stranger's.
    line = [sys.executable, "-P", "-m", "netc_runtime.dry_child", str(where.absolute()), str(limits.memory_bytes)]
    # What a library prints is not wanted, and could be without end.
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    ) as child:
        try:
            answer, _ = child.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired as late:
            child.kill()
            raise ModelFault(
                "R116", f"{where} did not load and run within {limits.seconds:g} s", "allow it more, or do not use it"
            ) from late
        except BaseException:
            child.kill()
            raise
    try:
        told: dict[str, Any] = json.loads(answer[:MOST_ANSWER_BYTES])
    except ValueError:
        raise _died(where, child.returncode, limits) from None
    fault = told.get("fault")
    if fault is None:
        return DryLoad(bool(told["ran"]), told["peak_bytes"], bool(told["bounded"]))
    raise _fault(where, fault, limits)


def _environment() -> dict[str, str]:
    # One thread's stack and arena count too; the cache is for what is trusted.
    return {**os.environ, "NETC_CACHE_DIR": "off"}


def _died(where: Path, code: int, limits: DryLimits) -> ModelFault:
    if code == -9:
        return _too_large(where, limits, "the system ended the process")
    how = f"is ended by signal {-code}" if code < 0 else f"exits with {code}"
    return ModelFault(
        "R117", f"{where}: the process that loads it {how}", "do not use this file; export the model again"
    )


def _fault(where: Path, told: dict[str, str], limits: DryLimits) -> RuntimeFault:
    code, message, help = (str(told.get(key, "")) for key in ("code", "message", "help"))
    if any(word in message for word in _MEMORY):
        return _too_large(where, limits, message)
    if code in ("R108", "R109", "R113"):
        return ManifestError(code, message, help)
    family = next((each for each in _FAMILIES if code in CODES and code.startswith(each.family)), None)
    if family is None:
        return ModelFault("R117", f"{where}: the process that loads it fails: {message}", "do not use this file")
    return family(code, message, help)


def _too_large(where: Path, limits: DryLimits, reason: str) -> ModelFault:
    return ModelFault(
        "R115",
        f"{where} takes more than the {limits.memory_bytes:,} bytes that it may: {reason}",
        "allow it more, or do not use it",
    )
