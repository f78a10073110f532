"""From a call to a layer: its arguments bound, defaulted, validated once, and its rule asked once for equal inputs."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from netc.diagnostic import Edit, Span
from netc.elaborate.edits import meant
from netc.elaborate.names import elsewhere, nearest
from netc.elaborate.values import CallValue, LayerValue, Value, kind_of, show
from netc.elaborate.values import key as value_key
from netc.op import Layer, Reject
from netc.ops import find
from netc.tensor import TensorType, TooLong

_MISSING = "missing"


class Finding(NamedTuple):
    """What is wrong with a layer's arguments: a code, the argument (None: the call), message, help.

    `instead` was meant beyond doubt: the argument's name for N120, its value for N122.
    """

    code: str
    at: str | None
    message: str
    help: str = ""
    instead: str = ""

    def edit(self, where: Span) -> Edit | None:
        """The edit at the argument's place; None where something else stands there, such as an expression."""
        stands = {self.at or ""} if self.code == "N120" else {"0", "1"}
        return Edit(where, self.instead) if self.instead and where.text in stands else None


@cache
def words_of(kind: str, argument: str | None) -> frozenset[str] | None:
    """The words that a layer's argument may hold (`floor`, `ceil`), None for a block's argument."""
    cls = find(kind)
    if cls is None:
        return None
    field = cls.model_fields.get(argument or cls.positional or "")
    return frozenset(_literals(field.annotation)) if field is not None else frozenset()


def _literals(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return {a for a in get_args(annotation) if isinstance(a, str)}
    found: set[str] = set()
    for part in get_args(annotation):
        found |= _literals(part)
    return found


def describe(annotation: Any) -> str:
    """What an argument takes, in words."""
    parts: list[str] = []
    _describe(annotation, parts)
    unique = list(dict.fromkeys(parts))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}" if unique else "a value"


def _describe(annotation: Any, parts: list[str]) -> None:
    origin = get_origin(annotation)
    if annotation is bool:
        parts.append("true or false")
    elif annotation is int:
        parts.append("a whole number")
    elif annotation is float:
        parts.append("a number")
    elif annotation is str:
        parts.append("a text")
    elif origin is Literal:
        parts.extend(f"`{a}`" for a in get_args(annotation))
    elif origin is tuple:
        first, *rest = get_args(annotation)  # `normal(0.02)` is a name and what it takes
        named = get_args(first) if get_origin(first) is Literal and ... not in rest else ()
        parts.extend(f"`{name}(...)`" for name in named) if named else parts.append("a list")
    elif origin is dict:
        parts.append("keys and values")
    elif origin in (Union, UnionType) or hasattr(annotation, "__metadata__"):
        for part in get_args(annotation)[: 1 if hasattr(annotation, "__metadata__") else None]:
            _describe(part, parts)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        parts.append(
            f"`{annotation.model_fields['kind'].default}(...)`" if "kind" in annotation.model_fields else "a call"
        )


def findings(cls: type[BaseModel], values: dict[str, Value], error: ValidationError, what: str) -> list[Finding]:
    """Pydantic's errors as ours, one an argument: two errors for one bad pair are one mistake."""
    kinds: dict[str, Any] = {}
    for each in error.errors(include_url=False):
        if each["loc"]:
            kinds.setdefault(_argument(cls, each["loc"]), each)
    extra = [n for n, e in kinds.items() if e["type"] == "extra_forbidden"][:20]
    missing = [n for n, e in kinds.items() if e["type"] == _MISSING]
    found = [
        Finding("N120", n, f"{what} takes no `{n}`", help_, argument_meant(cls, n))
        for n, help_ in ((n, _renamed(cls, n, values, missing, len(extra))) for n in extra)
    ]
    if not (extra and missing):
        for name in missing:
            if name == "k" and _squeezed(values):
                continue
            field = cls.model_fields[name]
            said = f" ({field.description})" if field.description else ""
            found.append(Finding("N121", None, f"{what} needs `{name}`{said}", f"add {name}=..."))
    for name, e in kinds.items():
        if e["type"] not in ("extra_forbidden", _MISSING):
            found.append(_bad_value(cls, name, values, e, what))
    if not found:  # a model-wide rule
        first = error.errors(include_url=False)[0]
        found.append(Finding("N122", None, f"{what}: {first['msg'].removeprefix('Value error, ')}"))
    return found


def _argument(cls: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The argument or section key that Pydantic's place stands for: `lr_scale.body` where a field goes by label."""
    name, *rest = map(str, loc)
    field = cls.model_fields.get(name)
    by_label = field is not None and get_origin(field.annotation) is dict and bool(rest)
    return f"{name}.{rest[0]}" if by_label else name


def unknown(cls: type[BaseModel], name: str, missing: list[str], many: int) -> str:
    """What to do about an argument that nobody takes."""
    takes = _takes(cls)
    foreign = cast("dict[str, str]", getattr(cls, "foreign", {})).get(name, "")
    if foreign:
        return f"netc calls it `{foreign}`" if foreign in takes else foreign
    if said := elsewhere(name):
        return said
    near = nearest(name, [*missing, *takes])
    if not near and many == 1 and len(missing) == 1:
        near = f"did you mean `{missing[0]}`?"
    return near or (f"it takes {', '.join(takes)}" if takes else "it takes no arguments")


def _takes(cls: type[BaseModel]) -> list[str]:
    """The names of a model's fields, and of the values that a layer takes as arguments."""
    values = cls.values if issubclass(cls, Layer) else ()
    return [*(n for n in cls.model_fields if n != "kind"), *values]


def _renamed(cls: type[BaseModel], name: str, values: dict[str, Value], missing: list[str], many: int) -> str:
    """What to do about an argument that nobody takes, and about its value where that is another library's word too."""
    help_ = unknown(cls, name, missing, many)
    field = cls.model_fields.get(getattr(cls, "foreign", {}).get(name, ""))
    value = values.get(name)
    if field is None or not isinstance(value, str):
        return help_
    said = nearest(value.strip('"'), _literals(field.annotation))
    return f"{help_}: {said}" if said else help_


def argument_meant(cls: type[BaseModel], name: str) -> str:
    """The argument that was meant beyond doubt by one that nobody takes, or nothing."""
    takes = _takes(cls)
    foreign = cast("dict[str, str]", getattr(cls, "foreign", {})).get(name, "")
    return foreign if foreign in takes else meant(name, takes)


def _squeezed(values: dict[str, Value]) -> str:
    """`64, k=3` where the channels and the kernel were written as one, 64x3x3; else nothing."""
    c = values.get("c")
    if not isinstance(c, tuple) or len(c) != 3 or "k" in values:
        return ""
    channels, *kernel = map(show, cast("tuple[Value, ...]", c))
    return f"{channels}, k={kernel[0] if kernel[0] == kernel[1] else f'[{kernel[0]}, {kernel[1]}]'}"


def _bad_value(cls: type[BaseModel], name: str, values: dict[str, Value], error: Any, what: str) -> Finding:
    head, _, label = name.partition(".")
    field = cls.model_fields.get(head)
    value = cast("dict[str, Value]", values[head]).get(label) if label and head in values else values.get(name)
    wants = describe(field.annotation) if field is not None else "another value"
    context: dict[str, Any] = error.get("ctx", {})
    bounds = {
        "greater_than": ("gt", "more than"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "less than"),
        "less_than_equal": ("le", "at most"),
    }
    shown = show(value) if value is not None else "nothing"
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    if error["type"] in bounds:
        field_name, words = bounds[error["type"]]
        code = "N205" if error["type"] == "less_than_equal" and isinstance(value, int) and value > 2**31 - 1 else "N122"
        return Finding(code, name, f"`{name}` of {what} is {words} {context[field_name]}, not {shown}")
    if error["type"] == "literal_error" and any(isinstance(part, int) for part in error["loc"]):
        words = context["expected"].replace("'", "`")
        return Finding("N122", name, f"`{name}` of {what} holds {words}, not `{error['input']}`")
    if error["type"] in ("too_long", "too_short"):
        long = error["type"] == "too_long"
        words = f"at most {context['max_length']}" if long else f"{context['min_length']} or more"
        return Finding("N122", name, f"`{name}` of {what} holds {words} numbers, not {context['actual_length']}")
    if error["type"] == "value_error":
        return Finding("N122", name, f"`{name}` of {what}: {error['msg'].removeprefix('Value error, ')}")
    if field is not None and field.annotation is bool and value in (0, 1):
        word = "true" if value else "false"
        return Finding("N122", name, f"`{name}` of {what} takes {wants}, not {shown}", f"write {word}", word)
    found = shown if value is None else f"{kind_of(value)} ({shown})" if not isinstance(value, str) else shown
    if name == "c" and "k" in cls.model_fields and (write := _squeezed(values)):
        return Finding("N122", name, f"`c` of {what} is the channels alone, not {shown}", f"write {write}")
    words = _literals(field.annotation) if field is not None and isinstance(value, str) else set[str]()
    return Finding("N122", name, f"`{name}` of {what} takes {wants}, not {found}", nearest(str(value), words))


_M = TypeVar("_M", bound=BaseModel)


def validate(cls: type[_M], values: dict[str, Any], what: str) -> _M | list[Finding]:
    """A model of the values, or what is wrong with them."""
    if not values and not any(field.is_required() for field in cls.model_fields.values()):
        return cls.model_construct()  # our own defaults need no validator, and building one takes a millisecond
    try:
        return cls.model_validate({n: (v.name, v.args) if isinstance(v, CallValue) else v for n, v in values.items()})
    except ValidationError as error:
        return findings(cls, values, error, what)


class Applied(NamedTuple):
    """A layer's rule asked: the output's type and whether it has tensors under its name."""

    type: TensorType
    weighted: bool


class Layers:
    """Validates each distinct call once, and asks each distinct layer's rule once for equal inputs."""

    def __init__(self) -> None:
        self._made: dict[object, Layer | list[Finding]] = {}
        self._applied: dict[tuple[int, tuple[TensorType, ...]], Applied | Reject] = {}
        self._spread: dict[tuple[int, TensorType], tuple[Layer, ...] | Reject] = {}

    def make(self, cls: type[Layer], values: dict[str, Value]) -> Layer | list[Finding]:
        """The layer for these arguments, or what is wrong with them."""
        cached = (cls, tuple((n, value_key(v)) for n, v in sorted(values.items())))
        made = self._made.get(cached)
        if made is None:
            made = self._made[cached] = self._make(cls, values)
        return made

    def _make(self, cls: type[Layer], values: dict[str, Value]) -> Layer | list[Finding]:
        for name, value in values.items():
            if isinstance(value, LayerValue) and name in cls.model_fields:
                wants = describe(cls.model_fields[name].annotation)
                return [Finding("N122", name, f"`{name}` of `{cls.kind}` takes {wants}, not {kind_of(value)}")]
        return validate(cls, values, f"`{cls.kind}`")

    def apply(self, layer: Layer, types: tuple[TensorType, ...]) -> Applied | Reject:
        """What the layer makes of values of these types, or why it refuses."""
        cached = (id(layer), types)
        applied = self._applied.get(cached)
        if applied is None:
            try:
                y = layer.infer(*types)
                applied = Applied(y, bool(layer.params(*types)))
            except Reject as reject:
                applied = reject
            except TooLong:
                message = "the formula of a symbolic size grows too long here"
                applied = Reject("N214", message, help="declare the input's sides as numbers")
            self._applied[cached] = applied
        return applied

    def spread(self, layer: Layer, x: TensorType) -> tuple[Layer, ...] | Reject:
        """The layers that one which `spreads` stands for, or why it refuses."""
        cached = (id(layer), x)
        found = self._spread.get(cached)
        if found is None:
            try:
                found = layer.spread(x)
            except Reject as reject:
                found = reject
            self._spread[cached] = found
        return found
