"""The parser for `grammar.lark`, from a table made beforehand: building it takes most of a second, loading it milliseconds.

`python -m netc.syntax.table` writes `grammar.json` anew; a test keeps it equal to the grammar.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lark import Lark, Token

from netc.syntax.build import Builder

_HERE = Path(__file__).parent
GRAMMAR = _HERE / "grammar.lark"
TABLE = _HERE / "grammar.json"


def dump() -> str:
    """The table of `grammar.lark` as JSON, built strictly: a conflict is an error, not a silent choice."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    # strict needs `interegular`, a development dependency, to prove that no two terminals collide.
    parser = Lark(GRAMMAR.read_text("utf-8"), parser="lalr", strict=True, maybe_placeholders=True)
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    return json.dumps({"data": data, "memo": memo}, sort_keys=True, separators=(",", ":")) + "\n"


def _numbered(pairs: list[tuple[str, Any]]) -> dict[str | int, Any]:
    # JSON has text keys only; the table's states and tokens are numbered.
    return {int(key) if key.isdigit() else key: value for key, value in pairs}


def load(on_comment: Callable[[Token], Token]) -> Lark:
    """A parser that calls `on_comment` with every comment and returns what `Builder.start` does."""
    saved = json.loads(TABLE.read_text("utf-8"), object_pairs_hook=_numbered)
    return Lark._load_from_dict(  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType] -- what Lark's standalone parsers call; the public Lark.load takes a pickle
        saved["data"], saved["memo"], transformer=Builder(), lexer_callbacks={"COMMENT": on_comment}
    )


if __name__ == "__main__":
    TABLE.write_text(dump(), "utf-8")
