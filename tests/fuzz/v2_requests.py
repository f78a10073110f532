"""Inference requests that are right, and requests that were changed: as a tree, so that a change is one of structure.

Every choice is `Random`'s. An object is a list of pairs, in which a key may stand twice.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, cast

from netc_runtime.manifest import Input, Output
from tests.fuzz.v2_oracle import TYPES


class Model(NamedTuple):
    """What a request is for."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


MODELS = (
    Model((Input("image", "f32", ("N", 2, 2)),), (Output("scores", "f32", ("N", 3)), Output("mask", "f32", ("N", 3)))),
    Model(
        (
            Input("a", "i8", ("N",)),
            Input("b", "bool", ("N", 2)),
            Input("c", "f16", ("N", 2)),
            Input("d", "u64", (2,)),
            Input("e", "f64", ()),
        ),
        (Output("y", "i64", ("N", 2)), Output("flags", "bool", ("N",)), Output("sum", "f64", ())),
    ),
    Model(
        (Input("a:b", "i64", ("N",)), Input('é"\\{[', "u8", ("N", "M")), Input("x", "f32", ("N", "M"))),
        (Output("a:b", "f32", ("N",)),),
    ),
)


class Pairs(list["tuple[str, Any]"]):
    """An object."""


class Raw(str):
    """Text that stands in the JSON as it is."""

    __slots__ = ()


@dataclass
class Sent:
    """A request that is being made: its tree, the bytes behind, and what is written otherwise than plainly."""

    top: Any
    blobs: list[bytes] = field(default_factory=list[bytes])
    announced: bool = False
    loose: bool = False
    """Whether blanks and escapes stand where they may."""
    around: tuple[bytes, bytes] = (b"", b"")
    headers: list[Callable[[str | None], str | None]] = field(
        default_factory=list["Callable[[str | None], str | None]"]
    )
    flips: list[Callable[[bytearray], None]] = field(default_factory=list["Callable[[bytearray], None]"])

    def written(self, chance: Random) -> tuple[bytes, str | None]:
        """The body, and the header that says where its JSON ends."""
        text = bytearray(_dumped(self.top, chance if self.loose else None).encode(errors="surrogatepass"))
        text[:] = self.around[0] + text + self.around[1]
        for flip in self.flips:
            flip(text)
        header = str(len(text)) if self.announced else None
        for change in self.headers:
            header = change(header)
        return bytes(text) + b"".join(self.blobs), header


def right(model: Model, chance: Random) -> Sent:
    """A request for a model that it takes."""
    entries: list[Pairs] = []
    blobs: list[bytes] = []
    sizes = {name: chance.choice((0, 1, 1, 2, 3, 12)) for name in ("N", "M")}
    ways = chance.choice(("json", "bytes", "bytes", "mixed"))
    for tensor in chance.sample(model.inputs, len(model.inputs)) if chance.randrange(2) else model.inputs:
        shape = [sizes[side] if isinstance(side, str) else side for side in tensor.shape]
        datatype, code = TYPES[tensor.dtype]
        values = [_number(tensor.dtype, chance) for _ in range(math.prod(shape))]
        pairs = Pairs([("name", tensor.name), ("shape", shape), ("datatype", datatype)])
        if ways == "bytes" or datatype == "FP16" or (ways == "mixed" and chance.randrange(2)):
            size = struct.calcsize(f"<{len(values)}{code}")
            blob = struct.pack(f"<{len(values)}{code}", *values)
            if tensor.dtype[0] != "b" and chance.randrange(2):
                blob = chance.randbytes(size)  # among them what is no number
            blobs.append(blob)
            pairs.append(("parameters", Pairs([("binary_data_size", size)])))
        else:
            pairs.append(("data", _nested(values, shape) if chance.randrange(2) else values))
        entries.append(pairs)
    top = Pairs([("inputs", entries)])
    if chance.randrange(3) == 0:
        top.append(("id", chance.choice(TEXTS)))
    if chance.randrange(3) == 0:
        top.append(("parameters", _some([("binary_data_output", True), ("timeout", 5000)], chance)))
    if chance.randrange(3) == 0:
        top.append(("outputs", [_output(each, chance) for each in model.outputs if chance.randrange(2)]))
    return Sent(top, blobs, bool(blobs) or chance.randrange(4) == 0)


def changed(sent: Sent, chance: Random, most: int = 3) -> None:
    """Change a request in one to three ways."""
    for _ in range(chance.randint(1, most)):
        chance.choice(WAYS)(sent, chance)


TEXTS = (
    "", "x", "a:b", "a\r\nb: c", '"', "\\", "é", "\U0001f600", "\u2028", "\0", "\x7f", "\ud800", "\udc00\ud83d",
    "é" * 512, "é" * 513, "y" * 1025, "e\u0301", "\ufeff", "{[", "image", "scores", "BYTES", "fp32", "FP32", "1",
)  # fmt: skip
KEYS = (
    "id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data_size", "binary_data",
    "classification", "binary_data_output", "timeout", "priority", "Name", "name ", "a:b", "é", "", "\0",
)  # fmt: skip
NUMBERS = (
    *(Raw(text) for text in ("NaN", "-Infinity", "nan", "1e999", "-1e999", "1E+2", "-0", "-0.0", "01", "+1", "1.", ".5",
    "1e-999", "0x10", "1_0", "9" * 40, "9" * 320, "9" * 5000, "0." + "3" * 400, "1e39", "3.4028235677973366e38",
    "3.4028235677973362e38", "1.00000005960464477539", "1e38", "1.0", "2.5", "true", "null", "\u0661")),
    0, 1, 2, 3, 4, -1, 127, 128, 255, 256, -128, -129, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 2**64 - 1, 2**64, 10**30,
)  # fmt: skip


def _number(dtype: str, chance: Random) -> Any:
    if dtype == "bool":
        return bool(chance.randrange(2))
    if dtype == "f16":
        return chance.choice((0.0, 1.5, -2.0, 65504.0))
    if dtype in ("f32", "f64"):
        return chance.choice((0, 1, -7, 0.5, -2.25, 0.1, 1e-3, 1e30, -0.0, 16777217, 1e-45, 3.4028234e38))
    bits = int(dtype[1:])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype[0] == "i" else (0, 2**bits - 1)
    return chance.choice((0, 1, low, high, chance.randint(low, high)))


def _nested(values: list[Any], shape: list[int]) -> Any:
    for side in reversed(shape[1:]):
        count = len(values) // side if side else math.prod(shape[:-1])
        values = [values[at * side : (at + 1) * side] for at in range(count)]
        shape = shape[:-1]
    return values


def _output(output: Output, chance: Random) -> Pairs:
    pairs = Pairs([("name", output.name)])
    if chance.randrange(2):
        given = _some(
            [("binary_data", bool(chance.randrange(2))), ("classification", chance.choice((1, 2, 9)))], chance
        )
        fits = output.dtype != "bool" and output.shape
        pairs.append(("parameters", given if fits else Pairs(each for each in given if each[0] == "binary_data")))
    return pairs


def _some(pairs: list[tuple[str, Any]], chance: Random) -> Pairs:
    return Pairs(each for each in pairs if chance.randrange(2))


def _dumped(value: Any, chance: Random | None) -> str:
    """JSON, with blanks and escapes where there is a `chance`."""

    def blank() -> str:
        return chance.choice(("", "", "", " ", "\n", "\t\r\n ")) if chance is not None else ""

    def quoted(text: str) -> str:
        if chance is None or chance.randrange(4):
            return json.dumps(text, ensure_ascii=chance is not None)
        return '"' + "".join(f"\\u{unit:04{chance.choice('xX')}}" for unit in _utf16(text)) + '"'

    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        inner = [f"{blank()}{quoted(name)}{blank()}:{_dumped(each, chance)}" for name, each in value]
        return f"{blank()}{{{','.join(inner)}{blank()}}}{blank()}"
    if isinstance(value, list):
        return f"{blank()}[{','.join(_dumped(each, chance) for each in value)}{blank()}]{blank()}"  # pyright: ignore[reportUnknownVariableType]
    return f"{blank()}{quoted(value) if isinstance(value, str) else json.dumps(value)}{blank()}"


def _utf16(text: str) -> tuple[int, ...]:
    data = text.encode("utf-16-le", "surrogatepass")
    return struct.unpack(f"<{len(data) // 2}H", data)


# --- changes


def _places(sent: Sent, kind: type = list) -> list[Any]:
    """The objects and arrays of the tree, or those of one kind."""
    found: list[Any] = []
    waiting: list[Any] = [sent.top]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Pairs):
            waiting += [value for _, value in each]
        elif isinstance(each, list):
            waiting += each
        if isinstance(each, kind) and each:
            found.append(each)
    return found


def _set(place: Any, at: int, value: Any) -> None:
    place[at] = (place[at][0], value) if isinstance(place, Pairs) else value


def _get(place: Any, at: int) -> Any:
    return place[at][1] if isinstance(place, Pairs) else place[at]


def _strange(chance: Random) -> Any:
    text, number = chance.choice(TEXTS), chance.choice(NUMBERS)
    some: list[Any] = [None, True, False, [], Pairs(), [[]], [0], [Pairs()], text, *[number] * 4]
    return chance.choice(some)


def _any(sent: Sent, chance: Random, kind: type = list) -> tuple[Any, int] | None:
    places = _places(sent, kind)
    if not places:
        return None
    place = chance.choice(places)
    return place, chance.randrange(len(place))


def _of(sent: Sent, chance: Random, *keys: str) -> tuple[Any, int] | None:
    """A value that stands under one of these keys."""
    found = [(pl, at) for pl in _places(sent, Pairs) for at, (name, _) in enumerate(pl) if name in keys]
    return chance.choice(found) if found else None


def _drop(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance)) is not None:
        del found[0][found[1]]


def _double(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance)) is not None:
        found[0].insert(chance.randint(0, len(found[0])), found[0][found[1]])


def _double_key(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance, Pairs)) is not None:
        found[0].insert(chance.randint(0, len(found[0])), (found[0][found[1]][0], _strange(chance)))


def _rename(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance, Pairs)) is not None:
        found[0][found[1]] = (chance.choice(KEYS), found[0][found[1]][1])


def _add(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance, Pairs)) is not None:
        known = chance.choice((("timeout", 7), ("binary_data", True), ("binary_data_output", False), ("id", "7")))
        found[0].append(known if chance.randrange(2) else (chance.choice(KEYS), _strange(chance)))


def _shuffle(sent: Sent, chance: Random) -> None:
    for place in _places(sent, Pairs):
        chance.shuffle(place)


def _swap(sent: Sent, chance: Random) -> None:
    one, other = _any(sent, chance), _any(sent, chance)
    if one is not None and other is not None:
        a, b = _get(*one), _get(*other)
        if not any(isinstance(each, list) for each in (a, b)):  # a tree stays one
            _set(*one, b)
            _set(*other, a)


def _replace(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance)) is not None:
        _set(*found, _strange(chance))


def _reshape(sent: Sent, chance: Random) -> None:
    found = _of(sent, chance, "shape")
    if found is None or type(_get(*found)) is not list:
        return
    shape: list[Any] = list(_get(*found))
    at = chance.randrange(len(shape)) if shape else 0
    way = chance.randrange(6)
    if way == 0:
        shape.insert(at, 1)
    elif way == 1:
        shape[at : at + 1] = []
    elif way == 2:
        shape.reverse()
    elif way == 3:
        shape += [1] * chance.choice((1, 16, 17))
    else:
        shape[at : at + 1] = [chance.choice((0, 1, 2, 3, 4, 2**31 - 1, 2**16, *NUMBERS))]
    _set(*found, shape)


def _empty(sent: Sent, chance: Random) -> None:
    """A tensor of no elements, of great sides."""
    found = _of(sent, chance, "data")
    if found is None or (at := next((at for at, (name, _) in enumerate(found[0]) if name == "shape"), None)) is None:
        return
    shape = found[0][at][1]
    if type(shape) is list and shape:
        sides = [0, *(chance.choice((1, 2**16, 2**31 - 1, 2**31, 2**32)) for _ in cast("list[Any]", shape)[1:])]
        chance.shuffle(sides)
        _set(found[0], at, sides)
        _set(*found, [])


def _retype(sent: Sent, chance: Random) -> None:
    if (found := _of(sent, chance, "datatype")) is not None:
        _set(*found, chance.choice((*(name for name, _ in TYPES.values()), "BYTES", "FP33", "fp32", " FP32", None, 32)))


def _relay(sent: Sent, chance: Random) -> None:
    """The same numbers in another layout."""
    found = _of(sent, chance, "data")
    if found is None or type(_get(*found)) is not list:
        return
    flat: list[Any] = _flat(_get(*found))
    way = chance.randrange(6)
    width = chance.randint(1, 4)
    rows: list[Any] = [flat[at : at + width] for at in range(0, len(flat), width)]
    if way == 0:
        _set(*found, flat)
    elif way == 1:
        _set(*found, rows)
    elif way == 2:
        _set(*found, [rows])
    elif way == 3:
        _set(*found, [_get(*found)])
    elif way == 4:
        _set(*found, [*rows[:1], *flat[width:]])
    else:
        _set(*found, [*flat[:width], *rows[1:]])


def _flat(value: Any) -> list[Any]:
    return [one for each in value for one in _flat(each)] if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _renumber(sent: Sent, chance: Random) -> None:
    """Another number among a tensor's."""
    found = _of(sent, chance, "data")
    if found is None:
        return
    places: list[list[Any]] = []
    waiting: list[Any] = [_get(*found)]
    while waiting:
        each: Any = waiting.pop()
        if type(each) is list and each:
            places.append(cast("list[Any]", each))
            waiting += places[-1]
    if places:
        place = chance.choice(places)
        place[chance.randrange(len(place))] = chance.choice((*NUMBERS, True, None, "1", []))


def _lie(sent: Sent, chance: Random) -> None:
    if (found := _of(sent, chance, "binary_data_size", "timeout", "classification")) is not None:
        size = _get(*found)
        size = size if isinstance(size, int) else 0
        lies = (size + 1, size - 1, 2 * size, -size, 0, str(size), float(size), size + 2**32, size + 2**64)
        _set(*found, chance.choice((*lies, *NUMBERS, True)))


def _recut(sent: Sent, chance: Random) -> None:
    """Bytes fewer, more, others, or in another order."""
    way = chance.randrange(5)
    if way == 0 or not sent.blobs:
        sent.blobs.insert(chance.randint(0, len(sent.blobs)), chance.randbytes(chance.choice((1, 2, 4, 8))))
        return
    at = chance.randrange(len(sent.blobs))
    if way == 1:
        sent.blobs[at] = sent.blobs[at][: -chance.choice((1, 2, 4, 8))]
    elif way == 2:
        chance.shuffle(sent.blobs)
    elif way == 3:
        del sent.blobs[at]
    elif sent.blobs[at]:
        changed = bytearray(sent.blobs[at])
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 255))
        sent.blobs[at] = bytes(changed)


def _reannounce(sent: Sent, chance: Random) -> None:
    """Another word for where the JSON ends."""
    off = chance.choice((-1, 1, 2, -8, 8, 10**5, 2**63, 10**40))
    ways: tuple[Callable[[str | None], str | None], ...] = (
        lambda text: None,
        lambda text: "0",
        lambda text: str(int(text or "0") + off) if (text or "0").isdecimal() else text,
        lambda text: f"0{text}",
        lambda text: f"000000{text}",
        lambda text: f" {text}",
        lambda text: f"+{text}",
        lambda text: f"{text}.0",
        lambda text: "".join(chr(0x660 + int(c)) if c in "0123456789" else c for c in text or ""),
        lambda text: chance.choice(("", "-1", "abc", "1_0", "²", "0x10", "1\0")),
    )
    sent.headers.append(chance.choice(ways))


def _announce(sent: Sent, chance: Random) -> None:
    sent.announced = not sent.announced


def _loosen(sent: Sent, chance: Random) -> None:
    sent.loose = True


def _surround(sent: Sent, chance: Random) -> None:
    some = (
        b"",
        b" ",
        b"\n\t",
        b"\xef\xbb\xbf",
        b"\xc2\xa0",
        b"\0",
        b",",
        b"{}",
        b"//",
        b"\x0c",
        b"\xff",
        b" " * 5000,
        b" " * 10**5,
    )
    sent.around = (chance.choice(some), chance.choice(some))


def _flip(sent: Sent, chance: Random) -> None:
    """A byte of the JSON changed, left out, or put in."""
    share, way = chance.random(), chance.randrange(3)
    byte = chance.choice((*b'"\\:,[]{}0-.eE \0', 0xFF, 0xC3, chance.randrange(256)))

    def flip(text: bytearray) -> None:
        at = int(share * len(text))
        text[at : at + (way != 2)] = bytes([byte][: way != 0])

    sent.flips.append(flip)


def _deepen(sent: Sent, chance: Random) -> None:
    if (found := _any(sent, chance)) is None:
        return
    value = _get(*found)
    levels = chance.choice((1, 2, 57, 58, 59, 60, 61, 62, 63, 64, 65))
    for _ in range(levels):
        value = [value] if chance.randrange(2) else Pairs([(chance.choice(KEYS), value)])
    _set(*found, Raw("[" * 1100 + "]" * 1100) if chance.randrange(20) == 0 else value)


def _reorder(sent: Sent, chance: Random) -> None:
    if (found := _of(sent, chance, "inputs", "outputs")) is not None and type(_get(*found)) is list:
        chance.shuffle(_get(*found))


WAYS: tuple[Callable[[Sent, Random], None], ...] = (
    _drop, _double, _double_key, _rename, _add, _shuffle, _shuffle, _swap, _replace, _reshape, _reshape, _empty,
    _retype, _relay, _relay, _renumber, _renumber, _lie, _recut, _recut, _reannounce, _announce, _loosen, _loosen,
    _surround, _flip, _flip, _deepen, _reorder, _reorder,
)  # fmt: skip
