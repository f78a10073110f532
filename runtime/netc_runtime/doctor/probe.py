"""A process that tries the driver, ONNX Runtime and its providers, and writes a line of JSON for each.

It runs apart from the doctor: a broken library may end the process that loads it, and what was written is then known
all the same. Standard output holds the lines alone; what the libraries print goes to standard error.
"""

import contextlib
import ctypes
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from netc_runtime.doctor.tiny_model import ANSWER, SHAPE, tiny_model

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def main() -> None:
    """Write the lines: `driver`, `onnxruntime`, `libraries`, and for each provider `trying` and then `provider`."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)

        def say(kind: str, **values: object) -> None:
            print(json.dumps({"kind": kind, **values}), file=lines, flush=True)

        say("driver", **driver(ctypes.CDLL))
        ort = _onnxruntime(say)
        if ort is not None:
            _providers(ort, say)


def driver(open_library: Callable[[str], Any]) -> dict[str, object]:
    """Ask NVIDIA's driver for the CUDA version that it supports, and for its cards by name and memory."""
    try:
        library = open_library(_DRIVER)
    except OSError as error:
        return {"loaded": False, "error": str(error)}
    status = int(library.cuInit(0))
    if status != 0:
        return {"loaded": True, "error": f"cuInit gives {status}"}
    number = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(number))
    version = number.value
    library.cuDeviceGetCount(ctypes.byref(number))
    cards: list[dict[str, object]] = []
    for index in range(number.value):
        name, size = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
        device = ctypes.c_int(0)
        library.cuDeviceGet(ctypes.byref(device), index)
        library.cuDeviceGetName(name, 256, device)
        library.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        cards.append({"name": name.value.decode(errors="replace"), "memory_bytes": size.value})
    # Of 13020 the first digits are the major version and the last but one the minor: CUDA 13.2.
    return {"loaded": True, "error": None, "cuda": [version // 1000, version % 1000 // 10], "cards": cards}


def _onnxruntime(say: Callable[..., None]) -> Any:  # it has neither stubs nor annotations
    try:
        ort: Any = importlib.import_module("onnxruntime")
        available = list(ort.get_available_providers())
    except Exception as error:  # whatever a broken package raises is the finding
        say("onnxruntime", error=f"{type(error).__name__}: {error}")
        return None
    cuda = getattr(ort, "cuda_version", "") or ""
    say("onnxruntime", error=None, version=str(ort.__version__), cuda=str(cuda), available=available)
    if cuda:
        with contextlib.suppress(Exception):  # what it lacks shows below
            ort.preload_dlls()
        major = str(cuda).partition(".")[0]
        say("libraries", found={name: _loads(name) for name in libraries(major)})
    return ort


def libraries(cuda_major: str) -> list[str]:
    """Give the names of the libraries that ONNX Runtime's CUDA provider loads, on this system."""
    if sys.platform == "win32":
        return [f"{name}64_{cuda_major}.dll" for name in ("cudart", "cublasLt", "cublas")] + ["cudnn64_9.dll"]
    of_toolkit = [f"lib{name}.so.{cuda_major}" for name in ("cudart", "cublasLt", "cublas")]
    return [*of_toolkit, "libcurand.so.10", "libcudnn.so.9"]


def _loads(name: str) -> str | None:
    """Load a library; give its path where the system tells, else its name, or nothing where it does not load."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").splitlines():
            path = line.partition("/")[2]
            if path.rpartition("/")[2].startswith(name):
                return f"/{path}"
    return name


def _providers(ort: Any, say: Callable[..., None]) -> None:
    # The CPU first: a provider that ends the process leaves the others unknown.
    for name in sorted(ort.get_available_providers(), key=lambda name: name != "CPUExecutionProvider"):
        say("trying", provider=name)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log, _stderr_to(log):
            got, right, error = _opened(ort, name)
            log.seek(0)
            said = log.read(16_384)
        say("provider", provider=name, got=got, right=right, error=error, log=said)


def _opened(ort: Any, provider: str) -> tuple[list[str], bool, str | None]:
    """Open and run the tiny model; give the providers obtained, whether the answer is right, and the error."""
    import numpy as np

    try:
        asked = [provider] if provider == "CPUExecutionProvider" else [provider, "CPUExecutionProvider"]
        session = ort.InferenceSession(tiny_model(), providers=asked, enable_fallback=0)
        (answer,) = session.run(["y"], {"x": np.ones(SHAPE, np.float32)})
        return list(session.get_providers()), np.allclose(answer.ravel(), ANSWER, atol=0.05), None
    except Exception as error:  # as above
        return [], False, f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _stderr_to(log: TextIO) -> Any:
    """Send what libraries print to standard error into a file, for a while."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    main()
