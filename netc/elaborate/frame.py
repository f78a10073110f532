"""One expansion of a block or net while it goes on: its template, its labels, and how its findings are worded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netc.diagnostic import Diagnostic, Diagnostics, Edit, Label, Span
from netc.elaborate.budget import Budget, Stop
from netc.elaborate.edits import renamed
from netc.elaborate.expr import Context
from netc.elaborate.files import BlockDef, Env, Files, Unit
from netc.elaborate.layers import Layers
from netc.elaborate.names import nearest
from netc.elaborate.template import BlockStep, Handle, Template, Value
from netc.elaborate.values import Value as Constant
from netc.op import Need
from netc.syntax import tree as t
from netc.tensor import Size


@dataclass(slots=True)
class Shared:
    """What all expansions of one check share."""

    files: Files
    found: Diagnostics
    layers: Layers
    budget: Budget
    templates: dict[object, Template] = field(default_factory=dict[object, Template])
    facts: dict[Size, tuple[Need, Span]] = field(default_factory=dict[Size, tuple[Need, Span]])
    """Sizes that have to be at least 1 for the net to make sense, and where each was first needed."""
    requires: list[tuple[object, str, str]] = field(default_factory=list[tuple[object, str, str]])
    """Tests on symbols that the text requires: (expression, text, why)."""


@dataclass(slots=True, eq=False)
class Caller:
    """The way here, for the notes of a finding: who applied this block, and where."""

    label: str
    where: Span
    frame: Frame


@dataclass(slots=True, eq=False)
class Frame:
    """The expansion of one block or net."""

    shared: Shared
    unit: Unit
    template: Template
    inputs: tuple[Value, ...]
    named: bool = False
    """Whether the inputs have names, so that `in` means nothing."""
    block: BlockDef | None = None
    caller: Caller | None = None
    depth: int = 0
    unsure: bool = False
    free: dict[str, Size] = field(default_factory=dict[str, Size])
    """The symbols that a net's body sees."""
    outputs: dict[str, Value] = field(default_factory=dict[str, Value])
    output_names: dict[str, t.Port] = field(default_factory=dict[str, t.Port])
    unread: list[tuple[tuple[Value, ...], Span]] = field(default_factory=list[tuple[tuple[Value, ...], Span]])
    net: t.Net | None = None
    multiplicity: int = 1
    misread: bool = False
    """Whether a name that names no value was reported: it may have meant any that nothing reads."""

    @property
    def vague(self) -> bool:
        """Whether a `default` that holds here did not parse."""
        return self.unit.vague(self.block.tree if self.block is not None else self.net)

    # --- findings

    def span(self, at: t.At) -> Span:
        return self.unit.span(at)

    def notes(self) -> tuple[str, ...]:
        """The way through the expansion, innermost first."""
        notes: list[str] = []
        caller = self.caller
        while caller is not None and len(notes) < 6:
            text = " ".join(caller.where.text.split())
            text = f"{text[:69]}..." if len(text) > 72 else text
            notes.append(f"in {caller.label}, from `{text}` at {caller.where}")
            caller = caller.frame.caller
        return tuple(notes)

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        help: str = "",
        said: str = "",
        labels: tuple[Label, ...] = (),
        edit: Edit | None = None,
    ) -> None:
        """Add an error with the way here."""
        self.shared.found.add(Diagnostic(code, message, span, said, labels, self.notes(), help, edit))
        if self.shared.found.enough:
            raise Stop

    # --- names

    def context(self, env: Env, prefix: str, words: frozenset[str] | None = None) -> Context:
        """What an expression in this body may read."""

        def side(path: t.Path) -> Constant | None:
            return self.side(path, prefix)

        return Context(
            self.unit,
            env,
            self.shared.found,
            side=side,
            words=words,
            free=self._symbol if self.free else None,
            unsure=self.unsure,
        )

    def _symbol(self, name: str) -> Constant | None:
        return self.free.get(name)

    def find(self, tree: t.Path, prefix: str) -> tuple[Value | None, Handle | None, str]:
        """What a path of labels leads to from inside `prefix`: the value, the step, and the label that is missing."""
        template = self.template
        path = ".".join(tree.parts)
        self.shared.budget.spend((prefix.count(".") + len(tree.parts)) ** 2 >> 4, (self.unit.file, tree))
        while True:
            full = f"{prefix}.{path}" if prefix else path
            value, handle, missing = _descend(template, full)
            if value is not None or handle is not None or not prefix:
                return value, handle, missing
            prefix = prefix.rpartition(".")[0]

    def value(self, path: t.Path, prefix: str) -> Value | None:
        """The value that a path names, None (poisoned) after a diagnostic."""
        if path.parts == ("in",):
            if self.unsure and self.block is None:
                return None
            if self.named or self.block is None:
                where = "a net" if self.block is None else f"`{self.block.name}`, which names its values with `from`,"
                self.misread = True
                self.report(
                    "N142",
                    f"{where} has no `in`",
                    self.span(path),
                    help="start from a name: " + ", ".join(list(self.template.labels)[:4]),
                )
                return None
            if len(self.inputs) != 1:
                self.misread = True
                self.report(
                    "N142",
                    f"{len(self.inputs)} values enter this block: `in` names one",
                    self.span(path),
                    help=f"name them: block {self.block.name}(...) from a, b {{ ... }}",
                )
                return None
            return self.inputs[0]
        value, handle, missing = self.find(path, prefix)
        if value is None and handle is not None:
            self.misread = True
            help_ = f"read one by its own label: from {'.'.join(path.parts)}.LABEL"
            self.report(
                "N111", f"`{'.'.join(path.parts)}` has several values and names none", self.span(path), help=help_
            )
        elif value is None and not self.unsure and not self.unit.unsure:
            self.unknown(path, missing)
        return value

    def unknown(self, path: t.Path, missing: str) -> None:
        """Report a label that names nothing above this line."""
        self.misread = True
        if self.shared.found.has("N111", self.span(path)):
            return  # in an earlier turn: to look for the nearest one takes long
        known = [n for n in self.template.labels if "." not in n] if "." not in missing else list(self.template.labels)
        text = ".".join(path.parts)
        help_ = (
            self._parts(text)
            or self._below(path)
            or nearest(missing, known)
            or (f"values here are {', '.join(known[:8])}" if known else "no value has a label yet")
        )
        self.report(
            "N111",
            f"`{text}` names no value above this line" if missing == text else f"`{text}`: there is no `{missing}`",
            self.span(path),
            help=help_,
            edit=None
            if missing != text or self._parts(text) or self._below(path)
            else renamed(self.span(path), text, known),
        )

    def _parts(self, text: str) -> str:
        """What to do about the label of a layer with several values."""
        parts = [name for name in self.template.labels if name.startswith(f"{text}.")][:4]
        return f"it has several values: {', '.join(parts)}" if parts else ""

    def _below(self, path: t.Path) -> str:
        """What to do about a label that the body makes further down."""
        body = (
            self.block.tree.body.statements
            if self.block is not None
            else self.net.members
            if self.net is not None
            else ()
        )
        name = path.parts[0]
        for chain in body:
            if isinstance(chain, t.Chain) and name in labels_in(chain):
                if chain.start <= path.start < chain.end:
                    above = ", ".join([label for label in self.template.labels if "." not in label][-4:])
                    made = f"`{name}` is made by this very chain, later, and a net has no loop"
                    return f"{made}: read one of {above}" if above else made
                return f"`{name}` is made below: move this chain down"
        return ""

    def side(self, path: t.Path, prefix: str) -> Constant | None:
        """`x.c`, `in.h`: a side of a value. None where the path is no such thing. Raises Poisoned."""
        from netc.elaborate.expr import Poisoned, Wrong

        *head, last = path.parts
        if last not in ("n", "c", "t", "d", "h", "w"):
            return None
        of = t.Path(path.start, path.end, tuple(head))
        if head == ["in"]:
            value = self.value(of, prefix)
        else:
            value, _, _ = self.find(of, prefix)
            if value is None:
                if self.unsure:
                    raise Poisoned
                return None
        if value is None or value.type is None:
            raise Poisoned
        side = value.type.side(last)
        if side is None:
            raise Wrong(
                "N111",
                f"{'.'.join(head)} is {value.type}: it has no side `{last}`",
                f"it has {', '.join(('n', 'c', *('', 't', 'hw', 'dhw')[value.type.rank]))}",
            )
        return side

    def claim(self, path: str, where: Span) -> bool:
        """Take a path for a step or a label; an error where somebody has it."""
        first = self.template.places.get(path)
        if first is not None:
            self.report(
                "N112",
                f"two things are called `{path}` here",
                where,
                labels=(Label(first, "the first"),),
                help="rename one: names are paths of weights, and paths are unique",
            )
            return False
        self.template.places[path] = where
        return True

    def name_value(self, path: str, value: Value) -> None:
        """Let a label name a value."""
        self.template.labels[path] = value


def labels_in(chain: t.Chain) -> Iterator[str]:
    """The labels of a chain, those inside its braces included."""
    for item in chain.items:
        if item.label is not None:
            yield item.label.text
        bodies: tuple[t.Body | None, ...] = ()
        if isinstance(item.core, t.Braces):
            bodies = (item.core.body,)
        elif isinstance(item.core, t.Fork):
            bodies = item.core.arms
        elif isinstance(item.core, t.If):
            bodies = (*(b for _, b in item.core.branches), item.core.other)
        for body in bodies:
            for inner in body.statements if body is not None else ():
                if isinstance(inner, t.Chain):
                    yield from labels_in(inner)


def _descend(template: Template, path: str) -> tuple[Value | None, Handle | None, str]:
    """Follow a path through the labels of a template and of the blocks it applies."""
    handle: Handle | None = None
    name = path
    while True:
        value, step = template.labels.get(name), template.handles.get(name)
        if name == path and (value is not None or step is not None):
            return _outward(value, handle), (Handle(step.step, handle) if step is not None else None), ""
        # Inside of what applies another one's weights again, values have no names.
        if step is not None and isinstance(step.step, BlockStep) and step.step.owner is None:
            handle = Handle(step.step, handle)
            template, path = step.step.template, path[len(name) + 1 :]
            name = path
            continue
        name = name.rpartition(".")[0]
        if not name:
            return None, None, path


def _outward(value: Value | None, handle: Handle | None) -> Value | None:
    """A value inside a block, as the one who applies the block sees it."""
    while value is not None and handle is not None:
        assert isinstance(handle.step, BlockStep)
        value = (
            handle.step.inputs[value.port]
            if value.step is None
            else Value(value.type, value.where, handle.step, -1, value)
        )
        handle = handle.within
    return value
