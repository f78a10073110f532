"""Runs the models that netc compiles."""

from typing import TYPE_CHECKING

from netc_runtime.errors import RuntimeFault

__version__ = "0.1.0"
__all__ = ["Model", "RuntimeFault", "__version__", "load"]

if TYPE_CHECKING:
    from netc_runtime.session import Model, load
else:
    # The compiler imports `netc_runtime.manifest` and `netc_runtime.image` where ONNX Runtime may be absent.
    def __getattr__(name: str) -> object:
        if name in ("Model", "load"):
            from netc_runtime import session

            return getattr(session, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
