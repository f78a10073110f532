"""JSON read strictly: each function takes a value and the place it stands at, and gives the value typed or an R108."""

import json
import math
import re
from collections.abc import Callable
from typing import TypeVar, cast

from netc_runtime.errors import ManifestError

MAX_TEXT = 64 * 2**20  # characters; an 8 MiB spec escaped as ASCII fits
MAX_NAME = 1024

T = TypeVar("T")
W = TypeVar("W", bound=str)


def parse(text: str) -> dict[str, object]:
    """Parse the text of a manifest into its one object, refusing duplicate keys, NaN and infinities.

    Raises: ManifestError (R108).
    """
    if len(text) > MAX_TEXT:
        raise invalid("the manifest", f"has {len(text)} characters, at most {MAX_TEXT} are read")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("the manifest", f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid("the manifest", f"is {kind(value)}, expected an object")
    return cast("dict[str, object]", value)


def invalid(at: str, problem: str) -> ManifestError:
    """Make the error for a place in the manifest that is not as the contract says."""
    return ManifestError("R108", f"{at} {problem}", "export the model again with `netc export`")


def fields(value: object, at: str, names: str) -> dict[str, object]:
    """Read an object that has exactly the keys of `names`."""
    if not isinstance(value, dict):
        raise invalid(at, f"is {kind(value)}, expected an object")
    found = cast("dict[str, object]", value)
    expected = set(names.split())
    if unknown := found.keys() - expected:
        raise invalid(at, f"has an unknown key {short(min(unknown))}")
    if missing := expected - found.keys():
        raise invalid(at, f"lacks the key {min(missing)!r}")
    return found


def items(value: object, at: str, item: Callable[[object, str], T], limit: int, least: int = 0) -> tuple[T, ...]:
    """Read a list whose every item `item` reads."""
    if not isinstance(value, list):
        raise invalid(at, f"is {kind(value)}, expected a list")
    found = cast("list[object]", value)
    if not least <= len(found) <= limit:
        raise invalid(at, f"has {len(found)} items, expected {least} to {limit}")
    return tuple(item(each, f"{at}[{index}]") for index, each in enumerate(found))


def table(value: object, at: str, item: Callable[[object, str], T], limit: int) -> dict[str, T]:
    """Read an object with any keys, whose every value `item` reads."""
    if not isinstance(value, dict):
        raise invalid(at, f"is {kind(value)}, expected an object")
    found = cast("dict[str, object]", value)
    if len(found) > limit:
        raise invalid(at, f"has {len(found)} keys, at most {limit}")
    return {string(key, f"{at}: a key"): item(each, f"{at}[{key!r}]") for key, each in found.items()}


def string(value: object, at: str, limit: int = MAX_NAME, least: int = 1) -> str:
    """Read text that can be encoded."""
    if not isinstance(value, str):
        raise invalid(at, f"is {kind(value)}, expected text")
    if not least <= len(value) <= limit:
        raise invalid(at, f"has {len(value)} characters, expected {least} to {limit}")
    if re.search("[\ud800-\udfff]", value):
        raise invalid(at, "holds half of a surrogate pair, which no file or terminal can take")
    return value


def word(value: object, at: str, words: tuple[W, ...]) -> W:
    """Read one of a few words."""
    for each in words:
        if each == value:
            return each
    raise invalid(at, f"is {short(value)}, expected {' | '.join(words)}")


def integer(value: object, at: str, least: int, most: int) -> int:
    """Read an integer within bounds; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(at, f"is {kind(value)}, expected an integer")
    if not least <= value <= most:
        raise invalid(at, f"is {short(value)}, expected {least} to {most}")
    return value


def number(value: object, at: str, least: float = -math.inf) -> float:
    """Read a finite number as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(at, f"is {kind(value)}, expected a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or found < least:
        raise invalid(at, f"is {short(value)}, expected a finite number" + f" from {least}" * (least > -math.inf))
    return found


_KINDS: dict[type, str] = {str: "text", int: "an integer", float: "a number", list: "a list", dict: "an object"}


def kind(value: object) -> str:
    """Give the JSON word for what a value is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _KINDS[type(value)]


def short(value: object) -> str:
    """Give a value as text that fits in a message."""
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a number of many digits"
    return text if len(text) <= 80 else text[:77] + "..."


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {short(key)} stands twice")
        found[key] = value
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not a JSON number")
