"""Rule 20: the language has a version, and comments are kept with their places."""

from netc.diagnostic import Source
from netc.syntax.parse import LANGUAGE, parse
from tests.language.spec import admitted, net, refused

NET = net("from image -> conv(8, k=1) => y")


def test_a_file_starts_with_its_version() -> None:
    assert LANGUAGE == 1
    assert admitted(f"language 1\n{NET}").language == 1


def test_without_one_it_is_1() -> None:
    assert admitted(NET).language == 1


def test_a_later_version_is_refused_at_its_number() -> None:
    refused(f"language §2\n{NET}", "N108", says="install a newer netc")


def test_a_version_0_never_was() -> None:
    refused(f"language §0\n{NET}", "N108", says="write language 1")


def test_the_version_stands_first() -> None:
    refused(f"{NET}\n§language 1", "N101")
    refused(f"# a comment may stand before\nlanguage §one\n{NET}", "N101")
    assert admitted(f"# a comment may stand before\nlanguage 1\n{NET}").language == 1


def test_comments_are_kept_with_their_places() -> None:
    text = "# first\nlanguage 1 # second\n\nblock b() { # third\n  relu\n  # fourth\n}\n"
    comments = parse(Source("x.cnn", text)).comments
    assert [text[c.start : c.end] for c in comments] == ["# first", "# second", "# third", "# fourth"]
    assert [c.text for c in comments] == ["# first", "# second", "# third", "# fourth"]


def test_a_number_sign_in_a_text_is_no_comment() -> None:
    text = net('require 1 < 2, "no # comment" from image -> conv(8, k=1) => y')
    assert parse(Source("x.cnn", text)).comments == ()
    admitted(text)
