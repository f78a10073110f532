"""The tree of a text: its table, the places of its nodes, its comments, and what is read where parts are broken."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from netc.diagnostic import Diagnostic, Diagnostics, Source
from netc.elaborate import elaborate
from netc.syntax import grammar_table, table
from netc.syntax import tree as t
from netc.syntax.build import Builder, Refused
from netc.syntax.lexer import OneLexer
from netc.syntax.parse import parse
from tests.conftest import ROOT

SPECS = sorted((ROOT / "specs").glob("*.cnn"))
STD = sorted((ROOT / "netc" / "std").glob("*.cnn"))


def test_the_table_in_the_package_is_that_of_the_grammar() -> None:
    # Built strictly: two terminals that collide or two rules in conflict fail here.
    # Written anew by `python -m netc.syntax.table`.
    assert table.TABLE.read_text("utf-8") == table.dump()


# --- places

TEXT = """# a comment
language 1
use "std/resnet.cnn" (basic, project)
let a, (b, c) = [1, [2, 3]]
default conv(bias = false)
block unit(width, act = relu(), k = [1, 7]) from left, right {
  let d = width * (2 + k[0]) // 3
  require d > 0 and not d == 7 or true, "d is fine"
  from left -> "x{d}.y": conv(d, k = 1x7) -> act -> is [_, d, -1, 4]
  from right -> g: { relu -> 0: id } * 2
    -> add { | tanh | if a == 1 { relu } else if b < 2 { tanh } else { id } }
    -> loop: relu for i, (j, k) in enumerate([[1, 2], [3, 4]][0:1])
    -> @g -> skip { sigmoid }
}
net Net(classes = 10 if true else 20) {
  input image: f32[N, 3, H, W] { scale = 1 / 255, mean = [0.5] }
  output scores: f32[N, classes]
  from image, image -> { | relu | tanh } -> concat -> fc(classes) => scores
  expect { params.train = 1_000, at.H = 3 }
}
net Other = Net(classes = 5) { export { dynamic = [N] } }
train Net { loss.scores = 0.3 * cross_entropy(), optimizer = sgd(lr = 0.1) }
"""


def nodes(found: object) -> Iterator[t.At]:
    """Every node of a tree, outermost first."""
    if isinstance(found, t.At):
        yield found
        for cls in type(found).__mro__:
            for slot in getattr(cls, "__slots__", ()):
                yield from nodes(getattr(found, slot))
    elif isinstance(found, tuple):
        for each in found:  # pyright: ignore[reportUnknownVariableType] -- a tuple of whatever a node holds
            yield from nodes(each)  # pyright: ignore[reportUnknownArgumentType] -- as above


def tree(text: str) -> t.File:
    file = parse(Source("x.cnn", text))
    assert file.diagnostics == ()
    return file


def texts(kind: type[t.At]) -> list[str]:
    """What the nodes of a kind cover in the text above, in its order."""
    found = sorted((n.start, -n.end) for n in nodes(tree(TEXT).statements) if type(n) is kind)
    return [TEXT[start:-end] for start, end in found]


ONE_PLACE: dict[type[t.At], list[str]] = {
    t.Use: ['use "std/resnet.cnn" (basic, project)'],
    t.Default: ["default conv(bias = false)"],
    t.Let: ["let a, (b, c) = [1, [2, 3]]", "let d = width * (2 + k[0]) // 3"],
    t.Require: ['require d > 0 and not d == 7 or true, "d is fine"'],
    t.Parameter: ["width", "act = relu()", "k = [1, 7]", "classes = 10 if true else 20"],
    t.Label: ['"x{d}.y"', "g", "0", "loop"],
    t.Dims: ["1x7"],
    t.Not: ["not d == 7"],
    t.Negate: ["-1"],
    t.Index: ["k[0]"],
    t.Slice: ["[[1, 2], [3, 4]][0:1]"],
    t.Choice: ["10 if true else 20"],
    t.Is: ["is [_, d, -1, 4]"],
    t.Reuse: ["@g"],
    t.Repeat: ["* 2"],
    t.Loop: ["for i, (j, k) in enumerate([[1, 2], [3, 4]][0:1])"],
    t.Targets: ["a, (b, c)", "b, c", "d", "i, (j, k)", "j, k"],
    t.Braces: ["{ relu -> 0: id }"],
    t.If: ["if a == 1 { relu } else if b < 2 { tanh } else { id }"],
    t.Fork: [
        "add { | tanh | if a == 1 { relu } else if b < 2 { tanh } else { id } }",
        "skip { sigmoid }",
        "{ | relu | tanh }",
    ],
    t.Type: ["f32[N, 3, H, W]", "f32[N, classes]"],
    t.Port: [
        "input image: f32[N, 3, H, W] { scale = 1 / 255, mean = [0.5] }",
        "output scores: f32[N, classes]",
    ],
    t.Pair: [
        "scale = 1 / 255",
        "mean = [0.5]",
        "params.train = 1_000",
        "at.H = 3",
        "dynamic = [N]",
        "loss.scores = 0.3 * cross_entropy()",
        "optimizer = sgd(lr = 0.1)",
    ],
    t.Section: [
        "expect { params.train = 1_000, at.H = 3 }",
        "export { dynamic = [N] }",
        "train Net { loss.scores = 0.3 * cross_entropy(), optimizer = sgd(lr = 0.1) }",
    ],
    t.Variant: ["net Other = Net(classes = 5) { export { dynamic = [N] } }"],
}


@pytest.mark.parametrize("kind", ONE_PLACE, ids=lambda kind: kind.__name__)
def test_a_node_covers_its_text(kind: type[t.At]) -> None:
    assert texts(kind) == ONE_PLACE[kind]


def test_a_block_and_a_net_cover_their_texts() -> None:
    (block,) = texts(t.Block)
    assert block.startswith("block unit(width")
    assert block.endswith("skip { sigmoid }\n}")
    (net,) = texts(t.Net)
    assert net.startswith("net Net(classes")
    assert net.endswith("at.H = 3 }\n}")


def test_chains_and_stages_cover_their_texts() -> None:
    chains = texts(t.Chain)
    assert chains[0] == 'from left -> "x{d}.y": conv(d, k = 1x7) -> act -> is [_, d, -1, 4]'
    assert chains[-3] == "from image, image -> { | relu | tanh } -> concat -> fc(classes) => scores"
    items = texts(t.Item)
    assert items[:4] == ['"x{d}.y": conv(d, k = 1x7)', "act", "is [_, d, -1, 4]", "g: { relu -> 0: id } * 2"]
    assert "loop: relu for i, (j, k) in enumerate([[1, 2], [3, 4]][0:1])" in items


def test_arithmetic_covers_its_text_and_parentheses_belong_to_what_they_hold() -> None:
    binaries = texts(t.Binary)
    assert binaries[:3] == ["width * (2 + k[0]) // 3", "width * (2 + k[0])", "(2 + k[0])"]
    assert binaries[3:7] == ["d > 0 and not d == 7 or true", "d > 0 and not d == 7", "d > 0", "d == 7"]


@pytest.mark.parametrize(
    ("text", "covers"),
    [
        ("let x = not   (a)", "not   (a)"),
        ("let x = - 3", "- 3"),
        ("let x = ((a) + b)", "((a) + b)"),
        ("let x = (a)[0]", "(a)[0]"),
        ("let x = f(a)  [0]  [1:]", "f(a)  [0]  [1:]"),
        ("let x = [1,\n 2,]", "[1,\n 2,]"),
    ],
)
def test_spaces_do_not_move_a_place(text: str, covers: str) -> None:
    (let,) = tree(text).statements
    assert isinstance(let, t.Let)
    assert text[let.value.start : let.value.end] == covers


def test_every_kind_of_node_is_in_the_text_above() -> None:
    kinds = {cls for cls in vars(t).values() if isinstance(cls, type) and issubclass(cls, t.At)}
    assert kinds - {t.At, t.Comment} == {type(n) for n in nodes(tree(TEXT).statements)}


@pytest.mark.parametrize("path", [*SPECS, *STD], ids=lambda p: p.name)
def test_a_node_lies_within_the_node_that_holds_it(path: Path) -> None:
    file = tree(path.read_text("utf-8"))
    assert file.statements
    for statement in file.statements:
        for node in nodes(statement):
            assert statement.start <= node.start < node.end <= statement.end
            inner = [n for n in nodes(node) if n is not node]
            assert all(node.start <= n.start and n.end <= node.end for n in inner)


@pytest.mark.parametrize("path", [*SPECS, *STD], ids=lambda p: p.name)
def test_every_comment_is_kept_with_its_place(path: Path) -> None:
    text = path.read_text("utf-8")
    comments = tree(text).comments
    assert [text[c.start : c.end] for c in comments] == [c.text for c in comments]
    # No spec has a number sign in a text: each starts a comment that goes to the end of its line.
    assert [c.text for c in comments] == [line[line.index("#") :] for line in text.splitlines() if "#" in line]


# --- broken parts


def check(text: str) -> list[Diagnostic]:
    found = Diagnostics()
    elaborate(Source("x.cnn", text), None, found)
    return sorted(found.found, key=lambda d: d.span.start)


def told(text: str) -> list[tuple[str, int]]:
    return [(d.code, d.span.line) for d in check(text)]


def test_independent_errors_in_different_blocks_and_nets_are_all_reported() -> None:
    text = """block a() { conv(8 k=1) }
block b() { relu tanh }
block c() { skip { | relu | } }
net A {
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 3, 8, 8]
  from x -> a -> b -> c => y
}
net B {
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 8]
  from x -> cnv(8, k=1) -> conv(4, k=99) => y
  from x -> conv(4, kk=9) -> fc(8)
}
net C {
  input x f32[N, 3]
  output y: f32[N, 8]
  from x -> fc(8) => y
}
"""
    # a, b, c: syntax; B: an unknown layer, and an unknown argument in a chain that nothing reads; C: a colon.
    assert told(text) == [("N101", 1), ("N101", 2), ("N101", 3), ("N110", 12), ("N120", 13), ("N101", 16)]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("let d = = 3\n from in -> conv(8, k=d)", 1),
        ("let d = 3 +\n from in -> conv(8, k=d)", 2),
        ("default conv(k = 3 pad = 1)\n conv(8)", 1),
        ('require d >, "why"\n conv(8, k=1)', 1),
        ("conv(8, k=1) -> -> relu", 1),
        ("conv(8, k=1) -> relu,", 1),
        ("conv(8, k=1)\n from in -> \n from in -> relu", 3),
        ("a: b: conv(8, k=1)", 1),
        ("{ | conv(8, k=1) | }", 1),
        ("conv(8, k=1) -> if { relu }", 1),
        ("conv(8, k=1) * ", 2),
        ("conv(8, k=[1, 2)", 1),
        ("conv(8, k=1))", 1),
        ("conv(8, k=(1)", 1),
        ("conv = 3", 1),
        ("conv(8, k=1);", 1),
        ("conv(8, k='1')", 1),
    ],
)
def test_a_broken_block_is_one_error_and_the_rest_is_checked(body: str, line: int) -> None:
    text = f"""block b() {{ {body}
}}
net A {{
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 8]
  from x -> b -> gap -> flatten -> fc(8) => y
}}
net B {{
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 8]
  from x -> gap -> flatten -> fc(9) => y
}}
"""
    shift = body.count("\n")
    assert told(text) == [(check(text)[0].code, line), ("N305", 10 + shift)]
    assert check(text)[0].code in ("N101", "N106")


@pytest.mark.parametrize(
    "member",
    [
        "from x -> relu -> => y",
        "from x relu => z",
        "let c = ",
        "default conv(bias false)",
        "input z: f32[N 3]",
        "output z f32[N, 3]",
        "train { loss.y = }",
        "expect { params 3 }",
    ],
)
def test_a_broken_member_of_a_net_is_one_error_and_later_nets_are_checked(member: str) -> None:
    text = f"""net A {{
  input x: f32[N, 3]
  output y: f32[N, 8]
  {member}
  from x -> fc(8) => y
}}
net B {{
  input x: f32[N, 3]
  output y: f32[N, 8]
  from x -> conv(8, k=1) => y
}}
"""
    codes = told(text)
    assert len(codes) == 2, check(text)
    assert codes[0][0] == "N101"
    assert codes[0][1] in (4, 5)
    assert codes[1] == ("N201", 10)


def test_a_brace_that_is_never_closed_is_one_error_where_it_opened() -> None:
    assert told("net A {\n  input x: f32[N, 3]\n") == [("N106", 1)]
    assert told("block b() { relu }\n}\n") == [("N106", 2)]
    assert told("block b() { conv(8, k=[1, 2}) }\n")[0] == ("N106", 1)


def test_what_an_unread_definition_may_have_meant_is_not_reported() -> None:
    # `unit` is defined, though its definition does not parse.
    text = """block unit(c { conv(c, k=1) }
net A {
  input x: f32[N, 3, 8, 8]
  output y: f32[N, 8, 8, 8]
  from x -> unit(8) => y
}
"""
    assert [code for code, _ in told(text)] == ["N106"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name: "LeNet"\nlayer { type: "Convolution" }\n', "Caffe"),
        ("[net]\nbatch=1\n[convolutional]\nfilters=32\n", "darknet"),
        ("backbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n", "YAML"),
        ('{"layers": [{"type": "conv"}]}', "JSON"),
        ("import torch\nfrom torch import nn\nclass Net(nn.Module):\n    pass\n", "Python"),
    ],
)
def test_a_text_in_another_language_is_one_error_that_names_it(text: str, says: str) -> None:
    (said,) = check(text)
    assert said.code == "N109"
    assert says in said.message


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ("conv(8, k=1) relu", "write -> relu"),
        ("conv(8 k=1)", "write a comma before k"),
        ("conv(8, k='1')", 'write "1"'),
        ("conv(8, k=1);", "take the `;` out"),
        ("conv(8, k=2 ** 3)", "multiply"),
        ("if 1 === 2 { relu }", "write =="),
        ("{ | relu | }", "write id"),
        ("{ }", "write id"),
    ],
)
def test_a_habit_from_elsewhere_gets_an_answer_of_its_own(chain: str, says: str) -> None:
    said = check(f"block b() {{ {chain} }}\n")
    assert [d.code for d in said] == ["N101"]
    assert says in said[0].help


def test_an_assignment_is_answered_with_a_label() -> None:
    said = check("block b() { conv1 = conv(8, k=1) }\n")
    assert [d.code for d in said] == ["N101"]
    assert "conv1: layer(...)" in said[0].help


# --- Lark's table under netc's lexer and loop


def shape(found: object) -> object:
    """A tree as nested plain values, places included."""
    if isinstance(found, t.At):
        names = [n for cls in type(found).__mro__ for n in getattr(cls, "__slots__", ())]
        return type(found).__name__, [(n, shape(getattr(found, n))) for n in sorted(names)]
    if isinstance(found, tuple):
        return [shape(part) for part in cast("tuple[object, ...]", found)]
    return found


def outcome(parser: Lark, text: str) -> object:
    """The tree, or where the parser stopped, at which token, and which tokens would have fitted."""
    try:
        return shape(parser.parse(text))  # pyright: ignore[reportUnknownMemberType] -- Lark types it in part
    except UnexpectedToken as error:
        token = cast(Token, error.token)
        return token.type, token.start_pos, sorted(error.accepts or ())
    except UnexpectedCharacters as error:
        place = cast(int, error.pos_in_stream)
        return place, sorted(error.allowed or ())
    except Refused as error:
        return error.code, error.start, error.end


@pytest.mark.parametrize("path", [*SPECS, *STD], ids=lambda p: p.name)
def test_a_spec_is_read_as_lark_itself_reads_it(path: Path) -> None:
    # Lark's own contextual lexer and parser, built from the grammar.
    lark = Lark(table.GRAMMAR.read_text("utf-8"), parser="lalr", transformer=Builder(), maybe_placeholders=True)
    text = path.read_text("utf-8")
    assert outcome(table.load(lambda token: token, Builder()), text) == outcome(lark, text)


def test_a_broken_text_stops_the_parser_where_it_stops_larks_own() -> None:
    ours = table.load(lambda token: token, Builder())
    # The same table and the same lexer, with Lark's own loop.
    larks = Lark._load_from_dict(  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType] -- as netc.syntax.table does
        grammar_table.DATA, grammar_table.MEMO, transformer=Builder(), _plugins={"ContextualLexer": OneLexer}
    )
    stops: set[str] = set()
    for place in range(0, len(TEXT), 5):
        for put in ("", " -> ", " 7 ", " in ", " $ ", " ) "):
            text = TEXT[:place] if put == "" else TEXT[:place] + put + TEXT[place:]
            said = outcome(ours, text)
            assert said == outcome(larks, text), text
            stops.add(str(said)[:40])
    assert len(stops) > 300  # most of them stop, at places of their own


# --- size


def chained(count: int) -> str:
    """A net of so many lines, each a labelled stage."""
    lines = "\n".join(f"    -> s{i}: conv(8, k=3, pad=1) -> relu" for i in range(count))
    return f"net A {{\n  input x: f32[N, 8, 8, 8]\n  output y: f32[N, 8, 8, 8]\n  from x\n{lines}\n    => y\n}}\n"


def residual(count: int) -> str:
    """A net of four times so many lines, each a stage, whose values are named again further down."""
    text, last = "", "x"
    for i in range(count):
        text += f"  from {last} -> conv{i}: conv(8, k=3, pad=1, bias=false)\n    -> bn{i}: bn(eps=1e-3)\n"
        text += f"  from bn{i}, {last} -> sum{i}: add\n    -> out{i}: relu\n"
        last = f"out{i}"
    ports = "  input x: f32[N, 8, H, W]\n  output y: f32[N, 8, H, W]\n"
    return f"net A {{\n{ports}{text}  from {last} -> id => y\n}}\n"


def calls(text: str) -> Counter[str]:
    """How often each of netc's functions is called while a text is checked."""
    counts: Counter[str] = Counter()

    def count(frame: object, event: str, _: object) -> None:
        code = getattr(frame, "f_code", None)
        if event == "call" and code is not None and "/netc/" in code.co_filename:
            counts[f"{Path(code.co_filename).name}:{code.co_name}"] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert check(text) == []
    finally:
        sys.setprofile(before)
    return counts


@pytest.mark.parametrize("text", [chained, residual])
def test_the_work_of_a_check_grows_with_the_text_and_no_faster(text: Callable[[int], str]) -> None:
    check(text(1))  # what is made on first use
    small, large = calls(text(100)), calls(text(400))
    grown = {name: (small[name], n) for name, n in large.items() if n > 4 * small[name] + 40}
    assert grown == {}


@pytest.mark.slow
def test_a_net_of_10_000_lines_is_read_and_checked() -> None:
    text = chained(10_000)
    found = Diagnostics()
    graph = elaborate(Source("x.cnn", text), None, found).graphs["A"]
    assert found.found == []
    assert len(graph.nodes) == 20_000
    # 8 8 9 weights and 8 biases a layer
    assert graph.params() == 10_000 * (576 + 8)
