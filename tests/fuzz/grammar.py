"""Texts of the language that are mostly right: every layer kind of the registry, with arguments from its own fields.

The writer keeps the types of the values it has named, and asks a layer's own rule before it writes the layer. Every
choice is `Random`'s, so that hypothesis can make and shrink a text by handing in its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from netc import ops
from netc.op import Layer, Reject
from netc.tensor import Side, Size, Symbol, TensorType, TooLong, low

BATCH = Size.of(Symbol("N"))
MOST_FEATURES = 200_000
TRIES = 6


def text(chance: Random) -> str:
    """A file: blocks and nets, and what may stand around them."""
    return Writer(chance).file()


def kinds() -> list[str]:
    """The layer kinds that a graph can have: all of the registry's but those that are short for others."""
    return sorted({cls.kind for merges in (False, True) for cls in _kinds(merges=merges)})


@cache
def _kinds(*, merges: bool) -> tuple[type[Layer], ...]:
    found = (cls for kind in ops.kinds() if (cls := ops.find(kind)) is not None and not cls.spreads)
    # A layer that needs arguments is refused more often, and there is more to it: it is tried more often.
    return tuple(
        cls
        for cls in found
        if cls.merges == merges
        for _ in range(1 + 3 * sum(info.is_required() for info in cls.model_fields.values()))
    )


@cache
def _spreading() -> tuple[type[Layer], ...]:
    return tuple(cls for kind in ops.kinds() if (cls := ops.find(kind)) is not None and cls.spreads)


class Drawn(NamedTuple):
    """A call as an argument, as a layer's field takes it: `normal(0.02)`."""

    name: str
    args: tuple[tuple[None, object], ...]


class Block(NamedTuple):
    """A block that was written: what it takes and gives, and how it is called."""

    name: str
    params: Mapping[str, int]
    defaults: frozenset[str]
    inputs: tuple[TensorType, ...]
    output: TensorType
    weighted: bool


@dataclass
class Scope:
    """What the text written so far lets a stage read."""

    values: dict[str, TensorType] = field(default_factory=dict[str, TensorType])
    unread: set[str] = field(default_factory=set[str])
    layers: dict[str, tuple[Layer, TensorType]] = field(default_factory=dict[str, "tuple[Layer, TensorType]"])
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    stages: dict[str, str] = field(default_factory=dict[str, str])
    """Parameters that hold a layer: its text."""
    defaults: dict[str, dict[str, object]] = field(default_factory=dict[str, "dict[str, object]"])
    entered: TensorType | None = None
    """`in`, inside of a block that does not name its values."""
    prefix: str = ""
    hidden: bool = False
    """Whether labels written now cannot be read outside: inside of a repeat."""

    def inside(self, **changes: Any) -> Scope:
        """The scope of an arm or a group: labels are the body's own, declarations are not."""
        inner = Scope(self.values, self.unread, self.layers, dict(self.numbers), dict(self.stages), dict(self.defaults))
        inner.entered, inner.prefix, inner.hidden = self.entered, self.prefix, self.hidden
        for name, value in changes.items():
            setattr(inner, name, value)
        return inner


Written = tuple[str, TensorType]


class Writer:
    """Writes one file."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.count = 0
        self.blocks: list[Block] = []
        self.definitions: list[str] = []
        self.given: dict[str, int] = {}
        """Numbers that the ports of the net being written may name: they stand above its `let`s."""

    def new(self, letter: str) -> str:
        """A name that is nobody's yet."""
        self.count += 1
        return f"{letter}{self.count}"

    def some(self, probability: float) -> bool:
        """Whether something that happens this often happens now."""
        # The least choice is the plain one: hypothesis shrinks towards it.
        return self.chance.randint(0, 99) >= 100 - probability * 100

    # --- files

    def file(self) -> str:
        """A text of top-level parts."""
        outer = Scope()
        head = ["language 1"] if self.some(0.3) else []
        if self.some(0.1):
            head.append(self.chance.choice(['use "std/resnet.cnn" (basic, bottleneck)', 'use "lenet5.cnn" (LeNet5)']))
        body = [self.let(outer) for _ in range(self.chance.choice((0, 0, 0, 1, 2)))]
        if self.some(0.1):
            body.append(self.default(outer))
        nets = [self.net(outer) for _ in range(self.chance.choice((1, 1, 1, 2)))]
        # Blocks stand before what the file's `default` reaches, in the scope they were written for.
        parts = [*head, *self.definitions, *body, *nets]
        if self.some(0.1):
            parts = [*head, *body, *self.definitions, *nets]
        return "\n".join(f"{part}{self.comment()}" for part in parts) + "\n"

    def comment(self) -> str:
        return f"  # {self.chance.choice(('why', 'x -> y', '{', 'é'))}" if self.some(0.1) else ""

    def net(self, outer: Scope) -> str:
        """A net, perhaps with variants and sections."""
        name = self.new("Net")
        numbers = {self.new("p"): self.chance.choice((1, 2, 3, 4, 8)) for _ in range(self.chance.choice((0, 0, 1, 2)))}
        self.given = {**outer.numbers, **numbers}
        scope = Scope(numbers=dict(self.given), defaults=dict(outer.defaults))
        promises: list[str] = []
        symbols: dict[str, Size] = {}
        ports: list[str] = []
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            port = self.new("image")
            type_ = self.input_type(promises, symbols)
            scope.values[port] = type_
            scope.unread.add(port)
            ports.append(f"input {port}: f32{self.dims(type_, {})}{self.recipe(type_)}")
        derived: dict[Side, str] = {}
        members = [self.declaration(scope) for _ in range(self.chance.choice((0, 0, 1, 2)))]
        outputs: list[str] = []
        count = self.chance.choice((1, 1, 2, 3))
        members += [self.chain(scope, outputs, ports, derived) for _ in range(count)]
        starts = [(f"from {label} -> {self.new('l')}: id", scope.values[label]) for label in sorted(scope.unread)]
        members += [self.feed(start, y, scope, outputs, ports, derived) for start, y in starts]
        members += [self.section(outputs) for _ in range(self.chance.choice((0, 0, 0, 1)))]
        params = f"({', '.join(f'{n} = {v}' for n, v in numbers.items())})" if numbers else ""
        body = "\n  ".join([*ports, *promises, *members])
        whole = f"net {name}{params} {{\n  {body}\n}}"
        if self.some(0.1):
            args = ", ".join(f"{n} = {v}" for n, v in numbers.items())
            whole += f"\nnet {self.new('Net')} = {name}({args})"
            whole += self.chance.choice(("", " { expect { params = 1 } }", " { }"))
        return whole

    def input_type(self, promises: list[str], symbols: dict[str, Size]) -> TensorType:
        rank = self.chance.choice((2, 2, 2, 2, 0, 1, 3))
        sides: list[Side] = []
        symbolic = self.some(0.3)
        for i in range(rank):
            if not symbolic or self.some(0.2):
                sides.append(self.chance.choice((8, 8, 16, 7, 5, 12, 1, 2, 3, 32)))
                continue
            name = "DHW"[3 - rank + i] if rank > 1 else "T"
            if name in symbols:
                sides.append(symbols[name])
                continue
            by = self.chance.choice((1, 1, 2, 4, 8, 16))
            least = self.chance.choice((1, 1, 8, 33))
            tests = [f"{name} % {by} == 0"] if by > 1 else []
            tests += [f"{name} >= {least}"] if least > 1 else []
            if tests:
                promises.append(f'require {" and ".join(tests)}, "why"')
            symbols[name] = Size.of(Symbol(name, by, least))
            sides.append(symbols[name])
        return TensorType(BATCH, self.chance.choice((3, 1, 2, 4, 6, 8)), tuple(sides))

    def recipe(self, type_: TensorType) -> str:
        if type_.rank != 2 or type_.c not in (1, 3) or not self.some(0.3):
            return ""
        return self.chance.choice(
            (" { }", " { scale = 1/255 }", " { resize = 40, fit = crop, filter = bicubic }", " { mean = 0.5, std = 2 }")
        )

    def dims(self, type_: TensorType, derived: dict[Side, str]) -> str:
        """A type's dims; a formula is a derived size, the same formula the same name."""
        words: list[str] = []
        for side in type_.dims:
            if isinstance(side, int):
                words.append(self.number(side, Scope(numbers=self.given)))
            elif str(side).isidentifier():
                words.append(str(side))
            else:
                words.append(derived.setdefault(side, f"Q{len(derived)}"))
        return f"[{', '.join(words)}]"

    def chain(self, scope: Scope, outputs: list[str], ports: list[str], derived: dict[Side, str]) -> str:
        """A net's chain: from values to an output, or to a label that a later one reads."""
        pairs = self.pairs(scope)
        if pairs and self.some(0.3):
            a, b, merge, y = self.chance.choice(pairs)
            scope.unread -= {a, b}
            start, x = f"from {a}, {b} -> {merge}", y
        else:
            label = self.chance.choice(sorted(scope.unread) or sorted(scope.values))
            scope.unread.discard(label)
            start, x = f"from {label}", scope.values[label]
        rest, y = self.stages(scope, x, 2)
        if self.some(0.4):
            label = self.new("l")
            scope.values[label] = y
            scope.unread.add(label)
            return f"{start} -> {rest} -> {label}: id"
        return self.feed(f"{start} -> {rest}", y, scope, outputs, ports, derived)

    def pairs(self, scope: Scope) -> list[tuple[str, str, str, TensorType]]:
        """Values that a merge takes together."""
        found: list[tuple[str, str, str, TensorType]] = []
        labels = sorted(scope.values)[-6:]
        for i, a in enumerate(labels):
            for b in labels[i + 1 :]:
                cls = self.chance.choice(_kinds(merges=True))
                y = _inferred(cls, {}, scope.values[a], scope.values[b])
                if y is not None:
                    found.append((a, b, cls.kind, y))
        return found

    def feed(
        self, start: str, y: TensorType, scope: Scope, outputs: list[str], ports: list[str], derived: dict[Side, str]
    ) -> str:
        name = self.new("y")
        only = "only = train" if outputs and self.some(0.2) else ""
        decode = self.chance.choice(("decode = softmax", "decode = sigmoid, threshold = 0.5", "decode = argmax"))
        keys = ", ".join(k for k in (only, decode if self.some(0.2) else "") if k)
        outputs.append(name)
        ports.append(f"output {name}: f32{self.dims(y, derived)}" + (f" {{ {keys} }}" if keys else ""))
        return f"{start} => {name}"

    def section(self, outputs: Sequence[str]) -> str:
        loss = ", ".join(f"loss.{y} = {self.chance.choice(('', '0.3 * '))}cross_entropy()" for y in outputs)
        return self.chance.choice(
            (
                f"train {{ {loss}, optimizer = sgd(lr = 0.1, momentum = 0.9), epochs = 2, schedule = cosine() }}",
                f"train {{ {loss.replace('cross_entropy', 'bce_with_logits')}, optimizer = adamw() }}",
                "export { opset = 20, dynamic = [N] }",
                "expect { params = 10 }",
                "expect { params = 10, params.train = 20, macs = 30, at.H = 32, at.W = 32 }",
            )
        )

    # --- declarations

    def declaration(self, scope: Scope) -> str:
        """A `let`, a `default` or a `require` that holds."""
        return self.chance.choice((self.let, self.default, self.require))(scope)

    def let(self, scope: Scope) -> str:
        value = self.chance.choice((1, 2, 3, 4, 6, 8))
        expr = self.number(value, scope)
        if self.some(0.2):
            a, b = self.new("v"), self.new("v")
            scope.numbers |= {a: value, b: 2}
            return f"let {a}, {b} = [{expr}, 2]"
        name = self.new("v")
        scope.numbers[name] = value
        return f"let {name} = {expr}"

    def default(self, scope: Scope) -> str:
        cls = self.chance.choice(_kinds(merges=False))
        x = TensorType(BATCH, 4, (8, 8))
        fields = self.fields(cls, x)
        if cls.positional is not None and not self.some(0.1):
            fields.pop(cls.positional, None)
        scope.defaults[cls.kind] = {**scope.defaults.get(cls.kind, {}), **fields}
        word = self.call(cls, fields, scope)
        return f"default {word}" if word.endswith(")") else f"default {word}()"

    def require(self, scope: Scope) -> str:
        return f'require {self.test(True, scope)}, "it holds"'

    # --- stages

    def stages(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """Some stages in a row."""
        words: list[str] = []
        for _ in range(self.chance.choice((1, 2, 3, 5))):
            word, x = self.item(scope, x, depth)
            words.append(word)
        return " -> ".join(words), x

    def body(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """What stands in braces: declarations, and a chain that takes what enters."""
        before = " ".join(self.declaration(scope) for _ in range(self.chance.choice((0, 0, 0, 0, 1))))
        rest, y = self.stages(scope, x, depth)
        if before and rest.startswith("if "):
            rest = f"id -> {rest}"
        return f"{before} {rest}".strip(), y

    def item(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """A stage, perhaps labelled and repeated."""
        plain: tuple[Callable[[Scope, TensorType], Written], ...] = (
            self.layer, self.layer, self.layer, self.layer, self.layer, self.held, self.is_, self.reuse,
        )  # fmt: skip
        nested: tuple[Callable[[Scope, TensorType, int], Written], ...] = (
            self.merge, self.group, self.if_, self.block, self.repeat, self.skip, self.spread,
        )  # fmt: skip
        if depth > 0 and self.some(0.3):
            return self.chance.choice(nested)(scope, x, depth - 1)
        return self.chance.choice(plain)(scope, x)

    def labelled(self, scope: Scope, word: str, y: TensorType, *, need: bool) -> str:
        """A stage under a new label, where it needs one or happens to get one."""
        if not (need and not self.some(0.05)) and not self.some(0.2):
            return word
        label = self.new("l")
        if self.some(0.1):
            return f'"{label}.{self.chance.choice(("0", "a", "conv"))}": {word}'
        if not scope.hidden:
            scope.values[f"{scope.prefix}{label}"] = y
        return f"{label}: {word}"

    def layer(self, scope: Scope, x: TensorType) -> Written:
        """A layer of any kind whose rule admits it here; now and then one whose rule may not."""
        for _ in range(TRIES):
            cls = self.chance.choice(_kinds(merges=False))
            given = self.fields(cls, x)
            fields = {**scope.defaults.get(cls.kind, {}), **given}
            likes = self.likes(cls, scope)
            if likes is None:
                continue
            y = _inferred(cls, fields, x, *(t for _, _, t in likes))
            if y is None and self.some(0.02):
                return self.labelled(scope, self.call(cls, given, scope), x, need=True), x
            if y is None:
                continue
            word = self.call(cls, given, scope, [f"{name}={label}" for name, label, _ in likes])
            weighted = _weighted(cls, fields, x)
            before = set(scope.values)
            word = self.labelled(scope, word, y, need=weighted)
            for label in set(scope.values) - before:
                if not likes and label == label.rpartition(".")[2]:
                    op = _made(cls, fields)
                    assert op is not None
                    scope.layers[label] = (op, x)
            return word, y
        return self.chance.choice(("relu", "id", "dropout(0.5)", "relu()")), x

    def likes(self, cls: type[Layer], scope: Scope) -> list[tuple[str, str, TensorType]] | None:
        """Values for the arguments that name one; None where there is none to name."""
        if not cls.values:
            return []
        if not scope.values:
            return None
        chosen = [(name, self.chance.choice(sorted(scope.values))) for name in cls.values]
        return [(name, label, scope.values[label]) for name, label in chosen]

    def held(self, scope: Scope, x: TensorType) -> Written:
        """A parameter that holds a layer, as a stage."""
        if not scope.stages:
            return self.layer(scope, x)
        return self.chance.choice(sorted(scope.stages)), x

    def is_(self, scope: Scope, x: TensorType) -> Written:
        words = [
            self.number(side, Scope(numbers=scope.numbers)) if isinstance(side, int) and self.some(0.6) else "_"
            for side in x.dims
        ]
        return f"is [{', '.join(words)}]", x

    def reuse(self, scope: Scope, x: TensorType) -> Written:
        """Shared weights: a layer above, applied again to a value of the same type."""
        fits = sorted(label for label, (_, type_) in scope.layers.items() if type_ == x)
        if not fits:
            return self.layer(scope, x)
        label = self.chance.choice(fits)
        op, _ = scope.layers[label]
        y = op.infer(x)
        return self.labelled(scope, f"@{label}", y, need=False), y

    def group(self, scope: Scope, x: TensorType, depth: int) -> Written:
        if self.some(0.5):
            body, y = self.body(scope.inside(), x, depth)
            return f"{{ {body} }}", y
        label = self.new("l")
        body, y = self.body(scope.inside(prefix=f"{scope.prefix}{label}."), x, depth)
        if not scope.hidden:
            scope.values[f"{scope.prefix}{label}"] = y
        return f"{label}: {{ {body} }}", y

    def if_(self, scope: Scope, x: TensorType, depth: int) -> Written:
        truth = self.some(0.7)
        taken, y = self.body(scope.inside(), x, depth)
        form = self.chance.randint(0, 3)
        if form == 0 and truth:
            return f"if {self.test(True, scope)} {{ {taken} }}", y
        if form == 1:
            return f"if {self.test(False, scope)} {{ {self.wild()} }}", x
        if form == 2:
            tests = f"if {self.test(False, scope)} {{ {self.wild()} }} else if {self.test(True, scope)} {{ {taken} }}"
            return f"{tests} else {{ {self.wild()} }}", y
        return f"if {self.test(False, scope)} {{ {self.wild()} }} else {{ {taken} }}", y

    def wild(self) -> str:
        """Stages that nobody asks to fit."""
        return self.chance.choice(("relu", "conv(3, k=99)", "nosuch(1) -> fc", "{ | id | id } -> concat", "is [_, 1]"))

    def skip(self, scope: Scope, x: TensorType, depth: int) -> Written:
        for _ in range(TRIES):
            body, y = self.attempt(scope, x, depth)
            if y == x:
                return self.labelled(scope, f"skip {{ {body} }}", x, need=False), x
        return "skip { relu }", x

    def attempt(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """A body whose labels stay out of reach, because it may be thrown away."""
        return self.body(scope.inside(values=dict(scope.values), layers={}, hidden=True), x, depth)

    def merge(self, scope: Scope, x: TensorType, depth: int) -> Written:
        cls = self.chance.choice(_kinds(merges=True))
        arms = [self.attempt(scope, x, depth)]
        y: TensorType | None = None
        count = cls.exactly or self.chance.choice((2, 2, 3))
        while len(arms) < count:
            for _ in range(3):
                arm = ("id", x) if self.some(0.2) else self.attempt(scope, x, depth)
                y = _inferred(cls, {}, *(t for _, t in arms), arm[1])
                if y is not None:
                    break
            else:
                arm = (self.renamed(arms[0][0]), arms[0][1])
                y = _inferred(cls, {}, *(t for _, t in arms), arm[1])
            arms.append(arm)
        if y is None:
            return "id", x
        inner = " ".join(f"| {arm}" for arm, _ in arms)
        name = {"add": "skip", "concat": "inception"}.get(cls.kind, cls.kind) if self.some(0.3) else cls.kind
        if self.some(0.3):
            return f"{{ {inner} }} -> {self.labelled(scope, cls.kind, y, need=False)}", y
        return self.labelled(scope, f"{name} {{ {inner} }}", y, need=False), y

    def spread(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """A layer that gives several values, and a merge that takes them."""
        for _ in range(4 * TRIES):
            cls, merge = self.chance.choice(_spreading()), self.chance.choice(_kinds(merges=True))
            fields = self.fields(cls, x)
            op = _made(cls, fields)
            try:
                parts = [part.infer(x) for part in op.spread(x)] if op is not None else []
            except Reject:
                continue
            y = _inferred(merge, {}, *parts)
            if y is not None and len(parts) > 1:
                return f"{self.call(cls, fields, scope)} -> {merge.kind}", y
        return self.layer(scope, x)

    def renamed(self, words: str) -> str:
        """The same stages with labels of their own."""
        fresh: dict[str, str] = {}
        for label in re.findall(r'(?<![\w"])"?(l\d+)[\w.]*"?:', words):
            fresh.setdefault(label, self.new("l"))
        return re.sub(r"\bl\d+\b", lambda m: fresh.get(m[0], m[0]), words)

    def repeat(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """A stage that gives back the type it takes, several times."""
        for _ in range(TRIES):
            form = self.chance.randint(0, 2)
            if form == 0:
                body, y = self.attempt(scope, x, depth)
                core = f"{{ {body} }}"
            elif form == 1:
                inner = scope.inside(values=dict(scope.values), layers={}, hidden=True)
                word, y = self.block(inner, x, depth)
                core = word.rpartition(": ")[2]
            else:
                inner = scope.inside(values=dict(scope.values), layers={}, hidden=True)
                word, y = self.layer(inner, x)
                core = word.rpartition(": ")[2]
            if y == x and not core.startswith("@"):
                break
        else:
            core = "relu"
        count = self.chance.choice((1, 2, 3, 0))
        pairs = ", ".join(["[1, 2]"] * count)
        times = self.chance.choice((
            f"* {self.times(count, scope)}",
            f"for i in {self.number(count, scope)}",
            f"for {self.new('k')} in [{', '.join('7' * count)}]",
            f"for {self.new('k')}, ({self.new('k')}, {self.new('k')}) in enumerate([{pairs}], 1)",
        ))  # fmt: skip
        label = self.new("l")
        if self.some(0.1):
            return f'"{label}.{{i + 1}}": {core} {"for i in 2"}', x
        if not scope.hidden:
            scope.values[f"{scope.prefix}{label}"] = x
        return f"{label}: {core} {times}", x

    def times(self, count: int, scope: Scope) -> str:
        word = self.number(count, scope)
        return word if re.fullmatch(r"\w+", word) else f"({word})"

    def block(self, scope: Scope, x: TensorType, depth: int) -> Written:
        """A block applied: one that was written for this type, or a new one."""
        fits = [block for block in self.blocks if block.inputs == (x,)]
        block = self.chance.choice(fits) if fits and self.some(0.5) else self.definition(x, depth)
        args = ", ".join(self.argument(block, name, value, scope) for name, value in block.params.items()
                         if not (name in block.defaults and self.some(0.5)))  # fmt: skip
        word = f"{block.name}({args})" if args or self.some(0.3) else block.name
        if self.some(0.05):
            return f"_: {word}", block.output
        return self.labelled(scope, word, block.output, need=block.weighted), block.output

    def argument(self, block: Block, name: str, value: int, scope: Scope) -> str:
        word = self.number(value, Scope(numbers=scope.numbers))
        # By position only what all before are given for.
        first = next(iter(block.params)) == name and name not in block.defaults
        return word if first and self.some(0.5) else f"{name}={word}"

    def definition(self, x: TensorType, depth: int) -> Block:
        """A new block for a value of this type, written among the file's definitions."""
        name = self.new("b")
        params = {self.new("p"): self.chance.choice((1, 2, 3, 4, 8)) for _ in range(self.chance.choice((0, 1, 1, 2)))}
        defaults = frozenset(n for n in params if self.some(0.4))
        named = self.new("x") if self.some(0.1) else ""
        # A block sees neither its net's symbols nor its labels.
        scope = Scope(numbers=dict(params), entered=None if named else x)
        held: list[str] = []
        if self.some(0.2):
            act = self.new("act")
            stage = self.chance.choice(("relu", "sigmoid", "tanh", "dropout(0.5)", "id"))
            scope.stages[act] = stage
            held.append(f"{act} = {stage}")
        if named:
            scope.values[named] = x
        before = " ".join(self.declaration(scope) for _ in range(self.chance.choice((0, 0, 0, 1))))
        rest, y = self.stages(scope, x, depth)
        start = f"from {named} -> " if named else "from in -> " if before or self.some(0.1) else ""
        words = [f"{n} = {v}" if n in defaults else n for n, v in params.items()]
        # A parameter without a default may not follow one that has one.
        words = sorted(words, key=lambda word: " = " in word) + held
        takes = f" from {named}" if named else ""
        self.definitions.append(f"block {name}({', '.join(words)}){takes} {{ {before} {start}{rest} }}")
        ordered = {n: params[n] for n in sorted(params, key=lambda n: n in defaults)}
        block = Block(name, ordered, defaults, (x,), y, ":" in rest)
        self.blocks.append(block)
        return block

    # --- expressions

    def test(self, truth: bool, scope: Scope) -> str:
        """A condition that is true, or false."""
        a, b = self.chance.choice(((1, 2), (2, 2), (3, 8)))
        x, y = self.number(a, scope), self.number(b, scope)
        right = [f"{x} <= {y}", f"not {x} > {y}", f"{x} < 9 and {y} != 0", f"{x} == {a} or {y} == 1 / 0", "true"]
        wrong = [f"{x} > {y}", f"not {x} <= {y}", f"{x} < 9 and {y} == 0", f"{x} == {a + 1}", "false", f"{x} != {a}"]
        return self.chance.choice(right if truth else wrong)

    def number(self, value: int, scope: Scope, depth: int = 2) -> str:
        """An expression that comes to this whole number."""
        if depth == 0 or not self.some(0.3):
            return str(value)
        inner = self.number(value, scope, depth - 1)
        named = [name for name, held in scope.numbers.items() if held == value]
        named += [f"{label}.c" for label, held in scope.values.items() if held.c == value]
        if scope.entered is not None and scope.entered.c == value:
            named.append("in.c")
        if named and self.some(0.6):
            return self.chance.choice(named)
        return self.chance.choice(
            (
                f"({inner})", f"{inner} + 0", f"2 * {inner if inner.isdigit() else f'({inner})'} // 2",
                f"[7, {inner}][1]", f"max({inner}, -5)", f"min([{inner}, {inner}])", f"sum([{inner}])",
                f"({inner} if true else 0)", f"int({inner})", f"[{inner}, 7][0:1][0]", f"len([{'0, ' * min(value, 9)}])"
                if 0 <= value <= 9 else inner, f"{value:_}" if value >= 0 else inner,
            )
        )  # fmt: skip

    def call(self, cls: type[Layer], fields: Mapping[str, object], scope: Scope, more: Sequence[str] = ()) -> str:
        """A layer with arguments: the one by position first, the others by name."""
        words: list[str] = []
        for name, value in fields.items():
            shown = self.shown(value, scope)
            if name == cls.positional and self.some(0.8):
                words.insert(0, shown)
            else:
                words.append(f"{name}{self.chance.choice(('=', ' = '))}{shown}")
        words += more
        if not words:
            return cls.kind if self.some(0.9) else f"{cls.kind}()"
        return f"{cls.kind}({', '.join(words)}{',' if self.some(0.03) else ''})"

    def shown(self, value: object, scope: Scope) -> str:
        """A field's value as the language writes it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return self.number(value, scope)
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, str):
            return value if value.isidentifier() else f'"{value}"'
        if isinstance(value, Drawn):
            return f"{value.name}({', '.join(self.shown(v, scope) for _, v in value.args)})"
        if isinstance(value, tuple):
            items = cast(tuple[object, ...], value)
            if 2 <= len(items) <= 3 and all(isinstance(v, int) and v > 0 for v in items) and self.some(0.4):
                return "x".join(map(str, items))
            return f"[{', '.join(self.shown(v, scope) for v in items)}]"
        assert isinstance(value, BaseModel), value
        made: dict[str, object] = {n: getattr(value, n) for n in type(value).model_fields if n != "kind"}
        kind = cast(str, getattr(value, "kind", type(value).__name__.lower()))
        return f"{kind}({', '.join(f'{n} = {self.shown(v, scope)}' for n, v in made.items() if v is not None)})"

    # --- fields

    def fields(self, cls: type[Layer], x: TensorType) -> dict[str, object]:
        """Arguments for a layer, from one of its examples or from its fields' annotations."""
        if cls.examples and self.some(0.3):
            example, _ = self.chance.choice(cls.examples)
            return {n: v for n, v in example.items() if n not in cls.values and v is not None}
        found: dict[str, object] = {}
        for name, info in cls.model_fields.items():
            if name in cls.values or not (info.is_required() or self.some(0.25)):
                continue
            value = self.value(info.annotation, info.metadata, x)
            if value is not None:
                found[name] = value
        return found

    def value(self, annotation: Any, limits: Sequence[object], x: TensorType) -> object:
        """A value for an annotation: small, and often one that the value that enters suggests. None to leave it out."""
        origin = get_origin(annotation)
        if origin is Annotated:
            base, *metadata = get_args(annotation)
            inner = [m for each in metadata for m in (each.metadata if isinstance(each, FieldInfo) else [each])]
            return self.value(base, [*limits, *inner], x)
        if origin in (Union, UnionType):
            return self.value(self.chance.choice(get_args(annotation)), limits, x)
        if origin is Literal:
            return self.chance.choice(get_args(annotation))
        if origin is tuple:
            args = get_args(annotation)
            if len(args) == 2 and args[1] is Ellipsis:
                count = self.chance.choice((x.rank or 1, x.rank or 1, 2 * x.rank or 1, 1, 2, 3))
                args = (args[0],) * count
            items = tuple(self.value(arg, [], x) for arg in args)
            # A word and then its arguments is how a field spells a call.
            return Drawn(str(items[0]), tuple((None, v) for v in items[1:])) if isinstance(items[0], str) else items
        if annotation is bool:
            return self.some(0.5)
        if annotation is int:
            return self.whole(limits, x)
        if annotation is float:
            low_, high_ = _limits(limits)
            numbers = [v for v in (0.5, 0.1, 1.0, 0.0, 2, 1e-5, 0.25, 1e9) if low_ <= v <= high_]
            return self.chance.choice(numbers or [0.5])
        if annotation is str:
            return self.chance.choice(("a", "b c", ""))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            made = {
                n: self.value(i.annotation, i.metadata, x) for n, i in annotation.model_fields.items() if n != "kind"
            }
            try:
                return annotation.model_validate({n: v for n, v in made.items() if v is not None})
            except ValidationError:
                return None
        return None

    def whole(self, limits: Sequence[object], x: TensorType) -> int:
        low_, high_ = _limits(limits)
        near = [x.c, x.c // 2, 2 * x.c, *(s for s in x.sides if isinstance(s, int))]
        product = x.c
        for side in x.sides:
            product *= side if isinstance(side, int) else 1
        numbers = [1, 2, 3, 4, 8, 5, 7, 0, -1, *near, product]
        return self.chance.choice([n for n in numbers if low_ <= n <= high_] or [1])


def _limits(metadata: Sequence[object]) -> tuple[float, float]:
    """The least and the greatest number that a field's constraints admit."""
    least, most = float("-inf"), float("inf")
    for each in metadata:
        for name, step in (("gt", 1e-9), ("ge", 0.0)):
            bound = getattr(each, name, None)
            least = least if bound is None else max(least, float(bound) + step)
        for name, step in (("lt", 1e-9), ("le", 0.0)):
            bound = getattr(each, name, None)
            most = most if bound is None else min(most, float(bound) - step)
    return least, most


def _made(cls: type[Layer], fields: Mapping[str, object]) -> Layer | None:
    try:
        # A call is a plain pair to the models: they tell it from a list by its class.
        return cls.model_validate({n: tuple(v) if isinstance(v, Drawn) else v for n, v in fields.items()})
    except ValidationError:
        return None


def _inferred(cls: type[Layer], fields: Mapping[str, object], *xs: TensorType) -> TensorType | None:
    """What the layer's own rule makes of the values; None where it refuses, or where the result is large or empty."""
    op = _made(cls, fields)
    try:
        y = op.infer(*xs) if op is not None else None
    except (Reject, TooLong):
        return None
    if y is None:
        return None
    features = y.c
    for side in y.sides:
        if low(side) < 1:
            return None
        features *= side if isinstance(side, int) else 1
    return y if features <= MOST_FEATURES else None


def _weighted(cls: type[Layer], fields: Mapping[str, object], x: TensorType) -> bool:
    op = _made(cls, fields)
    return op is not None and not op.values and bool(op.params(x))
