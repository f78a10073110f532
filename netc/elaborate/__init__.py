"""Tree to graph: the language's meaning."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from netc.diagnostic import Diagnostic, Diagnostics, Source, Span
from netc.elaborate.budget import Budget, Limits, Stop
from netc.elaborate.edits import renamed
from netc.elaborate.files import Files
from netc.elaborate.layers import Layers
from netc.elaborate.lint import lint_graph, lint_text
from netc.elaborate.names import nearest
from netc.elaborate.net import elaborate_net
from netc.graph import Graph
from netc.syntax import tree as t


@dataclass(frozen=True)
class Elaborated:
    """What a text comes to. `graphs` holds the right nets, `nets` every net's name and whether it is a variant."""

    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])
    nets: dict[str, bool] = field(default_factory=dict[str, bool])
    files: dict[Path, Source | None] = field(default_factory=dict[Path, Source | None])
    """Every file that was read, and None for those that were looked for in vain."""


@contextmanager
def _deep(depth: int) -> Generator[None]:
    # A block inside a block takes a dozen Python frames; 200 of them are within the language's limits.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 60 * max(200, depth)))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def uncollected() -> Generator[None]:
    """Nothing is searched for garbage: what a check or a build makes lives until its end, so that none is found."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def elaborate(
    source: Source,
    path: Path | None,
    found: Diagnostics,
    *,
    net: str | None = None,
    root: Path | None = None,
    search: tuple[Path, ...] = (),
    limits: Limits | None = None,
    texts: Mapping[Path, str] | None = None,
) -> Elaborated:
    """Every net of a text (or the one called `net`) as a graph. Findings go to `found`; no text makes it raise.

    `texts` stand for what files hold, by resolved path.
    """
    budget = Budget(limits or Limits(), found)
    files = Files(
        found, budget, root if root is not None else (path.parent if path is not None else None), search, texts
    )
    done = Elaborated(files=files.sources)
    with uncollected(), _deep(budget.limits.depth), suppress(Stop):
        unit = files.open(source, path.resolve() if path is not None else None)
        own = {n: d for n, d in unit.nets.items() if d.unit is unit}
        done.nets.update((n, isinstance(d.tree, t.Variant)) for n, d in own.items())
        for section in unit.sections:
            _check_target(
                section,
                own,
                unit.unsure,
                found,
                unit.span(section.target or t.At(section.start, section.start + len(section.kind))),
            )
        layers = Layers()
        for name, definition in own.items():
            if (net is None or net == name) and not budget.spent:
                graph = elaborate_net(definition, files, found, layers)
                if graph is not None:
                    done.graphs[name] = graph
        if not found.errors:
            for graph in done.graphs.values():
                lint_graph(graph, found)
            lint_text(unit, found)
    return done


def _check_target(
    section: t.Section, nets: Mapping[str, object], unsure: bool, found: Diagnostics, where: Span
) -> None:
    if unsure:
        return
    if section.target is not None and section.target.text not in nets:
        found.add(
            Diagnostic(
                "N172",
                f"no net is called `{section.target.text}`",
                where,
                help=nearest(section.target.text, nets),
                edit=renamed(where, section.target.text, nets),
            )
        )
    elif section.target is None and len(nets) != 1:
        found.add(
            Diagnostic(
                "N172",
                f"`{section.kind}` names no net, and the file has {len(nets)}",
                where,
                help=f"write {section.kind} NAME {{ ... }}",
            )
        )
