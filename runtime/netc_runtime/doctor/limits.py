"""What this process may use: processors and their instructions, memory, the folder of the cache."""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from netc_runtime.cache.place import environment_place, unsafe
from netc_runtime.doctor.finding import Finding
from netc_runtime.errors import EnvironmentFault
from netc_runtime.providers import usable_threads

LITTLE_BYTES = 2**29  # a session of ResNet-50 takes about 300 MB
# The instructions that ONNX Runtime's convolutions have kernels for.
_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "i8mm")


def processor_finding(root: Path = Path("/")) -> Finding:
    """Say which processor this is, and which of the instructions that matter to convolutions it has."""
    fields: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    has = (fields.get("flags") or fields.get("Features") or "").split()
    telling = [name for name in _TELLING if name in has]
    found = fields.get("model name") or platform.processor() or platform.machine()
    if telling:
        found += f" with {', '.join(telling)}"
    if "flags" in fields and "avx2" not in has:
        help = "give a virtual machine its host's processor model, or use a processor since 2015"
        return Finding("processor", "warn", f"{found}: without AVX2 models run several times slower", help)
    return Finding("processor", "ok", found)


def threads_finding(root: Path = Path("/")) -> Finding:
    """Say how many threads a session starts here, and what holds them down."""
    threads, processors = usable_threads(root), os.cpu_count() or 1
    found = f"{threads} for a session, of {processors} processor(s)"
    if not hasattr(os, "sched_getaffinity"):
        return Finding("threads", "ok", found)
    mask = len(os.sched_getaffinity(0))
    reasons = [f"the affinity mask has {mask}"] if mask < processors else []
    if threads < mask:
        reasons.append("the control group's quota allows no more")
    return Finding("threads", "ok", "; ".join([found, *reasons]))


def memory_finding(root: Path = Path("/"), address_space_bytes: int | None = None) -> Finding:
    """Say how much memory this process may still take: of the machine's, its control group's, its own limit's."""
    left = {"the machine": _available_bytes(root), "the control group": _group_bytes(root)}
    limit = _address_space_bytes() if address_space_bytes is None else address_space_bytes
    known = {name: each for name, each in left.items() if each is not None}
    if not known:
        return Finding("memory", "ok", "the system does not say how much is left")
    who, least = min(known.items(), key=lambda item: item[1])
    found = f"{least / 2**30:.1f} GiB left, by {who}"
    if limit is not None:
        found += f"; at most {limit / 2**30:.1f} GiB of addresses (ulimit -v)"
        if limit < 8 * 2**30:
            help = "ulimit -v unlimited: what ONNX Runtime reserves without using it counts too"
            return Finding("memory", "warn", found, help)
    if least < LITTLE_BYTES:
        help = "end other processes" if who == "the machine" else "give the container more (docker run --memory)"
        return Finding("memory", "warn", f"{found}: models may not load", help)
    return Finding("memory", "ok", found)


def cache_finding() -> Finding:
    """Say where the session cache is, and whether it may be used."""
    try:
        place = environment_place()
    except EnvironmentFault as fault:
        return Finding("cache", "warn", fault.message, fault.help)
    if place is None:
        return Finding("cache", "absent", "no session cache: each start optimises its model anew")
    folder, most = place
    try:
        reason = unsafe(folder)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        help = "name another folder with NETC_CACHE_DIR, or switch it off with NETC_CACHE_DIR=off"
        return Finding("cache", "warn", f"{folder} is not used: {reason}", help)
    return Finding("cache", "ok", f"{folder}, at most {most / 2**30:.1f} GiB")


def _available_bytes(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and value.split()[:1] and value.split()[0].isdigit():
            return int(value.split()[0]) * 1024
    return None


def _group_bytes(root: Path) -> int | None:
    """Give the least that a control group of this process, or one above it, leaves; versions 1 and 2."""
    return min(_groups_left(root), default=None)


def _groups_left(root: Path) -> Iterator[int]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):  # in a container the path may be the host's
            limit, used = (_text(mount / folder / name).strip() for name in names)
            # Version 1 writes "no limit" as a number of about 2**63.
            if limit.isdigit() and int(limit) < 2**60:
                yield max(0, int(limit) - (int(used) if used.isdigit() else 0))


def _address_space_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
