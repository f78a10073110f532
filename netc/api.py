"""The pipeline on one page: a spec's text is checked, compiled to torch, trained, and built into ONNX.

What a spec has wrong is a value (`Checked.diagnostics`); `load`, `compile` and `build` raise SpecError with all of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostic import Diagnostic, Diagnostics, Fault, Source, SpecError
from netc.elaborate import elaborate, uncollected
from netc.elaborate.budget import Limits
from netc.elaborate.files import read
from netc.elaborate.layers import validate
from netc.elaborate.names import nearest
from netc.graph import Graph
from netc.sections import Export

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from netc.backends.build import Built
    from netc.weights import Reading
    from netc_runtime.manifest import Precision


@dataclass(frozen=True)
class Checked:
    """What a check found. `graphs` holds the nets without error; `nets` names every net of the text."""

    name: str
    diagnostics: tuple[Diagnostic, ...]
    graphs: Mapping[str, Graph]
    nets: tuple[str, ...]
    dropped: int = 0
    asked: str | None = None
    """The one net that was to be checked."""
    files: Mapping[Path, Source | None] = field(default_factory=dict[Path, Source | None])
    """Every file that was read, by its resolved path, and None for those that were looked for in vain."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return not any(d.severity == "error" for d in self.diagnostics)


class Several(Exception):
    """Where one net is needed the file has several, none, or not the one that was named."""

    def __init__(self, spec: str, nets: Sequence[str], asked: str | None) -> None:
        self.spec, self.nets, self.asked = spec, tuple(nets), asked
        if asked is not None and asked in nets:
            words = (
                f"net `{asked}` of {spec} takes arguments without a default: "
                f"a variant of it, `net Name = {asked}(...)`, gives them"
            )
        elif asked is not None:
            words = f"{spec} has no net `{asked}`"
            if nets:
                words += f": {nearest(asked, nets) or _listed(nets)}"
        elif nets:
            words = f"{spec} has {len(nets)} nets; name one: " + ", ".join(f"{spec}:{n}" for n in nets)
        else:
            words = f"{spec} has no net"
        super().__init__(words)


def _listed(nets: Sequence[str]) -> str:
    return f"its net is {nets[0]}" if len(nets) == 1 else f"its nets are {', '.join(nets)}"


def split(target: str) -> tuple[str, str | None]:
    """`SPEC[:NET]` at the last colon after `.cnn`: a path may hold colons."""
    head, colon, tail = target.rpartition(":")
    return (head, tail) if colon and head.endswith(".cnn") else (target, None)


def specs(path: Path) -> list[Path]:
    """The specs that a path names: itself, or a folder's `*.cnn`, sorted."""
    return sorted(path.glob("*.cnn")) if is_folder(path) else [path]


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there. What no file can be called is none, too."""
    return os.path.isdir(path)  # noqa: PTH112 -- Path.is_dir raises for a name that is too long


def check(
    target: str | Path,
    *,
    search: Sequence[str | Path] = (),
    limits: Limits | None = None,
    texts: Mapping[Path, str] | None = None,
    most: int = 100,
) -> Checked:
    """Check a file `SPEC[:NET]`: syntax, names, shapes, sections and expectations. What it says wrong is in the result.

    `texts` stand for what files hold, by resolved path: what an editor has not saved. `most` findings are kept, one at
    least. Raises Several where the file has no net of the name that is asked for.
    """
    name, net = split(str(target))
    path = Path(name)
    source = read(path, path.as_posix(), (limits or Limits()).bytes, texts.get(_resolved(path)) if texts else None)
    if isinstance(source, Diagnostic):
        return Checked(name, (source,), {}, (), files={_resolved(path): None})
    return check_text(source, path, net=net, search=search, limits=limits, texts=texts, most=most)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # what no file can be called
        return path


def check_text(
    source: Source,
    path: Path | None = None,
    *,
    net: str | None = None,
    search: Sequence[str | Path] = (),
    limits: Limits | None = None,
    texts: Mapping[Path, str] | None = None,
    most: int = 100,
) -> Checked:
    """Check a text. `path` is where it lies, for what it uses; without one it uses nothing but `std/`.

    `texts` stand for what other files hold, by resolved path; `most` findings are kept, one at least. Raises Several as
    `check` does.
    """
    found = Diagnostics(most)
    done = elaborate(source, path, found, net=net, search=tuple(map(Path, search)), limits=limits, texts=texts)
    if net is not None and net not in done.nets and not found.errors:
        raise Several(source.name, tuple(done.nets), net)
    # As the author reads: by file in order of discovery, then by place.
    files = {name: i for i, name in enumerate(dict.fromkeys([source.name, *(d.span.source.name for d in found.found)]))}
    said = sorted(found.found, key=lambda d: (files[d.span.source.name], d.span.start))
    return Checked(source.name, tuple(said), done.graphs, tuple(done.nets), found.dropped, net, done.files)


def load(target: str | Path, *, search: Sequence[str | Path] = (), limits: Limits | None = None) -> Graph:
    """The one net that `SPEC[:NET]` names, checked.

    Raises SpecError with every finding, and Several where none is named and other than one fits, or it does not.
    """
    return _only(check(target, search=search, limits=limits))


def _only(checked: Checked) -> Graph:
    if not checked.ok:
        raise SpecError(checked.diagnostics)
    net = checked.asked
    if net is None and len(checked.graphs) > 1:
        raise Several(checked.name, tuple(checked.graphs), None)
    if net is None and not checked.graphs:
        raise Several(checked.name, checked.nets, checked.nets[0] if checked.nets else None)
    graph = checked.graphs.get(net or next(iter(checked.graphs)))
    if graph is None:
        raise Several(checked.name, checked.nets, net)
    return graph


def compile(
    target: str | Path,
    *,
    weights: str | Path | Mapping[str, np.ndarray[Any, Any]] | None = None,
    reading: Reading | None = None,
) -> nn.Module:
    """The net as a torch module, in train mode like any new one; its source is what `netc build --emit torch` writes.

    `weights` is a source as for `netc build --weights`, read as `reading` says, or a mapping of `state_dict` names to
    arrays or tensors, which are copied; without it, and where it is partial, they are torch's initial ones.
    Warns of choices made while reading. Raises SpecError, Several, and Fault N4xx for weights that do not fit.
    """
    graph = load(target)
    from netc.backends import torch as backend

    if weights is None:
        return backend.module(graph)

    def initial() -> Mapping[str, np.ndarray[Any, Any]]:
        return {name: tensor.numpy() for name, tensor in backend.module(graph).state_dict().items()}

    return backend.module(graph, weights=weights_of(graph, weights, reading, initial=initial))


def weights_of(
    graph: Graph,
    weights: str | Path | Mapping[str, np.ndarray[Any, Any]],
    reading: Reading | None = None,
    *,
    initial: Callable[[], Mapping[str, np.ndarray[Any, Any]]],
    finite: bool = True,
) -> Mapping[str, np.ndarray[Any, Any]]:
    """Weights from a source or a mapping, held to the net; what is partial is `initial`. Raises Fault N4xx."""
    from netc import weights as stored

    reading = reading or stored.Reading()
    as_asked = replace(reading, nonfinite=reading.nonfinite or not finite)
    said: list[str] = []
    try:
        if isinstance(weights, str | Path):
            found = stored.load(weights, graph, as_asked, say=said.append)
        else:
            found = stored.taken(weights, graph, as_asked, say=said.append)
    finally:
        for text in said:
            warnings.warn(text, stacklevel=3)  # of whoever called compile or build
    return stored.completed(found, graph, initial) if reading.partial else found


def build(
    target: str | Path,
    out: str | Path,
    *,
    weights: str | Path | Mapping[str, np.ndarray[Any, Any]] | None = None,
    init: int | None = None,
    reading: Reading | None = None,
    verify: bool = True,
    opset: int | None = None,
    fold: bool = True,
    verify_data: np.ndarray[Any, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    external_data: bool = False,
    precision: Precision | None = None,
    calibrate: np.ndarray[Any, Any] | Mapping[str, np.ndarray[Any, Any]] | None = None,
    labels: Sequence[int] | np.ndarray[Any, Any] | None = None,
    max_drop: float | None = None,
    keep_float: Sequence[str] = (),
    embed: Sequence[str] | None = None,
) -> Built:
    """Compile a net and its weights to an ONNX file with its manifest, verified against float64 torch.

    `weights` is a source as for `netc build --weights`, read as `reading` says, or a mapping. `init` is a seed for
    initial weights where none are given, and for what a partial `reading` leaves out; `sizes` make numbers of symbols,
    such as {"H": 512}; with `external_data`, and beyond 2 GiB, weights lie in a file beside `out`.

    `precision` is f32, f16, bf16 or int8, else the spec's. int8 is fitted to `calibrate`, real inputs after the recipe,
    and may lose `max_drop` percentage points on them, against their classes `labels` or without these against f32;
    `keep_float` are patterns of layers that stay in float. `embed` names what the graph does itself, in the spec's
    place: `preprocess`, so that raw pixels enter, and `decode`.

    Warns of choices made while reading. Raises SpecError, Several, Fault N171 and N4xx, and TypeError for a size or an
    opset that is no whole number; a file that fails verification is not left behind, and an older `out` stays as it
    was.
    """
    checked = check(target)
    graph = _only(checked)
    sources = [*checked.files, *([_resolved(Path(weights))] if isinstance(weights, str | Path) else ())]
    if _resolved(Path(out)) in sources:
        raise Fault("N410", f"{out}: this file is read here", help="name another file")
    numbers = {name: index(size) for name, size in (sizes or {}).items()}
    asked = _export(opset=None if opset is None else index(opset), precision=precision)
    from netc.backends.build import build as write
    from netc.backends.precision.wanted import Wanted

    calibration = None
    if labels is not None and calibrate is None:
        raise Fault("N465", "there are labels but no examples to calibrate on", help="pass calibrate=... beside labels")
    if calibrate is not None:
        from netc.backends.precision.examples import calibration as of

        calibration = of(graph, calibrate, labels)

    partial = reading is not None and bool(reading.partial)
    if init is None if partial or weights is None else init is not None:
        raise Fault(
            "N400",
            "a build takes weights or a seed for initial ones, and both where the weights are partial",
            help="pass weights=... or init=0",
        )

    def initial() -> Mapping[str, np.ndarray[Any, Any]]:
        from netc.backends import torch as backend

        return backend.initial(graph, init or 0)

    with nullcontext() if verify else uncollected():  # torch may leave garbage, a build by itself leaves none
        # Whether each number is one is seen while they are written.
        given = None if weights is None else weights_of(graph, weights, reading, initial=initial, finite=False)
        return write(
            graph,
            initial() if given is None else given,
            Path(out),
            verify=verify,
            opset=None if opset is None else asked.opset,
            fold=fold,
            verify_data=verify_data,
            sizes=numbers,
            external_data=external_data,
            nonfinite=reading is not None and reading.nonfinite,
            precision=Wanted(None if precision is None else asked.precision, calibration, max_drop, keep_float),
            embed=embed,
            source=str(weights) if isinstance(weights, str | Path) else "",
        )


def _export(**given: object) -> Export:
    """What an `export` section would say. Raises Fault N171."""
    made = validate(Export, {name: value for name, value in given.items() if value is not None}, "the build")
    if isinstance(made, list):
        raise Fault("N171", "; ".join(finding.message for finding in made), help=made[0].help)
    return made
