"""Which values are never below zero, as far as the layers that make them tell."""

from __future__ import annotations

from netc.passes.draft import Draft

_NEVER = ("relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "abs")
_AS_WHAT_ENTERS = (
    *("maxpool", "avgpool", "gap", "gmp", "subsample", "crop", "slice", "flatten", "reshape", "channel_shuffle"),
    *("upsample", "pad", "pad_channels", "concat", "add", "mul", "dropout", "drop_path", "id"),
)
_MOST = 64  # layers that are looked at


def never_negative(draft: Draft, name: str) -> bool:
    """Whether no element of a value is below zero, whatever enters the net."""
    seen, left = {name}, [name]  # each value once: paths through forks and merges double at each of them
    while left:
        made = draft.maker(left.pop())
        if made is None or len(seen) > _MOST:
            return False
        if made.op.kind in _NEVER:
            continue
        if made.op.kind not in _AS_WHAT_ENTERS:
            return False
        # A `like` gives its size alone.
        entering = made.inputs if made.op.merges else made.inputs[:1]
        left += [each for each in dict.fromkeys(entering) if each not in seen]
        seen.update(entering)
    return True
