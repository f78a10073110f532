"""What stands in one view of a picture: boxes, frames around open blocks and arrows, as text for Graphviz.

The page does the same in `page.js`; a test holds their texts equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostic import Fault
from netc.picture import words
from netc.picture.outline import Edge, Outline

ROW, ROOM, SIZE = 24, 12, 12
"""A row's height, the room beside its text and the size of its letters, in pixels."""
GAP = 14
"""Between the parts of a row."""
LABEL = 10
"""The size of the letters on an arrow."""

HASTY_BOXES, HASTE = 600, " splines=line nslimit=1 nslimit1=1 mclimit=0.1"
"""How large a view is laid out in haste, and how."""
MOST_BOXES, MOST_REACH = 1_000, 6_000
"""Boxes in one view, and the ranks that its arrows pass, together: what Graphviz lays out within seconds."""


class Arrow(NamedTuple):
    """An arrow between two boxes, and the edge of the outline that it stands for."""

    start: int
    stop: int
    edge: Edge


@dataclass(slots=True)
class Scene:
    """A view: `boxes` are the items in each box from top to bottom, by its first; `frames` are the open blocks."""

    boxes: dict[int, list[int]]
    frames: list[int]
    arrows: list[Arrow]


def opened(outline: Outline, depth: int | None) -> set[int]:
    """The blocks that are open at a depth: 1 shows them closed, 2 opens those of the net, None opens all."""
    depths = outline.depths()
    return {
        i for i, item in enumerate(outline.items) if item.kind == "block" and (depth is None or depths[i] < depth - 1)
    }


def scene(outline: Outline, open: Set[int]) -> Scene:
    """The view with these blocks open."""
    seen: list[int] = []  # for each item: the item that shows it, itself or a closed block around it
    boxes: dict[int, list[int]] = {}
    first: dict[int, int] = {}  # for each item in a box: the box's first
    frames: list[int] = []
    for i, item in enumerate(outline.items):
        up = item.parent
        inner = up < 0 or (seen[up] == up and up in open)
        seen.append(i if inner else seen[up])
        if not inner:
            continue
        if item.kind == "block" and i in open:
            frames.append(i)
            continue
        top = first.get(item.on, i)
        first[i] = top
        boxes.setdefault(top, []).append(i)
    arrows: dict[tuple[int, int, int], Arrow] = {}
    for edge in outline.edges:
        start, stop = first[seen[edge.start]], first[seen[edge.stop]]
        if start != stop:
            arrows.setdefault((start, stop, edge.start), Arrow(start, stop, edge))
    return Scene(boxes, frames, list(arrows.values()))


def ranks(scene: Scene) -> dict[int, int]:
    """For each box, the length of the longest way to it."""
    into: dict[int, list[int]] = {}
    for arrow in scene.arrows:
        into.setdefault(arrow.stop, []).append(arrow.start)
    rank: dict[int, int] = {}
    for box in scene.boxes:  # an arrow leads to a later one: a block's layers are neighbours in the graph's order
        rank[box] = max((rank[before] + 1 for before in into.get(box, ())), default=0)
    return rank


def cost(scene: Scene) -> tuple[int, int]:
    """How many boxes a view has, and how many ranks its arrows pass."""
    rank = ranks(scene)
    return len(rank), sum(rank[a.stop] - rank[a.start] for a in scene.arrows)


def affordable(scene: Scene) -> bool:
    """Whether Graphviz lays the view out in seconds."""
    boxes, reach = cost(scene)
    return boxes <= MOST_BOXES and reach <= MOST_REACH


def at_depth(outline: Outline, depth: int | None) -> set[int]:
    """The blocks that are open at a depth, as `opened`. Raises Fault N451 where the view is too large to lay out."""
    open = opened(outline, depth)
    view = scene(outline, open)
    if affordable(view):
        return open
    boxes, reach = cost(view)
    if boxes > MOST_BOXES:
        said = f"{boxes:,} boxes, and {MOST_BOXES:,} are laid out at most"
    else:
        said = f"arrows over {reach:,} ranks, and {MOST_REACH:,} are laid out at most"
    at = "--depth all" if depth is None else f"--depth {depth}"
    lower = range(max(outline.depths(), default=0) + 1 if depth is None else depth - 1, 0, -1)
    best = next((d for d in lower if affordable(scene(outline, opened(outline, d)))), None)
    help = "put its layers into blocks, which are drawn closed" if best is None else f"pass --depth {best}"
    raise Fault("N451", f"{outline.net}: at {at} the picture has {said}", help=help)


def size(outline: Outline, box: list[int]) -> tuple[int, int]:
    """The width and height of a box that holds these items."""
    wide = max(row_width(outline, i) for i in box)
    rows = sum(2 if outline.items[i].kind == "block" else 1 for i in box)
    return wide, rows * ROW


def row_width(outline: Outline, i: int) -> int:
    """The width that an item's words take, with room beside them."""
    item = outline.items[i]
    wide = words.width(item.bold, SIZE, bold=True)
    for text in (item.plain, item.label):
        wide += GAP + words.width(text, SIZE) if text else 0
    if item.kind == "block":
        wide = max(wide + GAP, words.width(words.counted(item.params, "parameter"), LABEL + 1))
    return max(wide + 2 * ROOM, 4 * ROW if item.kind == "block" else 2 * ROW)


def dot(outline: Outline, scene: Scene) -> str:
    """The view as Graphviz reads it: sizes and numbers alone, no word of the spec's author."""
    boxes, reach = cost(scene)
    # Straight arrows and fewer rounds of tidying where curves would take Graphviz a minute.
    hasty = HASTE if boxes > HASTY_BOXES or reach > 2 * boxes + 100 else ""
    lines = [
        "digraph{",
        f"graph[nodesep=0.22 ranksep=0.16{hasty}]",
        'node[shape=box fixedsize=true label=""]',
        "edge[arrowsize=0.6]",
    ]
    inside: dict[int, list[int]] = {}
    for i in sorted([*scene.boxes, *scene.frames]):
        inside.setdefault(outline.items[i].parent, []).append(i)

    def put(around: int) -> None:
        for i in inside.get(around, ()):
            if i in scene.boxes:
                wide, high = size(outline, scene.boxes[i])
                lines.append(f"n{i}[width={wide / 72:.4f} height={high / 72:.4f}]")
                continue
            lines.append(f"subgraph cluster_{i}{{margin=10 labeljust=l label={_room(frame_width(outline, i), ROW - 6)}")
            put(i)
            lines.append("}")

    put(-1)
    straight = _straight(scene)
    for arrow in scene.arrows:
        room = _room(words.width(arrow.edge.shape, LABEL) + 12, LABEL + 6)
        lines.append(f"n{arrow.start}->n{arrow.stop}[weight={9 if arrow in straight else 1} label={room}]")
    lines.append("}")
    return "\n".join(lines)


def _straight(scene: Scene) -> set[Arrow]:
    """The arrows of the longest way, where it neither forks nor meets another as long: they run straight down."""
    rank = ranks(scene)
    tight = [a for a in scene.arrows if rank[a.stop] == rank[a.start] + 1]
    out, into = Counter(a.start for a in tight), Counter(a.stop for a in tight)
    return {a for a in tight if out[a.start] == into[a.stop] == 1}


def frame_width(outline: Outline, i: int) -> int:
    """The width that the title of an open block takes."""
    item = outline.items[i]
    plain = GAP + words.width(item.plain, SIZE) if item.plain else 0
    return words.width(item.bold, SIZE, bold=True) + plain + GAP


def _room(wide: int, high: int) -> str:
    # A table without words: Graphviz would guess their width, and their author could write markup.
    table = f'BORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" WIDTH="{wide}" HEIGHT="{high}"'
    return f"<<TABLE {table}><TR><TD></TD></TR></TABLE>>"
