"""`netc fmt`: the canonical form of a text, which means what the text meant and is its own canonical form."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from textwrap import dedent

import pytest

from netc.api import Checked, check_text
from netc.diagnostic import Source
from netc.syntax.format import WIDTH, formatted
from tests.conftest import ROOT
from tests.fuzz.grammar import text as written

SPECS = sorted([*ROOT.glob("specs/*.cnn"), *ROOT.glob("netc/std/*.cnn")])
MANY = 10_000


def form(text: str) -> str:
    """The canonical form of a text that is right."""
    made = formatted(Source("x.cnn", text))
    assert isinstance(made, str), made
    return made


def meaning(text: str, path: Path | None = None) -> object:
    """What a text comes to: every node, region, port and section of its nets, and its findings, without places."""

    def plain(checked: Checked) -> object:
        nets = {
            name: (
                [(n.name, n.op.model_dump(), n.op.kind, n.inputs, n.type, n.weights, n.region) for n in graph.nodes],
                [(r.name, r.block, r.parent, r.start, r.stop) for r in graph.regions],
                [(i.name, i.type, i.recipe) for i in graph.inputs],
                [(o.name, o.value, o.type, o.labels, o.decode, o.threshold, o.train_only) for o in graph.outputs],
                [(r.expr, re.sub(r" at \S+:\d+:\d+", "", r.why)) for r in graph.requires],
                (graph.train, graph.export, graph.expect),
            )
            for name, graph in checked.graphs.items()
        }
        return checked.nets, nets, sorted((d.code, d.severity) for d in checked.diagnostics)

    return plain(check_text(Source(path.name if path else "x.cnn", text), path))


def tokens(text: str) -> list[str]:
    """The tokens of a text; commas, which a section may lose, and comments, which stay in order, apart."""
    found = re.findall(r"#[^\n]*|\"[^\"\n]*\"|->|=>|[<>=!]=|//|\w+|[^\s\w]", text)
    return [token.rstrip() for token in found if token != ","]


def scrambled(text: str, chance: Random) -> str:
    """A text with other line ends, spaces and comments between its tokens; inside texts nothing changes."""
    pieces = re.split(r"(\"[^\"\n]*\"|#[^\n]*\n|\s+)", text)
    made: list[str] = []
    for piece in pieces:
        if piece and piece.isspace():
            piece = chance.choice([" ", " ", " ", "\n", "\n\n\n", "   ", "\t", " # so\n", "\n  # it\n  # is\n", piece])
        made.append(piece)
    return "".join(made)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_a_spec_means_what_it_meant_and_is_canonical_then(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made = form(text)
    assert form(made) == made
    assert meaning(made, path) == meaning(text, path)
    assert max(map(len, made.splitlines())) <= WIDTH


def holds(seed: int) -> None:
    """Of one written text, and of the same text with its white space scrambled."""
    chance = Random(seed)
    text = written(chance)
    for each in (text, scrambled(text, chance)):
        made = formatted(Source("x.cnn", each))
        if not isinstance(made, str):
            continue  # the writer slips now and then, on purpose
        assert form(made) == made, f"seed {seed}"
        before, after = tokens(each), tokens(made)
        if before[:1] != ["language"] and "language" not in before:
            after = after[2:]
        assert after == before, f"seed {seed}"
        assert meaning(made) == meaning(each), f"seed {seed}"


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_written_texts_keep_their_meaning_their_tokens_and_their_form(start: int) -> None:
    for seed in range(start, start + 50):
        holds(seed)


@pytest.mark.long
def test_ten_thousand_written_texts_keep_their_meaning_their_tokens_and_their_form() -> None:
    for seed in range(1000, 1000 + MANY):
        holds(seed)


FORMS = {
    "spaces": (
        "net A{input x:f32[N,3]output y:f32[N,3]from x->relu=>y}",
        "net A { input  x: f32[N, 3] output y: f32[N, 3] from x -> relu => y }",
    ),
    "arrows begin lines, and a brace that was opened up holds a statement a line": (
        "language 1 net A { input x: f32[N, 3]\n output y: f32[N, 3] from x ->\nrelu ->\n\n tanh => y }",
        """
        net A {
          input  x: f32[N, 3]
          output y: f32[N, 3]
          from x
            -> relu

            -> tanh => y
        }
        """,
    ),
    "arguments of a stage are tight where they are simple": (
        "block b(c=3,s=1){conv(c,k=[1,7],stride=2 if s>1 else 1,pad=-s)->leaky_relu( 0.1 )}",
        "block b(c = 3, s = 1) { conv(c, k=[1, 7], stride = 2 if s > 1 else 1, pad=-s) -> leaky_relu(0.1) }",
    ),
    "fractions of numbers are tight, other operators are not": (
        "let a = 1 / 255 let b = 2*a+xs[ 1 : 2 ][-1]",
        """
        let a = 1/255
        let b = 2 * a + xs[1:2][-1]
        """,
    ),
    "a comment stays with its line or with the line below": (
        "# card\nnet A { # about A\n# about x\ninput x: f32[N, 3] # three\n output y: f32[N, 3] # of them\n\n\n\n"
        "# about the chain\nfrom x -> relu => y # last\n # end\n}",
        """
        # card
        net A {  # about A
          # about x
          input  x: f32[N, 3]  # three
          output y: f32[N, 3]  # of them

          # about the chain
          from x -> relu => y  # last
          # end
        }
        """,
    ),
    "what checks a shape stands below what checked the one before": (
        "block b() {\n a: relu -> is [_, 3]\n -> tanh\n-> long_name: relu -> is [_, 3] }",
        """
        block b() {
          a: relu              -> is [_, 3]
            -> tanh
            -> long_name: relu -> is [_, 3]
        }
        """,
    ),
    "a comma between the pairs of a line, none at its end": (
        "train A { loss.y = l(), epochs = 3,\n optimizer = sgd(lr=1), # fast\n schedule = cosine(), }",
        """
        train A {
          loss.y = l(), epochs = 3
          optimizer = sgd(lr = 1)  # fast
          schedule  = cosine()
        }
        """,
    ),
    "an arm a line, and what goes on with it deeper": (
        "block b() { add {\n| a: relu\n -> tanh | if in.c > 3 { id } else { relu } } }",
        """
        block b() {
          add {
            | a: relu
              -> tanh
            | if in.c > 3 { id } else { relu }
          }
        }
        """,
    ),
    "definitions of several lines are set apart": (
        "let a = 1\nlet b = 2\nblock c() {\n relu }\n# of d\nblock d() { relu }\nblock e() { relu }",
        """
        let a = 1
        let b = 2

        block c() {
          relu
        }

        # of d
        block d() { relu }
        block e() { relu }
        """,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_form(name: str) -> None:
    text, wanted = FORMS[name]
    assert form(text) == f"language 1\n\n{dedent(wanted).strip()}\n"


def test_a_long_chain_is_broken_before_arrows_and_a_long_brace_is_opened_up() -> None:
    chain = " -> ".join(f"layer{i}: conv(64, k=3, pad=1)" for i in range(12))
    made = form(f"block b() {{ {chain} }}")
    assert max(map(len, made.splitlines())) <= WIDTH
    lines = made.splitlines()[2:]
    assert lines[0] == "block b() {"
    assert lines[1].startswith("  layer0: ")
    assert all(line.startswith("    -> ") for line in lines[2:-1])
    assert len(lines) == 2 + 4  # three or four layers of 34 characters on a line of 120


def test_a_text_with_a_mistake_is_left_alone_and_told() -> None:
    made = formatted(Source("x.cnn", "net A { input x f32[N, 3] }"))
    assert not isinstance(made, str)
    assert [d.code for d in made] == ["N101"]


def test_windows_line_ends_become_plain_ones() -> None:
    assert form("let a = 1\r\nlet b = 2\r\n") == "language 1\n\nlet a = 1\nlet b = 2\n"


def test_a_chain_of_ten_thousand_lines_takes_no_longer_than_its_length() -> None:
    body = "\n".join(f"-> l{i}: relu" for i in range(10_000))
    made = form(f"block b() {{ relu {body} }}")
    assert made.count("\n") == 10_000 + 4


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        (
            "epochs = 3   # as in the paper\n, batch = 4    # what fits",
            ["epochs = 3 # as in the paper", "batch = 4 # what fits"],
        ),
        ("epochs = 3 # a\n, # b\nbatch = 4", ["epochs = 3 # a", "# b", "batch = 4"]),
        ("epochs = 3,\n\n# b\nbatch = 4,", ["epochs = 3", "", "# b", "batch = 4"]),
        ("epochs = 3\n,\nbatch = 4", ["epochs = 3", "batch = 4"]),
        ("epochs = 3, batch = 4 # c", ["epochs = 3, batch = 4 # c"]),
    ],
)
def test_commas_between_pairs_take_no_comment_with_them(pairs: str, lines: list[str]) -> None:
    net = "net A {\n  input x: f32[N, 3]\n  output y: f32[N, 3]\n  from x -> fc(3) => y\n}\n"
    made = form(f"{net}train {{\n  loss.y = cross_entropy()\n  optimizer = adam()\n  {pairs}\n}}\n")
    assert form(made) == made
    body = made.partition("train {\n")[2].removesuffix("}\n").splitlines()[2:]
    assert [" ".join(line.split()) for line in body] == lines


def test_ten_thousand_comments_in_a_row_take_no_longer_than_their_length() -> None:
    text = form("net A {\n  input x: f32[N, 3]\n  output y: f32[N, 3]\n  # why\n  from x -> relu => y\n}\n")
    many = text.replace("  # why\n", "  # why\n" * 10_000)
    assert form(many) == many
