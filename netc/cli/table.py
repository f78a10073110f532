"""Tables in a terminal: numbers as people read them, and columns that give way to a narrow window."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from netc.cli.terminal import paint
from netc.render import Line, columns

WIDE = 160
"""Characters of a line where nothing says how many there are: in a file or a pipe."""

_SHORTEST = 12


class Column(NamedTuple):
    """A column: its title, its cells, and what it may give up where the lines are too long.

    `short` are cells to take instead; a column with a `rank` may go altogether, the lowest rank first.
    """

    title: str
    cells: Sequence[str]
    right: bool = False
    short: Sequence[str] | None = None
    rank: int | None = None


def width() -> int:
    """How long a line may be: COLUMNS, else the terminal's, else WIDE."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not (sys.stdout is not None and sys.stdout.isatty()):
        return WIDE
    return shutil.get_terminal_size((WIDE, 24)).columns


def fitted(table: Sequence[Column], most: int) -> list[Column]:
    """The columns as they fit: with short cells, then without those that may go, then with shortened first cells."""
    found = list(table)
    if _long(found) > most:
        found = [c if c.short is None else c._replace(cells=c.short) for c in found]
    while _long(found) > most and any(c.rank is not None for c in found):
        found.remove(min((c for c in found if c.rank is not None), key=lambda c: c.rank or 0))
    over = _long(found) - most
    if over > 0:
        first = found[0]
        room = max(_SHORTEST, _width(first) - over)
        found[0] = first._replace(cells=[middle(cell, room) for cell in first.cells])
    return found


def _width(column: Column) -> int:
    return max(map(columns, [column.title, *column.cells]))


def _long(table: Sequence[Column]) -> int:
    return sum(map(_width, table)) + 2 * (len(table) - 1)


def middle(text: str, room: int) -> str:
    """A text with its middle left out where it is longer than the room: `features.d...r24.conv2`."""
    if len(text) <= room:
        return text
    head = (room - 3) // 2
    return f"{text[:head]}...{text[len(text) - (room - 3 - head) :]}"


def show(table: Sequence[Column], most: int | None = None) -> None:
    """Print a table as the window has room for it."""
    fit = fitted(table, width() if most is None else most)
    lines: list[Line] = [[("place", _joined(fit, [c.title for c in fit]))]]
    lines += [[("", _joined(fit, row))] for row in zip(*(c.cells for c in fit), strict=True)]
    paint(lines)


def _joined(table: Sequence[Column], cells: Sequence[str]) -> str:
    words: list[str] = []
    for column, cell in zip(table, cells, strict=True):
        space = " " * (_width(column) - columns(cell))
        words.append(space + cell if column.right else cell + space)
    return "  ".join(words).rstrip()


def short(number: int | None) -> str:
    """A count in three digits: `60.2 M`, `11.5 G`."""
    if number is None:
        return "-"
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size - size // 2000:  # 999,500 is 1.00 M
            return f"{_three(number / size)} {unit}"
    return str(number)


def exact(number: int | None) -> str:
    """A count in full: `60,192,808`."""
    return "-" if number is None else f"{number:,}"


def size(number: int | None) -> str:
    """Bytes in three digits: `9.19 MiB`."""
    if number is None:
        return "-"
    for unit, one in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= one - one // 2048:
            return f"{_three(number / one)} {unit}"
    return f"{number} B"


def _three(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
