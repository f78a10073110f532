"""Reads `train`, `export`, `expect` and the braces of inputs and outputs into their Pydantic models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from netc.diagnostic import Diagnostic, Diagnostics, Edit, Span
from netc.elaborate.edits import renamed
from netc.elaborate.expr import Context, Poisoned, evaluate
from netc.elaborate.files import Env, Unit
from netc.elaborate.layers import Finding, validate
from netc.elaborate.names import nearest
from netc.elaborate.values import CallValue, Items, Value, Word, kind_of, show
from netc.sections import LOSSES, OPTIMIZERS, SCHEDULES, Expect, Export, Sgd, Train, WeightSource
from netc.syntax import tree as t

_M = TypeVar("_M", bound=BaseModel)


@dataclass(slots=True)
class Read:
    """The pairs of one section: values by key, and their places. `keys` holds the places of the keys themselves."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])
    places: dict[str, Span] = field(default_factory=dict[str, Span])
    keys: dict[str, Span] = field(default_factory=dict[str, Span])


@dataclass(slots=True)
class Labels:
    """What dotted keys may name: outputs, and labels with the paths below them."""

    outputs: tuple[str, ...]
    paths: frozenset[str]
    """Of every layer and block, and every label of the net's own."""
    symbols: tuple[str, ...]


def read(
    pairs: tuple[t.Pair, ...],
    unit: Unit,
    env: Env,
    found: Diagnostics,
    into: Read | None = None,
    here: dict[str, Span] | None = None,
) -> Read:
    """Evaluate a section's pairs; a key twice is an error. `here` are those that other sections of its net have set."""
    got = into or Read()
    here = {} if here is None else here
    for pair in pairs:
        key = ".".join(pair.key.parts)
        where = unit.span(pair.key)
        if key in here:
            found.add(Diagnostic("N173", f"`{key}` is set twice", where, help="keep one of them"))
            continue
        here[key] = where
        try:
            value = evaluate(pair.value, Context(unit, env, found, section=True))
        except Poisoned:
            continue
        got.values[key], got.places[key], got.keys[key] = value, unit.span(pair.value), where
    return got


def plain(value: Value) -> Any:
    """A value as Pydantic takes it: words as texts, lists as tuples."""
    if isinstance(value, Word):
        return value.text
    if isinstance(value, Items):
        return tuple(plain(v) for v in value)
    return value


class Reader:
    """Turns read pairs into models, with a finding for every key that does not fit."""

    def __init__(self, found: Diagnostics, what: str) -> None:
        self.found, self.what = found, what

    def wrong(self, code: str, message: str, where: Span, help: str = "", edit: Edit | None = None) -> None:
        self.found.add(Diagnostic(code, message, where, help=help, edit=edit))

    def model(
        self,
        cls: type[_M],
        values: Mapping[str, Any],
        places: Mapping[str, Span],
        keys: Mapping[str, Span],
        fallback: Span,
    ) -> _M | None:
        """The model, None after a finding for each key or value at fault."""
        made = validate(cls, dict(values), self.what)
        if not isinstance(made, list):
            return made
        for finding in made:
            self.finding(finding, places, keys, fallback)
        return None

    def finding(self, finding: Finding, places: Mapping[str, Span], keys: Mapping[str, Span], fallback: Span) -> None:
        code = "N170" if finding.code == "N120" else "N171"
        table = keys if finding.code == "N120" else places
        where = table.get(finding.at or "", fallback)
        self.wrong(code, finding.message, where, finding.help, finding.edit(where))

    def call(self, value: Value, choices: Mapping[str, type[_M]], where: Span, what: str) -> _M | None:
        """One of several calls, such as `sgd(lr = 0.05)`."""
        if isinstance(value, Word):
            value = CallValue(value.text, (), 1.0, where)
        if not isinstance(value, CallValue):
            self.wrong("N171", f"{what} is a call such as {next(iter(choices))}(...), not {kind_of(value)}", where)
            return None
        cls = choices.get(value.name)
        if cls is None:
            self.wrong(
                "N171",
                f"no {what} is called `{value.name}` in this version",
                where,
                nearest(value.name, choices) or f"there are {', '.join(choices)}",
                renamed(where._replace(end=where.start + len(value.name)), value.name, choices),
            )
            return None
        values: dict[str, Any] = {}
        fields = [n for n in cls.model_fields if n not in ("kind", "weight")]
        for name, arg in value.args:
            if name is None:
                self.wrong(
                    "N171",
                    f"the arguments of `{value.name}` are named",
                    where,
                    f"write {value.name}({fields[0]} = {show(arg)})" if fields else "it takes none",
                )
                return None
            if name in ("kind", "weight"):
                self.wrong(
                    "N170",
                    f"`{value.name}` takes no `{name}`",
                    where,
                    f"write 0.3 * {value.name}() for a weight" if name == "weight" else "",
                )
                return None
            values[name] = plain(arg)
        if "weight" in cls.model_fields:
            values["weight"] = value.weight
        elif value.weight != 1.0:
            self.wrong("N171", f"a number times `{value.name}` has no meaning", where)
            return None
        made = validate(cls, values, f"`{value.name}`")
        if isinstance(made, list):
            for finding in made:
                self.finding(finding, {}, {}, where)
            return None
        return made


def group(got: Read, name: str) -> dict[str, tuple[Value, Span, Span]]:
    """Keys under `name.`: their rest, value, the value's place and the key's."""
    prefix = f"{name}."
    return {
        k.removeprefix(prefix): (v, got.places[k], got.keys[k]) for k, v in got.values.items() if k.startswith(prefix)
    }


def train(got: Read, labels: Labels, found: Diagnostics, where: Span) -> Train | None:
    """The `train` section."""
    reader = Reader(found, "`train`")
    values: dict[str, Any] = {}
    grouped = ("loss", "metric", "init", "lr_scale")
    errors = found.errors
    for key, value in got.values.items():
        head, dot, _ = key.partition(".")
        if head in grouped:
            if not dot:
                name = labels.outputs[0] if labels.outputs and head in ("loss", "metric") else "LABEL"
                reader.wrong(
                    "N170",
                    f"`{head}` goes by {'output' if head in ('loss', 'metric') else 'label'}",
                    got.keys[key],
                    f"write {head}.{name} = ...",
                )
            continue
        if key == "optimizer":
            values[key] = reader.call(value, OPTIMIZERS, got.places[key], "optimizer")
        elif key == "schedule":
            values[key] = reader.call(value, SCHEDULES, got.places[key], "schedule")
        else:
            values[key] = plain(value)
    loss: dict[str, Any] = {}
    for name, (value, place, key_place) in group(got, "loss").items():
        if _output(reader, name, labels, key_place):
            loss[name] = reader.call(value, LOSSES, place, "loss")
    metric: dict[str, Any] = {}
    for name, (value, place, key_place) in group(got, "metric").items():
        if _output(reader, name, labels, key_place):
            metric[name] = _metrics(reader, value, place)
    init: dict[str, Any] = {}
    for name, (value, place, key_place) in group(got, "init").items():
        _label(reader, name, labels, key_place)
        init[name] = _source(reader, value, place)
    scale: dict[str, Any] = {}
    for name, (value, _, key_place) in group(got, "lr_scale").items():
        _label(reader, name, labels, key_place)
        scale[name] = plain(value)
    if not loss and not any(k.startswith("loss") for k in got.values):
        example = labels.outputs[0] if labels.outputs else "OUTPUT"
        reader.wrong("N171", "`train` has no loss", where, f"write loss.{example} = cross_entropy()")
    if "optimizer" not in got.values:
        reader.wrong("N171", "`train` has no optimizer", where, "write optimizer = sgd(lr = 0.05, momentum = 0.9)")
    if found.errors > errors:
        # Check the plain keys as well, with stand-ins for what was reported.
        stand_in: dict[str, Any] = {"optimizer": Sgd.model_construct(lr=1.0), "loss": {}}
        rest = {k: v for k, v in values.items() if k not in ("optimizer", "schedule")}
        reader.model(Train, {**stand_in, **rest}, got.places, got.keys, where)
        return None
    return reader.model(
        Train, {**values, "loss": loss, "metric": metric, "init": init, "lr_scale": scale}, got.places, got.keys, where
    )


def _output(reader: Reader, name: str, labels: Labels, where: Span) -> bool:
    if name in labels.outputs:
        return True
    reader.wrong(
        "N170",
        f"the net has no output `{name}`",
        where,
        nearest(name, labels.outputs) or f"its outputs are {', '.join(labels.outputs)}",
        renamed(where._replace(start=where.end - len(name)), name, labels.outputs),
    )
    return False


def _label(reader: Reader, name: str, labels: Labels, where: Span) -> None:
    if name not in labels.paths and not any(p.startswith(f"{name}.") for p in labels.paths):
        reader.wrong(
            "N170",
            f"the net has no label `{name}`",
            where,
            nearest(name, labels.paths) or "a key names a label of the net",
            renamed(where._replace(start=where.end - len(name)), name, labels.paths),
        )


def _metrics(reader: Reader, value: Value, place: Span) -> Any:
    got = plain(value)
    items = cast("tuple[Any, ...]", got if isinstance(got, tuple) else (got,))
    known = ("accuracy", "mean_iou", "mean_average_precision")
    for item in items:
        if item not in known:
            reader.wrong(
                "N171",
                f"no metric is called `{item}` in this version",
                place,
                nearest(str(item), known) or f"there are {', '.join(known)}",
            )
    return items


def _source(reader: Reader, value: Value, place: Span) -> Any:
    if (
        isinstance(value, CallValue)
        and value.name == "weights"
        and len(value.args) == 1
        and isinstance(value.args[0][1], str)
    ):
        return WeightSource(source=value.args[0][1])
    reader.wrong("N171", f'initial weights are weights("..."), not {kind_of(value)}', place)
    return None


def export(got: Read, labels: Labels, found: Diagnostics, where: Span) -> Export:
    """The `export` section."""
    reader = Reader(found, "`export`")
    made = reader.model(Export, {k: plain(v) for k, v in got.values.items()}, got.places, got.keys, where)
    for name in made.dynamic or () if made is not None else ():
        if name not in labels.symbols:
            reader.wrong(
                "N171",
                f"`dynamic` names `{name}`, which is no symbol of the inputs",
                got.places["dynamic"],
                nearest(name, labels.symbols) or f"the symbols are {', '.join(labels.symbols)}",
            )
    return made or Export.model_construct()


def expect(got: Read, labels: Labels, found: Diagnostics, where: Span) -> Expect:
    """The `expect` section."""
    reader = Reader(found, "`expect`")
    values: dict[str, Any] = {}
    at: dict[str, Any] = {}
    for key, value in got.values.items():
        if key.startswith("at."):
            name = key[3:]
            if name not in labels.symbols:
                reader.wrong(
                    "N170",
                    f"`{name}` is no symbol of the inputs",
                    got.keys[key],
                    nearest(name, labels.symbols) or f"the symbols are {', '.join(labels.symbols)}",
                )
            at[name] = plain(value)
        elif key in ("at", "params_train"):
            name = labels.symbols[0] if labels.symbols else "H"
            better = f"at.{name} = 224" if key == "at" else "params.train"
            reader.wrong("N170", f"`expect` has no `{key}`", got.keys[key], f"write {better}")
        else:
            values["params_train" if key == "params.train" else key] = (
                value if not isinstance(value, Word | Items) else plain(value)
            )
    places = {**got.places, "params_train": got.places.get("params.train", where), "at": where}
    return reader.model(Expect, {**values, "at": at}, places, got.keys, where) or Expect()
