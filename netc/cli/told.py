"""What `netc build` says of its passes: with -v what each did, with NETC_DEBUG how long it took and what it left."""

from __future__ import annotations

from collections import Counter

from netc.backends.watching import Watch
from netc.cli import debug
from netc.cli.terminal import err
from netc.graph import Graph
from netc.passes import Step


class Told(Watch):
    """Says what it is told of on standard error."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self.careful = debug.level() > 0

    def stage(self, name: str, seconds: float) -> None:
        debug.stage(name, seconds)

    def step(self, step: Step) -> None:
        if self._verbose:
            err(said(step))
        debug.stage(step.name, step.seconds)
        if debug.level() >= debug.PASSES and step.after is not step.before:
            debug.listing(f"{step.after.name} after {step.name}", step.after)


def said(step: Step) -> str:
    """What a pass did: nodes and MACs before and after, and of which kinds layers went, came and changed."""
    before, after = step.before, step.after
    if after.nodes == before.nodes and after.outputs == before.outputs:
        return f"{step.name:<16} nothing to do"
    nodes = f"{len(before.nodes)} -> {len(after.nodes)} nodes"
    return f"{step.name:<16} {nodes:<20} {_macs(before, after)}{_changes(before, after)}"


def _macs(before: Graph, after: Graph) -> str:
    try:
        was, now = before.macs(before.expect.at), after.macs(after.expect.at)
    except KeyError as symbol:
        return f"MACs depend on {symbol.args[0]}"
    return f"{was:,} MACs" if was == now else f"{was:,} -> {now:,} MACs"


def _changes(before: Graph, after: Graph) -> str:
    # By name: what is under another kind has gone and come.
    kinds = {node.name: node.op.kind for node in after.nodes}
    gone = Counter(node.op.kind for node in before.nodes if kinds.get(node.name) != node.op.kind)
    came = Counter(
        node.op.kind
        for node in after.nodes
        if node.name not in before.node or before.node[node.name].op.kind != node.op.kind
    )
    changed = Counter(
        node.op.kind
        for node in after.nodes
        if node.name in before.node
        and before.node[node.name].op.kind == node.op.kind
        and _differs(before, node.name, after)
    )
    words = [
        f"{count} {kind} {verb}"
        for verb, each in (("gone", gone), ("new", came), ("changed", changed))
        for kind, count in sorted(each.items())
    ]
    outputs = len(before.outputs) - len(after.outputs)
    words += [f"{outputs} {'output' if outputs == 1 else 'outputs'} gone"] if outputs else []
    return f"; {', '.join(words)}" if words else ""


def _differs(before: Graph, name: str, after: Graph) -> bool:
    was, now = before.node[name].op, after.node[name].op
    return was is not now and was != now
