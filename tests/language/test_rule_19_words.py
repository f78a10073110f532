"""Rule 19: the language's words name nothing."""

import pytest

from netc.elaborate.files import WORDS
from netc.ops import kinds
from tests.language.spec import admitted, check, net, refused, weights

# fmt: off
STATED = [
    "language", "use", "let", "default", "block", "net", "input", "output", "from", "require", "if", "else", "for",
    "in", "is", "and", "or", "not", "true", "false", "train", "export", "expect",
]
# fmt: on


def test_the_words_are_the_stated_ones() -> None:
    assert sorted(WORDS) == sorted(STATED)


@pytest.mark.parametrize("word", STATED)
@pytest.mark.parametrize(
    "text",
    [
        net("from image -> WORD: conv(8, k=1) => y"),
        net("let WORD = 1 from image -> conv(8, k=1) => y"),
        net("from image -> b => y", head="block b(WORD = 1) { conv(8, k=1) }"),
        net("from image -> conv(8, k=1) => y", head="block WORD() { relu }"),
        net("from image -> conv(8, k=1) => y").replace("net A", "net WORD"),
        net("from WORD -> conv(8, k=1) => y").replace("image:", "WORD:"),
        net("from image -> conv(8, k=1) => WORD").replace("output y", "output WORD"),
        net("from image -> conv(8, k=1) -> relu for WORD in 2 => y"),
    ],
)
def test_a_word_names_nothing(word: str, text: str) -> None:
    graphs, found = check(text.replace("WORD", word))
    assert not graphs
    # `if` and `is` begin a stage: no parser takes them for its label.
    code = "N101" if word in ("if", "is") and "-> WORD:" in text else "N113"
    assert [d.code for d in found] == [code]


def test_a_word_is_no_stage() -> None:
    refused(net("from image -> conv(8, k=1) -> §net => y"), "N101", says="a word of the language")


@pytest.mark.parametrize("word", STATED)
def test_a_word_is_a_component_where_it_is_quoted(word: str) -> None:
    assert weights(admitted(net(f'from image -> "{word}": conv(8, k=1) => y')))[0] == f"{word}.weight"


@pytest.mark.parametrize("name", ["skip", "inception", *kinds()])
def test_a_layers_name_is_no_blocks(name: str) -> None:
    refused(net("from image -> x: conv(8, k=1) => y", head=f"block §{name}() {{ id }}"), "N113", says="a layer's name")


def test_a_layers_name_may_be_a_label() -> None:
    assert weights(admitted(net("from image -> relu: conv(8, k=1) => y")))[0] == "relu.weight"


def test_skip_and_inception_take_braces() -> None:
    refused(net("from image -> §skip -> conv(8, k=1) => y"), "N110", says="write skip { | a | b }")
