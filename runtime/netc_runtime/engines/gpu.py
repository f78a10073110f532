"""The options of ONNX Runtime's providers for NVIDIA's GPUs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from netc_runtime import engine, providers
from netc_runtime.cache.hashes import model_hash
from netc_runtime.cache.place import environment_place, unsafe
from netc_runtime.engines.runner import buckets
from netc_runtime.manifest import Input
from netc_runtime.providers import Provider
from netc_runtime.settings import Settings

STRICT = "session.disable_cpu_ep_fallback"


def attempts(settings: Settings) -> tuple[bool, ...]:
    """Give whether to ask for CUDA graphs: as was said, else with them, and without where the session refuses them.

    It does where a node is left to the CPU or decides what runs. On an H200 a small net is three times as fast with
    them (docs/benchmarks.md).
    """
    if settings.cuda_graph is not None:
        return (settings.cuda_graph,)
    return (False,) if settings.device.kind == "tensorrt" else (True, False)


def wanted(settings: Settings, *, graphs: bool) -> tuple[list[Provider], dict[str, str]]:
    """Give the providers to ask for and the session's entries.

    A device that was named and is strict leaves nothing to the CPU: a node that would run there is an error at load,
    not a slow answer.
    """
    device = settings.device
    found = [(name, {**options, **(_GRAPH.get(name, {}) if graphs else {})}) for name, options in device.providers]
    if device.kind == "auto" or not settings.strict:
        return found, {}
    return [each for each in found if each[0] != providers.CPU], {STRICT: "1"}


_GRAPH = {providers.CUDA: {"enable_cuda_graph": "1"}, providers.TENSORRT: {"trt_cuda_graph_enable": "1"}}


def tensorrt(inputs: Sequence[Input], most: int, sizes: Mapping[str, int], folder: Path | None) -> dict[str, str]:
    """Give TensorRT's profile for batches from 1 to `most`, and the folder that its engines are kept in.

    Without a profile it builds an engine anew for each shape, minutes at a time. `sizes` are those of further symbols;
    where one is not known there is no profile.
    """
    options: dict[str, str] = {}
    if folder is not None:
        options = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
    rows = {each.shape[0] for each in inputs if each.shape and isinstance(each.shape[0], str)}
    known = {**{str(symbol): 0 for symbol in rows}, **sizes}
    if not all(side in known for each in inputs for side in each.shape if isinstance(side, str)):
        return options
    for word, count in (("min", 1), ("opt", buckets(most)[-1]), ("max", most)):
        bound = {**known, **{str(symbol): count for symbol in rows}}
        options[f"trt_profile_{word}_shapes"] = ",".join(
            f"{each.name}:" + "x".join(str(bound[side] if isinstance(side, str) else side) for side in each.shape)
            for each in inputs
        )
    return options


def engine_folder(model: Path) -> Path | None:
    """Give the folder of a model's TensorRT engines, or nothing where there is no cache or it cannot be trusted.

    An engine is of one model, one kind of GPU, its driver and one version of ONNX Runtime; TensorRT itself tells
    engines of its other versions apart, and builds anew what it cannot read.

    Raises: EnvironmentFault R404 as `environment_place` does.
    """
    place = environment_place()
    if place is None:
        return None
    try:
        if unsafe(place[0]) is not None:
            return None
        hashed = model_hash([model], place[0])
        if hashed is None:
            return None
        known = json.dumps([hashed, cards(), engine.version()]).encode()
        folder = place[0] / f"tensorrt-{hashlib.sha256(known).hexdigest()[:32]}"
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder


def cards() -> list[str]:
    """Give the names and the driver's version of this machine's GPUs, as its driver tells them."""
    found = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    texts = [line for path in found for line in _lines(path) if line.startswith(("Model:", "GPU Firmware:"))]
    return [*texts, *_lines(Path("/proc/driver/nvidia/version"))[:1]]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
