"""What the server holds of memory that it no longer uses."""

import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from netc_runtime.serving import heap
from tests.serve.conftest import Served, write_lenet5

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a heap for each core's threads")
OF_A_THREAD = 64 << 20  # what glibc sets apart for a thread's heap, at a multiple of it

AT_WORK = """
import ctypes, sys, threading
from netc_runtime.serving import heap
settled = heap.settle({}) if sys.argv[1] == "settled" else False
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
together = threading.Barrier(8)
def work():
    together.wait()
    blocks = [libc.malloc(100_000) for _ in range(50)]
    together.wait()
    for block in blocks:
        libc.free(block)
threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
freed = libc.malloc(8 << 20)
ctypes.memset(freed, 1, 8 << 20)
libc.free(freed)
block = libc.malloc(4 << 20)
mapped = any(int(line.split("-")[0], 16) == block - 16 for line in open("/proc/self/maps"))
print(settled, mapped, open("/proc/self/maps").read(), sep="\\n")
"""


def heaps_of_threads(maps: str) -> int:
    """Count them in what Linux says of a process's memory."""
    lines = [line.split() for line in maps.strip().splitlines()]
    regions = [[int(part, 16) for part in place.split("-")] for place, *_ in lines]
    writable = [allowed.startswith("rw") for _, allowed, *_ in lines]
    followed = zip(regions, regions[1:], writable, strict=False)
    return sum(
        mine and begin % OF_A_THREAD == 0 and end == after and until == begin + OF_A_THREAD
        for (begin, end), (after, until), mine in followed
    )


@GLIBC
@pytest.mark.parametrize(("how", "most", "least", "mapped"), [("settled", 1, 0, "True"), ("not", 99, 2, "False")])
def test_threads_share_heaps_and_a_large_block_is_the_systems_again(
    how: str, most: int, least: int, mapped: str
) -> None:
    done = subprocess.run([sys.executable, "-c", AT_WORK, how], capture_output=True, text=True, check=True)
    settled, in_a_map, maps = done.stdout.split("\n", 2)
    assert settled == str(how == "settled")
    assert in_a_map == mapped
    assert least <= heaps_of_threads(maps) <= most


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_who_sets_the_heap_is_obeyed(name: str) -> None:
    assert not heap.settle({name: "4"})


@GLIBC
@pytest.mark.parametrize(("variables", "least", "most"), [({}, 0, 1), ({"MALLOC_ARENA_MAX": "16"}, 2, 16)])
def test_a_server_has_two_heaps_or_as_many_as_it_is_told(
    tmp_path: Path, root: Path, serving: Callable[..., Served], variables: dict[str, str], least: int, most: int
) -> None:
    write_lenet5(tmp_path / "models", root)
    server = serving(tmp_path / "models", "--drain-seconds", "1", **variables)
    rows = np.random.RandomState(1).standard_normal((50, 1, 28, 28)).astype(np.float32)
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(server.infer, [rows] * 16, ["lenet5"] * 16)
        assert {each.status_code for each in answers} == {200}
    server.client.close()
    heaps = heaps_of_threads(Path(f"/proc/{server.process.pid}/maps").read_text())
    assert server.stop() == 0
    assert least <= heaps <= most
