"""JSON as a server reads it: one object, each key once, no deeper than it need be, every number a number."""

import json
from typing import Any, cast

import orjson

from netc_runtime.errors import ServeFault

DEEPEST = 64
_NUMBERS = b"0123456789+-.eE, \n"  # what most of a large body is made of
SHORT = 8  # a list that is looked through at once


def parse(body: bytes | memoryview) -> dict[str, Any]:
    """Read a JSON object.

    Raises: ServeFault R501 where it is not JSON, R502 where it is no object, R503 where a key stands twice or it is
    nested deeper than 64.
    """
    return parse_noting(body)[0]


def parse_noting(body: bytes | memoryview) -> tuple[dict[str, Any], bool]:
    """Read a JSON object, and tell whether it may hold a true or a false. Raises: as `parse` does."""
    if not len(body):
        raise ServeFault("R501", "the body is empty, expected a JSON object", "send the request's JSON as the body")
    try:
        # It refuses NaN and Infinity, what follows the value, and bytes that are not UTF-8.
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ServeFault("R501", f"the body is not JSON: {error}", _CHECK) from None
    if not isinstance(found, dict):
        raise ServeFault("R502", f"the body is {_kind(found)}, expected an object", _CHECK)
    top = cast("dict[str, Any]", found)
    text = bytes(body)
    # The numbers go in one pass, and what is looked for next is looked for in the little that is left.
    marks = text.translate(None, _NUMBERS)
    if marks.count(b"[") + marks.count(b"{") > DEEPEST:
        _check_depth(top)
    if _may_repeat(marks, top):
        _refuse_repeated(text)
    return top, b"tru" in marks or b"fals" in marks


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise ServeFault("R503", f"the body is nested deeper than {DEEPEST}", _CHECK)


def _inner(value: Any) -> list[Any]:
    # Numbers are by far the most there is, and are told by the types of all of them at once.
    found: list[Any] = list(cast("dict[str, Any]", value).values()) if isinstance(value, dict) else value
    kinds = set(map(type, found))
    if not kinds & {dict, list}:
        return []
    return found if kinds <= {dict, list} else [each for each in found if isinstance(each, dict | list)]


def _may_repeat(marks: bytes, top: dict[str, Any]) -> bool:
    """Say whether a key may stand twice; orjson keeps the last one.

    Outside of strings there is one colon a key. With those inside of strings there are as many as the text has, unless
    a key was dropped, or a backslash hides something.
    """
    if b"\\" in marks:
        return True
    keys, inside = _colons(top, marks.count(b'"') // 2)
    return marks.count(b":") != keys + inside


def _colons(value: Any, strings: int) -> tuple[int, int]:
    """Count the keys, and the colons inside of all strings, of which the text has so many.

    Once all are seen the rest is numbers, most of it long lists of them: these come last.
    """
    keys = inside = 0
    waiting: list[Any] = [value]
    lists: list[list[Any]] = []
    while strings > 0 and (waiting or lists):
        if not waiting:
            items = lists.pop()
            if set(map(type, items)) & {dict, list, str}:
                waiting += items
            continue
        each = waiting.pop()
        if isinstance(each, dict):
            pairs = cast("dict[str, Any]", each)
            keys += len(pairs)
            strings -= len(pairs)
            inside += sum([name.count(":") for name in pairs])
            waiting += pairs.values()
        elif isinstance(each, str):
            strings -= 1
            inside += each.count(":")
        elif isinstance(each, list):
            found = cast("list[Any]", each)
            if len(found) > SHORT:
                lists.append(found)
            else:
                waiting += found
    return keys, inside


def _refuse_repeated(body: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ServeFault("R503", f"the key {name[:100]!r} stands twice in one object", "send it once")
            found[name] = value
        return found

    json.loads(body, object_pairs_hook=once)


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return next((name for kind, name in kinds.items() if type(value) is kind), "a number")


_CHECK = "send one JSON object in UTF-8, as the Open Inference Protocol says"
