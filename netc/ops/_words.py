"""How arguments are written: to people in messages, to torch in calls."""

from __future__ import annotations

from collections.abc import Sequence

from netc.op import Argument, Inline
from netc.tensor import Side


def spell(value: int | Sequence[int] | str) -> str:
    """An argument's value as the language writes it: `3`, `[1, 7]`, `half`."""
    return f"[{', '.join(map(str, value))}]" if isinstance(value, (tuple, list)) else str(value)


def times(sizes: Sequence[Side]) -> str:
    """Sizes as messages say them, with the article: `a 5x5`, `an 11x11`, `a length-5`."""
    first = str(sizes[0])
    text = f"length-{first}" if len(sizes) == 1 else "x".join(map(str, sizes))
    return f"{'an' if text[0] == '8' or (len(sizes) > 1 and first in ('11', '18')) else 'a'} {text}"


def one(values: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all are equal, as people write it."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def unlike(default: Argument, **values: Argument) -> dict[str, Argument]:
    """The arguments that differ from their common default: the others are not worth a reader's time."""
    return {name: value for name, value in values.items() if value != default}


def call(function: str, *args: Argument, **kwargs: Argument) -> Inline:
    """A function of torch applied to the only operand."""
    words = ["{0}", *map(_literal, args), *(f"{name}={_literal(value)}" for name, value in kwargs.items())]
    return Inline(f"{function}({', '.join(words)})")


def _literal(value: Argument) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)  # a layer's own words, which hold no quotes
