"""Statement-level recovery: find the statement that a syntax error sits in, so that the rest can still be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_WORD = re.compile(r'#[^\n]*|"[^"\n]*"|\w+|[{}()\[\]]|=>|->|\S')
_BRACKET = re.compile(r'#[^\n]*|"[^"\n]*"|[{}()\[\]]')
_OPENS = {"{": "}", "(": ")", "[": "]"}
_CLOSES = {close: open_ for open_, close in _OPENS.items()}
_STARTS = frozenset({"use", "let", "default", "block", "net", "input", "output", "require", "from"})
_SECTIONS = frozenset({"train", "export", "expect"})
_DEFINES = frozenset({"block", "net", "train", "export", "expect"})


@dataclass(slots=True)
class Word:
    """A token of the rough reading that recovery needs: words, brackets, anything else by the character."""

    text: str
    start: int
    end: int
    opens_line: bool = False


def words(text: str) -> list[Word]:
    """The text's tokens without comments, read roughly; never fails."""
    found: list[Word] = []
    last = 0
    for match in _WORD.finditer(text):
        if not match[0].startswith("#"):
            found.append(Word(match[0], match.start(), match.end(), "\n" in text[last : match.start()]))
            last = match.end()
    return found


class Unbalanced(NamedTuple):
    """A bracket without its partner. `other` is the bracket it met instead, None at the end of the text."""

    bracket: Word
    other: Word | None


def brackets(text: str, deepest: int) -> Unbalanced | Word | None:
    """The first bracket without a partner, or the first one nested deeper than `deepest`; None where all is well."""
    stack: list[Word] = []
    for match in _BRACKET.finditer(text):
        word = Word(match[0], match.start(), match.end())
        if word.text in _OPENS:
            stack.append(word)
            if len(stack) > deepest:
                return word
        elif word.text in _CLOSES:
            if not stack or (stack[-1].text == "{" and word.text != "}"):
                return Unbalanced(word, None)
            if stack[-1].text != _CLOSES[word.text]:
                return Unbalanced(stack[-1], word)
            stack.pop()
    return Unbalanced(stack[-1], None) if stack else None


class Damage(NamedTuple):
    """A statement to set aside, `start` to `end`, and what to put in its place."""

    start: int
    end: int
    filler: str


def statement(found: list[Word], offset: int) -> Damage | None:
    """The innermost statement that holds `offset`, which is where the parser stopped. Brackets are balanced."""
    at = next((i for i, word in enumerate(found) if word.end > offset), len(found))
    starts = _statements(found)
    # A statement's first word, or the brace after its end, is where the parser notices what the one before lacks.
    ends_before = (
        at == len(found) or found[at].text == "}" or (at in starts and at > 0 and found[at - 1].text not in "{}|")
    )
    inside = at - 1 if ends_before else at
    if inside < 0:
        return None
    if ends_before and found[inside].text == "|":
        only = inside > 0 and found[inside - 1].text == "{"
        return Damage(found[inside].start, found[inside].end, "_" if only else "")
    begin = _enclosing(found, starts, inside)
    if begin is None:
        return None
    end = _end(found, starts, begin, inside)
    alone = found[begin - 1].text in "{|" and end < len(found) and found[end].text in "}|" if begin else False
    swallowed = any(word.text == "{" for word in found[begin:end])
    start, stop = found[begin].start, found[end - 1].end
    return Damage(start, stop, _filler(found[begin].text, starts[begin], stop - start, alone or swallowed))


def _filler(first: str, kind: str, room: int, needed: bool) -> str:
    # A body needs a chain; what stands in for a broken one parses, and the frame it is in is marked as damaged.
    chain = "from _" if room >= 6 else ""
    if kind in ("top", "pairs"):
        return ""
    if first == "from":
        return chain
    if first in _STARTS or first in _SECTIONS:
        return chain if needed and first in ("let", "default", "require") else ""
    if kind == "net":
        return ""
    return "id" if room >= 2 else "_"


def _statements(found: list[Word]) -> dict[int, str]:
    """Index of each statement's first word -> what it stands in: `top`, `net`, `body`, or `pairs` (keys and values)."""
    starts: dict[int, str] = {}
    kinds = ["top"]
    firsts = [""]  # by depth, the first word of the statement that goes on there
    round_ = 0
    header = False  # between `block` or `net` and its brace, where `from` is part of the header
    fresh = True  # after a brace or a bar: whatever comes starts a statement
    for i, word in enumerate(found):
        text = word.text
        before = found[i - 1].text if i else ""
        after = found[i + 1].text if i + 1 < len(found) else ""
        if text in _STARTS:
            round_ = 0  # none of these stands in parentheses: one was not closed
        if text in "([":
            round_ += 1
        elif text in ")]":
            round_ -= 1
        elif text == "{":
            header, round_ = False, 0
            kinds.append(_kind(firsts[-1]))
            firsts.append("")
        elif text == "}":
            round_ = 0
            if len(kinds) > 1:
                kinds.pop()
                firsts.pop()
        elif round_ == 0 and text != "|":
            named = text in _STARTS and before not in (".", "=", ":") and not (text == "from" and header)
            if named and text == "default" and after in ("=", ":"):
                named = False
            section = text in _SECTIONS and before != "." and before != "="
            section = section and (after == "{" or (i + 2 < len(found) and found[i + 2].text == "{"))
            if named or section or fresh:
                starts[i] = kinds[-1]
                firsts[-1] = text
                header = text in ("block", "net")
        fresh = text in ("{", "|")
    return starts


def _kind(first: str) -> str:
    if first in _SECTIONS or first in ("input", "output"):
        return "pairs"
    return "net" if first == "net" else "body"


def _enclosing(found: list[Word], starts: dict[int, str], inside: int) -> int | None:
    depth = 0
    for i in range(inside, -1, -1):
        text = found[i].text
        if text == "}" and i != inside:
            depth += 1
        elif text == "{" and depth:
            depth -= 1
        elif text == "{" and i != inside:
            # This brace opened around the error: what it belongs to starts further out, or a statement began inside.
            depth = 0
        if depth == 0 and i in starts:
            return i
    return None


def _end(found: list[Word], starts: dict[int, str], begin: int, inside: int) -> int:
    depth = round_ = 0
    lined = found[begin].text in ("let", "default", "require")  # what follows may be a chain without a `from`
    for i in range(begin, len(found)):
        text = found[i].text
        if lined and i > inside and depth == 0 and round_ <= 0 and found[i].opens_line:
            return i
        if text in "([":
            round_ += 1
        elif text in ")]":
            round_ -= 1
        elif text == "{":
            depth += 1
        elif text == "}":
            depth -= 1
            if depth < 0:
                return i
            if depth == 0 and found[begin].text in _DEFINES:
                return i + 1
        elif i > begin and depth == 0 and (text == "|" or i in starts):
            return i
    return len(found)
