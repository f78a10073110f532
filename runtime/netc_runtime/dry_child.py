"""The process of a dry load: under limits it loads a model, runs it once, and writes one line of JSON.

Run by `netc_runtime.dry_load` as `python -P -m netc_runtime.dry_child MODEL BYTES`.
"""

import json
import os
import sys
from pathlib import Path


def main(path: str, memory_bytes: int) -> None:
    """Write what came of it to standard output; everything else that is printed goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        told = _told(path, memory_bytes)
        print(json.dumps(told), file=answer, flush=True)


def _told(path: str, memory_bytes: int) -> dict[str, object]:
    from netc_runtime.errors import RuntimeFault

    try:
        bounded, ran = _tried(path, memory_bytes)
    except RuntimeFault as fault:
        return {"fault": {"code": fault.code, "message": fault.message, "help": fault.help}}
    except MemoryError:
        return {"fault": {"code": "", "message": "MemoryError"}}
    return {"ran": ran, "peak_bytes": _peak_bytes(), "bounded": bounded}


def _tried(path: str, memory_bytes: int) -> tuple[bool, bool]:
    from netc_runtime import session
    from netc_runtime.benchmark.inputs import make_request
    from netc_runtime.errors import EnvironmentFault

    bounded = _bound(memory_bytes + Path(path).stat().st_size)
    model = session.load(path, "cpu", threads=1, cache=False)
    if model.manifest is not None and model.manifest.golden is not None:
        model.check()
        return bounded, True
    try:
        request = make_request(model, None, {}, 0)
    except EnvironmentFault:
        return bounded, False  # a size that nobody has said
    model.predict(request.feed)
    return bounded, True


def _bound(more_bytes: int) -> bool:
    """Let this process take so many bytes beyond what it has; say whether the system can do that."""
    if sys.platform != "linux":
        return False
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- before anything else is imported
        has = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = has + more_bytes
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return True


def _peak_bytes() -> int | None:
    from netc_runtime import memory

    return memory.held().peak_bytes


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
