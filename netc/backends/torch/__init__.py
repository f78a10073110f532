"""The torch back end: a graph as readable source of an `nn.Module` that imports torch alone, and that source executed.

A block is a class, and what differs where it is applied are its arguments. Weights lie where the graph says: the names
of `state_dict` are the nodes' paths. Writing source needs no torch; the rest is loaded when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from netc.backends.torch.source import source

if TYPE_CHECKING:
    from netc.backends.torch.live import as_tensor, initial, module

__all__ = ["as_tensor", "initial", "module", "source"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from netc.backends.torch import live

        return getattr(live, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
