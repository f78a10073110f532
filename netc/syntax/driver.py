"""Runs Lark's LALR table over the tokens, as Lark's own loop does, in half its time.

Lark looks each rule up whenever it reduces by it, and calls a function for each that keeps its one part as it is: an
`expr` that is an `or_` that is an `and_`, eight levels for a number. Here both are settled when a state is first met.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from lark import Token
from lark.exceptions import UnexpectedInput
from lark.parse_tree_builder import ExpandSingleChild
from lark.parsers.lalr_analysis import Shift
from lark.parsers.lalr_interactive_parser import InteractiveParser
from lark.parsers.lalr_parser import LALR_Parser
from lark.parsers.lalr_parser import _Parser as Loop  # pyright: ignore[reportPrivateUsage] -- LALR_Parser keeps one

Reduction: TypeAlias = tuple[int, str, Callable[[list[Any]], Any] | None]
"""How many parts, the rule's name, and what makes one of them; None where the one part stands for the rule."""


class _Moves(dict[int, dict[str, Any]]):
    """What each token or rule leads to in each state: the next state's number, or a Reduction."""

    def __init__(self, states: dict[int, Any], callbacks: dict[Any, Any]) -> None:
        self.states, self.callbacks = states, callbacks

    def __missing__(self, state: int) -> dict[str, Any]:
        row = self[state] = {
            name: arg if action is Shift else self._reduction(arg) for name, (action, arg) in self.states[state].items()
        }
        return row

    def _reduction(self, rule: Any) -> Reduction:
        callback, size = self.callbacks[rule], len(rule.expansion)
        alone = size == 1 and isinstance(callback, ExpandSingleChild)
        return size, rule.origin.name, None if alone else callback


class _Loop(Loop):
    """Lark's parser loop, on the stacks of Lark's own state."""

    def __init__(self, table: Any, callbacks: Any) -> None:
        super().__init__(table, callbacks)  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part
        self.moves = _Moves(table.states, callbacks)

    def parse_from_state(self, state: Any, last_token: Token | None = None) -> Any:
        """What the start rule's callback returns. Raises UnexpectedInput where the text is none of the language."""
        moves = self.moves
        states, values = cast("list[int]", state.state_stack), cast("list[Any]", state.value_stack)
        wrong: Callable[[Token], Reduction] = state.feed_token  # for a token that does not fit: Lark raises its error
        token = last_token
        try:
            for token in state.lexer.lex(state):
                kind = token.type
                while not isinstance(move := moves[states[-1]].get(kind), int):
                    size, rule, callback = move or wrong(token)
                    if callback is None:
                        states[-1] = moves[states[-2]][rule]
                        continue
                    parts: list[Any] = []
                    if size:
                        parts = values[-size:]
                        del states[-size:], values[-size:]
                    values.append(callback(parts))
                    states.append(moves[states[-1]][rule])
                states.append(move)
                values.append(token)
            end = Token.new_borrow_pos("$END", "", token) if token is not None else Token("$END", "")
            return state.feed_token(end, True)
        except UnexpectedInput as error:
            error.interactive_parser = InteractiveParser(self, state, state.lexer)
            raise


class Driver(LALR_Parser):
    """Takes the place of Lark's LALR_Parser."""

    @classmethod
    def deserialize(cls, data: Any, memo: Any, callbacks: Any, debug: bool = False) -> Any:
        made = cast(Any, super()).deserialize(data, memo, callbacks, debug)
        made.parser = _Loop(made.parser.parse_table, callbacks)
        return made
