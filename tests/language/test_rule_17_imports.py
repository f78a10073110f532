"""Rule 17: imports, relative to the file or from the standard library. Refusals by path are in `test_bad_input.py`."""

from pathlib import Path

import pytest

from tests.language.spec import admitted, check, fields, net, refused, weights

PARTS = "block unit(c) { conv(c, k=1) -> relu }\nblock pair(c) { a: unit(c) -> b: unit(c) }\n"


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "parts.cnn").write_text(PARTS, "utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.cnn").write_text('use "../parts.cnn" (unit)\nblock deep(c) { unit(c) }', "utf-8")
    return tmp_path / "main.cnn"


def test_blocks_come_from_another_file(main: Path) -> None:
    graph = admitted(net("from image -> pair(8) => y", head='use "parts.cnn" (pair)'), main)
    assert weights(graph)[0] == "pair.a.conv.weight"


def test_what_a_used_block_uses_need_not_be_named(main: Path) -> None:
    refused(net("from image -> pair(8) -> §unit(8) => y", head='use "parts.cnn" (pair)'), "N110", path=main)


def test_a_used_file_may_use_others_within_the_tree(main: Path) -> None:
    assert (
        weights(admitted(net("from image -> deep(8) => y", head='use "sub/deep.cnn" (deep)'), main))[0]
        == "deep.unit.conv.weight"
    )


def test_a_file_used_twice_is_one_file(main: Path) -> None:
    head = 'use "parts.cnn" (pair)\nuse "parts.cnn" (unit)'
    admitted(net("from image -> pair(8) -> unit(8) => y", head=head), main)


def test_a_net_is_used_for_its_variants(main: Path) -> None:
    main.with_name("nets.cnn").write_text(
        net("from image -> conv(c, k=1) => y").replace("net A", "net Base(c = 8)"), "utf-8"
    )
    graphs, found = check('use "nets.cnn" (Base)\nnet B = Base(c = 8) { expect { params = 32 } }', main)
    assert found == []
    assert list(graphs) == ["B"]


def test_a_default_does_not_reach_into_a_used_file(main: Path) -> None:
    head = 'use "parts.cnn" (unit)\ndefault conv(bias=false)'
    assert fields(admitted(net("from image -> unit(8) => y", head=head), main), "unit.conv", "bias") == (True,)


def test_lets_are_not_used(main: Path) -> None:
    main.with_name("lets.cnn").write_text("let c = 8\nblock b() { conv(c, k=1) }", "utf-8")
    admitted(net("from image -> b => y", head='use "lets.cnn" (b)'), main)
    refused(net("from image -> b -> x: conv(8, k=1) => y", head='use "lets.cnn" (b, §c)'), "N153", path=main)


def test_an_unknown_name_of_a_file_names_the_nearest(main: Path) -> None:
    refused(
        net("from image -> conv(8, k=1) => y", head='use "parts.cnn" (§units)'),
        "N153",
        says="did you mean `unit`?",
        path=main,
    )


def test_what_an_import_should_have_brought_is_not_reported_again(main: Path) -> None:
    refused(net("from image -> unti(8) => y", head='use "parts.cnn" (§unti)'), "N153", path=main)
    refused(
        net("from image -> unit(8) => y", head='use §"part.cnn" (unit)'), "N150", says="beside it: parts.cnn", path=main
    )


def test_an_error_in_a_used_file_is_reported_there(main: Path) -> None:
    main.with_name("bad.cnn").write_text("block b() {\n  conv(8 k=1)\n}", "utf-8")
    _, found = check(net("from image -> b => y", head='use "bad.cnn" (b)'), main)
    assert [(d.code, str(d.span)) for d in found] == [("N101", "bad.cnn:2:10")]


def test_a_wrong_shape_in_a_used_block_tells_the_way_there(main: Path) -> None:
    main.with_name("k.cnn").write_text("block b() {\n  conv(8, k=99)\n}", "utf-8")
    _, found = check(net("from image -> x: b => y", head='use "k.cnn" (b)'), main)
    assert [(d.code, str(d.span)) for d in found] == [("N203", "k.cnn:2:13")]
    assert found[0].notes == ("in x, from `b` at main.cnn:5:20",)


def test_a_used_name_is_no_second_definition(main: Path) -> None:
    refused(
        net("from image -> unit => y", head='use "parts.cnn" (unit)\nblock §unit() { conv(8, k=1) }'), "N112", path=main
    )
    refused(net("from image -> unit(8) => y", head='use "parts.cnn" (unit, §unit)'), "N112", path=main)


def test_the_standard_library_is_found_from_everywhere() -> None:
    text = net("from image -> b1: basic(8) => y", head='use "std/resnet.cnn" (basic)')
    assert weights(admitted(text))[0] == "b1.conv1.weight"


def test_a_text_without_a_file_uses_the_standard_library_only() -> None:
    refused(net("from image -> conv(8, k=1) => y", head='use §"parts.cnn" (unit)'), "N150", says="save it")
    refused(net("from image -> conv(8, k=1) => y", head='use §"std/nosuch.cnn" (unit)'), "N150", says="is not there")
    refused(net("from image -> conv(8, k=1) => y", head='use §"std/../ops/conv.py" (unit)'), "N151")


def test_a_ring_is_printed(main: Path) -> None:
    main.with_name("a.cnn").write_text('use "main.cnn" (z)\nblock x() { relu }', "utf-8")
    main.write_text(net("from image -> x -> conv(8, k=1) => y", head='use "a.cnn" (x)'), "utf-8")
    _, found = check(main.read_text("utf-8"), main)
    assert [(d.code, str(d.span)) for d in found] == [("N152", "a.cnn:1:5")]
    assert "main.cnn -> a.cnn -> main.cnn" in found[0].message
