"""What a syntax error means to the person who made it: the parser's words turned into advice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from netc.syntax.tree import WORDS

_NAMES = {
    "ARROW": "`->`",
    "MORETHAN": "`>`",
    "NAME": "a name",
    "INT": "a whole number",
    "FLOAT": "a number",
    "STRING": 'a "text"',
    "DIMS": "sides such as 1x7",
    "SECTION": "`train`, `export` or `expect`",
    "CMP": "a comparison",
    "ADD": "`+` or `-`",
    "MUL": "`*`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "DOT": "`.`",
    "VBAR": "`|`",
    "STAR": "`*`",
    "MINUS": "`-`",
    "AT": "`@`",
    "$END": "the end of the file",
}
# What continues almost any expression; listing it would bury what is missing.
_NOISE = frozenset({"CMP", "ADD", "MUL", "MINUS", "STAR", "AND", "OR", "IF", "DOT", "LSQB", "FOR", "FLOAT", "DIMS"})


class Advice(NamedTuple):
    """A message and a way out."""

    message: str
    help: str = ""


def expected(terminals: Iterable[str]) -> str:
    """What could have stood here, in words, the likeliest few."""
    names = set(terminals)
    wanted = names - _NOISE or names
    order = [
        "RPAR",
        "RSQB",
        "RBRACE",
        "COMMA",
        "EQUAL",
        "COLON",
        "LBRACE",
        "LPAR",
        "NAME",
        "INT",
        "STRING",
        "__ANON_0",
        "__ANON_1",
    ]
    ranked = sorted(wanted, key=lambda n: (order.index(n) if n in order else len(order), n))
    said = [_NAMES.get(n, f"`{n.lower()}`") for n in ranked if not n.startswith("__ANON")][:4]
    return " or ".join(said) if len(said) < 3 else f"{', '.join(said[:-1])} or {said[-1]}"


_PASTED = (
    (
        re.compile(r"\A\s*(name|layer|layers|input_dim|input_param)\s*(:|\{)", re.MULTILINE),
        "this looks like a Caffe prototxt",
    ),
    (re.compile(r"\A\s*\[(net|network|convolutional|maxpool)\]", re.MULTILINE), "this looks like a darknet .cfg file"),
    (re.compile(r"\A\s*(---|[A-Za-z_]+:\s*(#.*)?\n\s+(-\s|[A-Za-z_]+:))"), "this looks like YAML"),
    (re.compile(r"\A\s*[\[{]\s*(\"|\}|\])"), "this looks like JSON"),
    (re.compile(r"\A\s*(import |from \w+(\.\w+)* import |class \w+\s*[(:]|def )"), "this looks like Python"),
)


def pasted(text: str) -> Advice | None:
    """Advice where the whole text is in another language."""
    for pattern, message in _PASTED:
        if pattern.search(text[:4000]):
            return Advice(
                f"{message}, not a netc spec",
                "a spec starts like this: net Name(classes = 10) { input image: f32[N, 1, 28, 28] ...",
            )
    return None


def advice(text: str, offset: int, found: str, accepts: Iterable[str]) -> Advice:
    """The message for an error at `offset`, where `found` stood and `accepts` (terminal names) could have."""
    names = set(accepts)
    line_start = text.rfind("\n", 0, offset) + 1
    before = text[line_start:offset].rstrip()
    after = text[offset : offset + 80]
    if found == "'":
        return Advice("texts stand in double quotes", "write \"...\" in place of '...'")
    if found == ";":
        return Advice("`;` has no meaning here: a line needs no end", "take the `;` out")
    named = re.search(r"(?:^|[{|])\s*(?:self\.)?(\w+)$", before)
    if found == "=" and named is not None:
        return Advice(
            "a value is named by a label, not by `=`",
            f"write {named[1]}: layer(...) in a chain, or let {named[1]} = ... for a number",
        )
    if found == "=" and text[line_start:offset].endswith("=="):
        return Advice("`===` is not an operator", "write ==")
    if re.match(r"\*\*", after) or (found == "*" and before.endswith("*")):
        return Advice("`**` is not an operator here", "multiply: 2 * 2 * 2")
    if "__ANON_0" in names and re.match(r"[A-Za-z_]", found):
        return Advice(f"`{found}` does not follow here: stages are joined by `->`", f"write -> {found}")
    if found in WORDS and "NAME" in names:
        return Advice(
            f"`{found}` is a word of the language, and a name was expected here",
            f'something is missing before it; as a component of a path it is quoted: "{found}": ...',
        )
    if found == "{" and "ELSE" in names:
        return Advice(
            "this `if` goes on with the expression before it, and an expression's `if` has an `else` and no braces",
            "start a chain with it: from in -> if ... { ... }",
        )
    if found == "|" and before.endswith("|"):
        return Advice("an arm is never empty", "write | id for an arm that passes its input on")
    if found in ("}", "|") and re.search(r"(\{|\|)\s*$", text[:offset]):
        return Advice("braces and arms are never empty", "write id to pass the input on, or take them out")
    if found == "" and "$END" not in names:
        return Advice(f"the text ends where {expected(names)} was expected")
    if re.match(r"[A-Za-z_]", found) and re.search(r"\w$", before) and "COMMA" in names:
        return Advice(f"`{found}` does not follow here: a comma is missing", f"write a comma before {found}")
    shown = found if found.isprintable() else repr(found)
    return Advice(f"`{shown}` does not fit here: expected {expected(names)}")
