"""Pictures of a net: static SVG, and an HTML page whose blocks open and close. Laid out by Graphviz."""

from netc.picture.page import page
from netc.picture.svg import svg

__all__ = ["page", "svg"]
