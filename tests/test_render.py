"""Findings as people and machines read them. Every expected block is written by hand."""

import json
from textwrap import dedent
from typing import Any, cast

import pytest

from netc import api, errors, render
from netc.diagnostic import Diagnostic, Edit, Label, Source, Span

SPEC = Source(
    "nets/a.cnn",
    "net A {\n  input image: f32[N, 3, 8, 8]\n  from image -> conv(4, k=33) -> fc(10)\n  # a comment\n}\n",
)


def at(source: Source, words: str, nth: int = 0) -> Span:
    start = -1
    for _ in range(nth + 1):
        start = source.text.index(words, start + 1)
    return Span(source, start, start + len(words))


def shown(diagnostic: Diagnostic) -> str:
    return render.plain(render.text(diagnostic))


def block(text: str) -> str:
    return dedent(text).strip("\n")


def test_one_place() -> None:
    found = Diagnostic("N203", "a 33x33 kernel does not fit", at(SPEC, "33"), said="33 > 8", help="pad=13 fits")
    assert shown(found) == block(
        """
        error[N203]: a 33x33 kernel does not fit
          --> nets/a.cnn:3:27
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                           ^^ 33 > 8
           = help: pad=13 fits
        """
    )


def test_a_warning_says_so_and_nothing_else_is_needed() -> None:
    found = Diagnostic("W301", "nobody reads this", at(SPEC, "fc(10)"), severity="warning")
    assert shown(found) == block(
        """
        warning[W301]: nobody reads this
          --> nets/a.cnn:3:34
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                                  ^^^^^^
        """
    )


def test_two_places_on_one_line_stand_below_one_another_from_right_to_left() -> None:
    labels = (Label(at(SPEC, "conv"), "4x-24x-24 comes from here"),)
    found = Diagnostic("N201", "fc needs a vector", at(SPEC, "fc"), said="an image", labels=labels)
    assert shown(found) == block(
        """
        error[N201]: fc needs a vector
          --> nets/a.cnn:3:34
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                                  ^^ an image
           |                 ---- 4x-24x-24 comes from here
        """
    )


def test_places_on_other_lines_stand_in_the_files_order_with_a_gap() -> None:
    labels = (Label(at(SPEC, "f32[N, 3, 8, 8]"), "3x8x8 comes from here"), Label(at(SPEC, "}"), "ends here"))
    found = Diagnostic("N203", "does not fit", at(SPEC, "33"), labels=labels)
    assert shown(found) == block(
        """
        error[N203]: does not fit
          --> nets/a.cnn:3:27
         2 |   input image: f32[N, 3, 8, 8]
           |                --------------- 3x8x8 comes from here
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                           ^^
          ...
         5 | }
           | - ends here
        """
    )


def test_line_numbers_are_aligned() -> None:
    source = Source("long.cnn", "first\n" + "\n" * 10 + "last\n")
    found = Diagnostic("N112", "twice", at(source, "last"), labels=(Label(at(source, "first"), "here"),), notes=("so",))
    assert shown(found) == block(
        """
        error[N112]: twice
          --> long.cnn:12:1
          1 | first
            | ----- here
           ...
         12 | last
            | ^^^^
            = so
        """
    )


def test_another_file_has_a_place_of_its_own() -> None:
    other = Source("nets/trunk.cnn", "block trunk(c) {\n  in -> conv(c)\n}\n")
    found = Diagnostic("N121", "`k` is missing", at(SPEC, "fc"), labels=(Label(at(other, "conv(c)"), "in this call"),))
    assert shown(found) == block(
        """
        error[N121]: `k` is missing
          --> nets/a.cnn:3:34
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                                  ^^
          ::: nets/trunk.cnn:2:9
         2 |   in -> conv(c)
           |         ------- in this call
        """
    )


def test_two_texts_of_one_name_are_not_mixed() -> None:
    here, there = Source("a.cnn", "one\n"), Source("a.cnn", "two\n")
    found = Diagnostic("N112", "twice", at(here, "one"), labels=(Label(at(there, "two"), "also here"),))
    assert shown(found) == block(
        """
        error[N112]: twice
          --> a.cnn:1:1
         1 | one
           | ^^^
          ::: a.cnn:1:1
         1 | two
           | --- also here
        """
    )


def test_notes_stand_before_the_help() -> None:
    found = Diagnostic("N301", "shapes differ", at(SPEC, "fc"), notes=("in layer2.0", "from line 9"), help="add pad=1")
    assert shown(found) == block(
        """
        error[N301]: shapes differ
          --> nets/a.cnn:3:34
         3 |   from image -> conv(4, k=33) -> fc(10)
           |                                  ^^
           = in layer2.0
           = from line 9
           = help: add pad=1
        """
    )


def test_a_place_over_several_lines_is_marked_to_the_end_of_its_first() -> None:
    found = Diagnostic("N103", "not closed", Span(SPEC, SPEC.text.index("{"), len(SPEC.text)))
    assert shown(found) == block(
        """
        error[N103]: not closed
          --> nets/a.cnn:1:7
         1 | net A {
           |       ^
        """
    )


def test_of_a_long_line_the_part_around_the_mark_is_shown() -> None:
    source = Source("a.cnn", "x" * 1000 + "HERE" + "y" * 1000)
    # 40 characters before the mark and 160 in all.
    assert shown(Diagnostic("N101", "unexpected", at(source, "HERE"))) == "\n".join(
        [
            "error[N101]: unexpected",
            "  --> a.cnn:1:1001",
            " 1 | " + "x" * 40 + "HERE" + "y" * 116,
            "   | " + " " * 40 + "^^^^",
        ]
    )


def test_of_a_long_line_two_distant_marks_are_shown_apart() -> None:
    source = Source("a.cnn", "x" * 1000 + "HERE" + "y" * 1000 + "THERE")
    found = Diagnostic("N112", "twice", at(source, "THERE"), labels=(Label(at(source, "HERE"), "first"),))
    assert shown(found) == "\n".join(
        [
            "error[N112]: twice",
            "  --> a.cnn:1:2005",
            " 1 | " + "x" * 40 + "HERE" + "y" * 116,
            "   | " + " " * 40 + "---- first",
            " 1 | " + "y" * 40 + "THERE",
            "   | " + " " * 40 + "^^^^^",
        ]
    )


def test_a_mark_at_the_end_of_the_longest_line_that_is_shown_whole() -> None:
    source = Source("a.cnn", "x" * 160)
    found = Diagnostic("N101", "more is expected", Span(source, 160, 160), labels=(Label(at(source, "x"), "after"),))
    assert shown(found) == "\n".join(
        [
            "error[N101]: more is expected",
            "  --> a.cnn:1:161",
            " 1 | " + "x" * 160,
            "   | " + " " * 160 + "^",
            "   | - after",
        ]
    )


def test_a_mark_longer_than_what_is_shown_ends_with_it() -> None:
    source = Source("a.cnn", "x" * 500)
    lines = shown(Diagnostic("N101", "too long", at(source, "x" * 500))).split("\n")
    assert lines[2:] == [" 1 | " + "x" * 160, "   | " + "^" * 160]


def test_a_tab_takes_one_column_in_both_rows() -> None:
    source = Source("a.cnn", "\tfrom image\t-> con(3)\n")
    assert shown(Diagnostic("N110", "no layer `con`", at(source, "con(3)"))) == block(
        """
        error[N110]: no layer `con`
          --> a.cnn:1:16
         1 |  from image -> con(3)
           |                ^^^^^^
        """
    )


@pytest.mark.parametrize(
    ("before", "marked", "row"),
    [
        ("é", "k", " ^"),  # one column
        ("e\N{COMBINING ACUTE ACCENT}", "k", " ^"),  # two characters in one column
        ("層", "k", "  ^"),  # two columns
        ("🙂", "k", "  ^"),
        ("ｋ", "k", "  ^"),  # a full-width letter
        ("", "層層", "^^^^"),
        ("", "\N{COMBINING ACUTE ACCENT}", "^"),  # no column of its own, yet to be seen
    ],
)
def test_marks_stand_below_wide_and_combining_characters(before: str, marked: str, row: str) -> None:
    source = Source("a.cnn", f"{before}{marked} # end")
    found = Diagnostic("N101", "unexpected", Span(source, len(before), len(before) + len(marked)))
    assert shown(found).split("\n")[2:] == [f" 1 | {before}{marked} # end", f"   | {row}"]


def test_what_would_drive_a_terminal_is_shown_and_never_sent() -> None:
    evil = "\x1b]0;owned\x07\x9b31m\x00\x7f\u202e\u2066"
    source = Source(f"a{evil}.cnn", f"net A {{ # {evil}\n  lär\n}}\n")
    found = Diagnostic(
        "N110",
        f"no layer `{evil}`\r\nerror: all is lost",
        at(source, "net"),
        said=evil,
        labels=(Label(at(source, "lär"), evil),),
        notes=(evil,),
        help=evil,
    )
    words = r"\x1b]0;owned\x07\x9b31m\x00\x7f\u202e\u2066"
    marks = "�]0;owned��31m����"
    assert shown(found) == "\n".join(
        [
            rf"error[N110]: no layer `{words}`\r\nerror: all is lost",
            f"  --> a{words}.cnn:1:1",
            f" 1 | net A {{ # {marks}",
            f"   | ^^^ {words}",
            " 2 |   lär",
            f"   |   --- {words}",
            f"   = {words}",
            f"   = help: {words}",
        ]
    )
    for line in (render.github(found), render.as_json(render.record(found)), render.sarif([found], "0.1.0")):
        assert line.isprintable()


def test_lines_that_end_as_on_windows() -> None:
    source = Source("a.cnn", "net A {\r\n  from image -> con\r\n}\r\n")
    labels = (Label(Span(source, source.text.index("\r"), source.text.index("\r") + 2), "a line ends"),)
    assert shown(Diagnostic("N110", "no layer `con`", at(source, "con"), labels=labels)) == block(
        """
        error[N110]: no layer `con`
          --> a.cnn:2:17
         1 | net A {
           |        - a line ends
         2 |   from image -> con
           |                 ^^^
        """
    )


@pytest.mark.parametrize(
    ("text", "place", "rows"),
    [
        ("net A {", "1:8", [" 1 | net A {", "   |        ^"]),
        ("net A {\n", "2:1", [" 2 |", "   | ^"]),
        ("net A {\n\n\n", "4:1", [" 4 |", "   | ^"]),
    ],
)
def test_a_place_at_the_end_of_the_file(text: str, place: str, rows: list[str]) -> None:
    source = Source("a.cnn", text)
    lines = shown(Diagnostic("N101", "the file ends", Span(source, len(text), len(text)))).split("\n")
    assert lines == ["error[N101]: the file ends", f"  --> a.cnn:{place}", *rows]


def test_without_a_text_there_is_a_name_and_no_place() -> None:
    found = Diagnostic("N100", "a.cnn cannot be read", Span(Source("a.cnn", ""), 0, 0), help="name a .cnn file")
    assert shown(found) == block(
        """
        error[N100]: a.cnn cannot be read
          --> a.cnn
           = help: name a .cnn file
        """
    )


def test_styles_name_what_they_colour() -> None:
    found = Diagnostic("N203", "m", at(SPEC, "33"), labels=(Label(at(SPEC, "conv"), "born"),), help="pad")
    pieces = [piece for line in render.text(found) for piece in line if piece[0]]
    assert [(style, text.strip()) for style, text in pieces] == [
        ("error", "error[N203]"),
        ("place", "--> nets/a.cnn:3:27"),
        ("place", "3 |"),
        ("place", "|"),
        ("error", "^^"),
        ("place", "|"),
        ("second", "---- born"),
        ("place", "="),
        ("help", "help:"),
    ]


@pytest.mark.parametrize(
    ("errors", "warnings", "dropped", "words"),
    [
        (1, 0, 0, "1 error"),
        (2, 1, 0, "2 errors, 1 warning"),
        (0, 2, 0, "2 warnings"),
        (100, 0, 7, "100 errors (and 7 more)"),
    ],
)
def test_the_summary_counts(errors: int, warnings: int, dropped: int, words: str) -> None:
    error = Diagnostic("N101", "", at(SPEC, "net"))
    assert render.summary([error] * errors + [error._replace(severity="warning")] * warnings, dropped) == words


# --- for machines


def test_json_gives_every_place_from_1_and_its_end() -> None:
    found = Diagnostic(
        "N203",
        "does not fit",
        at(SPEC, "33"),
        said="33 > 8",
        labels=(Label(at(SPEC, "}"), "ends"),),
        notes=("in A",),
        help="pad=13",
        edit=Edit(at(SPEC, "k=33"), "k=3"),
    )
    assert json.loads(render.as_json(render.record(found))) == {
        "schema": 1,
        "code": "N203",
        "severity": "error",
        "message": "does not fit",
        "file": "nets/a.cnn",
        "line": 3,
        "column": 27,
        "end_line": 3,
        "end_column": 29,
        "said": "33 > 8",
        "labels": [
            {"text": "ends", "file": "nets/a.cnn", "line": 5, "column": 1, "end_line": 5, "end_column": 2},
        ],
        "notes": ["in A"],
        "help": "pad=13",
        "edit": {"text": "k=3", "file": "nets/a.cnn", "line": 3, "column": 25, "end_line": 3, "end_column": 29},
    }


def test_json_is_one_line_of_ascii_and_loses_nothing() -> None:
    message = 'a "quoted" \\ é 層 🙂 \x1b[31m \x7f \u2028 \n'
    line = render.as_json(render.record(Diagnostic("N101", message, at(SPEC, "net"))))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message


def test_github_gets_one_line_that_no_text_can_break_out_of() -> None:
    source = Source("a,b:c%.cnn", "ab")
    found = Diagnostic("N101", "100% wrong: a,b\n::error::x", Span(source, 1, 2), help="use :: less")
    assert render.github(found) == (
        r"::error file=a%2Cb%3Ac%25.cnn,line=1,col=2,title=netc N101::100%25 wrong: a,b\n::error::x%0Ahelp: use :: less"
    )


def test_github_tells_warnings_from_errors() -> None:
    found = Diagnostic("W301", "nobody reads this", at(SPEC, "conv"), severity="warning")
    assert render.github(found) == "::warning file=nets/a.cnn,line=3,col=17,title=netc W301::nobody reads this"


def test_sarif_is_a_log_that_code_scanning_takes() -> None:
    spaced = Source("my nets/é.cnn", "net A\n")
    found = [
        Diagnostic("N203", "does not fit", at(SPEC, "33"), labels=(Label(at(SPEC, "conv"), "born"),), help="pad=13"),
        Diagnostic("W301", "nobody reads this", at(spaced, "A"), severity="warning"),
        Diagnostic("N203", "does not fit either", at(SPEC, "fc")),
    ]
    log: Any = json.loads(render.sarif(found, "1.2.3"))
    assert (log["version"], log["$schema"]) == ("2.1.0", "https://json.schemastore.org/sarif-2.1.0.json")
    (run,) = log["runs"]
    # A column counts characters, as in the other formats; SARIF would count UTF-16 units.
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["tool"] == {"driver": {"name": "netc", "version": "1.2.3", "rules": [{"id": "N203"}, {"id": "W301"}]}}
    assert run["results"][0] == {
        "ruleId": "N203",
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": "does not fit\nhelp: pad=13"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "nets/a.cnn"},
                    "region": {"startLine": 3, "startColumn": 27, "endLine": 3, "endColumn": 29},
                }
            }
        ],
        "relatedLocations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "nets/a.cnn"},
                    "region": {"startLine": 3, "startColumn": 17, "endLine": 3, "endColumn": 21},
                },
                "message": {"text": "born"},
            }
        ],
    }
    place = run["results"][1]["locations"][0]["physicalLocation"]
    assert run["results"][1]["level"] == "warning"
    assert place["artifactLocation"] == {"uri": "my%20nets/%C3%A9.cnn"}  # a URI, not a path
    assert "relatedLocations" not in run["results"][2]


def test_sarif_has_the_pages_as_rules_and_the_edits_as_fixes() -> None:
    where = at(SPEC, "k=33")
    pages = {"N120": "# N120: an argument that nobody takes\n\nA layer takes\nthese.\n\n```cnn bad\nnet\n```\n"}
    found = [
        Diagnostic("W301", "nobody reads this", at(SPEC, "conv"), severity="warning"),
        Diagnostic("N120", "no `k`", where, notes=("in A",), help="write k", edit=Edit(where, "k=3")),
        Diagnostic("N101", "a comma", where, edit=Edit(where._replace(end=where.start), ",")),
    ]
    log: Any = json.loads(render.sarif(found, "1.2.3", pages.get))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert rules == [
        {"id": "N101"},
        {
            "id": "N120",
            "shortDescription": {"text": "an argument that nobody takes"},
            "fullDescription": {"text": "A layer takes these."},
            "help": {"text": pages["N120"], "markdown": pages["N120"]},
            "defaultConfiguration": {"level": "error"},
        },
        {"id": "W301"},
    ]
    assert [rules[each["ruleIndex"]]["id"] for each in run["results"]] == [each["ruleId"] for each in run["results"]]
    assert "fixes" not in run["results"][0]
    assert run["results"][1]["message"]["text"] == "no `k`\nin A\nhelp: write k"
    region = {"startLine": 3, "startColumn": 25, "endLine": 3, "endColumn": 29}
    assert run["results"][1]["fixes"] == [
        {
            "description": {"text": "write k"},
            "artifactChanges": [
                {
                    "artifactLocation": {"uri": "nets/a.cnn"},
                    "replacements": [{"deletedRegion": region, "insertedContent": {"text": "k=3"}}],
                }
            ],
        }
    ]
    assert run["results"][2]["fixes"][0]["artifactChanges"][0]["replacements"] == [
        {"deletedRegion": {**region, "endColumn": 25}, "insertedContent": {"text": ","}}  # an insertion
    ]
    shaped(log, "log")


# SARIF 2.1.0, the objects that we write: the properties that the standard requires of each (3.13 to 3.58), and the
# others of ours, with the kind of what they hold: another object, [a list of such], or a Python type.
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "log": ({"version": str, "runs": ["run"]}, {"$schema": str}),
    "run": ({"tool": "tool"}, {"results": ["result"], "columnKind": str}),
    "tool": ({"driver": "component"}, {}),
    "component": ({"name": str}, {"version": str, "rules": ["rule"]}),
    "rule": (
        {"id": str},
        {**dict.fromkeys(("shortDescription", "fullDescription", "help"), "text"), "defaultConfiguration": "default"},
    ),
    "default": ({}, {"level": str}),
    "text": ({"text": str}, {"markdown": str}),
    "result": (
        {"message": "text"},
        {
            "ruleId": str,
            "ruleIndex": int,
            "level": str,
            "locations": ["location"],
            "relatedLocations": ["location"],
            "fixes": ["fix"],
        },
    ),
    "location": ({}, {"physicalLocation": "physical", "message": "text"}),
    "physical": ({"artifactLocation": "artifact"}, {"region": "region"}),
    "artifact": ({}, {"uri": str}),
    "region": ({}, dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), int)),
    "fix": ({"artifactChanges": ["change"]}, {"description": "text"}),
    "change": ({"artifactLocation": "artifact", "replacements": ["replacement"]}, {}),
    "replacement": ({"deletedRegion": "region"}, {"insertedContent": "text"}),
}


def shaped(value: Any, shape: Any) -> None:
    """Assert that a part of a log has the shape that the standard gives it."""
    if isinstance(shape, list):
        assert isinstance(value, list)
        for each in cast("list[Any]", value):
            shaped(each, shape[0])
        return
    if not isinstance(shape, str):
        assert type(value) is shape
        return
    needs, may = SHAPES[shape]
    assert isinstance(value, dict)
    names = set(cast("dict[str, Any]", value))
    assert set(needs) <= names <= {*needs, *may}, shape
    for name in names:
        shaped(value[name], {**needs, **may}[name])
    if shape == "region":
        assert min(cast("dict[str, int]", value).values()) >= 1
        assert (value["startLine"], value["startColumn"]) <= (value["endLine"], value["endColumn"])
    if "level" in names:
        assert value["level"] in ("none", "note", "warning", "error")


@pytest.mark.parametrize(
    "text", ["", "net", "net A { 'x", "net A {\r\n\tx: Conv2d(3, padding=1)\r\n}\r\n", "block a() {}"]
)
def test_sarif_of_a_check_has_the_standards_shape(text: str) -> None:
    found = api.check_text(Source("a:b c/<é>.cnn", text)).diagnostics
    assert found
    log = json.loads(render.sarif(found, "1.2.3", errors.page))
    shaped(log, "log")
    assert all("help" in rule for rule in log["runs"][0]["tool"]["driver"]["rules"])


def test_sarif_of_no_findings_has_no_results() -> None:
    (run,) = json.loads(render.sarif([], "1.2.3"))["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])
