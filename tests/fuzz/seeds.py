"""Texts to begin from: the zoo, the standard library of blocks, and the examples of the documentation."""

from __future__ import annotations

import re
from functools import cache

from tests.conftest import ROOT

FENCE = re.compile(r"^```cnn[a-z ]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKENS = re.compile(r'"[^"\n]*"|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+|[-=]>|[=!<>]=|//|#[^\n]*|\n|[^\S\n]+|\S')
"""Lexemes, comments and the blanks between: they cover every character."""
LONGEST = 4000
"""Characters; a longer text makes every example slow and holds nothing new."""


@cache
def seeds() -> tuple[str, ...]:
    """Every seed, the same order on every machine."""
    files = [*sorted((ROOT / "specs").glob("*.cnn")), *sorted((ROOT / "netc" / "std").glob("*.cnn"))]
    pages = [*sorted((ROOT / "netc" / "errors").glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    found = [file.read_text("utf-8") for file in files]
    found += [text for page in pages for text in FENCE.findall(page.read_text("utf-8"))]
    return tuple(dict.fromkeys(text for text in found if len(text) <= LONGEST))


@cache
def words() -> tuple[str, ...]:
    """Every lexeme of the seeds, sorted."""
    found = {token for text in seeds() for token in TOKENS.findall(text)}
    return tuple(sorted(token for token in found if token.strip() and not token.startswith("#")))
