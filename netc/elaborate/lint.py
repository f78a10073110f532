"""Warnings: what a right text would be better without. Nothing here stops a net from being built."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from netc.diagnostic import Diagnostic, Diagnostics, Label, Span
from netc.elaborate.expr import target_names
from netc.elaborate.files import Unit
from netc.graph import Graph
from netc.syntax import tree as t

APPLIES = {
    "softmax": ("cross_entropy", "softmax"),
    "log_softmax": ("cross_entropy", "softmax"),
    "sigmoid": ("bce_with_logits", "sigmoid"),
}
"""Layers that a loss and a decoding apply themselves."""
HANDED_ON = frozenset({"id", "dropout", "drop_path", "flatten", "reshape", "subsample", "crop", "upsample"})
"""Layers after which a probability still is one."""


def lint_graph(graph: Graph, found: Diagnostics) -> None:
    """Warnings of a net: W101 what a loss or a decoding applies again, W102 a bias that batch norm takes out, W104 an
    image whose channels seem to come last, W106 a softmax over one channel.
    """
    _applied_twice(graph, found)
    _idle_biases(graph, found)
    _channels_last(graph, found)
    _one_channel(graph, found)


def lint_text(unit: Unit, found: Diagnostics) -> None:
    """Warnings of a file whose nets are right: W103 a name that nothing uses."""
    counts: dict[t.At | None, Counter[str]] = {}
    for name, what, scope in _named(unit.file.statements):
        if scope not in counts:
            counts[scope] = _words(unit.file, scope)
        if counts[scope][name.text] == 1 and not name.text.startswith("_"):
            message = f"{what} `{name.text}` is used nowhere"
            help_ = f"take it out, or call it _{name.text} if it has to stay"
            _warn(found, Diagnostic("W103", message, unit.span(name), help=help_))


def _words(file: t.File, scope: t.At | None) -> Counter[str]:
    """How often each word stands in a part of the file, or in all of it, comments left out."""
    text = file.source.text
    start, end = (0, len(text)) if scope is None else (scope.start, scope.end)
    counts: Counter[str] = Counter()
    first, last = (bisect_left(file.comments, at, key=lambda comment: comment.start) for at in (start, end))
    for comment in (*file.comments[first:last], t.At(end, end)):
        counts.update(re.findall(r"[A-Za-z_]\w*", text[start : comment.start]))
        start = comment.end
    return counts


def _named(statements: tuple[t.Statement, ...]) -> Iterator[tuple[t.Name | t.Label, str, t.At | None]]:
    """Names that are there to be used: each, what it is, and where it can be used (None: in the whole file)."""
    for statement in statements:
        match statement:
            case t.Use():
                yield from ((name, "the import", None) for name in statement.names)
            case t.Let():
                yield from ((name, "the `let`", None) for name in target_names(statement.targets))
            case t.Block():
                yield from ((p.name, "the parameter", statement) for p in statement.params)
                yield from _in_body(statement.body, statement)
            case t.Net():
                yield from ((p.name, "the parameter", None) for p in statement.params)
                for member in statement.members:
                    yield from _in_statement(member, statement)
            case _:
                pass


def _in_body(body: t.Body, scope: t.At) -> Iterator[tuple[t.Name | t.Label, str, t.At | None]]:
    for statement in body.statements:
        yield from _in_statement(statement, scope)


def _in_statement(statement: t.At, scope: t.At) -> Iterator[tuple[t.Name | t.Label, str, t.At | None]]:
    if isinstance(statement, t.Let):
        yield from ((name, "the `let`", scope) for name in target_names(statement.targets))
    elif isinstance(statement, t.Chain):
        for item in statement.items:
            match item.core:
                case t.Call():
                    # Any other label says what a layer is for, or names weights: that is use enough.
                    if item.label is not None and item.core.name.text == "id" and not item.label.quoted:
                        yield item.label, "the label", None
                case t.Braces():
                    yield from _in_body(item.core.body, scope)
                case t.Fork():
                    for arm in item.core.arms:
                        yield from _in_body(arm, scope)
                case t.If():
                    for _, branch in item.core.branches:
                        yield from _in_body(branch, scope)
                    if item.core.other is not None:
                        yield from _in_body(item.core.other, scope)
                case _:
                    pass


def _warn(found: Diagnostics, diagnostic: Diagnostic) -> None:
    found.add(diagnostic._replace(severity="warning"))


def _applied_twice(graph: Graph, found: Diagnostics) -> None:
    for output in graph.outputs:
        node = graph.node.get(output.value)
        while node is not None and node.op.kind in HANDED_ON:
            node = graph.node.get(node.inputs[0])
        loss = graph.train.loss.get(output.name) if graph.train is not None else None
        if node is None or node.op.kind not in APPLIES:
            continue
        again, decode = APPLIES[node.op.kind]
        by = f"the loss `{again}`" if loss is not None and loss.kind == again else f"`decode = {decode}`"
        if output.decode == decode or (loss is not None and loss.kind == again):
            message = f"`{node.op.kind}` is applied twice: {by} of the output `{output.name}` applies it again"
            help_ = f"take it out; decode = {decode} applies it at inference"
            _warn(found, Diagnostic("W101", message, node.where, help=help_))


def _channels_last(graph: Graph, found: Diagnostics) -> None:
    for each in graph.inputs:
        batch, c, sides = each.type.batch, each.type.c, each.type.sides
        if len(sides) == 2 and sides[0] == c and sides[1] in (1, 3, 4) and c > 4:
            message = f"this image has {c} channels and is {sides[1]} wide: channels come before height and width"
            help_ = f"write f32[{batch}, {sides[1]}, {c}, {sides[0]}]"
            _warn(found, Diagnostic("W104", message, each.where, help=help_))


def _idle_biases(graph: Graph, found: Diagnostics) -> None:
    norms = [node for node in graph.nodes if node.op.kind == "bn"]
    if not norms:
        return
    reads = Counter(name for node in graph.nodes for name in node.inputs) + Counter(o.value for o in graph.outputs)
    idle: dict[
        Span, tuple[str, int, Span]
    ] = {}  # by the place of a layer: its kind, its bias's size, batch norm's place
    for norm in norms:
        before = graph.node.get(norm.inputs[0])
        if before is None or reads[before.name] > 1 or not getattr(before.op, "bias", False):
            continue
        if "bias" in before.op.model_fields_set:
            continue  # the text asks for it: published weights may have one
        param = before.op.params(*graph.operands(before))["bias"]
        if param.shape != (before.type.c,):
            continue  # `local` has one at each place, and batch norm subtracts one mean a channel
        idle.setdefault(before.where, (before.op.kind, param.size, norm.where))
    if not idle:
        return
    # One finding for a net: who forgets it once forgets it at every layer.
    where, (kind, size, norm_where) = next(iter(idle.items()))
    message = f"batch norm takes the bias of this `{kind}` out again: {size} numbers learn nothing"
    if len(idle) > 1:
        message += f"; at {len(idle) - 1} more {'place' if len(idle) == 2 else 'places'} too"
    help_ = f"write default {kind}(bias=false), or bias=false here; bias=true where published weights have one"
    _warn(found, Diagnostic("W102", message, where, labels=(Label(norm_where, "subtracts the mean"),), help=help_))


def _one_channel(graph: Graph, found: Diagnostics) -> None:
    for output in graph.outputs:
        loss = graph.train.loss.get(output.name) if graph.train is not None else None
        by = "`decode = softmax`" if output.decode == "softmax" else ""
        by = "`cross_entropy`" if loss is not None and loss.kind == "cross_entropy" else by
        if by and output.type.c == 1:
            message = f"the output `{output.name}` has one channel, of which {by} makes 1 whatever it is"
            help_ = "for yes or no give it two channels, or decode = sigmoid, which `netc train` does not train yet"
            _warn(found, Diagnostic("W106", message, output.where, help=help_))
