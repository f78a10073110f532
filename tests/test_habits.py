"""Habits brought from other languages and libraries: each is answered, and what the answer says to write works."""

from __future__ import annotations

import pytest

from netc import api
from netc.diagnostic import Diagnostic, Source
from netc.syntax.foreign import translated

HEAD = "net T(classes = 10) {\n  input image: f32[N, 3, 32, 32]\n  output scores: f32[N, classes]\n  from image\n"
TAIL = "\n    -> gap -> flatten -> fc(classes)\n    => scores\n}\n"


def check(text: str) -> list[Diagnostic]:
    return list(api.check_text(Source("x.cnn", text)).diagnostics)


def stage(text: str) -> str:
    return f"{HEAD}    {text}{TAIL}"


# What was written, what the help says to write, and the stage with that done.
STAGES = [
    # a call of torch, Keras or Caffe
    ("-> Conv2d(3, 64, 3)", "write conv(64, k=3)", "-> conv(64, k=3)"),
    ("-> Conv2d(3, 64, 3, 2, 1, bias=False)", "conv(64, k=3, stride=2, pad=1, bias=false)", ""),
    ("-> Conv2d(3, 64, kernel_size=3, stride=2)", "write conv(64, k=3, stride=2)", ""),
    ("-> nn.Conv2d(3, 64, 3)", "write conv(64, k=3)", "-> conv(64, k=3)"),
    ("-> torch.nn.Conv2d(3, 64, (1, 3), padding=(0, 1))", "write conv(64, k=[1, 3], pad=[0, 1])", ""),
    ("-> nn.Conv2d(3, 64, 3, padding='same')", "write conv(64, k=3, pad=half)", ""),
    ('-> layers.Conv2D(64, 3, activation="relu")', "write conv(64, k=3) -> relu", ""),
    ('-> Conv2D(64, 3, strides=2, padding="same")', "write conv(64, k=3, stride=2, pad=same_upper)", ""),
    ('-> Conv2D(64, 3, padding="same", strides=2)', "write conv(64, k=3, stride=2, pad=same_upper)", ""),
    ('-> MaxPooling2D(3, strides=1, padding="same")', "write maxpool(k=3, stride=1, pad=half)", ""),
    ('-> AveragePooling2D(3, strides=1, padding="same")', "avgpool(k=3, stride=1, pad=half, count_pad=false)", ""),
    ("-> AvgPool2d(3, padding=1, count_include_pad=False)", "avgpool(k=3, pad=1, count_pad=false)", ""),
    ("-> conv(64, k=3) -> Softmax(axis=-1)", "write softmax", "-> conv(64, k=3) -> softmax"),
    ("-> Convolution(num_output=64, kernel_size=3)", "write conv(64, k=3)", ""),
    ("-> MaxPool2d(3, stride=2, padding=1)", "write maxpool(k=3, stride=2, pad=1)", ""),
    ("-> conv(64, k=3) -> BatchNorm2d(64)", "write bn", "-> conv(64, k=3, bias=false) -> bn"),
    ("-> conv(64, k=3) -> bn(64)", "write bn", "-> conv(64, k=3, bias=false) -> bn"),
    ("-> Dropout(p=0.5)", "write dropout(0.5)", ""),
    ("-> conv(64, k=3) -> F.relu", "write relu", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3) -> nn.ReLU(inplace=True)", "write relu", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3) -> nn.AdaptiveAvgPool2d((1, 1))", "write gap", ""),
    ("-> flatten -> Linear(3072, 8) -> fc(3)", "write fc(8)", "-> conv(8, k=1)"),
    ("-> flatten -> fc(3072, 8) -> fc(3)", "write fc(8)", "-> conv(8, k=1)"),
    # arguments
    ("-> conv(64, kernel_size=3)", "`k`", "-> conv(64, k=3)"),
    ("-> conv(64, k=3, padding='same')", "pad=half", "-> conv(64, k=3, pad=half)"),
    ('-> conv(64, k=3, padding="same")', "`pad`: its words are half", "-> conv(64, k=3, pad=half)"),
    ("-> conv(64, k=3, pad=same)", "words are half", "-> conv(64, k=3, pad=half)"),
    ('-> conv(64, k=3, pad="same")', "same_upper", "-> conv(64, k=3, pad=same_upper)"),
    ("-> conv(64, k=3, pad=valid)", "leave it out", "-> conv(64, k=3)"),
    ('-> conv(64, k=3, activation="relu")', "-> relu", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3, act=relu)", "-> relu", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3) -> bn(momentum=0.1)", "`decay`", "-> conv(64, k=3, bias=false) -> bn(decay=0.9)"),
    ("-> conv(64, k=3) -> relu(inplace=True)", "leave it out", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3, bias=False)", "write false", "-> conv(64, k=3, bias=false)"),
    ("-> conv(64, k=3, bias=None)", "leave the argument out", "-> conv(64, k=3)"),
    ("-> conv(64, k=3) -> softmax(dim=1)", "leave it out", "-> conv(64, k=3) -> softmax"),
    ("-> conv(64, 3)", "name it: k=3", "-> conv(64, k=3)"),
    ("-> conv(3x3, 64)", "write conv(64, k=3x3)", "-> conv(64, k=3x3)"),
    ("-> conv(64x3x3)", "write 64, k=3", "-> conv(64, k=3)"),
    ("-> maxpool(2)", "name it: k=2", "-> maxpool(k=2)"),
    ("-> conv(64, k=(3, 3))", "write [a, b]", "-> conv(64, k=[3, 3])"),
    ("-> conv(64, k: 3)", "write k=", "-> conv(64, k=3)"),
    ("-> conv(64 k=3)", "write a comma before k", "-> conv(64, k=3)"),
    # arrows
    ("=> conv1: conv(64, k=3)", "write -> conv1:", "-> conv1: conv(64, k=3)"),
    ("=> conv(64, k=3)", "write -> conv(", "-> conv(64, k=3)"),
    ("-> conv(64, k=3) ->", "take one of them out", "-> conv(64, k=3)"),
    ("-> conv(64, k=3),", "take the comma out", "-> conv(64, k=3)"),
    ("-> conv(64, k=3), relu", "write ->", "-> conv(64, k=3) -> relu"),
    ("-> conv(64, k=3) + relu", "write ->", "-> conv(64, k=3) -> relu"),
    ("|> conv(64, k=3)", "write ->", "-> conv(64, k=3)"),
    (">> conv(64, k=3)", "write ->", "-> conv(64, k=3)"),
    ("--> conv(64, k=3)", "write ->", "-> conv(64, k=3)"),
    ("\u2192 conv(64, k=3)", "write ->", "-> conv(64, k=3)"),
    ("\u2013> conv(64, k=3)", "write ->", "-> conv(64, k=3)"),
    ("-> (conv(64, k=3) -> relu)", "write { a -> b }", "-> { conv(64, k=3) -> relu }"),
    ("-> x = conv(64, k=3)", "write x: layer(...)", "-> x: conv(64, k=3)"),
    # repeats and conditions
    ("-> conv(3, k=1) x 3", "write * 3", "-> a: conv(3, k=1) * 3"),
    ("-> 3 * conv(3, k=1)", "write stage(...) * 3", "-> a: conv(3, k=1) * 3"),
    ("-> for i in range(3): conv(3, k=1)", "stage(...) for i in", "-> a: conv(3, k=1) for i in 3"),
    ("-> conv(3, k=1) for i in range(3)", "for i in 4", "-> a: conv(3, k=1) for i in 3"),
    ("-> if 1 == 2 { tanh } elif 1 == 1 { relu }", "write else if", "-> if 1 == 2 { tanh } else if 1 == 1 { relu }"),
    ("-> if !(1 == 2) { relu }", "write not", "-> if not (1 == 2) { relu }"),
    ("-> if 1 == 1 && 2 == 2 { relu }", "write and", "-> if 1 == 1 and 2 == 2 { relu }"),
    ("-> if 1 == 1 || 2 == 2 { relu }", "write or", "-> if 1 == 1 or 2 == 2 { relu }"),
    ("-> conv(8 if 1 is 1 else 4, k=3)", "write == or !=", "-> conv(8 if 1 == 1 else 4, k=3)"),
    ("-> conv(1 == 1 ? 64 : 32, k=3)", "write a if condition else b", "-> conv(64 if 1 == 1 else 32, k=3)"),
    # numbers and operators
    ("-> conv(2 ** 6, k=3)", "multiply", "-> conv(2 * 2, k=3)"),
    ("-> conv(2 ^ 6, k=3)", "multiply", "-> conv(2 * 2, k=3)"),
    ("-> conv(0x40, k=3)", "write 64", "-> conv(64, k=3)"),
    ("-> dropout(.5)", "write 0.5", "-> dropout(0.5)"),
    ("-> dropout(0.)", "write 0.0", "-> dropout(0.0)"),
    ("-> dropout(50%)", "write 0.5", "-> dropout(0.5)"),
    ("-> conv(66 \u2212 2, k=3)", "write -", "-> conv(66 - 2, k=3)"),
    # comments and lines
    ("-> conv(64, k=3);", "take the `;` out", "-> conv(64, k=3)"),
    ("-> conv(64, k=3) // first", "starts with #", "-> conv(64, k=3) # first"),
    ("-> conv(64, k=3) /* first */", "starts with #", "-> conv(64, k=3) # first"),
    ("-> conv(64, k=3) -- first", "starts with #", "-> conv(64, k=3) # first"),
    ("->\u00a0conv(64, k=3)", "plain space", "-> conv(64, k=3)"),
    ("-> \ufeffconv(64, k=3)", "take it out", "-> conv(64, k=3)"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says", "right"), STAGES, ids=[wrong for wrong, _, _ in STAGES])
def test_a_habit_in_a_stage_is_one_error_whose_help_works(wrong: str, says: str, right: str) -> None:
    (found,) = check(stage(wrong))
    assert says in found.help, found
    assert check(stage(right or f"-> {says.removeprefix('write ')}")) == []


# Whole texts: the wrong one, what the help says, and the text with that done.
LINES = [
    ("  input image: f32(N, 3, 32, 32)", "write f32[N, ...]"),
    ("  input image: f32[?, 3, 32, 32]", "a size that is not fixed has a name"),
    ("  input image: f32[-1, 3, 32, 32]", "a size that is not fixed has a name"),
    ("  input image", "write input image: f32[N, 3, 224, 224]"),
    ("  input image: f32[N, 3, 32, 32];", "take the `;` out"),
]


@pytest.mark.parametrize(("line", "says"), LINES)
def test_an_input_in_another_languages_writing_is_answered(line: str, says: str) -> None:
    found = check(stage("-> relu").replace("  input image: f32[N, 3, 32, 32]", line))
    assert found[0].code == ("N205" if "-1" in line else "N101")
    assert says in found[0].help


@pytest.mark.parametrize("quotes", ["'cifar10'", "\u201ccifar10\u201d", "`cifar10`"])
def test_other_quotes_are_answered_with_double_ones(quotes: str) -> None:
    said = check(stage("-> relu").replace("[N, classes]", f"[N, classes] {{ labels = {quotes} }}"))
    assert [d.code for d in said] == ["N101"]
    assert 'write "' in said[0].help


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("x = conv(64, k=3)", "x: "),
        ("self.conv1 = nn.Conv2d(3, 64, 3)", "conv1: "),
        ("x += 1", "let x = "),
    ],
)
def test_an_assignment_in_a_net_is_answered_with_a_label(line: str, label: str) -> None:
    said = check(stage("-> relu").replace("  from image", f"  {line}\n  from image"))
    assert [d.code for d in said] == ["N101"]
    assert label in said[0].help


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("def f(x):\n  return x\n", "write block"),
        ('layer {\n  name: "conv2"\n}\n', "a chain says it"),
        ("// LeNet\n", "starts with #"),
        ('"""LeNet"""\n', "starts with #"),
        ("let f = lambda x: x\n", "write block"),
    ],
)
def test_a_statement_of_another_language_beside_a_net_is_answered(statement: str, says: str) -> None:
    said = check(statement + stage("-> relu"))
    assert {d.code for d in said} == {"N101"}
    assert says in said[0].help


def test_a_body_after_a_colon_is_answered_with_braces() -> None:
    (said,) = check("net T(classes = 10):\n  input image: f32[N, 3, 32, 32]\n")
    assert said.help == "write net T(classes = 10) { ... }"


def test_a_return_in_a_block_is_answered() -> None:
    said = check(f"block b(c) {{\n  conv(c, k=1)\n  return relu\n}}\n{stage('-> b(8)')}")
    assert [d.code for d in said] == ["N101"]
    assert said[0].help == "take `return` out; in a net, => name feeds an output"


def test_a_sum_of_values_is_answered_with_add() -> None:
    (said,) = check(stage("-> a: conv(3, k=1)").replace("  from image\n", "  from image + image\n"))
    assert said.help == "write from a, b -> add"


@pytest.mark.parametrize("text", [stage("\t-> conv(64, k=3)\t-> relu"), stage("-> relu").replace("\n", "\r\n")])
def test_tabs_and_windows_line_ends_are_white_space(text: str) -> None:
    assert check(text) == []


def test_arrows_at_the_ends_of_lines_are_as_good_as_at_their_starts() -> None:
    text = HEAD.rstrip("\n") + " ->\n  conv(64, k=3) ->\n  relu ->\n  gap -> flatten -> fc(classes)\n  => scores\n}\n"
    assert check(text) == []


PASTED = [
    ('# LeNet\nname: "LeNet"\nlayer {\n  name: "data"\n}\n', "Caffe prototxt"),
    ('input: "data"\ninput_dim: 1\n', "Caffe prototxt"),
    ("; a comment\n[convolutional]\nbatch_normalize=1\n", "darknet"),
    ("[shortcut]\nfrom=-3\n", "darknet"),
    ("# YOLO\nnc: 80\nbackbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n", "YAML"),
    ("- conv: 64\n- relu\n", "YAML"),
    ('[\n  {"type": "conv"}\n]\n', "JSON"),
    ("#!/usr/bin/env python3\nimport torch\n", "Python"),
    ("model = Sequential([\n  Conv2D(64, 3),\n])\n", "Python"),
    ('"""A net."""\nimport torch\n', "Python"),
    ("@torch.no_grad()\ndef f(): pass\n", "Python"),
    ('[model]\nname = "x"\n', "TOML"),
    ("ir_version: 8\ngraph {\n}\n", "protobuf"),
    ("<!DOCTYPE html>\n<html></html>\n", "HTML"),
]


@pytest.mark.parametrize(("text", "language"), PASTED)
def test_a_text_of_another_language_is_one_error_that_names_the_language(text: str, language: str) -> None:
    (said,) = check(text)
    assert said.code == "N109"
    assert language in said.message


def test_a_spec_with_a_slip_in_its_first_line_is_not_taken_for_another_language() -> None:
    for first in ("import torch", "a: 3", "[net]", "x = conv(3)", '"""a"""'):
        assert {d.code for d in check(f"{first}\n{stage('-> relu')}")} == {"N101"}, first


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Conv2d", [(None, "3"), (None, "64")]),  # no kernel
        ("Conv2d", [(None, "3"), (None, "64"), (None, "3"), ("padding_mode", "'reflect'")]),
        ("Conv2d", [("out_channels", "64"), ("out_channels", "32"), ("kernel_size", "3")]),
        ("BatchNorm2d", [(None, "64"), ("momentum", "0.1")]),  # torch's momentum is not netc's decay
        ("Upsample", [("scale_factor", "2")]),
        ("unheard", []),
        ("Softmax", [("dim", "3")]),
        ("LogSoftmax", [("dim", "2")]),
        ("Concatenate", [("axis", "2")]),
        ("AdaptiveAvgPool2d", [("output_size", "7")]),
        ("Flatten", [("start_dim", "2")]),
        ("MaxPooling2D", [(None, "3"), ("padding", '"same"')]),  # its stride is 3
        ("Conv2DTranspose", [(None, "8"), (None, "3"), ("strides", "2"), ("padding", '"same"')]),
    ],
)
def test_a_call_that_is_not_understood_whole_is_not_translated(
    name: str, arguments: list[tuple[str | None, str]]
) -> None:
    assert translated(name, arguments) == ""


def test_a_value_of_a_later_stage_of_the_same_chain_is_a_loop_and_of_a_later_chain_is_moved() -> None:
    loop = stage("-> a: conv(3, k=1)").replace("from image\n", "from image, b -> add\n")
    (said,) = check(loop.replace("-> gap", "-> b: relu -> gap"))
    assert (said.code, said.help) == (
        "N111",
        "`b` is made by this very chain, later, and a net has no loop: read one of image",
    )
    (said,) = check(
        stage("-> relu")
        .replace("from image\n", "from image, b -> add\n")
        .replace("}\n", "  from image -> b: relu\n}\n")
    )
    assert (said.code, said.help) == ("N111", "`b` is made below: move this chain down")


PORTS = "input x: f32[N, 3, 8, H] output y: f32[N, 3, 8, H]"


@pytest.mark.parametrize(
    ("text", "message", "help_", "fixed"),
    [
        (
            f"net A {{ {PORTS} x -> relu => y }}",
            "a net's chain says where it starts",
            "write from x -> ...",
            f"net A {{ {PORTS} from x -> relu => y }}",
        ),
        (
            f"net A {{ {PORTS} r: relu => y }}",
            "a net's chain says where it starts",
            "write from NAME -> r: ...",
            f"net A {{ {PORTS} from x -> r: relu => y }}",
        ),
        (
            f"net A {{ {PORTS} require H % 4 == 0 from x -> relu => y }}",
            "a requirement gives its reason",
            'write require H % 4 == 0, "why"',
            f'net A {{ {PORTS} require H % 4 == 0, "why" from x -> relu => y }}',
        ),
        (
            f"net A {{ {PORTS} require H % 4\n from x -> relu => y }}",
            "a requirement gives its reason",
            'write require H % 4 == 0, "why"',
            f'net A {{ {PORTS} require H % 4 == 0, "why" from x -> relu => y }}',
        ),
        (
            f'net A {{ {PORTS} require "so" from x -> relu => y }}',
            "a requirement starts with its test",
            'write require H % 4 == 0, "so"',
            f'net A {{ {PORTS} require H % 4 == 0, "so" from x -> relu => y }}',
        ),
        (
            f"block b {{ relu }} net A {{ {PORTS} from x -> b => y }}",
            "a block has parentheses",
            "write block b() { ... }",
            f"block b() {{ relu }} net A {{ {PORTS} from x -> b => y }}",
        ),
        (
            f'use "std/vgg.cnn" net A {{ {PORTS} from x -> stage(3, 1) -> upsample(2) => y }}',
            "`use` names the blocks",
            'write use "std/vgg.cnn" (NAME, NAME)',
            "",
        ),
        (
            "net A { input x: f32[N, 3, 8, 8] output y: f32[N, 3, 8, 8] from x -> is 3x8x8 -> relu => y }",
            "a shape stands in square brackets, the batch first",
            "write is [_, 3, 8, 8]",
            "net A { input x: f32[N, 3, 8, 8] output y: f32[N, 3, 8, 8] from x -> is [_, 3, 8, 8] -> relu => y }",
        ),
    ],
)
def test_a_part_that_is_missing_is_named(text: str, message: str, help_: str, fixed: str) -> None:
    found = [d for d in check(text) if d.severity == "error"]
    assert message in found[0].message
    assert found[0].help == help_
    if fixed:
        assert [d for d in check(fixed) if d.severity == "error"] == []


def test_a_section_beside_a_net_that_did_not_parse_names_what_it_likes() -> None:
    text = f"net A {{ {PORTS} x = relu }} train A {{ loss.y = bce_with_logits(), optimizer = adam() }}"
    assert [d.code for d in check(text)] == ["N101"]


@pytest.mark.parametrize(
    ("image", "help_"),
    [
        ("f32[3, 32, 32]", "the batch is missing: write f32[N, 3, 32, 32]"),
        ("f32[N, 32, 48, 3]", "channels come first: write f32[N, 3, 32, 48]"),
    ],
)
def test_a_picture_in_another_order_is_told_this_one(image: str, help_: str) -> None:
    text = f"net A {{ input x: {image} {{ scale = 1/255 }} output y: f32[N, 3, 8, 8] from x -> relu => y }}"
    assert help_ in [d.help for d in check(text)]


@pytest.mark.parametrize("text", ["\n" * 200_000 + "x", f'let a = "{"1" * 200_000}" %% 3'], ids=["lines", "digits"])
def test_a_long_way_to_a_mistake_is_looked_at_once(text: str) -> None:
    assert [d.code for d in check(text)][:1] == ["N101"]
