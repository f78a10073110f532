"""The twelve mistakes of docs/errors/peers/, and what was recorded of other libraries for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "errors" / "peers"
RECORDED = re.compile(r"(?P<library>[\w ]+ [\d.]+), Python [\d.]+, [\d-]+: (?P<lines>\d+) lines, exit \d+")


@dataclass(frozen=True)
class Mistake:
    """A mistake made in a spec and in another library's program."""

    title: str
    words: str
    """What the mistake is, and what the comparison teaches."""
    names: str
    """Which place of the author's text the other library names."""


@dataclass(frozen=True)
class Quote:
    """What a library prints: `lines` where it was run, None where its source is quoted."""

    library: str
    head: str
    lines: int | None
    text: str


MISTAKES = {
    "concat": Mistake(
        "Two values of unequal size, side by side",
        "One of two branches has a stride. torch counts the tensors and does not say which layers made them.",
        "the `cat`",
    ),
    "residual": Mistake(
        "A residual addition of unlike channels",
        """The unit's shortcut has no projection. torch's words fit each of the four units; netc says which one it was,
and which layer's output is the other operand.""",
        "the `+`, for all units alike",
    ),
    "kernel": Mistake(
        "A kernel larger than its image",
        "Three strides before the layer that fails are the mistake. netc marks where the image became so small.",
        "the call of the whole net",
    ),
    "features": Mistake(
        "A dense layer for another picture's features",
        """LeNet-5's 400 features are those of a 32x32 picture; this one is 28x28 and leaves 256. In torch the author
does the arithmetic, and it fails when a picture goes through. In netc there is no such number to get wrong: `fc` knows
what enters.""",
        "the call of the whole net",
    ),
    "argument": Mistake(
        "Misspelt arguments",
        "Two layers have one each. Keras stops at the first, and darknet goes on without it.",
        "the first layer",
    ),
    "unknown": Mistake(
        "Layers that do not exist",
        "ultralytics shows the dictionary that it looked in. darknet goes on, with nothing where the layer was.",
        "none of the .yaml file",
    ),
    "groups": Mistake(
        "Groups that do not divide the channels",
        "96 channels in 36 groups. torch says neither number.",
        "the line of the whole net",
    ),
    "norm": Mistake(
        "A batch norm of the wrong width",
        "In netc the mistake cannot be made: `bn` takes no width. This is what a habit of giving one is told.",
        "the call of the whole net",
    ),
    "softmax": Mistake(
        "A softmax before the cross-entropy",
        "The loss applies softmax itself. torch trains on, badly, and says nothing.",
        "nothing",
    ),
    "lrn": Mistake(
        "A local response normalisation over an even window",
        """ONNX's own checker and shape inference accept the model; ONNX Runtime refuses it when it is loaded, which may
be long after training.""",
        "the loading of the whole model",
    ),
    "twice": Mistake(
        "Two layers of one name",
        "Keras finds it when the model is complete, at the line that completes it.",
        "the line after the last layer",
    ),
    "early": Mistake(
        "A value that is read before it is made",
        "Layer 2 of the .yaml file reads layer 4. In netc values have names, and a net has no loop.",
        "none of the .yaml file",
    ),
}


def quotes(name: str) -> list[Quote]:
    """What is recorded for a mistake, the library that was run first."""
    paths = [PEERS / f"{name}.txt", *sorted(PEERS.glob(f"{name}.*.txt"))]
    found: list[Quote] = []
    for path in paths:
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        recorded = RECORDED.fullmatch(head)
        library = recorded["library"] if recorded is not None else head.partition(",")[0]
        found.append(Quote(library, head, int(recorded["lines"]) if recorded is not None else None, text.rstrip("\n")))
    return found
