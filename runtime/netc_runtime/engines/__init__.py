"""What runs a graph: one file an engine, each a `Runner`."""

from netc_runtime.engines.runner import Placement, Runner, buckets

__all__ = ["Placement", "Runner", "buckets"]
