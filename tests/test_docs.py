"""The pages that show what netc prints are made anew and compared: no message changes without them."""

import re

import pytest

from docs import make_errors
from netc import cli

MAKE = "run `make docs`"


def test_the_errors_page_is_what_netc_prints_today() -> None:
    assert make_errors.PAGE.read_text(encoding="utf-8") == make_errors.page(), MAKE


def test_every_wrong_spec_is_on_the_page() -> None:
    folder = make_errors.PAGE.parent / "errors"
    assert {path.stem for path in folder.iterdir()} == set(make_errors.EXAMPLES)


@pytest.mark.parametrize("name", make_errors.EXAMPLES)
def test_the_page_shows_what_the_command_prints(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_errors.ROOT)
    assert cli.main(["check", f"docs/errors/{name}.cnn"]) == 1
    printed = capsys.readouterr().out
    assert printed == f"{make_errors.printed(name)}\n"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("arrow", ["N101"]),
        ("typo", ["N120", "N120"]),
        ("shortcut", ["N301"]),
        ("kernel", ["N203"]),
        ("torch_habits", ["N110"] * 4),
        ("any_size", ["N209"]),
        ("promise", ["N305"]),
        ("several", ["N110", "N120", "N170", "N171", "N180"]),
    ],
)
def test_a_wrong_spec_has_the_mistakes_that_the_page_speaks_of(name: str, codes: list[str]) -> None:
    assert sorted(re.findall(r"^error\[(\w+)\]", make_errors.printed(name), re.MULTILINE)) == codes
