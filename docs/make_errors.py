"""Makes docs/errors.md and README.md's example: wrong specs and what netc prints, other libraries' words, all codes.

Run `python docs/make_errors.py` (or `make docs`) after a message has changed; a test holds both pages to it.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from pathlib import Path

from docs.peers import MISTAKES, PEERS, Quote, quotes
from netc import cli, errors

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "errors.md", ROOT / "README.md"

TOP = """\
# Errors by example

What `netc check` prints for wrong specs, all of it before a tensor exists:

- [eight mistakes](#eight-mistakes), and why the answer is what it is;
- [twelve mistakes here and elsewhere](#twelve-mistakes-here-and-elsewhere): what torch, Keras, Caffe, ultralytics,
  darknet and ONNX Runtime print for the same;
- [every code](#every-code) of netc, each with a page that says more: `netc explain N301`.

This page is made by `make docs` from the specs in [docs/errors](errors/) and the pages of
[netc/errors](../netc/errors/); tests keep it true.

## Eight mistakes
"""

BESIDE = """\
## Twelve mistakes here and elsewhere

Each mistake is made once in a spec and once in a program for another library, and both were run; the programs and what
they printed are in [docs/errors/peers](errors/peers/). Of a traceback the frames are left out here, and counted. A test
runs torch's and ONNX Runtime's programs anew and compares the last line; Keras and ultralytics are quoted with their
version and the day. What is quoted from a library's source was not run. *Lines* are all that is printed, *place* is
what is named of the author's own text, and an *edit* is something to write that works.

"""

CODES = """\
## Every code

The title of each code's page and its first sentence; `netc explain CODE` prints the page. Where a spec's text is wrong
(N1, N2, N3 and W), the page shows a mistake that gives the code and a text without it, and a test checks both.
"""

SERIES = {
    "N1": "Syntax and names",
    "N2": "One layer",
    "N3": "Merges and shapes",
    "N4": "Weights and artefacts",
    "N5": "Data and training",
    "W": "Warnings: the net can be built as it stands",
}

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
    out = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        cli.main(["check", f"docs/errors/{name}.cnn"])
    return out.getvalue().rstrip("\n")


def session(name: str) -> str:
    """The command and its answer, as a block of Markdown."""
    return f"```console\n$ netc check docs/errors/{name}.cnn\n{printed(name)}\n```"


def page() -> str:
    """The text of docs/errors.md."""
    parts = [TOP]
    for name, (title, words) in EXAMPLES.items():
        text = (ROOT / "docs" / "errors" / f"{name}.cnn").read_text(encoding="utf-8")
        parts.append(f"### {title}\n\n{words.strip()}\n\n```\n{text}```\n\n{session(name)}\n")
    parts.append(beside())
    parts.extend(map(compared, MISTAKES))
    parts.append(codes())
    return "\n".join(parts)


def beside() -> str:
    """The table of the twelve mistakes: lines, place and edit, elsewhere and here."""
    rows = [
        "| the mistake | elsewhere | lines | place | edit | netc: lines | place | edit |",
        "|---|---|---:|---|---|---:|---|---|",
    ]
    for name, mistake in MISTAKES.items():
        ran = quotes(name)[0]
        answer = printed(f"peers/{name}")
        places = ", ".join(re.findall(rf"^  --> docs/errors/peers/{name}\.cnn:(\S+)$", answer, re.MULTILINE))
        found = len(re.findall(r"^(?:error|warning)\[", answer, re.MULTILINE))
        helped = len(re.findall(r"^ *= help: ", answer, re.MULTILINE))
        many = f", {found} mistakes" if found > 1 else ""
        edit = "yes" if helped == found else "no"
        lines = len(answer.splitlines())
        rows.append(
            f"| {mistake.title} | {ran.library} | {ran.lines} | {mistake.names} | no "
            f"| {lines}{many} | {places} | {edit} |"
        )
    return BESIDE + "\n".join(rows) + "\n"


def compared(name: str) -> str:
    """One of the twelve: the other libraries' words, then netc's."""
    mistake = MISTAKES[name]
    words = textwrap.fill(" ".join(mistake.words.split()), 120)
    said = [_quoted(name, each) for each in quotes(name)]
    return "\n\n".join([f"### {mistake.title}", words, *said, session(f"peers/{name}")]) + "\n"


def _quoted(name: str, quote: Quote) -> str:
    if quote.lines is None:
        _, _, rest = quote.head.partition(", ")
        return f"**{quote.library}**, {rest.rstrip('.')}:\n\n```c++\n{quote.text}\n```"
    program = f"**{quote.library}** for [{name}.py](errors/peers/{name}.py)"
    described = (PEERS / f"{name}.yaml").exists()
    source = f" and [{name}.yaml](errors/peers/{name}.yaml)" if described else ""
    if not quote.lines:
        return f"{program}{source} prints nothing."
    return f"{program}{source} prints {quote.lines} lines:\n\n```console\n{quote.text}\n```"


def codes() -> str:
    """The index of every code, by series."""
    parts = [CODES]
    every = errors.codes()
    for start, title in SERIES.items():
        listed = [code for code in every if code.startswith(start)]
        lines = [f"- [{code}](../netc/errors/{code}.md): {_first(errors.page(code) or '')}" for code in listed]
        parts.append(f"### {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _first(text: str) -> str:
    """A code's title and its page's first sentence."""
    head, _, rest = text.partition("\n")
    prose = " ".join(rest.strip().partition("\n\n")[0].split())
    sentence = re.match(r".*?\.(?= [A-Z`]|$)", prose)
    return f"*{head.partition(': ')[2]}*. {sentence[0] if sentence else prose}"


def readme() -> str:
    """The text of README.md, its example made anew."""
    block = re.compile(r"^```console\n\$ netc check docs/errors/shortcut\.cnn\n.*?^```$", re.MULTILINE | re.DOTALL)
    text, count = block.subn(lambda _: session("shortcut"), README.read_text(encoding="utf-8"))
    assert count == 1, "README.md shows one example"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
