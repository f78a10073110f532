"""The torch back end: a graph as readable source of an `nn.Module` that imports torch alone, and that source executed.

A block's application is a class; equal ones are one class. Weights lie where the graph says: the names of `state_dict`
are the nodes' paths.
"""

from netc.backends.torch.live import as_tensor, initial, module
from netc.backends.torch.source import source

__all__ = ["as_tensor", "initial", "module", "source"]
