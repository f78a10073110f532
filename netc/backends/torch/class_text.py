"""The text of a class: a block's, and the net's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netc.backends import python_text as text
from netc.backends.torch import docs
from netc.backends.torch.body import Body, Step
from netc.backends.torch.classes import Class
from netc.backends.torch.construct import init
from netc.backends.torch.forward import Variables, composed, last_word, lines_of
from netc.backends.torch.outline import Outline
from netc.backends.torch.writer import Writer
from netc.graph import Graph, Output


def of_block(made: Class, graph: Graph) -> str:
    """A block's class; its results' names are noted for those that call it."""
    body, writer = made.body, Writer(made)
    sequence = body.root.sequence is not None
    head = [f"class {made.name}({'nn.Sequential' if sequence else 'nn.Module'}):", *docs.of_block(made, graph), ""]
    # What is read for its size alone is never called, where sizes are numbers.
    if (sequence and len(body.steps) == 1) or not body.leaves:
        return "\n".join([*head, *init(writer)]).rstrip()
    lines = composed(lines_of(writer, body, body.steps), body.leaves)
    labels = _labels(body, body.steps)
    variables = Variables(lines, labels, _entering(body, graph, labels), [(len(lines), body.leaves)])
    names = [variables.names[n] for n in body.enters]
    rows = [row for _, row in variables.rows()]
    made.returns = [variables.names.get(n, "") for n in body.leaves]
    if not variables.folded:
        rows.append(f"return {', '.join(made.returns)}")
    many = ", ".join(["Tensor"] * len(body.leaves))
    forward = _method(names, "Tensor" if len(body.leaves) == 1 else f"tuple[{many}]", rows)
    return "\n".join([*head, *init(writer), *forward])


def of_net(made: Class, outline: Outline) -> str:
    """The net's class; what training alone computes comes last, since nothing before it reads it."""
    graph, body, writer = outline.graph, made.body, Writer(made)
    number = {name: n for n, name in enumerate(body.names)}
    entering: dict[int, str] = {}
    taken: set[str] = set()
    for each in graph.inputs:
        number.setdefault(each.name, len(number))
        entering[number[each.name]] = text.unique(text.variable(each.name), taken)
    fed = [(output, number[value]) for output, value in outline.fed]
    deployed = [(output, value) for output, value in fed if not output.train_only]
    steps = sorted(body.steps, key=lambda step: not step.deployed) if outline.heads else body.steps
    called = {value: output.name for output, value in reversed(fed)}
    for step in steps:
        if len(step.writes) == 1 and step.writes[0] in called:
            step.label, step.named = called[step.writes[0]], True
    lines = composed(lines_of(writer, body, steps), [value for _, value in fed])
    cut = sum(line.deployed for line in lines) if outline.heads else len(lines)
    returns = [(len(lines), [value for _, value in fed])]
    if outline.heads:
        returns.append((cut, [value for _, value in deployed]))
    labels = {**{n: last_word(name) for name, n in number.items()}, **_labels(body, steps)}
    variables = Variables(lines, labels, dict(entering), returns)
    rows = variables.rows()
    said = [row for position, row in rows if position < cut]
    if outline.heads:
        said += ["if not self.training:", f"    {_answer(deployed, variables.names)}"]
        said += [row for position, row in rows if position >= cut]
    if not variables.folded:
        said.append(_answer(fed, variables.names))
    kinds = ["Tensor"] if len(deployed) == 1 else []
    kinds += ["dict[str, Tensor]"] if outline.heads or not kinds else []
    forward = _method(entering.values(), " | ".join(kinds), said)
    return "\n".join([f"class {made.name}(nn.Module):", *docs.of_net(graph), "", *init(writer), *forward])


def _labels(body: Body, steps: Sequence[Step]) -> dict[int, str]:
    # Of the values, where a class gives several as it calls them itself.
    labels = {n: last_word(name) for n, name in enumerate(body.names)}
    for step in steps:
        make = step.slot.make if step.slot is not None else None
        if len(step.writes) > 1 and make is not None and not isinstance(make.target, str):
            labels |= dict(zip(step.writes, make.target.returns, strict=True))
    return labels


def _entering(body: Body, graph: Graph, labels: Mapping[int, str]) -> dict[int, str]:
    # `x`, or several by the names that the block gives them.
    if len(body.enters) == 1:
        return {body.enters[0]: "x"}
    definition = graph.regions[body.region].definition
    takes = definition.takes if definition is not None else ()
    said = takes if len(takes) == len(body.enters) else [labels[n] for n in body.enters]
    taken: set[str] = set()
    return {n: text.unique(text.variable(name), taken) for n, name in zip(body.enters, said, strict=True)}


def _answer(some: Sequence[tuple[Output, int]], names: Mapping[int, str]) -> str:
    if len(some) == 1 and not some[0][0].train_only:
        return f"return {names[some[0][1]]}"
    return f"return {{{', '.join(f'{text.literal(o.name)}: {names[n]}' for o, n in some)}}}"


def _method(parameters: Iterable[str], returned: str, rows: Sequence[str]) -> list[str]:
    head = text.signature(4, "def forward", ["self", *(f"{name}: Tensor" for name in parameters)], returned)
    return [*head, *(line for row in rows for line in _wrapped(row))]


def _wrapped(row: str) -> list[str]:
    inner = row.lstrip()
    return text.wrapped(8 + len(row) - len(inner), inner)
