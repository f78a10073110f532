"""The parser for `grammar.lark`, from a table made beforehand: building it takes a second, loading it milliseconds.

`python -m netc.syntax.table` writes `grammar_table.py` anew; a test keeps it equal to the grammar. It is Python, and so
read as bytecode, in a tenth of the time that JSON takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token

from netc.syntax.build import Builder
from netc.syntax.driver import Driver
from netc.syntax.lexer import OneLexer

_HERE = Path(__file__).parent
GRAMMAR = _HERE / "grammar.lark"
TABLE = _HERE / "grammar_table.py"

_HEAD = """\
\"\"\"What Lark makes of grammar.lark: written by `python -m netc.syntax.table`, kept equal to it by a test.\"\"\"

from typing import Any
"""


def dump() -> str:
    """The table of `grammar.lark` as Python, built strictly: a conflict is an error, not a silent choice."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    # strict needs `interegular`, a development dependency, to prove that no two terminals collide.
    parser = Lark(GRAMMAR.read_text("utf-8"), parser="lalr", strict=True, maybe_placeholders=True)
    data, memo = cast("tuple[Any, Any]", parser.memo_serialize([TerminalDef, Rule]))  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part
    _number(data, memo)
    return f"{_HEAD}\nDATA: dict[str, Any] = {_literal(data)}\nMEMO: dict[int, Any] = {_literal(memo)}\n"


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        return f"{{{','.join(f'{k!r}:{_literal(held[k])}' for k in sorted(held))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_literal, cast('list[Any]', value)))}]"
    return repr(value)


def _number(data: dict[str, Any], memo: dict[int, Any]) -> None:
    """Number tokens, rules and states by what they are: Lark numbers them anew in every process."""
    table: dict[str, Any] = data["parser"]["parser"]
    told = sorted(memo, key=lambda n: json.dumps(memo[n], sort_keys=True))
    rules = {old: new for new, old in enumerate(told)}
    tokens = {old: new for new, old in enumerate(sorted(table["tokens"], key=lambda n: table["tokens"][n]))}
    states: dict[int, int] = {}
    found = sorted(table["start_states"].values())
    for state in found:  # grows while it is walked: breadth first from the start
        if state not in states:
            states[state] = len(states)
            row = table["states"][state]
            found.extend(row[t][1] for t in sorted(row, key=lambda t: tokens[t]) if row[t][0] == 0)
    for name in ("start_states", "end_states"):
        table[name] = {rule: states[state] for rule, state in table[name].items()}
    table["tokens"] = {tokens[old]: name for old, name in table["tokens"].items()}
    table["states"] = {
        states[old]: {tokens[t]: [a, states[arg] if a == 0 else arg] for t, (a, arg) in row.items()}
        for old, row in table["states"].items()
    }
    kept = {rules[old]: each for old, each in memo.items()}
    memo.clear()
    memo.update(kept)
    _refer(data, rules)


def _refer(at: Any, rules: dict[int, int]) -> None:
    # `{"@": n}` stands for the n-th rule or terminal of the memo.
    if isinstance(at, dict):
        held = cast("dict[str, Any]", at)
        if list(held) == ["@"]:
            held["@"] = rules[held["@"]]
            return
        at = list(held.values())
    for each in cast("list[Any]", at) if isinstance(at, list) else ():
        _refer(each, rules)


def load(on_comment: Callable[[Token], Token], builder: Builder) -> Lark:
    """A parser that calls `on_comment` with every comment and returns what the builder's `start` does."""
    from netc.syntax import grammar_table

    return Lark._load_from_dict(  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType] -- what Lark's standalone parsers call; the public Lark.load takes a pickle
        grammar_table.DATA,
        grammar_table.MEMO,
        transformer=builder,
        lexer_callbacks={"COMMENT": on_comment},
        _plugins={"ContextualLexer": OneLexer, "LALR_Parser": Driver},
    )


if __name__ == "__main__":
    TABLE.write_text(dump(), "utf-8")
