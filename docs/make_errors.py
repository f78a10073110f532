"""Makes docs/errors.md and the example in README.md: the wrong specs of docs/errors/ and what netc prints for each.

Run `python docs/make_errors.py` (or `make docs`) after a message has changed; a test holds both pages to it.
"""

from __future__ import annotations

import re
from pathlib import Path

from netc import api, render
from netc.diagnostic import Source

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "errors.md", ROOT / "README.md"

TOP = """\
# Errors by example

Eight wrong specs, and what `netc check` prints for each. All of it is found before a tensor exists. Every code has a
page that says more: `netc explain N301`.

This page is made by `make docs` from the specs in [docs/errors](errors/); a test keeps it true.
"""

EXAMPLES = {
    "arrow": (
        "A missing arrow",
        """
The parser knows what joins two stages, so it says that in place of a list of forty tokens. The rest of the file is
still checked.""",
    ),
    "typo": (
        "A misspelt argument, and one from elsewhere",
        """
No argument is ignored in silence. The first is near one of the layer's, and the second is what PyTorch and Keras call
it.""",
    ),
    "shortcut": (
        "Two shapes that do not add up",
        """
The mistake is a condition in a block, and it shows in the fourth of sixteen applications. The marks are at the two
operands, the note says which application it was, and the help is a layer that makes them meet.""",
    ),
    "kernel": (
        "A kernel larger than its image",
        """
The layer that fails is seldom the one that is wrong: the second mark is where the image became so small.""",
    ),
    "torch_habits": (
        "Layers from another library",
        """
The names that PyTorch, Keras, Caffe and darknet use are known, and answered with netc's.""",
    ),
    "any_size": (
        "Features of an image of any size",
        """
`H` and `W` are symbols, so the size in the message is an exact formula of them. A dense layer cannot have a weight for
each of so many pixels; the help says what has a fixed number of features.""",
    ),
    "promise": (
        "A promise that holds for some sizes only",
        """
Two poolings round down, so what is scaled up again is the picture's own size only where that is a multiple of 4. Sizes
are compared as formulas, and numbers show where they differ.""",
    ),
    "several": (
        "Several mistakes in one run",
        """
What depends on a mistake is kept quiet, and what does not is still checked: five findings for five mistakes.""",
    ),
}


def printed(name: str) -> str:
    """What `netc check docs/errors/NAME.cnn` prints to standard output, from the checkout's folder."""
    path = ROOT / "docs" / "errors" / f"{name}.cnn"
    source = Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    checked = api.check_text(source, path)
    findings = [render.plain(render.text(each)) for each in checked.diagnostics]
    return "\n\n".join([*findings, render.summary(checked.diagnostics, checked.dropped)])


def session(name: str) -> str:
    """The command and its answer, as a block of Markdown."""
    return f"```console\n$ netc check docs/errors/{name}.cnn\n{printed(name)}\n```"


def page() -> str:
    """The text of docs/errors.md."""
    parts = [TOP]
    for name, (title, words) in EXAMPLES.items():
        text = (ROOT / "docs" / "errors" / f"{name}.cnn").read_text(encoding="utf-8")
        parts.append(f"## {title}\n\n{words.strip()}\n\n```\n{text}```\n\n{session(name)}\n")
    return "\n".join(parts)


def readme() -> str:
    """The text of README.md, its example made anew."""
    block = re.compile(r"^```console\n\$ netc check docs/errors/shortcut\.cnn\n.*?^```$", re.MULTILINE | re.DOTALL)
    text, count = block.subn(lambda _: session("shortcut"), README.read_text(encoding="utf-8"))
    assert count == 1, "README.md shows one example"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
