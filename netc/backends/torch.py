"""The torch back end: a graph as readable source of an `nn.Module` that imports torch alone, and that source executed.

A block's application is a class; equal ones are one class. Weights lie where the graph says: the names of `state_dict`
are the nodes' paths.
"""

from __future__ import annotations

import hashlib
import linecache
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netc.backends import python_text as text
from netc.diagnostic import Fault
from netc.graph import Graph, Output
from netc.op import Inline, Module, Start, Weight

SCRATCH = ("x", "y", "z")  # variables for values that only the next line reads


def source(graph: Graph) -> str:
    """The net as Python source that needs torch and nothing else.

    `forward` takes the inputs in order. One output: the tensor; several: a dict by output name. A net with outputs for
    training gives a dict of all outputs in training mode, and in evaluation mode does not compute those.

    Raises: Fault N440 where torch cannot have the net's names: an empty component, a layer named like the tensor of
    another layer, or a layer below a name that is a tensor's.
    """
    return _Emitter(graph).file()


def module(graph: Graph, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> nn.Module:
    """`source(graph)`, executed: a fresh module in training mode, with copies of `weights` or torch's initial ones.

    Tracebacks show the source's lines.

    Raises: Fault as `source` does.
    """
    if weights is not None:
        with torch.device("meta"):
            built = module(graph)
        state = {name: as_tensor(np.array(weights[name])) for name, _ in graph.parameters()}
        built.load_state_dict(state, assign=True)
        return built
    emitter = _Emitter(graph)
    code = emitter.file()
    digest = hashlib.sha256(code.encode()).hexdigest()
    filename = f"<netc {emitter.top} {digest[:16]}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": f"netc_generated_{digest[:16]}"}
    exec(compile(code, filename, "exec"), namespace)
    built = cast(nn.Module, namespace[emitter.top]())
    expected = {name: param.shape for name, param in graph.parameters()}
    found = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    assert found == expected, f"{graph.name}: torch has {_differences(found, expected)}"
    return built


def as_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """The array as a tensor that shares its memory."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType] -- torch leaves its parameter untyped


def initial(graph: Graph, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Torch's initial weights for a seed, by `state_dict` name; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] -- torch types it in part
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        state = module(graph).state_dict()
    return {name: np.array(tensor.numpy()) for name, tensor in state.items()}


def _differences(found: Mapping[str, object], expected: Mapping[str, object]) -> str:
    wrong = [
        f"{n}: {found.get(n)}, expected {expected.get(n)}"
        for n in {**found, **expected}
        if found.get(n) != expected.get(n)
    ]
    return "; ".join(wrong[:8])


@dataclass
class _Slot:
    """A place in the tree of modules: a layer, a block, or a container made because something lies below it."""

    name: str
    path: str
    make: str = ""
    comment: str = ""
    block: _Block | None = None
    tensor: bool = False
    starts: tuple[tuple[str, Start], ...] = ()
    own: dict[str, _Slot] = field(default_factory=dict[str, "_Slot"])
    sequential: bool = False

    @property
    def children(self) -> dict[str, _Slot]:
        """What lies directly below, inside the class too where a block stands here."""
        return self.own if self.block is None else self.block.root.own

    @property
    def kind(self) -> str:
        """How children are reached: by attribute ("class"), through `_modules` ("layer"), by number or by key."""
        if self.block is not None:
            return self.block.root.kind
        if self.path == "":
            return "list" if self.sequential else "class"
        if self.make:
            return "layer"
        if any(child.tensor for child in self.own.values()):
            return "class"  # torch's lists and dicts of modules hold no tensors
        return "list" if self.counts_up else "dict"

    @property
    def counts_up(self) -> bool:
        """Whether the children are 0, 1, 2, ... in this order."""
        return bool(self.own) and list(self.own) == [str(i) for i in range(len(self.own))]

    @property
    def holds_leaves(self) -> bool:
        """Whether every child can be made by one expression."""
        return all(child.make and not child.own for child in self.own.values())


@dataclass
class _Step:
    """A line of `forward`: `inline`, with `{0}`, `{1}` for what it reads; given a `path`, that module called on it.

    `after` is an expression over the module's result; where `inline` speaks of `{weight}`, the path leads to a tensor.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    label: str
    comment: str
    deployed: bool
    inline: str
    path: str = ""
    callee: str = ""
    slot: _Slot | None = None
    after: str = "{0}"

    def code(self, operands: Sequence[str]) -> str:
        known = {"training": "self.training", "weight": self.callee}
        words = re.sub(
            r"\{(\d+|training|weight)\}",
            lambda found: known.get(found[1]) or operands[int(found[1])],
            self.inline.replace("'", '"'),
        )
        calls = self.callee and not (self.slot is not None and self.slot.tensor)
        return self.after.replace("{0}", f"{self.callee}({words})") if calls else words

    @property
    def plain(self) -> bool:
        """Whether it calls a module on one value, and nothing more."""
        return self.inline == "{0}" and self.after == "{0}" and len(self.reads) == len(self.writes) == 1


@dataclass
class _Block:
    """A class: its modules, its lines, what enters and what leaves, as names of the graph's values."""

    name: str
    root: _Slot
    steps: list[_Step]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class _Emitter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.classes: dict[str, str] = {}  # the text below `class NAME` -> NAME
        self.calls = [node.op.torch(*graph.operands(node)) for node in graph.nodes]
        self.starts = [node.op.starts(*graph.operands(node)) for node in graph.nodes]
        given = [c.define for c in self.calls if not isinstance(c, Weight)]
        given += [start.define for starts in self.starts for start in starts.values()]
        self.defined = [each for each in dict.fromkeys(given) if each]
        self.taken = {"F", *(re.split(r"\W", each, maxsplit=2)[1] for each in self.defined)}
        self.top = text.unique(text.class_name(graph.name, "Net"), self.taken, join="")
        self.heads = any(output.train_only for output in graph.outputs)
        self._find_owners()
        self._find_last_reads()
        self.within: dict[int, list[int]] = {}
        for index, region in enumerate(graph.regions):
            if index and region.start < region.stop:
                self.within.setdefault(region.parent, []).append(index)

    def _find_owners(self) -> None:
        # Where each module is first applied; later applications of the same weights find it there.
        self.owner: dict[str, int] = {}
        self.extent: dict[str, tuple[int, int]] = {}  # of every prefix: the first and the last module below it
        tensors = Counter(name for name, _ in self.graph.parameters())
        pairs = zip(self.graph.nodes, self.calls, strict=True)
        nameless = {node.weights for node, call in pairs if isinstance(call, Weight)}
        for index, (node, call) in enumerate(zip(self.graph.nodes, self.calls, strict=True)):
            path = node.weights
            if isinstance(call, Inline) or path in self.owner:
                continue
            at = f"{text.plain(path)} at {text.place(node.where)}"
            parts = path.split(".")
            if not all(parts):
                raise Fault("N440", f"{at}: a part of this path is empty, which no module's name may be in torch")
            if "training" in parts:
                raise Fault("N440", f"{at}: torch keeps `training` for itself", help="give the layer another label")
            if tensors[path] > (path in nameless):
                owner = text.plain(path.rpartition(".")[0])
                raise Fault("N440", f"{at}: {owner} has a tensor of this name", help="give the layer another label")
            self.owner[path] = index
            prefix = path
            while prefix := prefix.rpartition(".")[0]:
                if prefix in nameless:
                    raise Fault(
                        "N440",
                        f"{at}: {text.plain(prefix)} is a tensor, and nothing lies below one",
                        help="give one of them another label",
                    )
                self.extent[prefix] = (self.extent.get(prefix, (index, index))[0], index)

    def _find_last_reads(self) -> None:
        # Of values that some output needs. What an identity gives is what enters it, under one name.
        self.same = {i.name: i.name for i in self.graph.inputs}
        for node, call in zip(self.graph.nodes, self.calls, strict=True):
            self.same[node.name] = self.same[node.inputs[0]] if call == Inline("{0}") else node.name
        self.fed = [(output, self.same[output.value]) for output in self.graph.outputs]
        self.last = {value: len(self.graph.nodes) for _, value in self.fed}
        for index in reversed(range(len(self.graph.nodes))):
            if self.graph.nodes[index].name in self.last:
                for name in self.graph.nodes[index].inputs:
                    self.last.setdefault(self.same[name], index)

    def _is_class(self, index: int, prefix: str) -> bool:
        # A region is a class when its modules, and only they, lie below its name; else its lines stand in its parent's.
        region = self.graph.regions[index]
        if not region.name.startswith(prefix) or region.name == prefix.removesuffix(".") or region.name in self.owner:
            return False
        first, last = self.extent.get(region.name, (-1, -1))
        nodes = self.graph.nodes[region.start : region.stop]
        calls = self.calls[region.start : region.stop]
        return (
            region.start <= first <= last < region.stop
            and all(
                n.weights.startswith(f"{region.name}.")
                for n, c in zip(nodes, calls, strict=True)
                if not isinstance(c, Inline)
            )
            and not (self.heads and len({node.name in self.graph.deployed for node in nodes}) > 1)
        )

    def _items(self, index: int, prefix: str) -> Iterator[tuple[int, bool]]:
        # What stands in a region: nodes, and regions that are classes (True), by number.
        region = self.graph.regions[index]
        at = region.start
        for child in sorted(self.within.get(index, ()), key=lambda i: self.graph.regions[i].start):
            inner = self.graph.regions[child]
            yield from ((node, False) for node in range(at, inner.start))
            if self._is_class(child, prefix):
                yield child, True
            else:
                yield from self._items(child, prefix)
            at = inner.stop
        yield from ((node, False) for node in range(at, region.stop))

    def block(self, index: int) -> _Block:
        """The modules and the lines of a region, blocks in it written first."""
        region = self.graph.regions[index]
        prefix = f"{region.name}." if index else ""
        root = _Slot("", "")
        steps: list[_Step] = []
        for item, is_class in self._items(index, prefix):
            step = self._block_step(item, prefix, root) if is_class else self._node_step(item, prefix, root)
            if step is not None:
                steps.append(step)
        for step in steps:
            if step.path:
                step.callee, step.slot = _reach(root, step.path)
        made = {name for step in steps for name in step.writes}
        reads = tuple(dict.fromkeys(name for step in steps for name in step.reads if name not in made))
        writes = tuple(name for step in steps for name in step.writes if self.last[name] >= region.stop)
        return _Block(self.top, root, steps, reads, writes)

    def _node_step(self, index: int, prefix: str, root: _Slot) -> _Step | None:
        node, call = self.graph.nodes[index], self.calls[index]
        comment = text.place(node.where)
        path = node.weights.removeprefix(prefix)
        if not isinstance(call, Inline) and self.owner[node.weights] == index:
            slot = _place(root, path)
            slot.make, slot.comment = _construction(call), comment
            slot.tensor = isinstance(call, Weight)
            slot.starts = tuple(self.starts[index].items())
        if node.name not in self.last or self.same[node.name] != node.name:
            return None  # no output needs it, or it is the identity: its weights exist, but no line computes it
        label, deployed = node.name.removeprefix(prefix), node.name in self.graph.deployed
        if isinstance(call, Inline) and re.fullmatch(rf"{node.op.kind}(_\d+)?", label.rpartition(".")[2]):
            label = f"?{label}"  # nobody named it
        reads = tuple(self.same[name] for name in node.inputs)
        if isinstance(call, Inline):
            return _Step(reads, (node.name,), label, comment, deployed, call.text)
        if isinstance(call, Weight):
            return _Step(reads, (node.name,), label, comment, deployed, call.text, path)
        return _Step(reads, (node.name,), label, comment, deployed, call.before, path, after=call.after)

    def _block_step(self, index: int, prefix: str, root: _Slot) -> _Step | None:
        region = self.graph.regions[index]
        block = self.block(index)
        block.name = self._class(block, region.block or region.name.rpartition(".")[2])
        path = region.name.removeprefix(prefix)
        slot = _place(root, path)
        slot.make, slot.comment, slot.block = f"{block.name}()", text.place(region.where), block
        if not block.writes:
            return None
        deployed = self.graph.nodes[region.start].name in self.graph.deployed
        operands = ", ".join(f"{{{i}}}" for i in range(len(block.reads)))
        return _Step(block.reads, block.writes, path, slot.comment, deployed, operands, path)

    def _class(self, block: _Block, wanted: str) -> str:
        if block.root.counts_up and _chained(block.steps, block.root, block.writes) == (0, len(block.steps)):
            block.root.sequential = True
            parts = [(slot.make, slot.comment) for slot in block.root.own.values()]
            body = ["    def __init__(self) -> None:", *text.call(8, "super().__init__", parts), *_starts(block.root)]
            key = "\n".join(["(nn.Sequential):", *body])
        else:
            steps = _with_sequences(block)
            taken: set[str] = set()
            names = dict.fromkeys(block.reads, "x")
            if len(names) > 1:
                names = {name: text.unique(text.variable(_label(name)), taken) for name in names}
            returned = (
                "torch.Tensor"
                if len(block.writes) == 1
                else f"tuple[{', '.join(['torch.Tensor'] * len(block.writes))}]"
            )
            forward = _Forward(steps, dict(names), [(len(steps), block.writes)])
            rows = forward.rows()
            rows += [] if forward.folded else [(f"return {', '.join(forward.names[v] for v in block.writes)}", "")]
            key = "\n".join(["(nn.Module):", *_init(block.root), *_method(names.values(), returned, rows)])
        if key not in self.classes:
            self.classes[key] = text.unique(text.class_name(wanted, "Block"), self.taken, join="")
        return self.classes[key]

    def file(self) -> str:
        """The whole source."""
        block = self.block(0)
        forward = self._forward(block)
        top = [f"class {self.top}(nn.Module):", *_init(block.root), *forward]
        classes = [f"class {name}{body}" for body, name in self.classes.items()] + ["\n".join(top)]
        code = "\n\n\n".join([*self.defined, *classes])
        uses_f = re.search(r"^[^#\n]*(?<![\w.])F\.", code, re.MULTILINE)
        imports = ["import torch", *(["import torch.nn.functional as F"] if uses_f else []), "from torch import nn"]
        return "\n".join([*self._docstring(), "", *imports]) + f"\n\n\n{code}\n"

    def _docstring(self) -> list[str]:
        texts = self.graph.texts or {i.where.source.name: i.where.source.text for i in self.graph.inputs[:1]}
        named = [(text.plain(name.replace("\\", "/").rpartition("/")[2]), spec) for name, spec in texts.items()]
        made = f"{text.plain(self.graph.name)}: made by netc" + (f" from {named[0][0]}." if named else ".")
        sums = [
            f"sha256 of {name}: {hashlib.sha256(spec.encode('utf-8', 'surrogatepass')).hexdigest()}"
            for name, spec in named
        ]
        return [f'"""{made}', "", *sums, '"""']

    def _forward(self, block: _Block) -> list[str]:
        everything = [value for _, value in self.fed]
        deployed = [(output, value) for output, value in self.fed if not output.train_only]
        # What training alone computes comes last: nothing before it reads it.
        steps = sorted(block.steps, key=lambda step: not step.deployed) if self.heads else block.steps
        named = {value: output.name for output, value in reversed(self.fed)}
        for step in steps:
            if len(step.writes) == 1:
                step.label = named.get(step.writes[0], step.label)
        steps = _with_sequences(_Block(self.top, block.root, steps, block.reads, tuple(everything)))
        taken: set[str] = set()
        names = {i.name: text.unique(text.variable(i.name), taken) for i in self.graph.inputs}
        cut = sum(step.deployed for step in steps) if self.heads else len(steps)
        returns = [(len(steps), everything)]
        if self.heads:
            returns.append((cut, [value for _, value in deployed]))
        forward = _Forward(steps, dict(names), returns)
        rows = forward.rows()

        def answer(some: Sequence[tuple[Output, str]]) -> str:
            if len(some) == 1 and not some[0][0].train_only:
                return f"return {forward.names[some[0][1]]}"
            return f"return {{{', '.join(f'{text.literal(o.name)}: {forward.names[value]}' for o, value in some)}}}"

        if self.heads:
            tail = rows[cut:]
            rows = [*rows[:cut], ("if not self.training:", ""), (f"    {answer(deployed)}", ""), *tail]
        if not forward.folded:
            rows.append((answer(self.fed), ""))
        kinds = ["torch.Tensor"] if len(deployed) == 1 else []
        kinds += ["dict[str, torch.Tensor]"] if self.heads or not kinds else []
        return _method(names.values(), " | ".join(kinds), rows)


def _construction(call: Module | Weight) -> str:
    if isinstance(call, Weight):
        return f"nn.Parameter(torch.ones({text.literal(call.shape)}))"
    assert re.fullmatch(r"\w+" if call.define else r"(nn|torch)(\.\w+)+", call.target), call.target
    words = [text.literal(each) for each in call.args] + [f"{k}={text.literal(v)}" for k, v in call.kwargs.items()]
    return f"{call.target}({', '.join(words)})"


def _place(root: _Slot, path: str) -> _Slot:
    # The slot at a path, made with what leads there where it is new.
    slot = root
    for name in path.split("."):
        slot = slot.own.setdefault(name, _Slot(name, f"{slot.path}.{name}".lstrip(".")))
    return slot


_MODULE, _DICT = nn.Module(), nn.ModuleDict()


def _child(parent: str, kind: str, name: str, *, tensor: bool = False) -> str:
    # The expression for a child. nn.Module has attributes of its own (`train`, `type`), which a child must not hide and
    # cannot get past add_module; `_modules` is where children live under any name, and `_parameters` tensors.
    if kind == "list":
        return f"{parent}[{name}]"
    if kind == "dict" and not hasattr(_DICT, name):
        return f"{parent}[{text.literal(name)}]"
    if kind == "class" and text.is_name(name) and not hasattr(_MODULE, name):
        return f"{parent}.{name}"
    return f"{parent}.{'_parameters' if tensor else '_modules'}[{text.literal(name)}]"


def _reach(root: _Slot, path: str) -> tuple[str, _Slot]:
    code, slot = "self", root
    for name in path.split("."):
        child = slot.children[name]
        code, slot = _child(code, slot.kind, name, tensor=child.tensor), child
    return code, slot


def _init(root: _Slot) -> list[str]:
    if not root.own:
        return []
    rows = [row for slot in root.own.values() for row in _registration("self", root.kind, slot)]
    return ["    def __init__(self) -> None:", "        super().__init__()", *rows, *_starts(root), ""]


def _starts(root: _Slot) -> list[str]:
    """The statements that fill tensors of a class, in the order of its modules; a block fills its own."""
    rows: list[str] = []
    queue = list(root.own.values())
    while queue:
        slot = queue.pop(0)
        if slot.block is not None:
            continue
        queue[:0] = slot.own.values()
        for name, start in slot.starts:
            at, _ = _reach(root, slot.path)
            rows += text.line(8, start.text.replace("{0}", f"{at}.{name}" if name else at))
    return rows


def _registration(parent: str, kind: str, slot: _Slot) -> list[str]:
    at = _child(parent, kind, slot.name, tensor=slot.tensor)
    if slot.kind == "list" and slot.block is None and slot.holds_leaves and kind != "list":
        parts = [(child.make, child.comment) for child in slot.own.values()]
        if slot.sequential:
            return text.call(8, f"{at} = nn.Sequential", parts)
        rows = [row for code, comment in parts for row in text.line(16, f"{code},", comment)]
        return [f"        {at} = nn.ModuleList(", "            [", *rows, "            ]", "        )"]
    made = slot.make or {"list": "nn.ModuleList()", "dict": "nn.ModuleDict()", "class": "nn.Module()"}[slot.kind]
    rows = text.line(8, f"{parent}.append({made})" if kind == "list" else f"{at} = {made}", slot.comment)
    below = "layer" if slot.make else slot.kind
    return rows + [row for child in slot.own.values() for row in _registration(at, below, child)]


def _chained(steps: Sequence[_Step], slot: _Slot, writes: Sequence[str]) -> tuple[int, int] | None:
    # The steps that call the children of `slot`, when they are a chain that nothing else reads.
    children = list(slot.own.values())
    start = next((i for i, step in enumerate(steps) if step.slot is children[0]), None)
    if start is None or not slot.holds_leaves:
        return None
    stop = start + len(children)
    chain = steps[start:stop]
    if [id(step.slot) for step in chain] != [id(child) for child in children] or len({s.deployed for s in chain}) != 1:
        return None
    if not all(step.plain for step in chain):
        return None
    inner = {step.writes[0] for step in chain[:-1]}
    linked = all(b.reads == a.writes for a, b in pairwise(chain))
    outside = {name for step in (*steps[:start], *steps[stop:]) for name in step.reads} | set(writes)
    return (start, stop) if linked and not inner & outside else None


def _with_sequences(block: _Block) -> list[_Step]:
    # Containers whose children are applied one after the other are one nn.Sequential and one line.
    steps = block.steps
    queue = list(block.root.own.values())
    while queue:
        slot = queue.pop()
        if slot.make:
            continue
        if slot.kind != "list":
            queue += slot.own.values()
        found = _chained(steps, slot, block.writes) if slot.counts_up else None
        if found is None:
            continue
        slot.sequential = True
        chain = steps[found[0] : found[1]]
        callee, _ = _reach(block.root, slot.path)
        first, last = chain[0], chain[-1]
        one = _Step(first.reads, last.writes, last.label, first.comment, first.deployed, "{0}", slot.path, callee, slot)
        steps = [*steps[: found[0]], one, *steps[found[1] :]]
    return steps


def _method(parameters: Iterable[str], returned: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    signature = ", ".join(["self", *(f"{name}: torch.Tensor" for name in parameters)])
    head = f"    def forward({signature}) -> {returned}:"
    lines = [head]
    if len(head) > text.WIDTH:
        lines = ["    def forward(", f"        {signature}", f"    ) -> {returned}:"]
    if len(lines) > 1 and len(lines[1]) > text.WIDTH:
        lines[1:2] = [f"        {each}," for each in signature.split(", ")]
    return lines + [row for code, comment in rows for row in _row(code, comment)]


def _row(code: str, comment: str) -> list[str]:
    inner = code.lstrip()
    return text.line(8 + len(code) - len(inner), inner, comment)


class _Forward:
    """Variables for values: a chain that nothing else reads goes on in `x`, other values are called by their label.

    `returns` are pairs of a position among the steps, before which (or at the end) values are returned, and of these.
    """

    def __init__(
        self, steps: Sequence[_Step], names: dict[str, str], returns: Sequence[tuple[int, Sequence[str]]]
    ) -> None:
        self.steps = steps
        self.names = names
        self.taken = {*names.values(), *SCRATCH}
        self.passed: dict[str, str] = {}  # labels of values that only passed through a scratch variable
        self.reads: dict[str, list[int]] = {}
        for position, step in enumerate(steps):
            for name in step.reads:
                self.reads.setdefault(name, []).append(2 * position)
        for position, values in returns:
            for name in values:
                self.reads.setdefault(name, []).append(2 * position - 1)
        self.last = {name: max(at) for name, at in self.reads.items()}
        # `return F.relu(x)`, where the last line makes all there is to return.
        self.folded = (
            len(returns) == 1
            and bool(steps)
            and tuple(returns[0][1]) == steps[-1].writes
            and len(steps[-1].writes) == 1
        )

    def rows(self) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        live = {variable: name for name, variable in self.names.items() if name in self.last}
        for position, step in enumerate(self.steps):
            code = step.code([self.names[name] for name in step.reads])
            dying = {v for v, name in live.items() if self.last[name] <= 2 * position}
            live = {v: name for v, name in live.items() if v not in dying}
            if self.folded and step is self.steps[-1]:
                rows.append((f"return {code}", step.comment))
                break
            for name in step.writes:
                self.names[name] = self._variable(position, name, live, dying)
                live[self.names[name]] = name
            rows.append((f"{', '.join(self.names[name] for name in step.writes)} = {code}", step.comment))
        return rows

    def _variable(self, position: int, name: str, live: Mapping[str, str], dying: set[str]) -> str:
        step = self.steps[position]
        passing = self.reads[name] == [2 * (position + 1)] and len(self.steps[position + 1].reads) == 1
        free = [v for v in SCRATCH if v not in live]
        label = _label(step.label if len(step.writes) == 1 else name)
        if step.label[0] == "?" and len(step.reads) == 1:
            label = self.passed.get(step.reads[0], label)  # the end of a chain is called like its last labelled layer
        if passing and len(step.writes) == 1 and free:
            self.passed[name] = label
            return next((v for v in free if v in dying), free[0])
        return text.unique(text.variable(label), self.taken)


def _label(path: str) -> str:
    # The last part that says something: `downsample_0` for `downsample.0`.
    parts = path.lstrip("?").split(".")
    return f"{parts[-2]}_{parts[-1]}" if parts[-1][:1].isdigit() and len(parts) > 1 else parts[-1]
