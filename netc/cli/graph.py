"""`netc graph`: a net's picture, as SVG or as a page."""

from __future__ import annotations

from pathlib import Path

from netc.atomic import replacing
from netc.cli.codes import UsageFault
from netc.cli.terminal import out, verbatim
from netc.graph import Graph

_WRITERS = ("svg", "html")


def form(target: str, asked: str | None) -> str:
    """How the picture is written: as asked, else as the file's name ends. Raises UsageFault where neither says."""
    ending = Path(target).suffix.lower().removeprefix(".")
    if asked is not None:
        if ending in _WRITERS and ending != asked and target != "-":
            raise UsageFault(f"--format {asked} and the name {target} exclude each other")
        return asked
    if target == "-":
        return "svg"
    if ending not in _WRITERS:
        said = f"not .{ending}" if ending else "and the name has no ending"
        raise UsageFault(f"{target}: a picture is an .svg or an .html, {said}; name one with -o")
    return ending


def levels(depth: str) -> int | None:
    """A number of levels, None for all. Raises UsageFault."""
    if depth == "all":
        return None
    if not (depth.isascii() and depth.isdigit()) or len(depth) > 9 or int(depth) < 1:
        raise UsageFault(f"--depth is a number from 1, or all, not {depth}")
    return int(depth)


def run(graph: Graph, target: str, written: str, depth: int | None) -> None:
    """Write the picture of a net. Raises Fault N45x for what cannot be drawn, N41x for what cannot be written."""
    from netc.picture import page, svg

    data = (svg if written == "svg" else page)(graph, depth).encode()
    if target == "-":
        verbatim(data)
        return
    with replacing(target) as file:
        file.write(data)
    out(f"{target}: picture of {graph.name}, {len(data):,} bytes")
