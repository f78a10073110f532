"""Which values are never below zero, as far as the layers that make them tell."""

from __future__ import annotations

from netc.passes.draft import Draft

_NEVER = ("relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "abs")
_AS_WHAT_ENTERS = (
    *("maxpool", "avgpool", "gap", "gmp", "subsample", "crop", "slice", "flatten", "reshape", "channel_shuffle"),
    *("upsample", "pad", "pad_channels", "concat", "add", "mul", "dropout", "drop_path", "id"),
)
_DEEPEST = 32  # layers that are looked through


def never_negative(draft: Draft, name: str, deepest: int = _DEEPEST) -> bool:
    """Whether no element of a value is below zero, whatever enters the net."""
    made = draft.maker(name)
    if made is None or deepest == 0:
        return False
    if made.op.kind in _NEVER:
        return True
    if made.op.kind not in _AS_WHAT_ENTERS:
        return False
    # A `like` gives its size alone.
    entering = made.inputs if made.op.merges else made.inputs[:1]
    return all(never_negative(draft, each, deepest - 1) for each in entering)
