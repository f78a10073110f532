"""Slips of the pen and worse: what makes a wrong text out of a right one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.fuzz.seeds import TOKENS, seeds, words

NUMBERS = (
    "0", "1", "2", "00", "1_0", "1_", "999_999", "2147483647", "2147483648", "9223372036854775807", "9" * 30,
    "9" * 5000, "0.0", "1e308", "1e309", "1e-320", "0.1e-999", "1x1", "3x3x3", "2147483648x2", "1x1x1x1", "-1", "-0",
)  # fmt: skip
STRANGE = (
    "\0", "\ufeff", "\u202e", "\u00a0", "\u2028", "\x85", "\x0b", "\x1b[2J", "\x7f", "\r", "\r\n", "\t", "é", "e\u0301",
    "ß", "中", "\U0001f600", "\ud800", "\uffff", "٣", "²", "ª", "\\", "'", '"', "`", ";", "$", "$END", "!", "&", "?",
    "~",
)  # fmt: skip
DEEP = (
    ("(", ")"), ("[", "]"), ("{ ", " }"), ("-", ""), ("not ", ""), ("add { | id | ", " }"), ("if true { ", " }"),
    ("1 if true else ", ""), ("sum([", "])"), ("a.", ""), ("a: { ", " } * 2"), ("1 + ", ""), ("true and ", ""),
)  # fmt: skip


def mutated(text: str, chance: Random, most: int = 4) -> str:
    """A text after a few changes."""
    for _ in range(chance.randint(1, most)):
        text = chance.choice(WAYS)(text, chance)
    return text


def _spans(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in TOKENS.finditer(text) if m[0].strip()] or [(0, len(text))]


def _delete(text: str, chance: Random) -> str:
    a, b = chance.choice(_spans(text))
    return text[:a] + text[b:]


def _delete_stretch(text: str, chance: Random) -> str:
    spans = _spans(text)
    first = chance.randrange(len(spans))
    last = min(first + chance.randint(1, 12), len(spans) - 1)
    return text[: spans[first][0]] + text[spans[last][1] :]


def _double(text: str, chance: Random) -> str:
    a, b = chance.choice(_spans(text))
    return f"{text[:b]} {text[a:b]}{text[b:]}"


def _double_stretch(text: str, chance: Random) -> str:
    spans = _spans(text)
    first = chance.randrange(len(spans))
    a, b = spans[first][0], spans[min(first + chance.randint(1, 20), len(spans) - 1)][1]
    return f"{text[:b]} {text[a:b]} {text[b:]}"


def _swap(text: str, chance: Random) -> str:
    spans = _spans(text)
    (a, b), (c, d) = sorted((chance.choice(spans), chance.choice(spans)))
    return text if a == c else text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def _replace(text: str, chance: Random) -> str:
    spans = _spans(text)
    (a, b), (c, d) = chance.choice(spans), chance.choice(spans)
    return text[:a] + text[c:d] + text[b:]


def _insert(text: str, chance: Random) -> str:
    a, _ = chance.choice(_spans(text))
    return f"{text[:a]} {chance.choice(words())} {text[a:]}"


def _other_word(text: str, chance: Random) -> str:
    a, b = chance.choice(_spans(text))
    return text[:a] + chance.choice(words()) + text[b:]


def _number(text: str, chance: Random) -> str:
    spans = [s for s in _spans(text) if text[s[0] : s[0] + 1].isdigit()] or _spans(text)
    a, b = chance.choice(spans)
    return text[:a] + chance.choice(NUMBERS) + text[b:]


def _strange(text: str, chance: Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(STRANGE) + text[at:]


def _letter(text: str, chance: Random) -> str:
    at = chance.randint(0, max(len(text) - 1, 0))
    return text[:at] + chance.choice(("", "x", "_", "7", " ", text[at : at + 1] * 2)) + text[at + 1 :]


def _misspell(text: str, chance: Random) -> str:
    # What "did you mean" is for, and its edits.
    spans = [s for s in _spans(text) if s[1] - s[0] > 3 and text[s[0] : s[1]].isidentifier()] or _spans(text)
    a, b = chance.choice(spans)
    at = chance.randrange(a, max(b - 1, a + 1))
    return text[:at] + chance.choice((text[at + 1 : at + 2], "", "x", text[at : at + 1] * 2)) + text[at + 1 :]


def _deep(text: str, chance: Random) -> str:
    a, b = chance.choice(_spans(text))
    opened, closed = chance.choice(DEEP)
    times = chance.choice((1, 2, 30, 90, 150, 199, 201, 400))
    return text[:a] + opened * times + text[a:b] + closed * times + text[b:]


def _cut(text: str, chance: Random) -> str:
    return text[: chance.randint(0, len(text))]


def _graft(text: str, chance: Random) -> str:
    other = chance.choice(seeds())
    mine, theirs = _spans(text), _spans(other)
    a = chance.choice(mine)[0]
    first = chance.randrange(len(theirs))
    c, d = theirs[first][0], theirs[min(first + chance.randint(1, 30), len(theirs) - 1)][1]
    return f"{text[:a]} {other[c:d]} {text[a:]}"


def _join(text: str, chance: Random) -> str:
    return f"{text}\n{chance.choice(seeds())}"


def _repeated(text: str, chance: Random) -> str:
    a, b = chance.choice(_spans(text))
    return text[:b] + f" {text[a:b]}" * chance.choice((2, 10, 100)) + text[b:]


Way = Callable[[str, Random], str]
WAYS: tuple[Way, ...] = (
    _delete, _delete, _delete_stretch, _double, _double_stretch, _swap, _swap, _replace, _replace, _insert, _insert,
    _other_word, _other_word, _number, _strange, _letter, _misspell, _misspell, _deep, _cut, _graft, _graft,
    _join, _repeated,
)  # fmt: skip
