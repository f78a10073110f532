"""The braces of an input and an output: what turns a picture into the tensor, and the tensor into an answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from netc.diagnostic import Diagnostic, Diagnostics, Span
from netc.elaborate.files import Files, Unit
from netc.elaborate.names import nearest
from netc.elaborate.sections import Read, Reader, plain
from netc.elaborate.values import CallValue, Items, kind_of
from netc.graph import Recipe
from netc.op import Float32
from netc.tensor import TensorType

Pixels: TypeAlias = Annotated[int, Field(gt=0, le=65_536)]
Number: TypeAlias = Float32

LABELS = Path(__file__).parent.parent / "labels"
SAME = {"voc2007": "voc", "voc2012": "voc"}
"""The twenty classes did not change between the years."""
MOST_LABELS = 1_000_000


def _divides(std: float | tuple[float, ...]) -> float | tuple[float, ...]:
    if 0 in (std if isinstance(std, tuple) else (std,)):
        raise ValueError("0, and the tensor is divided by it")
    return std


def _tells(scale: float) -> float:
    if not scale:
        raise ValueError("0, and every picture would be the same")
    return scale


class InputContract(BaseModel):
    """What an input's braces may say."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    resize: Pixels | tuple[Pixels, Pixels] | None = None
    fit: Literal["crop", "stretch", "pad"] = "crop"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    crop: Pixels | tuple[Pixels, Pixels] | None = None
    color: Literal["rgb", "bgr", "gray"] | None = None
    scale: Annotated[Number, AfterValidator(_tells)] = 1.0
    mean: Number | tuple[Number, ...] = 0.0
    std: Annotated[Number | tuple[Number, ...], AfterValidator(_divides)] = 1.0

    @model_validator(mode="after")
    def _fits(self) -> InputContract:
        if self.fit != "crop" and self.resize is None:
            raise ValueError(f"`fit = {self.fit}` says how to resize; `resize` is missing")
        return self


class OutputContract(BaseModel):
    """What an output's braces may say."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    decode: Literal["softmax", "sigmoid", "argmax", "none"] = "none"
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    only: Literal["train"] | None = None
    labels: tuple[str, ...] | None = None


def recipe(got: Read, type_: TensorType, found: Diagnostics, where: Span) -> Recipe | None:
    """An input's recipe; None for a tensor that is no picture (no keys, or not 1 or 3 channels with two sides)."""
    reader = Reader(found, "an input")
    made = reader.model(InputContract, {k: plain(v) for k, v in got.values.items()}, got.places, got.keys, where)
    if made is None:
        return None
    picture = type_.rank == 2 and type_.c in (1, 3)
    if not picture:
        if got.values:
            help_ = "take the recipe out, or declare [N, 3, H, W]"
            if type_.rank == 1 and type_.batch in (1, 3):
                help_ = f"the batch is missing: write f32[N, {type_.batch}, {type_.c}, {type_.sides[0]}]"
            elif type_.rank == 2 and type_.sides[1] in (1, 3):
                help_ = f"channels come first: write f32[{type_.batch}, {type_.sides[1]}, {type_.c}, {type_.sides[0]}]"
            message = f"this input is {type_}; a picture has 1 or 3 channels and two sides"
            reader.wrong("N180", message, where, help_)
        return None
    color = made.color or ("gray" if type_.c == 1 else "rgb")
    if (color == "gray") != (type_.c == 1):
        reader.wrong(
            "N180",
            f"`color = {color}` gives {1 if color == 'gray' else 3} channels; the input has {type_.c}",
            got.places.get("color", where),
        )
    mean = made.mean if isinstance(made.mean, tuple) else (made.mean,)
    std = made.std if isinstance(made.std, tuple) else (made.std,)
    for name, numbers in (("mean", mean), ("std", std)):
        if len(numbers) not in (1, type_.c):
            reader.wrong(
                "N180",
                f"`{name}` has {len(numbers)} numbers; the input has {type_.c} channels",
                got.places.get(name, where),
                f"write one number, or {type_.c}",
            )
    _check_sides(reader, made, type_, got, where)
    _doubt(found, made, type_, got, where)
    return Recipe(
        made.resize,
        made.fit,
        made.filter,
        made.crop,
        color,
        made.scale,
        tuple(map(float, mean)),
        tuple(map(float, std)),
    )


def _check_sides(reader: Reader, made: InputContract, type_: TensorType, got: Read, where: Span) -> None:
    """What the recipe makes of a picture has to be what the input takes."""
    last, name = (made.crop, "crop") if made.crop is not None else (made.resize, "resize")
    fixed = last is not None and (name == "crop" or made.fit != "crop" or isinstance(last, tuple))
    if not fixed or last is None:
        return
    height, width = last if isinstance(last, tuple) else (last, last)
    for side, made_side, word in zip(type_.sides, (height, width), ("height", "width"), strict=True):
        if isinstance(side, int) and side != made_side:
            reader.wrong(
                "N180",
                f"`{name}` makes pictures {height}x{width}; the input's {word} is {side}",
                got.places.get(name, where),
                f"write {name} = {side}",
            )
            return


def _doubt(found: Diagnostics, made: InputContract, type_: TensorType, got: Read, where: Span) -> None:
    """Warn of a recipe that contradicts nothing and hardly any picture goes with."""
    side, sides = made.resize, type_.sides
    if isinstance(side, int) and made.crop is None and made.fit == "crop" and all(isinstance(s, int) for s in sides):
        high, wide = sides
        _warn(
            found,
            "W107",
            f"`resize = {side}` alone keeps a picture's proportions; the input takes {high}x{wide} and nothing else",
            got.places.get("resize", where),
            f"add crop = {high}" if high == wide and isinstance(high, int) and high <= side else "add fit = stretch",
        )
    numbers = made.mean if isinstance(made.mean, tuple) else (made.mean,)
    if made.scale == 1 and any(numbers) and all(0 <= number < 1 for number in numbers):
        _warn(
            found,
            "W108",
            f"`mean = {_spelt(made.mean)}` is for pixels from 0 to 1, and without `scale` they are 0 to 255",
            got.places.get("mean", where),
            "add scale = 1/255",
        )


def _spelt(numbers: float | tuple[float, ...]) -> str:
    return f"[{', '.join(f'{n:g}' for n in numbers)}]" if isinstance(numbers, tuple) else f"{numbers:g}"


def _warn(found: Diagnostics, code: str, message: str, where: Span, help: str) -> None:
    found.add(Diagnostic(code, message, where, help=help, severity="warning"))


def output(got: Read, type_: TensorType | None, files: Files, unit: Unit, found: Diagnostics, where: Span) -> Any:
    """An output's contract with its labels read."""
    reader = Reader(found, "an output")
    values = {k: plain(v) for k, v in got.values.items() if k != "labels"}
    if "labels" in got.values:
        values["labels"] = labels(got, files, unit, found)
    made = reader.model(OutputContract, values, got.places, got.keys, where) or OutputContract()
    if made.threshold is not None and made.decode != "sigmoid":
        reader.wrong(
            "N180",
            f"`threshold` belongs to `decode = sigmoid`; this output decodes by {made.decode}",
            got.keys["threshold"],
            "write decode = sigmoid, or take the threshold out",
        )
    if made.labels is not None and type_ is not None and len(made.labels) != type_.c:
        reader.wrong(
            "N181",
            f"{len(made.labels)} labels for {type_.c} channels",
            got.places["labels"],
            f"the output has {type_.c} channels: one label each",
        )
    return made


def labels(got: Read, files: Files, unit: Unit, found: Diagnostics) -> tuple[str, ...] | None:
    """The list itself, from a list, a built-in set or file("labels.txt"). None after a diagnostic."""
    value, where = got.values["labels"], got.places["labels"]

    def wrong(code: str, message: str, help: str = "") -> None:
        found.add(Diagnostic(code, message, where, help=help))

    if isinstance(value, Items):
        names = [plain(v) for v in value]
        if all(isinstance(n, str) for n in names):
            return tuple(names)
        wrong("N171", "labels are texts", 'write ["cat", "dog"]')
        return None
    if isinstance(value, str):
        name = SAME.get(value, value)
        known = sorted(p.stem for p in LABELS.glob("*.txt"))
        if name in known:
            return _read_labels((LABELS / f"{name}.txt").read_text("utf-8"))
        wrong(
            "N171",
            f'no label set is called "{value}"',
            nearest(value, [*known, *SAME]) or f'there are {", ".join(known)}; or write file("labels.txt")',
        )
        return None
    if (
        isinstance(value, CallValue)
        and value.name == "file"
        and len(value.args) == 1
        and isinstance(value.args[0][1], str)
    ):
        path = files.resolve(unit, value.args[0][1], where, suffix=".txt")
        if path is None:
            return None
        text = files.read(path)
        if isinstance(text, Diagnostic):
            wrong(text.code, text.message, text.help)
            return None
        return _read_labels(text.text)
    wrong("N171", f'`labels` is a list, a built-in set or file("labels.txt"), not {kind_of(value)}')
    return None


@cache
def _read_labels(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines()[:MOST_LABELS])
    return tuple(line for line in lines if line and not line.startswith("#"))
