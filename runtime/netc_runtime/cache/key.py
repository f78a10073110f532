"""What a cached model is good for: the processor, ONNX Runtime's version, and how it was opened."""

import hashlib
import json
import platform
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = 1
# Of /proc/cpuinfo's first processor, on x86 and on ARM. Not what varies from start to start, as MHz does.
_FIELDS = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
}


def machine_key(version: str, options: dict[str, str]) -> str:
    """Give the hash of all that a cached model depends on but the model: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(_known(version, options), sort_keys=True).encode()).hexdigest()


def _known(version: str, options: dict[str, str]) -> dict[str, Any]:
    system = [platform.system(), platform.machine()]
    return {"schema": SCHEMA, "onnxruntime": version, "options": options, "system": system, "processor": processor()}


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[tuple[str, str], ...]:
    """Give what the system says of the first processor, its instructions among it."""
    try:
        with cpuinfo.open("rb") as file:
            text = file.read(1 << 14).decode("ascii", "replace")  # a machine of hundreds makes a text of megabytes
    except OSError:
        return (("processor", platform.processor()),)
    first = text.split("\n\n", 1)[0]
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in first.splitlines())]
    return tuple(sorted((name, value) for name, value in pairs if name in _FIELDS))
