"""Python as text: literals, names and lines, laid out as `ruff format` would; no text from outside enters unescaped."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from keyword import iskeyword
from math import isfinite
from textwrap import wrap
from typing import NamedTuple, TypeAlias
from unicodedata import normalize

from netc.diagnostic import Span
from netc.op import Argument

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"


def literal(value: Argument) -> str:
    """The Python text of a number, a string (ASCII, in the quotes it holds fewer of), None, or a tuple of these."""
    if isinstance(value, tuple):
        items = ", ".join(literal(each) for each in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    if not isinstance(value, str):
        return repr(value)
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + value.encode("unicode_escape").decode("ascii").replace(quote, f"\\{quote}") + quote


def is_name(text: str) -> bool:
    """Whether a text can stand after `self.`: an identifier, no keyword, not folded and not mangled inside a class."""
    # Python folds letters (NFKC) and renames `self.__a` inside a class: both would change state_dict's names.
    plain = text.isidentifier() and not iskeyword(text) and not text.startswith("__")
    return plain and normalize("NFKC", text) == text


def variable(text: str) -> str:
    """A local variable's name made of any text: lower case, ASCII, no keyword, nothing linters mistake for a digit."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_") or "value"
    name = f"v{name}" if name[0].isdigit() else name
    return f"{name}_" if iskeyword(name) or hasattr(builtins, name) or name in ("l", "self", "torch", "nn") else name


def class_name(text: str, fallback: str) -> str:
    """A class's name made of any text: `basic_a` is BasicA, `ResNet50` stays."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    name = f"{fallback}{name}" if not name or name[0].isdigit() else name
    return f"{name}{fallback}" if iskeyword(name) else name


def unique(name: str, taken: set[str], join: str = "_") -> str:
    """`name`, or `name_2`, `name_3`, ...: the first that is not taken, which it then is."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}{join}{number}", number + 1
    taken.add(found)
    return found


def plain(text: str, limit: int = 80) -> str:
    """Text for a comment: one line, cut in front; quotes, backslashes and control characters become `%0A`."""
    safe = "".join(
        c if c.isprintable() and c not in '"\\' else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass"))
        for c in text
    )
    return safe if len(safe) <= limit else f"...{safe[3 - limit :]}"


def place(span: Span) -> str:
    """A spec's file and line, without its folders, which differ from machine to machine: `resnet.cnn:17`."""
    return f"{plain(span.source.name.replace(chr(92), '/').rpartition('/')[2])}:{span.line}"


class Group(NamedTuple):
    """A call or a list that is laid out one item a line, a comma after each; without commas a lone item's."""

    head: str
    items: list[Code]
    tail: str
    commas: bool = True

    @staticmethod
    def prefixed(prefix: str, code: Code) -> Code:
        """With something before it: `"key": nn.ReLU()`."""
        return f"{prefix}{code}" if isinstance(code, str) else code._replace(head=f"{prefix}{code.head}")


Code: TypeAlias = "str | Group"


def laid(indent: int, code: Code, before: str = "", after: str = "") -> list[str]:
    """An expression's lines, with something before and after it: a group without commas is one line where it fits."""
    pad = " " * indent
    if isinstance(code, str):
        return _statement(indent, f"{before}{code}{after}")
    if not code.commas and len(code.items) == 1 and isinstance(code.items[0], str):
        flat = f"{before}{code.head}{code.items[0]}{code.tail}{after}"
        if len(pad) + len(flat) <= WIDTH or len(pad) + 4 + len(code.items[0]) <= WIDTH:
            return wrapped(indent, flat)
    comma = "," if code.commas else ""
    rows = [row for item in code.items for row in laid(indent + 4, item, after=comma)]
    return [f"{pad}{before}{code.head}", *rows, f"{pad}{code.tail}{after}"]


def _statement(indent: int, code: str) -> list[str]:
    # A generator that is too long has its `for` on a line of its own.
    pad = " " * indent
    found = re.fullmatch(r"\*\((.*) (for \w+ in range\(.*\))\)(,?)", code)
    if found is None or len(pad) + len(code) <= WIDTH:
        return wrapped(indent, code)
    return [f"{pad}*(", *wrapped(indent + 4, found[1]), f"{pad}    {found[2]}", f"{pad}){found[3]}"]


def wrapped(indent: int, code: str) -> list[str]:
    """Code on one line, or with its last bracket's content indented below: on one line, else one item a line."""
    pad = " " * indent
    split = _last_bracket(code)
    if len(pad) + len(code) <= WIDTH or split is None:
        return [pad + code]
    head, items, tail = split
    inside = f"{pad}    {', '.join(items)}"
    if len(inside) <= WIDTH:
        return [pad + head, inside, pad + tail]
    return [pad + head, *(each for item in items for each in wrapped(indent + 4, f"{item},")), pad + tail]


def signature(indent: int, head: str, words: Sequence[str], returned: str) -> list[str]:
    """`def name(self, x: Tensor) -> Tensor:`, its parameters on a line of their own or one a line where it is long."""
    pad = " " * indent
    flat = f"{pad}{head}({', '.join(words)}) -> {returned}:"
    if len(flat) <= WIDTH:
        return [flat]
    inside = f"{pad}    {', '.join(words)}"
    rows = [inside] if len(inside) <= WIDTH else [f"{pad}    {word}," for word in words]
    return [f"{pad}{head}(", *rows, f"{pad}) -> {returned}:"]


def prose(words: str, width: int) -> list[str]:
    """A sentence on lines of at most so many letters."""
    return wrap(words, width, break_long_words=False, break_on_hyphens=False) or [""]


def _last_bracket(code: str) -> tuple[str, list[str], str] | None:
    # The last pair of brackets on the outermost level, as its two halves and the items between.
    start = end = -1
    depth = 0
    commas: list[int] = []
    for at, character in _code(code):
        if character in _OPEN:
            if depth == 0:
                start, commas = at, []
            depth += 1
        elif character in _CLOSE:
            depth -= 1
            end = at if depth == 0 else end
        elif character == "," and depth == 1:
            commas.append(at)
    if start < 0 or end <= start + 1:
        return None
    cuts = [start, *commas, end]
    items = [code[a + 1 : b].strip() for a, b in pairwise(cuts)]
    return code[: start + 1], [item for item in items if item], code[end:]


def _code(text: str) -> Iterator[tuple[int, str]]:
    # Characters that are not inside a string.
    quote = ""
    skip = False
    for at, character in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            yield at, character
