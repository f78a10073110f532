"""What can be put right without asking: a name that can only have been meant as another."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netc.diagnostic import Edit, Span
from netc.elaborate.names import nearest
from netc.syntax.tree import WORDS

# Of the names that other libraries use, those that mean one layer and nothing else: Caffe's Pooling may be an average,
# Eltwise a product, and torch's Dropout2d drops whole channels.
_SAME = frozenset([
    "conv1d", "conv2d", "conv3d", "convolution", "convolutional", "convtranspose1d", "convtranspose2d",
    "convtranspose3d", "conv2dtranspose", "linear", "dense", "innerproduct", "batchnorm", "batchnorm1d",
    "batchnorm2d", "batchnorm3d", "batch_norm", "maxpool1d", "maxpool2d", "maxpool3d", "maxpooling2d", "max_pool",
    "max_pool2d", "avgpool1d", "avgpool2d", "avgpool3d", "averagepooling2d", "avg_pool", "avg_pool2d",
    "averagepool", "localresponsenorm", "local_response_norm", "leakyrelu", "hard_swish", "logsoftmax",
    "concatenate", "cat", "identity", "multiply", "subtract",
])  # fmt: skip


def renamed(where: Span, name: str, known: Iterable[str]) -> Edit | None:
    """The edit that writes the known name that was meant in the place of `name`; None where there is any doubt."""
    if where.text != name:
        return None
    instead = meant(name, known)
    return Edit(where, instead) if instead else None


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that was meant beyond doubt, or nothing.

    Another library's name for the same thing, other capitals, or one slip in a name of four letters or more that is
    near to one known name only: two letters of a word swapped, or one in its middle left out, doubled or mistaken. No
    digit is a slip, and no first or last letter: `conv_a` and `conv_b`, `layer1` and `layer2` are different things.
    """
    names = {each for each in known if all(p.isidentifier() and p not in WORDS for p in each.split("."))}
    if name in names or len(name) > 100 or len(names) > 2000:
        return ""
    alike = [each for each in names if each.lower() == name.lower()]
    if alike:
        return alike[0] if len(alike) == 1 else ""
    if name.lower() in _SAME:
        said = re.fullmatch(r"netc calls it `(\w+)`", nearest(name, names))
        return said[1] if said is not None else ""
    near = [each for each in names if _slips(name, each) <= 1]
    return near[0] if len(near) == 1 and len(name) >= 4 and _inside(name, near[0]) else ""


def _slips(a: str, b: str) -> int:
    """0 for equal names, 1 for names that one slip tells apart (a letter more, less, other, or two swapped), else 2."""
    if a == b:
        return 0
    start, end = _common(a, b)
    left, right = a[start : len(a) - end], b[start : len(b) - end]
    swapped = len(left) == 2 and left == right[::-1]
    return 1 if swapped or (len(left) <= 1 and len(right) <= 1) else 2


def _inside(a: str, b: str) -> bool:
    """Whether the one slip between two names lies in a word of letters, and takes none of its ends for another."""
    start, end = _common(a, b)
    left, right = a[start : len(a) - end], b[start : len(b) - end]
    if left and left == right[::-1] and left != right:  # `widht`: the letters are all there
        word = next(w for w in re.finditer(r"[^\W\d_]*", a) if w.end() > start or w.end() == len(a))
        return word.start() <= start and start + 2 <= word.end() and len(word[0]) >= 4
    around = start > 0 and end > 0 and a[start - 1].isalpha() and a[len(a) - end].isalpha()
    doubled = left + right in (a[start - 1 : start], a[len(a) - end : len(a) - end + 1])  # `relluu`: which one is more?
    return (around or (doubled and start > 0)) and (left + right).isalpha()


def _common(a: str, b: str) -> tuple[int, int]:
    """How many letters two names share at their start and, of the rest, at their end."""
    most = min(len(a), len(b))
    start = next((i for i in range(most) if a[i] != b[i]), most)
    end = next((i for i in range(most - start) if a[-1 - i] != b[-1 - i]), most - start)
    return start, end
