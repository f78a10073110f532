"""Where Graphviz puts the boxes, frames and arrows of a view."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from netc.diagnostic import Fault

Point = tuple[float, float]
Corners = tuple[float, float, float, float]


class Layout(NamedTuple):
    """Places in pixels, y down: a box's middle, a frame's corners, and for each arrow its curve, tip and label."""

    width: float
    height: float
    boxes: dict[int, Point]
    frames: dict[int, Corners]
    curves: list[list[Point]]
    tips: list[Point]
    labels: list[Point]


def layout(dot: str) -> Layout:
    """Lay out a view. Raises Fault N452 where pygraphviz is not installed."""
    try:
        import pygraphviz
    except ImportError as error:
        raise Fault(
            "N452",
            f"an SVG is laid out by pygraphviz, which cannot be imported: {error}",
            help="pip install 'netc[picture]', or write an .html, which brings its own",
            exit_code=3,
        ) from error
    graph: Any = pygraphviz.AGraph(string=dot)
    return placed(json.loads(graph.draw(format="json0", prog="dot")))


def placed(found: Any) -> Layout:
    """A layout from what Graphviz says as JSON."""
    _, _, width, height = map(float, found["bb"].split(","))

    def point(text: str) -> Point:
        x, y = text.split(",")
        return float(x), round(height - float(y), 3)

    boxes: dict[int, Point] = {}
    frames: dict[int, Corners] = {}
    for each in found.get("objects", ()):
        if each["name"].startswith("cluster_"):
            left, low, right, high = map(float, each["bb"].split(","))
            frames[int(each["name"][8:])] = (left, round(height - high, 3), right, round(height - low, 3))
        else:
            boxes[int(each["name"][1:])] = point(each["pos"])
    curves: list[list[Point]] = []
    tips: list[Point] = []
    labels: list[Point] = []
    for each in found.get("edges", ()):
        tip, *curve = each["pos"].split()
        tips.append(point(tip.removeprefix("e,")))
        curves.append([point(p) for p in curve])
        labels.append(point(each["lp"]))
    return Layout(width, height, boxes, frames, curves, tips, labels)
