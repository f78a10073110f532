"""The session cache: ONNX Runtime's optimised form of a model, kept between processes.

Optimising a graph is most of what opening a session takes, so its result is kept: for this model (by the hash of its
files), this processor and this version of ONNX Runtime, since the optimiser lays weights out for the processor that it
runs on. What is opened from the cache answers with the same bits.

`place` says which folder, `key` what an entry is for, `hashes` what a model is, `store` keeps the entries.
"""

from netc_runtime.cache.place import environment_place
from netc_runtime.cache.store import Entry, Store

__all__ = ["Entry", "Store", "environment_place"]
