"""Inference requests that nobody sent: right ones with slips in them, and a reader that is slow, plain and not ours.

`oracle` follows the Open Inference Protocol, and the server's own stated limits, with the standard library alone.
"""

# JSON is anything.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from netc_runtime.errors import ServeFault
from netc_runtime.manifest import Input, Output
from netc_runtime.oip import InferRequest, Reader, read_request

STRUCT = {"f32": "f", "f64": "d", "i8": "b", "i64": "q", "u8": "B", "bool": "?"}
DATATYPES = {"f32": "FP32", "f64": "FP64", "f16": "FP16", "i8": "INT8", "i64": "INT64", "u8": "UINT8", "bool": "BOOL"}
SIZES = {"f32": 4, "f64": 8, "f16": 2, "i8": 1, "i64": 8, "u8": 1, "bool": 1}
INTEGERS = {"i8": (-128, 127), "i64": (-(2**63), 2**63 - 1), "u8": (0, 255)}


class Model(NamedTuple):
    """What a request is read for."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


SCORES = Output("scores", "f32", ("N", 3))
MODELS = (
    Model((Input("image", "f32", ("N", 2, 2)),), (SCORES, Output("mask", "bool", ("N", 3)))),
    Model((Input("a", "i64", ("N",)), Input("b", "bool", ("N", 2))), (SCORES,)),
    Model((Input("half", "f16", ("N", 3)), Input("u", "u8", ("N", "L"))), (SCORES,)),
    Model((Input("x", "f64", ()), Input("y", "i8", (2, 0))), (SCORES, Output("one", "f32", ()))),
)


class Read(NamedTuple):
    """What a request says: each input's shape and bytes, the outputs that are asked for, and the rest."""

    feed: dict[str, tuple[tuple[int, ...], bytes]]
    wanted: tuple[tuple[str, bool, int | None], ...]
    id: str | None
    timeout_us: int | None


class Wrong(Exception):
    """The oracle refuses."""


def need(claim: object) -> None:
    if not claim:
        raise Wrong


def oracle(body: bytes, header: str | None, model: Model) -> Read | None:
    """What the request says, or nothing where it is to be refused."""
    try:
        return _read(body, header, model)
    except (Wrong, RecursionError):
        return None


def _read(body: bytes, header: str | None, model: Model) -> Read:
    size = len(body)
    if header is not None:
        need(header and len(header) < 20 and set(header) <= set("0123456789"))
        size = int(header)
        need(size <= len(body))
    top: Any = _json(body[:size])
    rest = body[size:]
    need(isinstance(top, dict) and set(top) <= {"id", "parameters", "inputs", "outputs"})
    told = _parameters(top, binary_data_output=bool, timeout=int)
    need(1 <= told.get("timeout", 1) < 2**64)
    known = {each.name: each for each in model.inputs}
    entries: Any = top.get("inputs")
    need(isinstance(entries, list) and entries)
    feed: dict[str, tuple[tuple[int, ...], bytes]] = {}
    for entry in entries:
        need(isinstance(entry, dict) and set(entry) <= {"name", "shape", "datatype", "parameters", "data"})
        name: Any = entry.get("name")
        need(isinstance(name, str) and name in known and name not in feed)
        kind = known[name].dtype
        need(entry.get("datatype") == DATATYPES[kind])
        shape: Any = entry.get("shape")
        need(isinstance(shape, list) and len(shape) == len(known[name].shape))
        need(all(type(side) is int and 0 <= side < 2**31 for side in shape))
        need(math.prod(max(side, 1) for side in shape) <= 2**48)
        count, given = math.prod(shape), _parameters(entry, binary_data_size=int)
        if "binary_data_size" in given:
            needs = count * SIZES[kind]
            need("data" not in entry and header is not None and given["binary_data_size"] == needs <= len(rest))
            blob, rest = rest[:needs], rest[needs:]
            need(kind != "bool" or set(blob) <= {0, 1})
        else:
            need("data" in entry and kind != "f16")
            blob = b"".join(_packed(kind, value) for value in _flat(entry["data"], shape, count))
        feed[name] = (tuple(shape), blob)
    need(set(feed) == set(known) and not rest)
    return Read(feed, _wanted(top, bool(told.get("binary_data_output")), model), _id(top), told.get("timeout"))


def _json(text: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({name for name, _ in pairs}) == len(pairs))
        return dict(pairs)

    def number(text: str) -> float:
        value = float(text)
        need(math.isfinite(value))
        return value

    def whole(text: str) -> int | float:
        return int(text) if len(text) < 30 else number(text)

    def refuse(_: str) -> None:
        raise Wrong

    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=once, parse_float=number, parse_int=whole, parse_constant=refuse
        )
    except ValueError as error:  # of JSON or of UTF-8
        raise Wrong from error
    need(_sound(found, 64))
    return found


def _sound(value: Any, depth: int) -> bool:
    """No deeper than so, and every string has a form in UTF-8."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(each) < 0xE000 for each in value)
    if isinstance(value, dict):
        return depth > 0 and all(_sound(each, depth - 1) for pair in value.items() for each in pair)
    return not isinstance(value, list) or (depth > 0 and all(_sound(each, depth - 1) for each in value))


def _parameters(entry: dict[str, Any], **known: type) -> dict[str, Any]:
    given = entry.get("parameters", {})
    need(isinstance(given, dict) and all(name in known and type(value) is known[name] for name, value in given.items()))
    return given


def _flat(data: Any, shape: Sequence[int], count: int) -> list[Any]:
    need(isinstance(data, list))
    if any(isinstance(each, list) for each in data):
        return _nested(data, list(shape))
    need(len(data) == count)
    return data


def _nested(data: Any, shape: list[int]) -> list[Any]:
    need(shape and isinstance(data, list) and len(data) == shape[0])
    return data if len(shape) == 1 else [value for each in data for value in _nested(each, shape[1:])]


def _packed(kind: str, value: Any) -> bytes:
    if kind == "bool":
        need(type(value) is bool)
    elif kind in INTEGERS:
        need(type(value) is int and INTEGERS[kind][0] <= value <= INTEGERS[kind][1])
    else:
        need(type(value) in (int, float))
        value = float(value)
    try:
        return struct.pack(f"<{STRUCT[kind]}", value)
    except OverflowError as error:
        raise Wrong from error


def _wanted(top: dict[str, Any], every: bool, model: Model) -> tuple[tuple[str, bool, int | None], ...]:
    entries: Any = top.get("outputs", [])
    known = {each.name: each for each in model.outputs}
    need(isinstance(entries, list))
    found: dict[str, tuple[str, bool, int | None]] = {}
    for entry in entries:
        need(isinstance(entry, dict) and set(entry) <= {"name", "parameters"})
        name: Any = entry.get("name")
        need(isinstance(name, str) and name in known and name not in found)
        told = _parameters(entry, binary_data=bool, classification=int)
        if "classification" in told:
            need(1 <= told["classification"] < 2**64 and known[name].dtype != "bool" and known[name].shape)
        found[name] = (name, told.get("binary_data", every), told.get("classification"))
    return tuple(found.values()) or tuple((name, every, None) for name in known)


def _id(top: dict[str, Any]) -> str | None:
    found = top.get("id")
    need("id" not in top or (isinstance(found, str) and len(found.encode()) <= 1024))
    return found


# --- the claim

READERS = [Reader(model.inputs, model.outputs) for model in MODELS]


def claims(body: bytes, header: str | None, which: int) -> bool:
    """Hold the codec to the oracle, with what it remembers of earlier requests and without; tell whether it accepts."""
    model, given, before = MODELS[which], bytearray(body), bytes(body)
    expected = oracle(body, header, model)
    reads: tuple[Callable[[], InferRequest], ...] = (
        lambda: read_request(memoryview(given), header, model.inputs, model.outputs),
        lambda: READERS[which].read(given, header),
        lambda: READERS[which].read(given, header),
    )
    for read in reads:
        found = _tried(read)
        if isinstance(found, ServeFault):
            assert expected is None, f"it is refused: {found}"
            assert 400 <= found.status < 500, found
            continue
        assert expected is not None, "it is taken, and is not to be"
        feed = {name: (array.shape, array.tobytes()) for name, array in found.feed.items()}
        wanted = tuple((each.name, each.binary, each.classes and each.classes.count) for each in found.wanted)
        assert Read(feed, wanted, found.id, found.timeout_us) == expected
    assert given == before, "what was read was changed"
    return expected is not None


def _tried(read: Callable[[], InferRequest]) -> InferRequest | ServeFault:
    try:
        return read()
    except ServeFault as fault:
        return fault


# --- requests


@dataclass
class Raw:
    """A token as it stands."""

    text: str


class Pairs(list[list[Any]]):
    """An object, whose keys may stand twice."""


@dataclass
class Asked:
    """A request before it is bytes."""

    top: Any
    blobs: list[bytes]
    header: str | None = ""
    """Empty for the true one."""


def right(chance: Random, model: Model) -> Asked:
    """A request that is right."""
    entries: list[Any] = []
    blobs: list[bytes] = []
    rows = chance.choice([0, 1, 1, 2, 3])
    for each in chance.sample(model.inputs, len(model.inputs)):
        sides = {"N": rows, "L": 2}
        shape = [sides[side] if isinstance(side, str) else side for side in each.shape]
        values = [value(chance, each.dtype) for _ in range(math.prod(shape))]
        pairs: list[list[Any]] = [["name", each.name], ["shape", shape], ["datatype", DATATYPES[each.dtype]]]
        if each.dtype == "f16" or chance.random() < 0.5:
            blob = b"".join(
                struct.pack(f"<{'e' if each.dtype == 'f16' else STRUCT[each.dtype]}", one) for one in values
            )
            pairs.append(["parameters", Pairs([["binary_data_size", len(blob)]])])
            blobs.append(blob)
        else:
            pairs.append(["data", nested(values, shape) if shape and chance.random() < 0.5 else values])
        chance.shuffle(pairs)
        entries.append(Pairs(pairs))
    top: list[list[Any]] = [["inputs", entries]]
    if chance.random() < 0.4:
        top.append(["id", chance.choice(["", "7", "a:b", "\u00fc\u6f22\U0001f600", 'q"\\\n', "x" * 1024])])
    if chance.random() < 0.4:
        told = [["binary_data_output", chance.random() < 0.5], ["timeout", chance.choice([1, 10**6])]]
        top.append(["parameters", Pairs(chance.sample(told, chance.randint(0, 2)))])
    if chance.random() < 0.4:
        outputs: list[Any] = []
        for each in chance.sample(model.outputs, chance.randint(0, len(model.outputs))):
            more: list[list[Any]] = [["binary_data", chance.random() < 0.5]] if chance.random() < 0.5 else []
            if each.dtype != "bool" and each.shape and chance.random() < 0.3:
                more.append(["classification", chance.choice([1, 2, 99])])
            outputs.append(Pairs([["name", each.name], ["parameters", Pairs(more)]]))
        top.append(["outputs", outputs])
    chance.shuffle(top)
    return Asked(Pairs(top), blobs, "" if blobs or chance.random() < 0.2 else None)


def value(chance: Random, kind: str) -> Any:
    if kind == "bool":
        return chance.random() < 0.5
    if kind in INTEGERS:
        return chance.choice([0, 1, *INTEGERS[kind], chance.randint(*INTEGERS[kind])])
    return chance.choice([0, 1, -1.5, 0.1, 65504.0, chance.uniform(-9, 9), 1e-5])


def nested(values: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) == 1:
        return values
    width = math.prod(shape[1:])
    return [nested(values[at * width : (at + 1) * width], shape[1:]) for at in range(shape[0])]


STRANGE: list[Any] = [
    None, True, False, 0, -1, 1.0, 1.5, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, "", "1", "FP32", "fp32", "image",
    [], [[]], [1], [1, 2, 2], [2, 2], [None], Pairs(), Pairs([["a", 1]]), "\u0000", "x" * 1025, "\U0001f600" * 257,
    *map(Raw, (
        "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e38", "3.5e38", "1e-400", "01", "1.", ".5", "+1", "-",
        "-0", "-0.0", "9" * 25, "1" * 400, "1" * 5000, "0x1", "'", '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"',
        '"\\x"', "nul", '"a\tb"', "", "1 2", "/**/1", "[1,]", '{"a":1,}', '{"a":1,"a":1}', '{"a":1,"\\u0061":1}',
        '"\\u0064ata"', "[" * 5000 + "]" * 5000, '{"a":' * 300 + "1" + "}" * 300,
    )),
]  # fmt: skip
KEYS = ("inputs", "outputs", "id", "parameters", "name", "shape", "datatype", "data", "binary_data_size", "binary_data",
        "binary_data_output", "classification", "timeout", "sequence_id", "")  # fmt: skip
HEADERS = (None, "0", "1", "+1", "-1", " 1", "1 ", "1_0", "abc", "", "9" * 19, "9" * 20, "\u0661", "1.0", "0x10")


def strange(chance: Random) -> Any:
    return deepcopy(chance.choice(STRANGE))


def slots(tree: Any) -> list[tuple[list[Any], int]]:
    """Where the tree's values stand: a list, and the place in it."""
    found: list[tuple[list[Any], int]] = []
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        places = [(pair, 1) for pair in each] if isinstance(each, Pairs) else [(each, at) for at in range(len(each))]
        found += places
        waiting += [where[at] for where, at in places if isinstance(where[at], list)]
    return found


def slip(chance: Random, asked: Asked) -> None:
    """Change one thing."""
    if not isinstance(asked.top, list):
        asked.top = [asked.top]
    places = slots(asked.top)
    objects = [asked.top, *(where[at] for where, at in places)]
    objects = [each for each in objects if isinstance(each, Pairs) and each]
    lists = [where[at] for where, at in places if isinstance(where[at], list) and len(where[at]) > 0]
    kind = chance.randrange(13)
    if kind <= 2 and places:
        where, at = chance.choice(places)
        where[at] = strange(chance)
    elif kind == 3 and objects:
        each = chance.choice(objects)
        del each[chance.randrange(len(each))]
    elif kind == 4 and objects:
        each = chance.choice(objects)
        twice = deepcopy(chance.choice(each))
        each.insert(chance.randrange(len(each) + 1), chance.choice([twice, [twice[0], strange(chance)]]))
    elif kind == 5 and objects:
        chance.choice(chance.choice(objects))[0] = chance.choice(KEYS)
    elif kind == 6 and objects:
        chance.choice(objects).append([chance.choice(KEYS), strange(chance)])
    elif kind == 7 and places:
        where, at = chance.choice(places)
        if type(where[at]) in (int, float):
            where[at] += chance.choice([1, -1, 0.5])
        elif isinstance(where[at], list) and not isinstance(where[at], Pairs) and len(where[at]) == 1:
            where[at] = where[at][0]
        else:
            where[at] = [where[at]]
    elif kind == 8 and lists:
        chance.shuffle(chance.choice(lists))
    elif kind == 9 and lists:
        each = chance.choice(lists)
        each.append(deepcopy(chance.choice(each)))
    elif kind == 10:
        asked.header = chance.choice(HEADERS)
    elif kind == 11 and asked.blobs:
        at = chance.randrange(len(asked.blobs))
        blob = asked.blobs[at]
        changed = bytes(each ^ (chance.random() < 0.2) << chance.randrange(8) for each in blob)
        asked.blobs[at] = chance.choice([blob[:-1], blob + b"\0", b"", blob * 2, changed])
    elif kind == 12 and places:
        where, at = chance.choice(places)
        for _ in range(chance.choice([1, 2, 60, 61, 62, 63, 64, 65])):
            where[at] = [where[at]] if chance.random() < 0.9 else Pairs([["a", where[at]]])


def written(chance: Random, asked: Asked) -> tuple[bytes, str | None]:
    """The bytes of a request, and its header."""
    said = text(chance, asked.top, 0.1 if chance.random() < 0.3 else 0.0)
    if chance.random() < 0.05:
        at = chance.randrange(len(said) + 1)
        said = said[:at] + chance.choice(["", " ", "\t", ",", "}", "\x00", "\ufeff", "\\", '"']) + said[at + 1 :]
    head = said.encode("utf-8", "surrogatepass")
    if chance.random() < 0.03:
        at = chance.randrange(len(head) + 1)
        head = head[:at] + bytes([chance.randrange(256)]) + head[at + chance.randrange(2) :]
    body = head + b"".join(asked.blobs)
    if asked.header != "":
        return body, asked.header
    off = chance.choice([1, -1, len(body) - len(head)]) if chance.random() < 0.03 else 0
    return body, str(len(head) + off)


def text(chance: Random, tree: Any, loose: float) -> str:
    """JSON, with blanks and escapes where `loose` says so; without recursion, for it may be deep."""
    parts: list[str] = []
    waiting: list[Any] = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Raw):
            parts.append(each.text)
        elif isinstance(each, list):
            pairs, inner = isinstance(each, Pairs), list[Any]()
            for number, one in enumerate(each):
                inner += [Raw("," if number else "")]
                inner += [one[0], Raw(":"), one[1]] if pairs else [one]
            waiting += [Raw("}" if pairs else "]"), *reversed(inner), Raw("{" if pairs else "[")]
        elif isinstance(each, str) and chance.random() < loose:
            parts.append('"' + "".join(f"\\u{ord(one):04x}" if ord(one) < 0x10000 else one for one in each) + '"')
        else:
            parts.append(json.dumps(each, ensure_ascii=chance.random() < 0.5))
        if chance.random() < loose:
            parts.append(chance.choice([" ", "\n", "\t\r "]))
    return "".join(parts)


def request(chance: Random, most_slips: int = 3) -> tuple[bytes, str | None, int]:
    """A request with so many slips at most: its body, its header, and whose of `MODELS` it is."""
    which = chance.randrange(len(MODELS))
    asked = right(chance, MODELS[which])
    for _ in range(chance.randint(0, most_slips)):
        slip(chance, asked)
    return (*written(chance, asked), which)
