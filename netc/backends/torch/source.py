"""A graph as the source of an `nn.Module`: a block's application is a class, and equal ones are one class."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from netc.backends import python_text as text
from netc.backends.torch.construct import construction, init, starts
from netc.backends.torch.forward import Forward, last_word, method
from netc.backends.torch.steps import Block, Step, chained, with_sequences
from netc.backends.torch.tree import Slot, place_at, reach
from netc.diagnostic import Fault
from netc.graph import Graph, Output
from netc.op import Inline, Weight


def source(graph: Graph) -> str:
    """The net as Python source that needs torch and nothing else.

    `forward` takes the inputs in order. One output: the tensor; several: a dict by output name. A net with outputs for
    training gives a dict of all outputs in training mode, and in evaluation mode does not compute those.

    Raises: Fault N440 where torch cannot have the net's names: an empty component, a layer named like the tensor of
    another layer, or a layer below a name that is a tensor's.
    """
    return Emitter(graph).file()


class Emitter:
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

    def block(self, index: int) -> Block:
        """The modules and the lines of a region, blocks in it written first."""
        region = self.graph.regions[index]
        prefix = f"{region.name}." if index else ""
        root = Slot("", "")
        steps: list[Step] = []
        for item, is_class in self._items(index, prefix):
            step = self._block_step(item, prefix, root) if is_class else self._node_step(item, prefix, root)
            if step is not None:
                steps.append(step)
        for step in steps:
            if step.path:
                step.callee, step.slot = reach(root, step.path)
        made = {name for step in steps for name in step.writes}
        reads = tuple(dict.fromkeys(name for step in steps for name in step.reads if name not in made))
        writes = tuple(name for step in steps for name in step.writes if self.last[name] >= region.stop)
        return Block(self.top, root, steps, reads, writes)

    def _node_step(self, index: int, prefix: str, root: Slot) -> Step | None:
        node, call = self.graph.nodes[index], self.calls[index]
        comment = text.place(node.where)
        path = node.weights.removeprefix(prefix)
        if not isinstance(call, Inline) and self.owner[node.weights] == index:
            slot = place_at(root, path)
            slot.make, slot.comment = construction(call), comment
            slot.tensor = isinstance(call, Weight)
            slot.starts = tuple(self.starts[index].items())
        if node.name not in self.last or self.same[node.name] != node.name:
            return None  # no output needs it, or it is the identity: its weights exist, but no line computes it
        label, deployed = node.name.removeprefix(prefix), node.name in self.graph.deployed
        if isinstance(call, Inline) and re.fullmatch(rf"{node.op.kind}(_\d+)?", label.rpartition(".")[2]):
            label = f"?{label}"  # nobody named it
        reads = tuple(self.same[name] for name in node.inputs)
        if isinstance(call, Inline):
            return Step(reads, (node.name,), label, comment, deployed, call.text)
        if isinstance(call, Weight):
            return Step(reads, (node.name,), label, comment, deployed, call.text, path)
        return Step(reads, (node.name,), label, comment, deployed, call.before, path, after=call.after)

    def _block_step(self, index: int, prefix: str, root: Slot) -> Step | None:
        region = self.graph.regions[index]
        block = self.block(index)
        block.name = self._class(block, region.block or region.name.rpartition(".")[2])
        path = region.name.removeprefix(prefix)
        slot = place_at(root, path)
        slot.make, slot.comment, slot.block = f"{block.name}()", text.place(region.where), block
        if not block.writes:
            return None
        deployed = self.graph.nodes[region.start].name in self.graph.deployed
        operands = ", ".join(f"{{{i}}}" for i in range(len(block.reads)))
        return Step(block.reads, block.writes, path, slot.comment, deployed, operands, path)

    def _class(self, block: Block, wanted: str) -> str:
        if block.root.counts_up and chained(block.steps, block.root, block.writes) == (0, len(block.steps)):
            block.root.sequential = True
            parts = [(slot.make, slot.comment) for slot in block.root.own.values()]
            body = ["    def __init__(self) -> None:", *text.call(8, "super().__init__", parts), *starts(block.root)]
            key = "\n".join(["(nn.Sequential):", *body])
        else:
            steps = with_sequences(block)
            taken: set[str] = set()
            names = dict.fromkeys(block.reads, "x")
            if len(names) > 1:
                names = {name: text.unique(text.variable(last_word(name)), taken) for name in names}
            returned = (
                "torch.Tensor"
                if len(block.writes) == 1
                else f"tuple[{', '.join(['torch.Tensor'] * len(block.writes))}]"
            )
            forward = Forward(steps, dict(names), [(len(steps), block.writes)])
            rows = forward.rows()
            rows += [] if forward.folded else [(f"return {', '.join(forward.names[v] for v in block.writes)}", "")]
            key = "\n".join(["(nn.Module):", *init(block.root), *method(names.values(), returned, rows)])
        if key not in self.classes:
            self.classes[key] = text.unique(text.class_name(wanted, "Block"), self.taken, join="")
        return self.classes[key]

    def file(self) -> str:
        """The whole source."""
        block = self.block(0)
        forward = self._forward(block)
        top = [f"class {self.top}(nn.Module):", *init(block.root), *forward]
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

    def _forward(self, block: Block) -> list[str]:
        everything = [value for _, value in self.fed]
        deployed = [(output, value) for output, value in self.fed if not output.train_only]
        # What training alone computes comes last: nothing before it reads it.
        steps = sorted(block.steps, key=lambda step: not step.deployed) if self.heads else block.steps
        named = {value: output.name for output, value in reversed(self.fed)}
        for step in steps:
            if len(step.writes) == 1:
                step.label = named.get(step.writes[0], step.label)
        steps = with_sequences(Block(self.top, block.root, steps, block.reads, tuple(everything)))
        taken: set[str] = set()
        names = {i.name: text.unique(text.variable(i.name), taken) for i in self.graph.inputs}
        cut = sum(step.deployed for step in steps) if self.heads else len(steps)
        returns = [(len(steps), everything)]
        if self.heads:
            returns.append((cut, [value for _, value in deployed]))
        forward = Forward(steps, dict(names), returns)
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
        return method(names.values(), " | ".join(kinds), rows)
