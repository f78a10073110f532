"""Elaborates a net: its variants followed to their base, its symbols, chains and outputs, and then its sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from netc.diagnostic import Diagnostic, Diagnostics, Label, Span
from netc.elaborate import contract, sections
from netc.elaborate.body import chain, declaration, finish
from netc.elaborate.budget import Budget, Stop
from netc.elaborate.edits import renamed
from netc.elaborate.expr import Context, Poisoned, evaluate
from netc.elaborate.facts import promised, smallest
from netc.elaborate.files import Env, Files, NetDef, allowed
from netc.elaborate.frame import Frame, Shared
from netc.elaborate.layers import Layers
from netc.elaborate.names import nearest
from netc.elaborate.template import LongNames, Template, Value, unroll
from netc.elaborate.values import BlockValue, LayerValue, kind_of, show
from netc.elaborate.values import Value as Constant
from netc.graph import Graph, Input, Output, Requirement
from netc.ops import ours
from netc.sections import Expect
from netc.syntax import tree as t
from netc.tensor import LARGEST, Size, Symbol, TensorType, counterexample

DTYPES = ("f32",)


@dataclass(slots=True)
class _Lineage:
    """A net and the nets it is a variant of, itself first; the arguments that reach the base."""

    line: list[NetDef]
    base: t.Net
    definition: NetDef
    args: dict[str, Constant]
    places: dict[str, Span]


def elaborate_net(definition: NetDef, files: Files, found: Diagnostics, layers: Layers) -> Graph | None:
    """The graph of a net, None after an error, or where a parameter without default is a variant's to give."""
    errors = found.errors
    lineage = _lineage(definition, found, files.budget)
    if lineage is None:
        return None
    shared = Shared(files, found, layers, files.budget)
    try:
        net = _Net(lineage, shared)
        if not net.ready():
            return None
        graph = net.elaborate()
    except Stop:
        return None
    except RecursionError:
        found.add(
            Diagnostic(
                "N162",
                "the net is nested too deeply to be elaborated",
                definition.unit.span(definition.tree.name),
                help="repeat a block in place of nesting it",
            )
        )
        return None
    return graph if found.errors == errors else None


def _lineage(definition: NetDef, found: Diagnostics, budget: Budget) -> _Lineage | None:
    line: list[NetDef] = []
    seen: set[int] = set()
    args: dict[str, Constant] = {}
    places: dict[str, Span] = {}
    at = definition
    while True:
        if id(at.tree) in seen:
            around = line[[d.tree for d in line].index(at.tree) :]
            first = min(around, key=lambda d: (d.unit is not definition.unit, d.tree.start))
            turn = around.index(first)
            ring = " -> ".join([d.name for d in (*around[turn:], *around[:turn], first)])
            found.add(
                Diagnostic(
                    "N140",
                    f"a net is a variant of itself: {ring}",
                    first.unit.span(first.tree.name),
                    help="name the net that holds the chains",
                )
            )
            return None
        line.append(at)
        seen.add(id(at.tree))
        if len(line) > budget.limits.depth:
            if not budget.too_deep:
                message = f"variants of variants go deeper than {budget.limits.depth}"
                help_ = "name the net that holds the chains, or raise the limit with --max-depth"
                found.add(Diagnostic("N162", message, definition.unit.span(definition.tree.name), help=help_))
                budget.too_deep = True
            return None
        if isinstance(at.tree, t.Net):
            return _Lineage(line, at.tree, at, args, places)
        base = _variant(at, at.tree, args, places, found)
        if base is None:
            return None
        at = base


def _variant(
    at: NetDef, tree: t.Variant, args: dict[str, Constant], places: dict[str, Span], found: Diagnostics
) -> NetDef | None:
    unit, call = at.unit, tree.base
    base = unit.nets.get(call.name.text)
    if base is None:
        if not unit.unsure:
            found.add(
                Diagnostic(
                    "N110",
                    f"no net is called `{call.name.text}`",
                    unit.span(call.name),
                    help=nearest(call.name.text, unit.nets) or "a variant is of a net in this file or one that it uses",
                    edit=renamed(unit.span(call.name), call.name.text, unit.nets),
                )
            )
        return None
    order = [p.name.text for p in _params(base)]
    positional = 0
    given: set[str] = set()
    for arg in call.args:
        if arg.name is None:
            if positional >= len(order):
                found.add(
                    Diagnostic(
                        "N123", f"`{call.name.text}` takes {len(order)} arguments; this is one too many", unit.span(arg)
                    )
                )
                return None
            name = order[positional]
            positional += 1
        else:
            name = arg.name.text
        try:
            value = evaluate(arg.value, Context(unit, at.env, found))
        except Poisoned:
            return None
        if isinstance(base.tree, t.Net) and name not in order:
            found.add(
                Diagnostic(
                    "N120",
                    f"`{call.name.text}` takes no `{name}`",
                    unit.span(arg.name or arg),
                    help=nearest(name, order) or f"it takes {', '.join(order) or 'no arguments'}",
                    edit=renamed(unit.span(arg.name or arg), name, order),
                )
            )
            return None
        if name in given:
            where = unit.span(arg.name or arg)
            found.add(Diagnostic("N124", f"`{name}` is given twice", where, help="take one of them out"))
            return None
        given.add(name)
        if name not in args:  # the outer variant's word counts
            args[name], places[name] = value, unit.span(arg)
    return base


def _params(definition: NetDef) -> tuple[t.Parameter, ...]:
    return definition.tree.params if isinstance(definition.tree, t.Net) else ()


class _Net:
    """One elaboration of a net."""

    def __init__(self, lineage: _Lineage, shared: Shared) -> None:
        self.lineage, self.shared, self.found = lineage, shared, shared.found
        self.tree, self.unit = lineage.base, lineage.definition.unit
        self.name = lineage.line[0].name
        self.env = Env({}, lineage.definition.env, lineage.definition.env.rules)
        self.where = self.unit.span(self.tree.name)
        self.hurt = self.unit.file.hurt(self.tree)
        self.members = self.tree.members
        self.symbols: dict[str, Size] = {}
        self.derived: dict[str, tuple[int | Size, Span]] = {}

    def ready(self) -> bool:
        """Bind the parameters. False where one has no value: a variant is to give it, or an error was reported."""
        args = self.lineage.args
        for name in args:
            if name not in [p.name.text for p in self.tree.params]:
                self.found.add(
                    Diagnostic(
                        "N120",
                        f"`{self.tree.name.text}` takes no `{name}`",
                        self.lineage.places[name],
                        help=nearest(name, [p.name.text for p in self.tree.params]),
                    )
                )
                return False
        for param in self.tree.params:
            name = param.name.text
            if not allowed(name, self.unit.span(param.name), self.found):
                return False
            if name in self.env.names:
                self.found.add(
                    Diagnostic(
                        "N112", f"`{name}` is a parameter twice", self.unit.span(param.name), help="rename one of them"
                    )
                )
                return False
            if name in args:
                value = args[name]
            elif param.default is not None:
                try:
                    value = evaluate(param.default, Context(self.unit, self.env, self.found))
                except Poisoned:
                    return False
            else:
                if len(self.lineage.line) > 1:
                    self.found.add(
                        Diagnostic(
                            "N121",
                            f"`{self.tree.name.text}` needs `{name}`",
                            self.lineage.line[0].unit.span(self.lineage.line[0].tree.name),
                            help=f"add {name} = ...",
                        )
                    )
                return False
            if isinstance(value, LayerValue | BlockValue) and (ours(name) or name in self.unit.blocks):
                self.found.add(
                    Diagnostic(
                        "N113",
                        f"`{name}` is a layer's or block's name: as a stage it could mean either",
                        self.unit.span(param.name),
                        help=f"rename the parameter, such as {name}_",
                    )
                )
            self.env.names[name] = value
        return True

    def elaborate(self) -> Graph:
        ports = [m for m in self.members if isinstance(m, t.Port)]
        inputs = [p for p in ports if p.kind == "input"]
        self._symbols(inputs)
        template = Template(self.name)
        values: list[Value] = []
        declared: list[Input] = []
        frame = Frame(self.shared, self.unit, template, (), unsure=self.hurt, free=dict(self.symbols), net=self.tree)
        for port in inputs:
            self._input(port, frame, values, declared)
        if not inputs and not self.hurt:
            self._wrong("N117", "the net has no input", self.where, "add input image: f32[N, 3, 224, 224]")
        for port in ports:
            if port.kind == "output":
                self._declare_output(port, frame)
        if not frame.output_names and not frame.unsure:
            self._wrong(
                "N117",
                "the net has no output",
                self.where,
                "add output scores: f32[N, 10], and => scores at the end of a chain",
            )
        env = self.env
        for member in self.members:
            if isinstance(member, t.Chain):
                chain(frame, member, env, None, "", final=False)
            elif not isinstance(member, t.Port | t.Section):
                env = declaration(frame, member, env, "")
        finish(frame)
        for port, value in zip(inputs, values, strict=True):
            if not (value.read or frame.unsure or frame.misread or value.type is None):
                self._wrong(
                    "N116",
                    f"nothing reads the input `{port.name.text}`",
                    self.unit.span(port.name),
                    f"write from {port.name.text} -> ...",
                )
        outputs = self._outputs(frame)
        template.outputs = tuple(v for _, v, _ in outputs)
        template.close()
        return self._graph(template, declared, outputs, frame)

    def _wrong(self, code: str, message: str, where: Span, help: str = "", labels: tuple[Label, ...] = ()) -> None:
        self.found.add(Diagnostic(code, message, where, "", labels, (), help))

    # --- inputs

    def _symbols(self, inputs: list[t.Port]) -> None:
        names: dict[str, None] = {}
        for port in inputs:
            for dim in port.type.dims:
                if isinstance(dim, t.Path) and len(dim.parts) == 1 and self.env.get(dim.parts[0]) is None:
                    names[dim.parts[0]] = None
        stated = [m for m in self.members if isinstance(m, t.Let | t.Require)]
        for name, symbol in promised(list(names), stated, self.unit, self.env).items():
            least = -(-symbol.low // symbol.divisor) * symbol.divisor
            most = LARGEST if symbol.high is None else min(symbol.high, LARGEST)
            if most < least:
                message = f"no size `{name}` is at least {least} and at most {most}"
                first = next(m for m in stated if isinstance(m, t.Require))
                self._wrong("N135", message, self.unit.span(first), "one of the promises is wrong")
                symbol = Symbol(name)
            self.symbols[name] = Size.of(symbol)

    def _type(self, port: t.Port, frame: Frame, *, derive: bool) -> list[int | Size | str] | None:
        """The dims that a port declares; a text is a derived size's name. None after a diagnostic."""
        if port.type.dtype.text not in DTYPES:
            self._wrong(
                "N180",
                f"no type is called `{port.type.dtype.text}` here",
                self.unit.span(port.type.dtype),
                "write f32[...]; precision is chosen at export",
            )
            return None
        dims: list[int | Size | str] = []
        for dim in port.type.dims:
            if (
                derive
                and isinstance(dim, t.Path)
                and len(dim.parts) == 1
                and self.env.get(dim.parts[0]) is None
                and dim.parts[0] not in self.symbols
            ):
                dims.append(dim.parts[0])
                continue
            try:
                value = evaluate(dim, frame.context(self.env, ""))
            except Poisoned:
                return None
            if not isinstance(value, int | Size) or isinstance(value, bool):
                self._wrong(
                    "N130",
                    f"a side is a whole number or a symbol, not {kind_of(value)} ({show(value)})",
                    self.unit.span(dim),
                )
                return None
            if isinstance(value, int) and not 1 <= value <= LARGEST:
                self._wrong(
                    "N205",
                    f"a side is from 1 to {LARGEST}, not {value}",
                    self.unit.span(dim),
                    "a size that is not fixed has a name: N" if value == -1 else "",
                )
                return None
            dims.append(value)
        if not 2 <= len(dims) <= 5:
            self._wrong(
                "N180",
                f"a tensor has 2 to 5 dimensions (batch, channels, up to three sides); this has {len(dims)}",
                self.unit.span(port.type),
                "write f32[N, features] or f32[N, C, H, W]",
            )
            return None
        if not isinstance(dims[1], int):
            self._wrong(
                "N180",
                f"channels are always a number, not the symbol `{dims[1]}`",
                self.unit.span(port.type.dims[1]),
                "write the number, or a parameter of the net",
            )
            return None
        return dims

    def _port_name(self, port: t.Port, frame: Frame) -> bool:
        span = self.unit.span(port.name)
        if not allowed(port.name.text, span, self.found):
            frame.unsure = True
            return False
        if self.env.get(port.name.text) is not None:
            self._wrong("N112", f"`{port.name.text}` is a parameter of the net", span, "rename one of them")
            return False
        return True

    def _input(self, port: t.Port, frame: Frame, values: list[Value], declared: list[Input]) -> None:
        name, where = port.name.text, self.unit.span(port.name)
        dims = self._type(port, frame, derive=False) if self._port_name(port, frame) else None
        type_ = TensorType(dims[0], dims[1], tuple(dims[2:])) if dims is not None else None  # pyright: ignore[reportArgumentType] -- `derive=False` leaves no texts
        value = Value(type_, self.unit.span(port.type), None, len(values))
        values.append(value)
        if frame.claim(name, where):
            frame.name_value(name, value)
        frame.inputs = tuple(values)
        if type_ is not None:
            got = sections.read(port.attrs, self.unit, self.env, self.found)
            recipe = contract.recipe(got, type_, self.found, where)
            declared.append(Input(name, type_, where, recipe))

    # --- outputs

    def _declare_output(self, port: t.Port, frame: Frame) -> None:
        if not self._port_name(port, frame):
            return
        if port.name.text in frame.output_names:
            self._wrong(
                "N112", f"two outputs are called `{port.name.text}`", self.unit.span(port.name), "rename one of them"
            )
            return
        frame.output_names[port.name.text] = port

    def _outputs(self, frame: Frame) -> list[tuple[t.Port, Value, Any]]:
        found: list[tuple[t.Port, Value, Any]] = []
        for name, port in frame.output_names.items():
            value = frame.outputs.get(name)
            where = self.unit.span(port.name)
            if value is None:
                if not frame.unsure:
                    self._wrong("N117", f"nothing feeds the output `{name}`", where, f"end a chain with => {name}")
                continue
            dims = self._type(port, frame, derive=True)
            if dims is not None and value.type is not None:
                self._check_type(port, dims, value, value.type)
            got = sections.read(port.attrs, self.unit, self.env, self.found)
            made = contract.output(got, value.type, self.shared.files, self.unit, self.found, where)
            if value.type is not None:
                found.append((port, value, made))
        if found and all(made.only == "train" for _, _, made in found) and len(found) == len(frame.output_names):
            self._wrong(
                "N117",
                "every output is `only = train`: nothing is left to deploy",
                self.unit.span(found[0][0].name),
                "take `only = train` from the output that inference needs",
            )
        return found

    def _check_type(self, port: t.Port, dims: list[int | Size | str], value: Value, type_: TensorType) -> None:
        where = self.unit.span(port.type)
        wanted = f"[{', '.join(map(str, dims))}]"
        labels = (Label(value.where, f"{type_} comes from here"),)
        if len(dims) != len(type_.dims):
            more = "; flatten it" if type_.sides and len(dims) == 2 else ""
            self._wrong(
                "N305",
                f"the output `{port.name.text}` is declared {wanted}, and {type_} feeds it",
                where,
                f"write {port.type.dtype.text}{type_}{more}",
                labels,
            )
            return
        for dim, side, tree in zip(dims, type_.dims, port.type.dims, strict=True):
            if isinstance(dim, str):
                known = self.derived.get(dim)
                if known is None:
                    self.derived[dim] = (side, self.unit.span(tree))
                    if tree is port.type.dims[0] and isinstance(side, int):
                        self._batch_of_number(dim, side, self.unit.span(tree))
                elif known[0] != side:
                    self._wrong(
                        "N305",
                        f"`{dim}` is {known[0]} and {side}: one symbol is one size",
                        self.unit.span(tree),
                        "give the second size a name of its own",
                        (Label(known[1], f"{known[0]} here"), *labels),
                    )
            elif dim != side:
                differs = counterexample(dim, side) if isinstance(dim, Size) or isinstance(side, Size) else None
                shown = (
                    f" ({', '.join(f'{n} = {v}' for n, v in differs.items())}"
                    f" gives {_at(dim, differs)} and {_at(side, differs)})"
                    if differs
                    else ""
                )
                self._wrong(
                    "N305",
                    f"the output `{port.name.text}` is declared {wanted}, and {type_} feeds it:"
                    f" {dim} is not {side}{shown}",
                    where,
                    f"write {port.type.dtype.text}{type_}, or change the chain",
                    labels,
                )
                return

    def _batch_of_number(self, dim: str, side: int, where: Span) -> None:
        """Warn where an output's batch is a symbol that the input lacks: most likely the input's was forgotten."""
        port = next(m for m in self.members if isinstance(m, t.Port) and m.kind == "input")
        written = ", ".join(self.unit.span(each).text for each in port.type.dims)
        message = f"the batch of the input `{port.name.text}` is {side}, its first number, and `{dim}` is just that"
        help_ = f"write f32[{dim}, {written}] if the batch is missing there, else {side} here"
        self.found.add(Diagnostic("W105", message, where, help=help_, severity="warning"))

    # --- the graph and its sections

    def _graph(
        self, template: Template, declared: list[Input], outputs: list[tuple[t.Port, Value, Any]], frame: Frame
    ) -> Graph:
        if self.found.errors and (
            frame.unsure or len(outputs) < len(frame.output_names) or any(v.type is None for _, v, _ in outputs)
        ):
            if frame.unsure and not frame.output_names:
                raise Stop  # the ports did not parse: a section may name any of them
            self._sections(_labels_of(template), tuple(frame.output_names), None)
            raise Stop
        names = tuple(i.name for i in declared)
        # A figure that another net expects in vain says nothing of this one.
        if self.found.errors > self.found.errors_of("N306"):
            self._sections(_labels_of(template), tuple(frame.output_names), None)
            raise Stop
        budget = self.shared.budget
        budget.nodes += template.count
        if budget.nodes > budget.limits.nodes:
            first = self.lineage.line[0]
            message = f"the nets of this text have more than {budget.limits.nodes:,} nodes together"
            self._wrong(
                "N160",
                message,
                first.unit.span(first.tree.name),
                "check them one by one: SPEC:NET; or raise the limit with --max-nodes",
            )
            raise Stop
        try:
            flat, values = unroll(template, self.name, names, self.where)
        except LongNames as error:
            self._wrong("N112", str(error), error.where, "shorten the labels, or nest them less")
            raise Stop from error
        self._unique(flat.nodes)
        made = tuple(
            Output(
                port.name.text,
                value,
                v.type,
                self.unit.span(port.name),
                c.labels,
                c.decode,
                c.threshold,
                c.only == "train",
            )
            for (port, v, c), value in zip(outputs, values, strict=True)
            if v.type is not None
        )
        requires = tuple(Requirement(e, text, why) for e, text, why in self.shared.requires)  # pyright: ignore[reportArgumentType] -- built by as_expr
        graph = Graph(
            self.name,
            tuple(declared),
            made,
            tuple(flat.nodes),
            tuple(flat.regions),
            (*requires, *smallest(self.shared.facts, self.found)),
            language=self.unit.file.language,
            texts=dict(self.shared.files.texts),
        )
        paths = {n.name for n in graph.nodes} | {r.name for r in graph.regions} | set(template.labels)
        return self._sections(frozenset(paths), tuple(frame.output_names), graph) or graph

    def _unique(self, nodes: list[Any]) -> None:
        seen: dict[str, Span] = {}
        for node in nodes:
            if node.name in seen:
                self._wrong(
                    "N115",
                    f"two layers are called `{node.name}`",
                    node.where,
                    "rename one: names are paths of weights, and paths are unique",
                    (Label(seen[node.name], "the first"),),
                )
                raise Stop
            seen[node.name] = node.where

    def _sections(self, paths: frozenset[str], outputs: tuple[str, ...], graph: Graph | None) -> Graph | None:
        """The graph with its sections; inherited pairs first, each variant's on top. `expect` is a net's own."""
        labels = sections.Labels(outputs, paths, tuple(self.symbols))
        trained, exported, expected = sections.Read(), sections.Read(), sections.Read()
        places: dict[str, Span] = {}
        for definition in reversed(self.lineage.line):
            here: dict[str, dict[str, Span]] = {"train": {}, "export": {}, "expect": {}}  # a variant sets keys again
            for section in self._own(definition):
                into = {"train": trained, "export": exported, "expect": expected}[section.kind]
                if section.kind == "expect" and definition is not self.lineage.line[0]:
                    continue
                places[section.kind] = definition.unit.span(t.At(section.start, section.start + len(section.kind)))
                env = self.env if definition.tree is self.tree else definition.env
                sections.read(section.pairs, definition.unit, env, self.found, into, here[section.kind])
        train = sections.train(trained, labels, self.found, places["train"]) if "train" in places else None
        export = sections.export(exported, labels, self.found, places.get("export", self.where))
        expect = sections.expect(expected, labels, self.found, places.get("expect", self.where))
        if graph is None:
            return None
        graph = replace(graph, train=train, export=export, expect=expect)
        if "expect" in places:
            self._expected(graph, expect, expected)
        return graph

    def _own(self, definition: NetDef) -> list[t.Section]:
        tree = definition.tree
        inner = (
            [m for m in tree.members if isinstance(m, t.Section)] if isinstance(tree, t.Net) else list(tree.sections)
        )
        for section in inner:
            if section.target is not None and section.target.text != definition.name:
                self._wrong(
                    "N172",
                    f"this section stands in `{definition.name}` and names `{section.target.text}`",
                    definition.unit.span(section.target),
                    "take the name out",
                )
        unit = definition.unit
        inner = [s for s in inner if not unit.file.hurt(s)]
        if unit.nets.get(definition.name) is not definition:
            return inner
        named = [s for s in unit.sections if s.target is not None and s.target.text == definition.name]
        loose = [s for s in unit.sections if s.target is None]
        if loose and [d for d in unit.nets.values() if d.unit is unit and isinstance(d.tree, t.Net)] != [definition]:
            loose = []
        return [*inner, *(s for s in (*named, *loose) if not unit.file.hurt(s))]

    def _expected(self, graph: Graph, expect: Expect, got: sections.Read) -> None:
        counts: dict[str, tuple[int | None, int | None]] = {
            "params": (expect.params, graph.params() if expect.params is not None else None),
            "params.train": (
                expect.params_train,
                graph.params(train=True) if expect.params_train is not None else None,
            ),
        }
        if expect.macs is not None or expect.at:
            firsts = dict.fromkeys(graph.alike[n.name] for n in graph.nodes if n.name in graph.deployed)
            deployed = [graph.node[name] for name in firsts]
            types = list(dict.fromkeys(t for n in deployed for t in (n.type, *graph.operands(n))))
            depend = [n for n in deployed if n.op.cost(n.type, *graph.operands(n)) is None]
            missing = sorted(
                _symbols(t for n in depend for t in (n.type, *graph.operands(n))).keys() - expect.at.keys()
            )
            if missing and expect.macs is not None:
                self._wrong(
                    "N306",
                    f"`macs` depends on {' and '.join(missing)}",
                    got.keys["macs"],
                    "say where: " + ", ".join(f"at.{m} = 224" for m in missing),
                )
                return
            known = [each for each in types if _symbols([each]).keys() <= expect.at.keys()]
            given = {name: symbol for name, symbol in _symbols(types).items() if name in expect.at}
            if not self._taken(given, known, expect.at, got):
                return
            if expect.macs is not None:
                counts["macs"] = (expect.macs, graph.macs(expect.at))
        for key, (wanted, measured) in counts.items():
            if wanted != measured and wanted is not None and measured is not None:
                self._wrong(
                    "N306",
                    f"{self.name} has {measured:,} {key}, and {wanted:,} are expected ({measured - wanted:+,})",
                    got.places[key],
                    f"if the text is right, write {measured:_}",
                )

    def _taken(
        self, symbols: dict[str, Symbol], types: list[TensorType], sizes: dict[str, int], got: sections.Read
    ) -> bool:
        """Whether the net takes images of these sizes; reported where it does not."""
        for name, symbol in symbols.items():
            least = -(-max(symbol.low, 1) // symbol.divisor) * symbol.divisor
            if sizes[name] % symbol.divisor or not least <= sizes[name] <= (symbol.high or LARGEST):
                self._wrong(
                    "N306",
                    f"{name} = {sizes[name]} is no size that {self.name} takes",
                    got.places[f"at.{name}"],
                    f"the least is at.{name} = {least}"
                    + (f", and it goes in steps of {symbol.divisor}" if symbol.divisor > 1 else ""),
                )
                return False
        for type_ in types:
            if any(_at(side, sizes) < 1 for side in type_.sides):
                where = " and ".join(f"{name} = {sizes[name]}" for name in symbols)
                key = next(each for each in ("macs", *got.keys) if each in got.keys)
                self._wrong("N306", f"at {where} nothing is left of {type_.shape}", got.keys[key], "say a larger size")
                return False
        return True


def _symbols(types: Iterable[TensorType]) -> dict[str, Symbol]:
    return {k: s for t in types for d in t.sides if isinstance(d, Size) for k, s in d.symbols().items()}


def _at(side: int | Size, sizes: dict[str, int]) -> int:
    return side if isinstance(side, int) else side.at(sizes)


def _labels_of(template: Template) -> frozenset[str]:
    return frozenset(template.labels) | frozenset(template.handles) | frozenset(template.places)
