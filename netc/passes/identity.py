"""Layers that do nothing at inference: dropout and id always, others by the shapes that enter them."""

from __future__ import annotations

from netc.graph import Graph, Node
from netc.op import per_side
from netc.ops.avgpool import Avgpool
from netc.ops.channel_shuffle import ChannelShuffle
from netc.ops.flatten import Flatten
from netc.ops.maxpool import Maxpool
from netc.passes.draft import Draft
from netc.passes.signs import never_negative
from netc.tensor import TensorType
from netc.weights import Weights

_SAME_SHAPE = frozenset({"reshape", "slice", "subsample", "pad", "pad_channels", "crop", "upsample", "gap", "gmp"})
"""Kinds that hand on what enters wherever its shape stays: what they could change is the shape."""
_OF_POSITIVES = frozenset({"relu", "abs"})
"""Kinds that hand on what is never negative."""
_KINDS = _SAME_SHAPE | _OF_POSITIVES | {"flatten", "channel_shuffle", "avgpool", "maxpool"}


def drop_identities(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Take out every layer that hands on what enters; who read it reads what entered.

    `dropout`, `drop_path` and `id` say so of themselves. Others do nothing to what enters them: a `slice` of all
    channels, a `gap` of one pixel, a pooling of single pixels, an `upsample` or a `crop` to the size that is there, a
    `flatten` of features, a `relu` of what is never negative.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        op = node.op
        if op.inference_identity or (op.kind in _KINDS and _hands_on(draft, node)):
            draft.drop(node, node.inputs[0])
    return draft.with_weights(weights)


def _hands_on(draft: Draft, node: Node) -> bool:
    op, x = node.op, draft.type(node.inputs[0])
    if op.kind in _OF_POSITIVES:
        return never_negative(draft, node.inputs[0])
    if node.type != x:
        return False
    if isinstance(op, ChannelShuffle):
        return op.groups in (1, x.c)
    if isinstance(op, Avgpool | Maxpool):
        return _of_one_pixel(op.k, x)
    return isinstance(op, Flatten) or op.kind in _SAME_SHAPE


def _of_one_pixel(k: int | tuple[int, ...], x: TensorType) -> bool:
    # Then the padding, at most half of it, is none.
    return set(per_side(k, x.rank, "k")) == {1}
