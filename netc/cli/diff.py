"""`netc diff`: two nets, label by label, and what of one's weights the other can take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any, NamedTuple, cast

from netc.cli import table
from netc.cli.codes import INPUT, CodeError
from netc.cli.explain import written
from netc.cli.show import block_of
from netc.cli.terminal import out
from netc.graph import Graph, Node
from netc.reference import spelled
from netc.render import as_json
from netc.tensor import Expr, TensorType


class Change(NamedTuple):
    """One layer that is not what it was: `what` says how, in words that equal changes share."""

    label: str
    what: str


class Difference(NamedTuple):
    """All that two nets do not share."""

    ports: list[str]
    """Inputs, outputs and promises."""
    added: list[Change]
    removed: list[Change]
    moved: list[tuple[str, str]]
    """Layers that may have another label now, old and new."""
    changed: list[Change]
    """Another kind or other arguments."""
    rewired: list[Change]
    shapes: list[Change]
    """Other shapes, through no change of their own."""
    weights: Weights
    params: tuple[int, int]
    macs: tuple[int | None, int | None]
    sections: list[str]

    @property
    def equal(self) -> bool:
        """Whether there is nothing to tell."""
        layers = (self.added, self.removed, self.moved, self.changed, self.rewired, self.shapes)
        return not any((self.ports, *layers, self.sections))


class Weights(NamedTuple):
    """Tensors by what becomes of them, with how many numbers they hold."""

    kept: dict[str, int]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    renamed: dict[str, str]
    """Tensors of layers that seem to have another label now, by their old names."""
    lost: dict[str, int]
    new: dict[str, int]


def diff(a: Graph, b: Graph, name_a: str, name_b: str, form: str) -> None:
    """Print how `b` differs from `a`. Raises CodeError where it does."""
    found = compare(a, b)
    if form == "json":
        out(as_json(_record(found, name_a, name_b)))
    else:
        for line in _lines(found, a, b, (name_a, name_b)):
            out(line)
    if not found.equal:
        raise CodeError(INPUT)


def compare(a: Graph, b: Graph) -> Difference:
    """What two nets do not share."""
    common = [name for name in a.node if name in b.node]
    moved = _moved(a, b, [n for n in a.nodes if n.name not in b.node], [n for n in b.nodes if n.name not in a.node])
    places = dict(moved)
    gone = [n for n in a.nodes if n.name not in b.node]
    come = [n for n in b.nodes if n.name not in a.node]
    changed: list[Change] = []
    rewired: list[Change] = []
    shapes: list[Change] = []
    for name in common:
        old, new = a.node[name], b.node[name]
        what = _arguments(old, new)
        if what:
            changed.append(Change(name, what))
        if old.weights != new.weights:
            rewired.append(Change(name, f"weights of {old.weights} -> {new.weights}"))
        if tuple(places.get(each, each) for each in old.inputs) != new.inputs:
            rewired.append(Change(name, f"reads {', '.join(old.inputs)} -> {', '.join(new.inputs)}"))
        if shape := _shapes(old.type, new.type):
            shapes.append(Change(name, shape))
    return Difference(
        _ports(a, b),
        [Change(n.name, written(n)) for n in come if n.name not in places.values()],
        [Change(n.name, written(n)) for n in gone if n.name not in places],
        moved,
        changed,
        rewired,
        shapes,
        _weights(a, b, moved),
        (a.params(), b.params()),
        (_macs(a), _macs(b)),
        _sections(a, b),
    )


def _arguments(old: Node, new: Node) -> str:
    if old.op.kind != new.op.kind:
        return f"{written(old)} -> {written(new)}"
    words: list[str] = []
    for name in type(old.op).model_fields:
        before, after = getattr(old.op, name), getattr(new.op, name)
        if before != after:
            words.append(f"{name} {spelled(before)} -> {spelled(after)}")
    return ", ".join(words)


def _shapes(old: TensorType, new: TensorType) -> str:
    if (str(old), old.dtype) == (str(new), new.dtype):
        return ""  # sizes of which other things are promised, which is told of the promises
    if old.batch != new.batch or old.dtype != new.dtype:
        return f"{old} -> {new}"
    return f"{old.shape} -> {new.shape}"


def _moved(a: Graph, b: Graph, gone: Sequence[Node], come: Sequence[Node]) -> list[tuple[str, str]]:
    """Layers that are alike but for their labels, each paired with the next one of its like, in order."""
    waiting: dict[object, list[Node]] = {}
    for node in come:
        waiting.setdefault(_likeness(b, node), []).append(node)
    pairs: list[tuple[str, str]] = []
    for node in gone:
        alike = waiting.get(_likeness(a, node))
        if alike:
            pairs.append((node.name, alike.pop(0).name))
    parts = {(old, new): None for old, new, _ in (_apart(*pair) for pair in pairs)}
    rest = {node.name: node for node in come if node.name not in {new for _, new in pairs}}
    done = {old for old, _ in pairs}
    for node in gone:
        for old, new in parts if node.name not in done else ():
            if old and not node.name.startswith(f"{old}."):
                continue
            tail = node.name[len(old) + 1 :] if old else node.name
            other = rest.get(f"{new}.{tail}" if new else tail)
            if other is not None and type(other.op) is type(node.op) and other.op == node.op:
                pairs.append((node.name, rest.pop(other.name).name))
                break
    return pairs


def _likeness(graph: Graph, node: Node) -> object:
    # Only layers with weights are worth following.
    learned = tuple(node.op.params(*graph.operands(node)).items())
    return (type(node.op), node.op, learned) if learned else node.name


def _ports(a: Graph, b: Graph) -> list[str]:
    found: list[str] = []
    for kind, ours, theirs in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        old, new = ({each.name: each for each in each_side} for each_side in (ours, theirs))
        found += [f"{kind} {name} is gone" for name in old if name not in new]
        found += [f"{kind} {name} is new: {new[name].type}" for name in new if name not in old]
        for name in old:
            if name in new:
                found += [f"{kind} {name}: {words}" for words in _fields(old[name], new[name])]
    before, after = ({_formula(r.expr) for r in graph.requires} for graph in (a, b))
    found += [f"require {text} is gone" for text in sorted(before - after)]
    found += [f"require {text} is new" for text in sorted(after - before)]
    return found


def _formula(expr: Expr) -> str:
    """A promise with the numbers that the text's names stand for."""
    if not isinstance(expr, list):
        return str(expr)
    op, *parts = expr
    if op == "not":
        return f"not {_bracketed(parts[0], _BINDING['not'])}"
    binding = _BINDING[str(op)]
    chained = op in ("+", "-", "*", "//", "%", "and", "or")
    return f"{_bracketed(parts[0], binding - chained)} {op} {_bracketed(parts[1], binding)}"


def _bracketed(expr: Expr, binding: int) -> str:
    """In parentheses where its operator does not bind tighter."""
    text = _formula(expr)
    return f"({text})" if isinstance(expr, list) and _BINDING[str(expr[0])] <= binding else text


_LEVELS = (("or",), ("and",), ("not",), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "//", "%"))
_BINDING = {op: level for level, ops in enumerate(_LEVELS) for op in ops}


def _fields(old: Any, new: Any) -> list[str]:
    words: list[str] = []
    for name in old._fields:
        before, after = getattr(old, name), getattr(new, name)
        if name in ("name", "where") or before == after or (name == "type" and not _shapes(before, after)):
            continue
        if name == "recipe" and before is not None and after is not None:
            words += _fields(before, after)
        elif name == "labels" and before is not None and after is not None:
            words.append(f"labels, {len(before)} -> {len(after)}")
        else:
            words.append(f"{name} {_plain(before)} -> {_plain(after)}")
    return words


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | int | float):
        return spelled(value)
    if type(value) is tuple:
        numbers = cast("tuple[object, ...]", value)
        return spelled(numbers) if len(numbers) < 6 else "..."
    return str(value)


def _weights(a: Graph, b: Graph, moved: Sequence[tuple[str, str]]) -> Weights:
    old, new = dict(a.parameters()), dict(b.parameters())
    both = [name for name in old if name in new]
    alike = {name for name in both if (old[name].shape, old[name].dtype) == (new[name].shape, new[name].dtype)}
    renamed: dict[str, str] = {}
    for before, after in moved:
        for name in a.node[before].op.params(*a.operands(a.node[before])):
            tail = f".{name}" if name else ""
            if f"{before}{tail}" in old and f"{after}{tail}" in new:  # shared ones lie elsewhere
                renamed[f"{before}{tail}"] = f"{after}{tail}"
    return Weights(
        {name: old[name].size for name in both if name in alike},
        {name: (old[name].shape, new[name].shape) for name in both if name not in alike},
        renamed,
        {name: each.size for name, each in old.items() if name not in new and name not in renamed},
        {name: each.size for name, each in new.items() if name not in old and name not in renamed.values()},
    )


def _macs(graph: Graph) -> int | None:
    try:
        return graph.macs(graph.expect.at)
    except KeyError:
        return None


def _sections(a: Graph, b: Graph) -> list[str]:
    found: list[str] = []
    for name, old, new in (("train", a.train, b.train), ("export", a.export, b.export)):
        if old == new:
            continue
        if old is None or new is None:
            found.append(f"{name} is {'new' if old is None else 'gone'}")
            continue
        before, after = old.model_dump(), new.model_dump()
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        found.append(f"{name}: {', '.join(keys)}")
    return found


# --- folding


def folded(labels: Iterable[str]) -> list[str]:
    """Labels that differ in numbers, or in their last component, as one: `layer{2-4}.0.{conv1,bn1}`."""
    alike: dict[tuple[str, ...], list[list[tuple[str, ...]]]] = {}
    for label in labels:
        row = _tokens(label)
        form = tuple("0" if token.isdecimal() else token for token in row)
        alike.setdefault(form, []).append([(token,) for token in row])
    done: list[str] = []
    for rows in alike.values():
        for column in reversed(range(len(rows[0]))):
            rows = _merge(rows, column)
        done += ["".join(map(_brace, row)) for row in rows]
    return _siblings(done)


def _tokens(label: str) -> list[str]:
    return re.findall(r"\d+|\D+", label)


def _merge(rows: list[list[tuple[str, ...]]], column: int) -> list[list[tuple[str, ...]]]:
    """Rows that are alike but for a column, as one with all that stands there."""
    found: dict[object, list[tuple[str, ...]]] = {}
    for row in rows:
        key = (tuple(row[:column]), tuple(row[column + 1 :]))
        if key in found:
            found[key][column] = tuple(dict.fromkeys([*found[key][column], *row[column]]))
        else:
            found[key] = list(row)
    return list(found.values())


def _brace(tokens: tuple[str, ...]) -> str:
    if len(tokens) == 1:
        return tokens[0]
    numbers = sorted({int(token) for token in tokens})
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2:
        return f"{{{numbers[0]}-{numbers[-1]}}}"
    return f"{{{','.join(map(str, numbers))}}}"


def _siblings(labels: Sequence[str]) -> list[str]:
    """Labels of one parent as one: `layer2.0.{conv1,bn1,relu}`."""
    found: dict[str, list[str]] = {}
    for label in labels:
        parent, dot, last = label.rpartition(".")
        found.setdefault(f"{parent}{dot}", []).append(last)
    return [p + (names[0] if len(names) == 1 else f"{{{','.join(names)}}}") for p, names in found.items()]


def grouped(changes: Sequence[Change]) -> list[tuple[list[str], str]]:
    """Equal changes together, with their labels folded, in the order in which they first occur."""
    found: dict[str, list[str]] = {}
    for each in changes:
        found.setdefault(each.what, []).append(each.label)
    return [(folded(labels), what) for what, labels in found.items()]


def _blocks(changes: Sequence[Change], other: Graph, own: Graph) -> list[Change]:
    """Layers of whole blocks that the other net lacks as one change each, at the highest label that it lacks."""
    known = {name[:i] for name in other.node for i in _ends(name)}
    found: dict[str, list[Change]] = {}
    for each in changes:
        top = next((each.label[:i] for i in _ends(each.label) if each.label[:i] not in known), each.label)
        found.setdefault(top, []).append(each)
    made: list[Change] = []
    for top, layers in found.items():
        whole = sum(name == top or name.startswith(f"{top}.") for name in own.node)
        if len(layers) == 1 and layers[0].label == top:
            made.append(layers[0])
        elif len(layers) == whole:
            made.append(Change(top, ", ".join(filter(None, [block_of(own, top), f"{len(layers)} layers"]))))
        else:
            made += layers
    return made


def _ends(name: str) -> list[int]:
    return [i for i, letter in enumerate(name) if letter == "."] + [len(name)]


# --- text


def _lines(found: Difference, a: Graph, b: Graph, names: tuple[str, str]) -> list[str]:
    if found.equal:
        return [f"{names[0]} and {names[1]} are equal, {found.params[0]:,} parameters"]
    sections: list[tuple[str, Sequence[tuple[Sequence[str], str]]]] = [
        ("what goes in and out", [([], words) for words in found.ports]),
        ("added", grouped(_blocks(found.added, a, b))),
        ("removed", grouped(_blocks(found.removed, b, a))),
        ("moved, it seems", _moves(found.moved)),
        ("changed", grouped(found.changed)),
        ("reads something else", grouped([c._replace(what=c.what.removeprefix("reads ")) for c in found.rewired])),
        ("another shape", grouped(found.shapes)),
        ("sections", [([], words) for words in found.sections]),
    ]
    lines = wrap(f"{names[0]} -> {names[1]}", table.width(), break_long_words=False, break_on_hyphens=False)
    for title, rows in sections:
        if rows:
            lines += ["", title, *_rows(rows)]
    return [*lines, "", *_weight_lines(found.weights), *_cost_lines(found)]


def _rows(rows: Sequence[tuple[Sequence[str], str]]) -> list[str]:
    width = table.width()
    heads = [", ".join(labels) for labels, _ in rows]
    most = max((len(head) for head in heads if len(head) <= width // 2), default=0)
    lines: list[str] = []
    for head, (labels, what) in zip(heads, rows, strict=True):
        if not labels:
            lines += wrap(what, width, initial_indent="  ", subsequent_indent="    ")
        elif len(head) <= most:
            first, rest = f"  {head:<{most}}  ", " " * (most + 4)
            lines += wrap(what, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
        else:
            lines += wrap(head, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
            lines += wrap(what, width, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
    return lines


def _moves(moved: Sequence[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Layers whose labels changed in the same part, together."""
    found: dict[tuple[str, str], list[str]] = {}
    for old, new in moved:
        head, other, _ = _apart(old, new)
        found.setdefault((head, other), []).append(old)
    made: list[tuple[list[str], str]] = []
    for (head, other), labels in found.items():
        if len(labels) == 1:
            whole = next(new for old, new in moved if old == labels[0])
            made.append((labels, f"-> {whole}"))
        else:
            made.append(([head or "the net's own labels"], f"-> {other or 'the net itself'}, {len(labels)} layers"))
    return made


def _apart(old: str, new: str) -> tuple[str, str, str]:
    """Two labels without the components at their end that they share, and these."""
    ours, theirs = old.split("."), new.split(".")
    shared: list[str] = []
    while ours and theirs and ours[-1] == theirs[-1]:
        shared.insert(0, ours.pop())
        theirs.pop()
    return ".".join(ours), ".".join(theirs), ".".join(shared)


def _weight_lines(weights: Weights) -> list[str]:
    kept, numbers = len(weights.kept), sum(weights.kept.values())
    if not (weights.reshaped or weights.lost or weights.new or weights.renamed):
        return [f"weights     all {kept} tensors carry over"]
    lines = [f"weights     {kept} tensors carry over, {numbers:,} numbers"]
    if weights.renamed:
        lines.append(f"            {len(weights.renamed)} more would under their new labels")
    rows = [Change(name, f"{_dims(old)} -> {_dims(new)}") for name, (old, new) in weights.reshaped.items()]
    lines += _rows(grouped(rows))
    owners: list[tuple[Sequence[str], str]] = []
    for title, tensors in (("only in the first", weights.lost), ("only in the second", weights.new)):
        if tensors:
            said = f"{title}, {len(tensors)} tensor{'s' * (len(tensors) > 1)}, {sum(tensors.values()):,} numbers"
            owners.append((_stems(tensors), said))
    return [*lines, *_rows(owners)]


def _stems(tensors: Iterable[str]) -> list[str]:
    """The layers that tensors belong to, folded; of many the first few."""
    labels = folded(dict.fromkeys(name.rpartition(".")[0] or name for name in tensors))
    return labels if len(labels) <= 6 else [*labels[:6], f"and {len(labels) - 6} more"]


def _dims(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _cost_lines(found: Difference) -> list[str]:
    lines: list[str] = []
    for title, (old, new) in (("parameters", found.params), ("MACs", found.macs)):
        if old is None or new is None:
            lines.append(f"{title:<10}  depend on sizes that are symbols")
        elif old == new:
            lines.append(f"{title:<10}  {old:,}, as before")
        else:
            share = f", {100 * (new - old) / old:+.2f} %" if old else ""
            lines.append(f"{title:<10}  {old:,} -> {new:,} ({new - old:+,}{share})")
    return lines


# --- for programs


def _record(found: Difference, name_a: str, name_b: str) -> dict[str, Any]:
    def pairs(changes: Sequence[Change]) -> dict[str, str]:
        return {each.label: each.what for each in changes}

    return {
        "a": name_a,
        "b": name_b,
        "equal": found.equal,
        "ports": found.ports,
        "added": pairs(found.added),
        "removed": pairs(found.removed),
        "moved": [{"from": old, "to": new} for old, new in found.moved],
        "changed": pairs(found.changed),
        "rewired": pairs(found.rewired),
        "shapes": pairs(found.shapes),
        "sections": found.sections,
        "weights": {
            "kept": list(found.weights.kept),
            "kept_numbers": sum(found.weights.kept.values()),
            "reshaped": {name: {"from": list(a), "to": list(b)} for name, (a, b) in found.weights.reshaped.items()},
            "renamed": found.weights.renamed,
            "lost": list(found.weights.lost),
            "new": list(found.weights.new),
        },
        "params": list(found.params),
        "macs": list(found.macs),
    }
