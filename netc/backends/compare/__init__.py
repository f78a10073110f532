"""Any two of a net with its weights and a model file, given the same inputs and held against each other.

The measure is that of `netc.backends.verify`. A net's float64 answer is the reference; of two files, the first one's.
"""

from __future__ import annotations

from netc.backends.compare.comparison import Compared, Comparison, compare
from netc.backends.compare.parting import Parting
from netc.backends.compare.sides import FileSide, NetSide, Side

__all__ = ["Compared", "Comparison", "FileSide", "NetSide", "Parting", "Side", "compare"]
