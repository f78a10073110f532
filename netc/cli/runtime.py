"""What the runtime's own command does under netc's name: `predict`, `bench`, `doctor`, `serve`, `check` of a model."""

from __future__ import annotations

from collections.abc import Sequence

from netc.cli.codes import CodeError, UsageFault

COMMANDS = frozenset({"predict", "bench", "doctor", "serve"})
"""Those that are the runtime's whatever follows."""

_TAKE_A_NAME = frozenset({"--stdin-name", "--search"})  # options of netc's check whose values may end in anything


def hand_over(command: str, arguments: Sequence[str]) -> None:
    """Run a command of the runtime with its arguments as they are. Raises CodeError where it does not end with 0."""
    from netc_runtime.cli import main

    code = main([command, *arguments])
    if code:
        raise CodeError(code)


def is_of_a_model(arguments: Sequence[str]) -> bool:
    """Whether the arguments of `check` name a built model, which the runtime checks.

    Raises UsageFault where they name specs as well: the two have options of their own.
    """
    names = [
        each
        for before, each in zip(["", *arguments], arguments, strict=False)
        if not each.startswith("-") and before not in _TAKE_A_NAME
    ]
    models = [name for name in names if name.lower().endswith(".onnx")]
    specs = [name for name in names if name.lower().rpartition(":")[0].endswith(".cnn") or name.endswith(".cnn")]
    if models and specs:
        raise UsageFault(f"{specs[0]} is a spec and {models[0]} a model: check them one after the other")
    return bool(models)
