"""The pipeline on one page: a spec's text is checked, compiled to torch, trained, and built into ONNX.

Whatever a user wrote wrong is a value (`Checked.diagnostics`); `load`, `compile` and `build` raise SpecError with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostic import Diagnostic, Diagnostics, Fault, Source, SpecError
from netc.elaborate import elaborate
from netc.elaborate.files import read
from netc.elaborate.frame import Limits
from netc.elaborate.names import nearest
from netc.graph import Graph

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from netc.backends.build import Built


@dataclass(frozen=True)
class Checked:
    """What a check found. `graphs` holds the nets without error; `nets` names every net of the text."""

    name: str
    diagnostics: tuple[Diagnostic, ...]
    graphs: Mapping[str, Graph]
    nets: tuple[str, ...]
    dropped: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return not any(d.severity == "error" for d in self.diagnostics)


class Several(Exception):
    """Where one net is needed the file has several, none, or not the one that was named."""

    def __init__(self, spec: str, nets: Sequence[str], asked: str | None) -> None:
        self.spec, self.nets, self.asked = spec, tuple(nets), asked
        if asked is not None:
            help_ = nearest(asked, nets) or f"its nets are {', '.join(nets)}"
            super().__init__(f"{spec} has no net `{asked}`: {help_}")
        elif nets:
            super().__init__(f"{spec} has {len(nets)} nets; name one: " + ", ".join(f"{spec}:{n}" for n in nets))
        else:
            super().__init__(f"{spec} has no net")


def split(target: str) -> tuple[str, str | None]:
    """`SPEC[:NET]` at the last colon after `.cnn`: a path may hold colons."""
    head, colon, tail = target.rpartition(":")
    return (head, tail) if colon and head.endswith(".cnn") else (target, None)


def specs(path: Path) -> list[Path]:
    """The specs that a path names: itself, or a folder's `*.cnn`, sorted."""
    return sorted(path.glob("*.cnn")) if path.is_dir() else [path]


def check(target: str | Path, *, search: Sequence[Path] = (), limits: Limits | None = None) -> Checked:
    """Check a file `SPEC[:NET]`: syntax, names, shapes, sections and expectations. Never raises for what a user wrote."""
    name, net = split(str(target))
    path = Path(name)
    source = read(path, _shown(path))
    if isinstance(source, Diagnostic):
        return Checked(name, (source,), {}, ())
    return check_text(source, path, net=net, search=search, limits=limits)


def check_text(
    source: Source,
    path: Path | None = None,
    *,
    net: str | None = None,
    search: Sequence[Path] = (),
    limits: Limits | None = None,
) -> Checked:
    """Check a text. `path` is where it lies, for what it uses; without one it uses nothing but `std/`."""
    found = Diagnostics()
    done = elaborate(source, path, found, net=net, search=tuple(search), limits=limits)
    if net is not None and net not in done.nets and not found.errors:
        raise Several(source.name, tuple(done.nets), net)
    return Checked(source.name, tuple(found.found), done.graphs, tuple(done.nets), found.dropped)


def _shown(path: Path) -> str:
    return path.as_posix()


def load(target: str | Path, *, search: Sequence[Path] = (), limits: Limits | None = None) -> Graph:
    """The one net that `SPEC[:NET]` names, checked.

    Raises SpecError with every finding, and Several where the file has other than one net and none is named.
    """
    checked = check(target, search=search, limits=limits)
    if not checked.ok:
        raise SpecError(checked.diagnostics)
    net = split(str(target))[1]
    if net is None and len(checked.nets) != 1:
        raise Several(checked.name, checked.nets, None)
    graph = checked.graphs.get(net or checked.nets[0])
    if graph is None:
        raise Several(checked.name, tuple(checked.graphs), net or checked.nets[0])
    return graph


def compile(target: str | Path, *, weights: str | Path | Mapping[str, np.ndarray[Any, Any]] | None = None) -> nn.Module:
    """The net as a torch module, in train mode like any new module; its source is what `netc build --emit torch` writes.

    `weights` is a safetensors file or a mapping of `state_dict` names; without it the weights are torch's initial ones.
    Raises SpecError, Several, and Fault N4xx for weights that do not fit.
    """
    graph = load(target)
    from netc.backends import torch as backend

    return backend.module(graph, weights=None if weights is None else weights_of(graph, weights))


def weights_of(
    graph: Graph, weights: str | Path | Mapping[str, np.ndarray[Any, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Weights from a safetensors file or a mapping, checked against the net. Raises Fault N4xx."""
    from netc.backends import weights as stored

    if isinstance(weights, str | Path):
        return stored.load(Path(weights), graph)
    found = dict(weights)
    stored.check(found, graph)
    return found


def build(
    target: str | Path,
    out: str | Path,
    *,
    weights: str | Path | Mapping[str, np.ndarray[Any, Any]] | None = None,
    init: int | None = None,
    verify: bool = True,
    opset: int | None = None,
    fold: bool = True,
    verify_data: np.ndarray[Any, Any] | None = None,
) -> Built:
    """Compile a net and its weights to an ONNX file with its manifest, verified against float64 torch.

    `init` is a seed for initial weights where none are given. Raises SpecError, Several, and Fault N4xx; a file that
    fails verification is not left behind, and an older `out` stays as it was.
    """
    graph = load(target)
    from netc.backends.build import build as write

    if (weights is None) == (init is None):
        raise Fault(
            "N400",
            "a build takes weights or a seed for initial ones, and one of them only",
            help="pass weights=... or init=0",
        )
    if weights is None:
        from netc.backends.weights import initial

        assert init is not None
        tensors = initial(graph, init)
    else:
        tensors = weights_of(graph, weights)
    return write(graph, tensors, Path(out), verify=verify, opset=opset, fold=fold, verify_data=verify_data)
