"""`netc check`, apart from its options: without the option parser, so that an editor or a hook waits for nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netc import __version__, api, render
from netc.cli import debug
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.terminal import err, flush, out, paint
from netc.diagnostic import Diagnostic
from netc.elaborate.budget import Limits
from netc.errors import page
from netc.graph import Graph
from netc.syntax.parse import decode

STDIN = "<stdin>"
"""What standard input is called where nothing else is said."""


def check(
    specs: Sequence[str],
    form: str = "text",
    search: Sequence[Path] = (),
    limits: Limits | None = None,
    stdin_name: str | None = None,
) -> None:
    """Check specs and print what was found. Raises CodeError where something is wrong."""
    checked = found(specs, search, limits, stdin_name)
    show(checked, form)
    if not all(c.ok for c in checked):
        raise CodeError(INPUT)


def found(
    specs: Sequence[str],
    search: Sequence[Path] = (),
    limits: Limits | None = None,
    stdin_name: str | None = None,
) -> list[api.Checked]:
    """What checks of specs, of the specs in folders, and of standard input (`-`) find."""
    if stdin_name is not None and "-" not in specs:
        raise UsageFault("--stdin-name names the text of standard input: check -")
    if specs.count("-") > 1:
        raise UsageFault("standard input can be read once")
    checked: list[api.Checked] = []
    for name in specs:
        if name == "-":
            checked.append(_standard_input(search, limits or Limits(), stdin_name))
        else:
            checked += (_checked(target, search, limits) for target in targets(name))
    return checked


def _checked(target: str, search: Sequence[Path], limits: Limits | None) -> api.Checked:
    with debug.timing("check"):
        found = api.check(target, search=search, limits=limits)
    for graph in found.graphs.values():
        debug.table(graph)
    return found


def _standard_input(search: Sequence[Path], limits: Limits, name: str | None) -> api.Checked:
    source = decode(name or STDIN, standard_input(limits), limits.bytes)
    if isinstance(source, Diagnostic):
        return api.Checked(source.span.source.name, (source,), {}, ())
    return api.check_text(source, stands_for(name), search=search, limits=limits)


def standard_input(limits: Limits) -> bytes:
    """What standard input holds, up to what a spec may."""
    if sys.stdin is None:  # as it is where it was closed
        raise UsageFault("standard input is closed")
    return sys.stdin.buffer.read(limits.bytes + 1)


def stands_for(name: str | None) -> Path | None:
    """The file that the text of standard input stands for: what it uses lies beside it."""
    if name is not None and ("\0" in name or not name):
        raise UsageFault("--stdin-name is no name for a file")
    return Path(name) if name is not None else None


def show(checked: Sequence[api.Checked], form: str) -> None:
    """Print what checks found."""
    findings = [d for c in checked for d in c.diagnostics]
    if form == "json":
        out(render.as_json({"ok": all(c.ok for c in checked), "files": [record(c) for c in checked]}))
    elif form == "sarif":
        out(render.sarif(findings, __version__, page))
    elif form == "github":
        for diagnostic in findings:
            out(render.github(diagnostic))
    else:
        _print(checked)


def targets(name: str) -> list[str]:
    """The specs that an argument names: itself, or those of a folder. Raises UsageFault where that holds none."""
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
    sure = sum(d.edit is not None for d in findings)
    if sure:
        err(f"`netc fix` may put {'it' if len(findings) == 1 else f'{sure} of them'} right")
    for each in checked:
        for net in each.nets if each.ok else ():
            if net not in each.graphs and each.asked in (None, net):
                err(f"note: {each.name}: net {net} takes arguments without a default, so only its variants are checked")


def record(checked: api.Checked) -> dict[str, Any]:
    """A check's result as JSON values."""
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
