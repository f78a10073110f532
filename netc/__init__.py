"""netc compiles a page of text into a convolutional network: checked, trained, exported and served from one source.

Public names are loaded on first use, so that `import netc` costs nothing that is not needed.
"""

import typing as _typing

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from netc.api import build, check, compile, load
    from netc.diagnostic import Diagnostic, Fault, SpecError
    from netc.graph import Graph

_HOMES = {
    "build": "netc.api",
    "check": "netc.api",
    "compile": "netc.api",
    "load": "netc.api",
    "Diagnostic": "netc.diagnostic",
    "Fault": "netc.diagnostic",
    "SpecError": "netc.diagnostic",
    "Graph": "netc.graph",
}

__all__ = ["Diagnostic", "Fault", "Graph", "SpecError", "__version__", "build", "check", "compile", "load"]


def __getattr__(name: str) -> _typing.Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'netc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
