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


class OneLexer(Lexer):
    """Takes the place of Lark's ContextualLexer, which hands it the terminals and what each parser state accepts."""

    def __init__(self, conf: Any, states: Mapping[Any, Collection[str]], always_accept: Collection[str] = ()) -> None:
        self.accepts = {state: frozenset(names) for state, names in states.items()}
        self.ignore = frozenset(conf.ignore)
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
        groups = [f"(?P<{n}>{patterns[n]})" for n in (*self.ignore, "NAME", "DIMS", "FLOAT", "INT", "STRING")]
        groups.append(f"(?P<MARK>{long}|{'|'.join(patterns[n] for n in _OPERATORS)}|{short})")
        self.regex = re.compile("|".join(groups))

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Token]:
        """Every token of the text. Raises UnexpectedCharacters where none starts."""
        text = cast(str, lexer_state.text.text)
        match, accepts, ignore, words, marks = self.regex.match, self.accepts, self.ignore, self.words, self.marks
        at, end = 0, len(text)
        while at < end:
            found = match(text, at)
            if found is None:
                line = text.count("\n", 0, at) + 1
                allowed = set(accepts[parser_state.position])
                raise UnexpectedCharacters(text, at, line, at - text.rfind("\n", 0, at), allowed=allowed)
            kind = cast(str, found.lastgroup)
            start, at = at, found.end()
            if kind in ignore:
                if kind in self.callbacks:
                    self.callbacks[kind](Token(kind, found.group(), start))
                continue
            word = found.group()
            if kind == "NAME" or kind == "MARK":
                names = words.get(word) if kind == "NAME" else marks.get(word) or self._operator(word)
                if names is not None:
                    taken = accepts[parser_state.position]
                    kind = next((n for n in names if n in taken), names[0])
                    if kind not in taken and kind in self.keywords and self._names(taken, text, at):
                        kind = "NAME"
            elif kind in _NUMBERS and kind not in accepts[parser_state.position]:
                # `layer2.1.0` after its dots: whole numbers, though 1.0 reads as one.
                whole = self.whole.match(text, start)
                if whole is not None and "INT" in accepts[parser_state.position]:
                    kind, word, at = "INT", whole.group(), whole.end()
            token = Token(kind, word, start, None, None, None, None, at)
            lexer_state.last_token = token
            yield token

    def _names(self, taken: Collection[str], text: str, at: int) -> bool:
        """Whether a keyword stands where only a name can, or before a colon: the elaborator says what is wrong with it.

        Anywhere else it begins the next statement, and the one before it lacks something.
        """
        return "NAME" in taken and ("INT" not in taken or self.colon.match(text, at) is not None)

    def _operator(self, word: str) -> tuple[str, ...]:
        kind = "CMP" if word[0] in "=!<>" else "ADD" if word in "+-" else "MUL"
        self.marks[word] = (kind,)
        return self.marks[word]
