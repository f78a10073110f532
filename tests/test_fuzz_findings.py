"""What the fuzzers found, each with the least text that showed it. The text once raised; now it has one finding."""

from __future__ import annotations

import pytest

from netc import api
from netc.diagnostic import Source

MARK = "§"
NET = "net A {{ input x: f32[N, 3, 8, 8] output y: f32[N, 3, 8, 8] from x -> {} => y }}"
MACS = (
    "net A {{ input x: f32[N, 3, H, 8] output y: f32[N, {}] "
    'require H % 4 == 0 and H >= 8, "why" from x -> {} => y expect {{ {} }} }}'
)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        # Python's int() and float() take no `_` but between two digits; the grammar's numbers do.
        (NET.format("dropout(0) * §1_"), "N101", "`1_` is no number"),
        (NET.format("dropout(§0_.5)"), "N101", "`0_.5` is no number"),
        (NET.format("dropout(0) * §1__0"), "N101", "`1__0` is no number"),
        (f"language §1_\n{NET.format('relu')}", "N101", "`1_` is no number"),
        # A list where the start of the weights may be a call: both are tuples.
        (NET.format("conv(3, k=1, init=§[1, 2])"), "N122", "a list of 2"),
        (NET.format("conv(3, k=1, init=§[normal, 0.02])"), "N122", "a list of 2"),
        (NET.format("conv(3, k=1, init=§[])"), "N122", "a list of 0"),
        # No file's name: `is_file` of Python 3.11 says so by raising.
        (f'use §"std/\0resnet.cnn" (project)\n{NET.format("relu")}', "N150", "cannot be read"),
        (f'use §"std/{"x" * 5000}.cnn" (project)\n{NET.format("relu")}', "N150", "cannot be read"),
        (f'use §"std/\ud800.cnn" (project)\n{NET.format("relu")}', "N150", "cannot be read"),
        # H is a side of what enters `gap`, and of nothing that a layer gives.
        (MACS.format("3", "gap -> flatten", "macs = §1"), "N306", "has 0 macs"),
        # A size that the net's own promises rule out.
        (MACS.format("3, PH, 4", "maxpool(k=2)", "macs = 0, at.H = §6"), "N306", "H = 6 is no size"),
        (MACS.format("3, PH, 4", "maxpool(k=2)", "macs = 0, at.H = §4"), "N306", "H = 4 is no size"),
        (MACS.format("3, PH, 8", "conv(3, k=1)", "macs = 0, at.H = §-4"), "N306", "H = -4 is no size"),
        (MACS.format("3, PH, 7", "conv(3, k=[9, 2])", "§macs = 0, at.H = 8"), "N306", "at H = 8 nothing is left"),
    ],
)
def test_what_once_raised_is_a_finding(text: str, code: str, says: str) -> None:
    (said,) = api.check_text(Source("x.cnn", text.replace(MARK, ""))).diagnostics
    assert (said.code, said.span.start) == (code, text.index(MARK)), said
    assert says in said.message


def test_macs_are_counted_at_a_size_that_the_promises_admit() -> None:
    # 3 * 8 * 8 outputs, each of 3 * 1 * 1 inputs
    text = MACS.format("3, PH, 8", "conv(3, k=1)", "macs = 576, at.H = 8")
    assert api.check_text(Source("x.cnn", text)).diagnostics == ()
