"""The C library's heap, told that this process stays: what a request took goes back to the system."""

import ctypes
import sys
from collections.abc import Callable, Mapping

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # <malloc.h> of glibc
# glibc gives eight heaps to each core, and each keeps the most that its threads ever had: of 240 MiB that it held after
# four minutes of requests of all sizes, 206 were free. A block of half a heap's most is a mapping of its own only as
# long as none of its size was freed once. Two heaps, and the larger blocks always mapped: 40 MiB.
SETTINGS = ((M_ARENA_MAX, 2), (M_MMAP_THRESHOLD, 1 << 20), (M_TRIM_THRESHOLD, 8 << 20))


def settle(environment: Mapping[str, str]) -> bool:
    """Set it, before there are threads; whether that was done: only glibc has these, and who set them is obeyed."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        return False
    mallopt = _mallopt()
    return mallopt is not None and all(mallopt(name, value) for name, value in SETTINGS)


def _mallopt() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
