"""Splits a text into tokens: one regular expression for all, and the parser's state to tell a keyword from a name.

Lark's own contextual lexer compiles an expression for each of some forty parser states, which takes longer than a
check of a small spec. `grammar.lark` stays the definition of every terminal: this lexer is made from what Lark read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from lark import Token
from lark.exceptions import UnexpectedCharacters
from lark.lexer import Lexer, PatternStr

_OPERATORS = ("CMP", "MUL", "ADD")
_NUMBERS = frozenset({"DIMS", "FLOAT", "INT"})


class Piece(Token):
    """A token with its place in characters: lines and columns are counted for the few places that are shown."""

    __slots__ = ()
    line = column = end_line = end_column = None

    def __new__(cls, type: str, value: str, start_pos: int, end_pos: int) -> Piece:
        made = str.__new__(cls, value)
        made.type, made.value, made.start_pos, made.end_pos = type, value, start_pos, end_pos
        return made


class OneLexer(Lexer):
    """Takes the place of Lark's ContextualLexer, which hands it the terminals and what each parser state accepts."""

    def __init__(self, conf: Any, states: Mapping[Any, Collection[str]], always_accept: Collection[str] = ()) -> None:
        self.accepts = {state: frozenset(names) for state, names in states.items()}
        self.callbacks = dict(conf.callbacks)
        texts = {t.pattern.value: t.name for t in conf.terminals if isinstance(t.pattern, PatternStr)}
        patterns = {t.name: t.pattern.to_regexp() for t in conf.terminals if not isinstance(t.pattern, PatternStr)}
        sections = re.findall(r"\w+", patterns["SECTION"].removeprefix("(?:"))
        # What a word or an operator can be, the likeliest first; the parser's state decides.
        self.words: dict[str, tuple[str, ...]] = {text: (name,) for text, name in texts.items() if text.isidentifier()}
        self.words["in"] = (texts["in"], "NAME")
        self.words |= dict.fromkeys(sections, ("SECTION", "NAME"))
        marks = sorted((text for text in texts if not text.isidentifier()), key=len, reverse=True)
        self.marks = {
            text: (texts[text], *(n for n in _OPERATORS if re.fullmatch(patterns[n], text))) for text in marks
        }
        self.keywords = frozenset(texts[text] for text in texts if text.isidentifier())
        self.colon = re.compile(r"\s*:")
        self.whole = re.compile(patterns["INT"])
        long = "|".join(re.escape(m) for m in marks if len(m) > 1)
        short = "|".join(re.escape(m) for m in marks if len(m) == 1)
        blanks = "|".join(patterns[n] for n in conf.ignore if n not in self.callbacks)
        groups = [f"(?P<{n}>{patterns[n]})" for n in ("NAME", "DIMS", "FLOAT", "INT", "STRING", *self.callbacks)]
        groups.append(f"(?P<MARK>{long}|{'|'.join(patterns[n] for n in _OPERATORS)}|{short})")
        # Possessive: a run of blanks is never tried in parts.
        self.blank = re.compile(f"(?:{blanks})*+")
        self.regex = re.compile(f"(?:{blanks})*+(?:{'|'.join(groups)})")

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Token]:
        """Every token of the text. Raises UnexpectedCharacters where none starts."""
        text = cast(str, lexer_state.text.text)
        match, accepts, callbacks, words, marks = self.regex.match, self.accepts, self.callbacks, self.words, self.marks
        at = 0
        while found := match(text, at):
            kind: str = found.lastgroup  # pyright: ignore[reportAssignmentType] -- every way to match is a named group
            word: str = found[kind]
            at = found.end()
            start = at - len(word)
            if kind == "NAME" or kind == "MARK":
                names = words.get(word) if kind == "NAME" else marks.get(word) or self._operator(word)
                if names is not None:
                    kind = names[0]
                    taken = accepts[parser_state.position]
                    if kind not in taken:
                        kind = next((n for n in names if n in taken), kind)
                        if kind in self.keywords and kind not in taken and self._names(taken, text, at):
                            kind = "NAME"
            elif kind in _NUMBERS and kind not in accepts[parser_state.position]:
                # `layer2.1.0` after its dots: whole numbers, though 1.0 reads as one.
                whole = self.whole.match(text, start)
                if whole is not None and "INT" in accepts[parser_state.position]:
                    kind, word, at = "INT", whole.group(), whole.end()
            elif kind in callbacks:
                callbacks[kind](Piece(kind, word, start, at))
                continue
            yield Piece(kind, word, start, at)
        at = cast("re.Match[str]", self.blank.match(text, at)).end()
        if at < len(text):
            line = text.count("\n", 0, at) + 1
            allowed = set(accepts[parser_state.position])
            raise UnexpectedCharacters(text, at, line, at - text.rfind("\n", 0, at), allowed=allowed)

    def _names(self, taken: Collection[str], text: str, at: int) -> bool:
        """Whether a keyword stands where only a name can, or before a colon: the elaborator says what is wrong with it.

        Anywhere else it begins the next statement, and the one before it lacks something.
        """
        return "NAME" in taken and ("INT" not in taken or self.colon.match(text, at) is not None)

    def _operator(self, word: str) -> tuple[str, ...]:
        kind = "CMP" if word[0] in "=!<>" else "ADD" if word in "+-" else "MUL"
        self.marks[word] = (kind,)
        return self.marks[word]
