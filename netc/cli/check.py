"""`netc check`, apart from its options: without the option parser, so that an editor or a hook waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netc import __version__, api, render
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.terminal import err, flush, out, paint
from netc.elaborate.budget import Limits
from netc.errors import page
from netc.graph import Graph

FORMATS = ("text", "json", "github", "sarif")


def check(specs: Sequence[str], form: str = "text", search: Sequence[Path] = (), max_nodes: int = 1_000_000) -> None:
    """Check specs and print what was found. Raises CodeError where something is wrong."""
    limits = Limits(nodes=max_nodes)
    checked = [api.check(target, search=search, limits=limits) for name in specs for target in _targets(name)]
    findings = [d for c in checked for d in c.diagnostics]
    if form == "json":
        out(render.as_json({"ok": all(c.ok for c in checked), "files": [_record(c) for c in checked]}))
    elif form == "sarif":
        out(render.sarif(findings, __version__))
    elif form == "github":
        for diagnostic in findings:
            out(render.github(diagnostic))
    else:
        _print(checked)
    if not all(c.ok for c in checked):
        raise CodeError(INPUT)


def _targets(name: str) -> list[str]:
    path, net = api.split(name)
    if net is not None or not api.is_folder(path):
        return [name]
    found = api.specs(Path(path))
    if not found:
        raise UsageFault(f"{name} holds no .cnn file")
    return [str(p) for p in found]


def _macs(graph: Graph) -> int | None:
    """A net's MACs, of symbolic sides at the sizes of its `expect`; None where these do not give all."""
    try:
        return graph.macs(graph.expect.at)
    except KeyError:
        return None


def _sides(graph: Graph) -> list[str]:
    sides = (side for each in graph.inputs for side in each.type.sides if not isinstance(side, int))
    return list(dict.fromkeys(name for side in sides for name in side.symbols()))


def _figures(graph: Graph) -> tuple[str, str]:
    macs = _macs(graph)
    words = f"{macs:,} MACs" if isinstance(macs, int) else f"MACs depend on {', '.join(_sides(graph))}"
    if graph.expect.at:
        words += " at " + ", ".join(f"{n} = {v}" for n, v in graph.expect.at.items())
    return f"{graph.params():,} parameters", words


def _print(checked: Sequence[api.Checked]) -> None:
    for each in checked:
        for diagnostic in each.diagnostics:
            paint(render.text(diagnostic))
            out("")
    rows = [(c.name, n, *_figures(c.graphs[n])) for c in checked for n in c.nets if n in c.graphs]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    for name, net, params, macs in rows:
        out(f"{name:<{widths[0]}}  {net:<{widths[1]}}  {params:>{widths[2]}}  {macs:>{widths[3]}}  ok")
    findings = [d for c in checked for d in c.diagnostics]
    if findings:
        out(render.summary(findings, sum(c.dropped for c in checked)))
    elif not rows:
        out(f"{', '.join(c.name for c in checked)}: no net to check, no errors")
    flush()  # in a log of both, the result stands above what follows
    code = next((d.code for d in findings if page(d.code) is not None), None)
    if code is not None:
        err(f"`netc explain {code}` says more")
    for each in checked:
        for net in each.nets if each.ok else ():
            if net not in each.graphs and each.asked in (None, net):
                err(f"note: {each.name}: net {net} takes arguments without a default, so only its variants are checked")


def _record(checked: api.Checked) -> dict[str, Any]:
    nets: dict[str, Any] = {}
    for name in checked.nets:
        graph = checked.graphs.get(name)
        if graph is not None:
            nets[name] = {
                "params": graph.params(),
                "params_train": graph.params(train=True),
                "macs": _macs(graph),
                "at": dict(graph.expect.at),
                "layers": len(graph.nodes),
            }
    return {
        "file": checked.name,
        "ok": checked.ok,
        "nets": nets,
        "diagnostics": [render.record(d) for d in checked.diagnostics],
        "dropped": checked.dropped,
    }
