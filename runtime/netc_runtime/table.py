"""Text in aligned columns."""

from collections.abc import Container, Sequence

from netc_runtime.errors import printable


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """Give rows of cells as lines whose columns are aligned, those of `right` to the right; no cell breaks a line."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
