"""The layer kinds, one file each, found by name: `conv` lives in `conv.py`.

Packages add theirs as `netc.ops` entry points.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from netc.op import REGISTRY, Layer


@cache
def _files() -> frozenset[str]:
    return frozenset(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


@cache
def _plugins() -> frozenset[str]:
    """Load the layers of installed packages; scanning for them is slow, so it waits for a name nobody here knows."""
    from importlib.metadata import entry_points  # slow to import, and rarely needed

    before = set(REGISTRY)
    for point in entry_points(group="netc.ops"):
        point.load()
    return frozenset(set(REGISTRY) - before)


def find(kind: str) -> type[Layer] | None:
    """The layer kind of this name, None where no file here and no installed package defines one."""
    if kind in REGISTRY:
        return REGISTRY[kind]
    if kind in _files():
        import_module(f"{__name__}.{kind}")
    else:
        _plugins()
    return REGISTRY.get(kind)


def ours(kind: str) -> bool:
    """Whether netc itself has a layer of this name; unlike `find` it never asks the installed packages."""
    return kind in _files()


def kinds() -> list[str]:
    """Every layer kind's name, installed packages' included, sorted."""
    return sorted(_files() | _plugins())
