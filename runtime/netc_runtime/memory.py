"""How much memory this process holds, as its operating system counts it."""

import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes resident now, and at most since the process began; nothing where the system does not say."""

    now_bytes: int | None
    peak_bytes: int | None


def held(status: Path = _STATUS) -> Held:
    """Read what this process holds; `status` is Linux's file about it, elsewhere only the peak is known."""
    try:
        lines = status.read_text("ascii", "replace").splitlines()
    except OSError:
        return Held(None, _peak_bytes())
    sizes = {name: text.split() for name, _, text in (line.partition(":") for line in lines)}
    return Held(_kibibytes(sizes.get("VmRSS")), _kibibytes(sizes.get("VmHWM")))


def _kibibytes(words: list[str] | None) -> int | None:
    return int(words[0]) * 1024 if words and words[0].isdigit() else None


def _peak_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, the others KiB
