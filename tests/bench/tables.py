"""What the benchmarks print: tables, on the terminal and as JSON for docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table with a title and, below it, what is to be said of it: bars first, as `told` words them."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]

    def lines(self) -> list[str]:
        """The table for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *self.rows)
        ]
        return [self.title, "", *shown, "", *self.notes, ""]


MET, MISSED = "Met: ", "Missed: "
BARS = (MET, MISSED)
"""How a note begins that is about a bar."""


def told(met: bool, bar: str) -> str:
    """A bar and whether it is met."""
    return (MET if met else MISSED) + bar


def write(tables: Sequence[Table], file: Path | None) -> None:
    """Print tables, and write them as JSON where a file is named: a list of objects with a table's fields."""
    for table in tables:
        print("\n".join(table.lines()))
    if file is not None:
        file.write_text(
            json.dumps([asdict(table) for table in tables], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
