"""The contract between the compiler and the runtime: one JSON value in the model's metadata; standard library only.

netc writes through these classes and the runtime reads through them. Reading is strict: a key that is unknown or
missing, a value of the wrong type and a size beyond the limits are errors that name the place.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal, TypeAlias, cast

from netc_runtime import reading
from netc_runtime.errors import ManifestError
from netc_runtime.expr import MAX_DEPTH, MAX_INTEGER, MAX_NODES, Expr, evaluate, shape_problem, symbols

__all__ = [
    "KEY",
    "SCHEMA",
    "Expr",
    "Golden",
    "ImageRecipe",
    "Input",
    "Manifest",
    "ManifestError",
    "Output",
    "Parity",
    "Requirement",
    "evaluate",
]

SCHEMA = 1
NEWEST = 2  # a manifest of schema 2 says its precision; what is f32 stays schema 1, which every runtime reads
KEY = "netc"  # the key in ONNX metadata_props

DTYPES = ("f16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool")
INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
PRECISIONS = ("f16", "bf16", "int8")
EMBEDDABLE = ("decode", "labels", "preprocess")

# What a stranger's manifest may ask of the reader's memory and time.
MAX_SIDE = 2**31 - 1
MAX_PICTURE_SIDE = 2**16
MAX_RANK = 8
MAX_TENSORS = 256
MAX_REQUIREMENTS = 64
MAX_LABELS = 2**20
MAX_SAMPLES = 2**16
MAX_GOLDEN_ELEMENTS = 2**26
MAX_PROSE = 2**16

Size: TypeAlias = int | tuple[int, int]  # a pair is (height, width)
Shape: TypeAlias = tuple[int | str, ...]
Precision: TypeAlias = Literal["f32", "f16", "bf16", "int8"]  # what is computed in; inputs and outputs have their own
Decode: TypeAlias = Literal["softmax", "sigmoid", "argmax", "none"]


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """How a picture becomes a tensor: `(pixel * scale - mean) / std`, the pixel in 0..255 in `color` order.

    `fit` says what `resize`, a number or (height, width), means: "crop" scales the picture to cover it (a number is the
    shorter side), "pad" scales it to lie within (a number is the longer side) and centres it on zeros, "stretch" makes
    it exactly that. `crop` then takes the centre. `mean` and `std` have one value, or one a channel.
    """

    resize: Size | None = None
    fit: Literal["crop", "stretch", "pad"] = "crop"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    crop: Size | None = None
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor the graph takes. A side is a number, or a symbol as text: ("N", 3, "H", "W").

    Where the graph holds the recipe's arithmetic (`embed` has "preprocess"), a picture's input takes the pixels that
    resize and crop left, u8 and channels last: ("N", "H", "W", 3).
    """

    name: str
    dtype: str
    shape: Shape
    image: ImageRecipe | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of logits the graph gives. A derived side is text such as "H/8"; axis 1 holds the classes.

    Where the graph decodes (`embed` has "decode"): the probabilities of softmax and sigmoid, in the same shape, or the
    class indices of argmax, of an integer type and without axis 1.
    """

    name: str
    dtype: str
    shape: Shape
    labels: tuple[str, ...] | None = None
    decode: Decode = "none"
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A fact about the inputs' sizes that every request must meet."""

    expr: Expr
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Golden:
    """A seeded input and some elements of its outputs, each at its index in the flattened output.

    `tolerance` bounds the absolute difference of every element. `golden.golden_input` makes the input.
    """

    seed: int
    shapes: dict[str, tuple[int, ...]]
    samples: dict[str, tuple[tuple[int, float], ...]]
    tolerance: float


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the artefact may lie from the reference, in which measure, and whether that was checked."""

    measure: str
    bound: float
    verdict: Literal["passed", "not verified"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the runtime must know that the graph does not say.

    `weights_blake3` is the BLAKE3 hash of the weights as a safetensors file without metadata, its tensors sorted by the
    size of their elements, the largest first, and then by name.
    """

    net: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    require: tuple[Requirement, ...]
    golden: Golden | None
    parity: Parity
    spec_text: str
    spec_sha256: str
    weights_blake3: str
    versions: dict[str, str]
    embed: tuple[str, ...] = ()
    precision: Precision = "f32"

    def to_json(self) -> str:
        """Write canonical JSON: sorted keys, no spaces, ASCII; equal manifests give equal text.

        Raises: ManifestError (R108) on whatever `from_json` would refuse.
        """
        # The reader's own values are written, so that an int given for a float does not change the text.
        return _dump(Manifest.from_json(_dump(self)))

    @staticmethod
    def from_json(text: str) -> "Manifest":
        """Read what `to_json` wrote.

        Raises: ManifestError, R109 on a schema newer than ours, R108 on anything else that is not exactly the contract.
        """
        value = reading.parse(text)
        schema = value.get("schema")
        if isinstance(schema, int) and schema > NEWEST:
            raise ManifestError(
                "R109",
                f"the manifest has schema {schema}, this runtime reads schemas up to {NEWEST}",
                "upgrade it: python -m pip install --upgrade netc-runtime",
            )
        return _manifest(value)


def _dump(manifest: Manifest) -> str:
    try:
        values: dict[str, object] = {**_fields(manifest), "schema": NEWEST}
        if manifest.precision == "f32":
            values["schema"] = SCHEMA
            del values["precision"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise reading.invalid("the manifest", f"cannot be written as JSON: {error}") from error


def _fields(record: object) -> dict[str, object]:
    # Not `asdict`, which copies all that is in a record: a thousand labels.
    if not is_dataclass(record):
        raise TypeError(f"{type(record).__name__} is no value of JSON")
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _manifest(value: dict[str, object]) -> Manifest:
    at = "the manifest"
    names = "schema net inputs outputs require golden parity spec_text spec_sha256 weights_blake3 versions embed"
    newer = value.get("schema") == NEWEST
    keys = reading.fields(value, at, f"{names} precision" if newer else names)
    reading.integer(keys["schema"], f"{at}: schema", SCHEMA, NEWEST)
    embed = reading.items(keys["embed"], "embed", lambda item, at: reading.word(item, at, EMBEDDABLE), len(EMBEDDABLE))
    pixels, decoded = "preprocess" in embed, "decode" in embed
    inputs = reading.items(keys["inputs"], "inputs", lambda item, at: _input(item, at, pixels), MAX_TENSORS, least=1)
    outputs = reading.items(
        keys["outputs"], "outputs", lambda item, at: _output(item, at, decoded), MAX_TENSORS, least=1
    )
    for group, tensors in (("inputs", inputs), ("outputs", outputs)):
        names = [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            raise reading.invalid(group, f"repeat a name: {', '.join(names)}")
    require = reading.items(keys["require"], "require", _requirement, MAX_REQUIREMENTS)
    bound = {side for tensor in inputs for side in tensor.shape if isinstance(side, str)}
    for index, requirement in enumerate(require):
        unbound = symbols(requirement.expr) - bound
        if unbound:
            raise reading.invalid(f"require[{index}]", f"names `{min(unbound)}`, which no input binds")
    golden = None if keys["golden"] is None else _golden(keys["golden"], "golden")
    if golden is not None:
        _same_names(golden.shapes, {tensor.name for tensor in inputs}, "golden.shapes", "the inputs")
        _same_names(golden.samples, {tensor.name for tensor in outputs}, "golden.samples", "the outputs")
    return Manifest(
        net=reading.string(keys["net"], "net"),
        inputs=inputs,
        outputs=outputs,
        require=require,
        golden=golden,
        parity=_parity(keys["parity"], "parity"),
        spec_text=reading.string(keys["spec_text"], "spec_text", limit=reading.MAX_TEXT, least=0),
        spec_sha256=_hash(keys["spec_sha256"], "spec_sha256"),
        weights_blake3=_hash(keys["weights_blake3"], "weights_blake3"),
        versions=reading.table(keys["versions"], "versions", reading.string, MAX_TENSORS),
        embed=embed,
        precision=reading.word(keys["precision"], "precision", PRECISIONS) if newer else "f32",
    )


def _input(value: object, at: str, pixels: bool) -> Input:
    keys = reading.fields(value, at, "name dtype shape image")
    shape = _shape(keys["shape"], f"{at}.shape")
    dtype = reading.word(keys["dtype"], f"{at}.dtype", DTYPES)
    image = None if keys["image"] is None else _recipe(keys["image"], f"{at}.image")
    axis, wanted = (3, "u8") if pixels else (1, "f32")
    if image is not None and (len(shape) != 4 or shape[axis] != image.channels or dtype != wanted):
        sides = f"H, W, {image.channels}" if pixels else f"{image.channels}, H, W"
        raise reading.invalid(at, f"is {dtype}{list(shape)}, but its {image.color} image makes {wanted}[N, {sides}]")
    return Input(reading.string(keys["name"], f"{at}.name"), dtype, shape, image)


def _recipe(value: object, at: str) -> ImageRecipe:
    keys = reading.fields(value, at, "resize fit filter crop color scale mean std")
    recipe = ImageRecipe(
        resize=None if keys["resize"] is None else _size(keys["resize"], f"{at}.resize"),
        fit=reading.word(keys["fit"], f"{at}.fit", ("crop", "stretch", "pad")),
        filter=reading.word(keys["filter"], f"{at}.filter", ("bilinear", "bicubic")),
        crop=None if keys["crop"] is None else _size(keys["crop"], f"{at}.crop"),
        color=reading.word(keys["color"], f"{at}.color", ("rgb", "bgr", "gray")),
        scale=reading.number(keys["scale"], f"{at}.scale"),
        mean=reading.items(keys["mean"], f"{at}.mean", reading.number, 3, least=1),
        std=reading.items(keys["std"], f"{at}.std", reading.number, 3, least=1),
    )
    for name, numbers in (("mean", recipe.mean), ("std", recipe.std)):
        if len(numbers) not in (1, recipe.channels):
            raise reading.invalid(f"{at}.{name}", f"has {len(numbers)} values for {recipe.channels} channel(s)")
    if 0.0 in recipe.std:
        raise reading.invalid(f"{at}.std", "holds a zero: the tensor is divided by it")
    return recipe


def _output(value: object, at: str, decoded: bool) -> Output:
    keys = reading.fields(value, at, "name dtype shape labels decode threshold")
    labels, threshold = keys["labels"], keys["threshold"]
    output = Output(
        name=reading.string(keys["name"], f"{at}.name"),
        dtype=reading.word(keys["dtype"], f"{at}.dtype", DTYPES),
        shape=_shape(keys["shape"], f"{at}.shape"),
        labels=None if labels is None else reading.items(labels, f"{at}.labels", _label, MAX_LABELS, least=1),
        decode=reading.word(keys["decode"], f"{at}.decode", ("softmax", "sigmoid", "argmax", "none")),
        threshold=None if threshold is None else reading.number(threshold, f"{at}.threshold"),
    )
    if decoded and output.decode == "argmax":
        if output.dtype not in INTEGERS:
            raise reading.invalid(at, f"is {output.dtype}, but holds the class indices of argmax")
        return output
    classes = output.shape[1] if len(output.shape) > 1 else None
    if output.decode != "none" and not isinstance(classes, int):
        raise reading.invalid(at, f"decodes {output.decode} over axis 1, but its shape is {list(output.shape)}")
    if output.labels is not None and len(output.labels) != classes:
        raise reading.invalid(f"{at}.labels", f"are {len(output.labels)} for axis 1 of shape {list(output.shape)}")
    return output


def _requirement(value: object, at: str) -> Requirement:
    keys = reading.fields(value, at, "expr text why")
    left = [MAX_NODES]
    return Requirement(
        _expr(keys["expr"], f"{at}.expr", 0, left),
        reading.string(keys["text"], f"{at}.text", limit=MAX_PROSE),
        reading.string(keys["why"], f"{at}.why", limit=MAX_PROSE, least=0),
    )


def _expr(value: object, at: str, depth: int, left: list[int]) -> Expr:
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise reading.invalid(at, f"is larger than {MAX_DEPTH} levels or {MAX_NODES} nodes")
    if isinstance(value, str):
        return reading.string(value, at)
    if not isinstance(value, list):
        return reading.integer(value, at, -MAX_INTEGER, MAX_INTEGER)
    operation = cast("list[object]", value)
    problem = shape_problem(operation)
    if problem is not None:
        raise reading.invalid(at, f"is wrong: {problem}")
    return (cast("str", operation[0]), *(_expr(operand, at, depth + 1, left) for operand in operation[1:]))


def _golden(value: object, at: str) -> Golden:
    keys = reading.fields(value, at, "seed shapes samples tolerance")
    return Golden(
        seed=reading.integer(keys["seed"], f"{at}.seed", 0, 2**31 - 1),
        shapes=reading.table(keys["shapes"], f"{at}.shapes", _golden_shape, MAX_TENSORS),
        samples=reading.table(keys["samples"], f"{at}.samples", _samples, MAX_TENSORS),
        tolerance=reading.number(keys["tolerance"], f"{at}.tolerance", least=0.0),
    )


def _golden_shape(value: object, at: str) -> tuple[int, ...]:
    shape = reading.items(value, at, lambda side, at: reading.integer(side, at, 1, MAX_SIDE), MAX_RANK, least=1)
    if math.prod(shape) > MAX_GOLDEN_ELEMENTS:
        raise reading.invalid(at, f"is {list(shape)}: {math.prod(shape)} elements, at most {MAX_GOLDEN_ELEMENTS}")
    return shape


def _samples(value: object, at: str) -> tuple[tuple[int, float], ...]:
    return reading.items(value, at, _sample, MAX_SAMPLES, least=1)


def _sample(value: object, at: str) -> tuple[int, float]:
    pair = reading.items(value, at, lambda item, _: item, 2, least=2)
    return reading.integer(pair[0], f"{at}[0]", 0, MAX_INTEGER), reading.number(pair[1], f"{at}[1]")


def _parity(value: object, at: str) -> Parity:
    keys = reading.fields(value, at, "measure bound verdict")
    return Parity(
        reading.string(keys["measure"], f"{at}.measure"),
        reading.number(keys["bound"], f"{at}.bound", least=0.0),
        reading.word(keys["verdict"], f"{at}.verdict", ("passed", "not verified")),
    )


def _shape(value: object, at: str) -> Shape:
    def side(each: object, at: str) -> int | str:
        return reading.string(each, at) if isinstance(each, str) else reading.integer(each, at, 1, MAX_SIDE)

    return reading.items(value, at, side, MAX_RANK)


def _size(value: object, at: str) -> Size:
    if not isinstance(value, list):
        return reading.integer(value, at, 1, MAX_PICTURE_SIDE)
    pair = reading.items(
        cast("object", value), at, lambda side, at: reading.integer(side, at, 1, MAX_PICTURE_SIDE), 2, least=2
    )
    return pair[0], pair[1]


def _label(value: object, at: str) -> str:
    return reading.string(value, at, least=0)


def _hash(value: object, at: str) -> str:
    text = reading.string(value, at)
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise reading.invalid(at, f"is {reading.short(text)}, expected 64 hexadecimal digits")
    return text


def _same_names(found: Iterable[str], expected: set[str], at: str, of: str) -> None:
    if set(found) != expected:
        raise reading.invalid(
            at, f"names {', '.join(sorted(found)) or 'nothing'}; {of} are {', '.join(sorted(expected))}"
        )
