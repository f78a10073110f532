"""The one place that touches ONNX Runtime: its import, after the check for a broken installation, and its sessions."""

import contextlib
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy.typing as npt

from netc_runtime import providers
from netc_runtime.errors import EnvironmentFault, ModelFault, RequestFault


class Node(Protocol):
    """An input or output of the graph."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """What is used of ONNX Runtime's session, which has no types of its own."""

    def run(
        self, output_names: Sequence[str], input_feed: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]: ...
    def get_inputs(self) -> Sequence[Node]: ...
    def get_outputs(self) -> Sequence[Node]: ...
    def get_providers(self) -> list[str]: ...
    def get_modelmeta(self) -> Any: ...
    def get_provider_graph_assignment_info(self) -> Sequence[Any]: ...


def _import() -> Any:  # ONNX Runtime has neither stubs nor annotations on what is used of it
    clash = providers.wheel_clash(providers.installed_wheels())
    if clash is not None:
        raise clash
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise _broken(str(error)) from error
    if not hasattr(module, "InferenceSession"):
        raise _broken("the module `onnxruntime` has no InferenceSession")
    return module


def _broken(reason: str) -> EnvironmentFault:
    wheels = providers.installed_wheels() or ["onnxruntime-gpu"]
    return EnvironmentFault(
        "R401",
        f"ONNX Runtime does not import: {reason}",
        f"run: python -m pip install --force-reinstall --no-deps {wheels[0]}",
    )


_ort = _import()


def version() -> str:
    """Give ONNX Runtime's version."""
    return str(_ort.__version__)


def available() -> list[str]:
    """Give the providers that ONNX Runtime was built with, whether or not they work here."""
    return list(_ort.get_available_providers())


# What is said to every session.
CONFIG = {
    # On an x86 without VNNI products of 8 bits would overflow in pairs: int8 is computed another way there.
    "session.x64quantprecision": "1",
    "session.record_ep_graph_assignment_info": "1",
}
_KEEP_WEIGHTS = "session.optimized_model_external_initializers"


def open_session(
    path: Path,
    wanted: Sequence[providers.Provider],
    threads: int,
    *,
    keep: tuple[Path, str] | None = None,
    optimised: bool = False,
    entries: Mapping[str, str] = MappingProxyType({}),
) -> Session:
    """Load a model on the first of the providers that works.

    With `keep` the optimised model is written to this path, its weights to a file of this name beside it; `optimised`
    says that the model is such a one. `entries` are further entries of the session's configuration.

    Raises: ModelFault R107 when ONNX Runtime refuses the file.
    """
    options = _ort.SessionOptions()
    if optimised:
        options.graph_optimization_level = _ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if keep is not None:
        options.optimized_model_filepath = str(keep[0])
        options.add_session_config_entry(f"{_KEEP_WEIGHTS}_file_name", keep[1])
        options.add_session_config_entry(f"{_KEEP_WEIGHTS}_min_size_in_bytes", "1024")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it says before it raises is in what it raises
    for name, value in {**CONFIG, **entries}.items():
        options.add_session_config_entry(name, value)
    if any(name == providers.CUDA for name, _ in wanted):
        # It prints what it cannot load, and standard output is the caller's.
        with contextlib.redirect_stdout(sys.stderr):
            _ort.preload_dlls()
    try:
        # Its own fallback to the CPU prints to standard output and hides the reason.
        return _ort.InferenceSession(str(path), options, providers=list(wanted), enable_fallback=0)
    except Exception as error:
        # The exception types of ONNX Runtime derive from Exception and from nothing narrower.
        raise ModelFault(
            "R107", f"{path}: ONNX Runtime {version()} refuses the model: {_reason(error)}", _OPSET
        ) from error


def hush() -> None:
    """Keep ONNX Runtime's own logger quiet, once a GPU works: it prints to the terminal what it then gets around.

    It calls it an error when cuDNN has no plan for a fused convolution in f16, before it runs it unfused. What fails is
    raised, whatever is logged. Loggers of sessions are not touched.
    """
    _ort.set_default_logger_severity(4)


def run(
    where: str, session: Session, names: Sequence[str], feed: Mapping[str, npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Run the graph once.

    Raises: RequestFault R208 when ONNX Runtime gives up.
    """
    try:
        return session.run(names, feed)
    except Exception as error:
        raise gives_up(where, feed, error) from error


def gives_up(where: str, feed: Mapping[str, npt.NDArray[Any]], error: Exception) -> RequestFault:
    """Make the fault of a run that failed."""
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
    return RequestFault(
        "R208",
        f"{where}: the model fails on {shapes}: {_reason(error)}",
        "check these sizes against the model's spec",
    )


def device_value(array: npt.NDArray[Any], kind: str, index: int) -> Any:
    """Make a buffer on a device, of an array's shape and type, that holds what the array does."""
    return _ort.OrtValue.ortvalue_from_numpy(array, kind, index)


def run_options(entries: Mapping[str, str]) -> Any:
    """Make the options of a run."""
    options = _ort.RunOptions()
    for name, value in entries.items():
        options.add_run_config_entry(name, value)
    return options


def nodes_by_provider(session: Session) -> dict[str, int]:
    """Count the graph's nodes by the provider that they were placed on."""
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


_OPSET = "export it again; netc writes opset 20 and IR version 10 by default"


def _reason(error: Exception) -> str:
    """Give ONNX Runtime's words without its C++ file names and signatures."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    text = re.sub(r"/\S+\.(?:cc|h):\d+ [\w:~]+\(.*?\) (?=\w)", "", text)
    return re.sub(r"\b\w+\.(?:cc|h):\d+ \w+ ", "", text)
