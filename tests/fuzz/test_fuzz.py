"""Texts that nobody wrote: the writer's, and slips of the pen in them and in the seeds. Every one keeps the claims."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, note, seed, settings

from netc.diagnostic import Source
from netc.syntax.parse import decode
from tests.fuzz import grammar
from tests.fuzz.claims import claims
from tests.fuzz.mutate import mutated
from tests.fuzz.runs import SECONDS, chances, quick
from tests.fuzz.seeds import seeds
from tests.fuzz.through import OPSETS, through_onnx, through_torch

pytestmark = pytest.mark.timeout(600)  # to make a failing text short takes longer than to find it

MEMORY_BYTES = 4 << 30
"""What a long run may take beyond what the process has when it begins."""
BATCH = 300
"""Examples; hypothesis keeps what it learnt within one."""


def written(chance: Random) -> str:
    """A text that is mostly right, through every claim; a right one through both back ends as well."""
    text = _noted(grammar.text(chance))
    checked = claims(text)
    if checked.ok:
        for graph in checked.graphs.values():
            through_torch(graph)
            through_onnx(graph, chance.choice(OPSETS))
    return text


def slipped(chance: Random) -> str:
    """A seed with slips of the pen."""
    text = _noted(mutated(chance.choice(seeds()), chance))
    claims(text)
    return text


def both(chance: Random) -> str:
    """A written text with slips of the pen."""
    text = _noted(mutated(grammar.text(chance), chance))
    claims(text)
    return text


def flipped(chance: Random) -> str:
    """A seed's bytes, some of them changed: what is still text keeps the claims."""
    data = bytearray(chance.choice(seeds()).encode())
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data))
        data[at] = chance.choice((data[at] ^ 1 << chance.randrange(8), chance.randrange(256)))
    source = decode("fuzz.cnn", bytes(data))
    if isinstance(source, Source):
        claims(_noted(source.text))
    return data.decode(errors="replace")


def _noted(text: str) -> str:
    note(f"the text, {text!r}:\n{text}")
    return text


@settings(quick, max_examples=150)
@given(chances)
def test_a_written_text_is_checked_and_compiled(chance: Random) -> None:
    written(chance)


@settings(quick, max_examples=250)
@given(chances)
def test_slips_of_the_pen_in_a_seed_keep_the_claims(chance: Random) -> None:
    slipped(chance)


@settings(quick, max_examples=150)
@given(chances)
def test_slips_of_the_pen_in_a_written_text_keep_the_claims(chance: Random) -> None:
    both(chance)


@settings(quick, max_examples=150)
@given(chances)
def test_flipped_bits_keep_the_claims(chance: Random) -> None:
    flipped(chance)


def test_most_written_texts_are_right_and_reach_every_layer() -> None:
    # A writer whose texts are all refused would try nothing but the first lines of the checker.
    right, kinds, compiled = 0, Counter[str](), 0
    for number in range(300):
        checked = claims(grammar.text(Random(number)))
        right += checked.ok
        for graph in checked.graphs.values():
            kinds.update(node.op.kind for node in graph.nodes)
            compiled += number < 10 and through_torch(graph)
    assert right >= 150
    assert compiled >= 3
    assert set(grammar.kinds()) - set(kinds) == set()


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """A bound on the process's addresses: a text that takes all memory fails, and the machine goes on."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- no file of the checkout
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.long
@pytest.mark.timeout(SECONDS * 1.2 + 600)
@pytest.mark.usefixtures("bounded_memory")
def test_no_text_breaks_a_claim_in_an_hour(capsys: pytest.CaptureFixture[str]) -> None:
    # Batch upon batch, each from a seed of its own and run to its end; a failure is shrunk, and its text shown.
    properties: tuple[Callable[[Random], str], ...] = (written, slipped, both, flipped)

    def run(each: Callable[[Random], str], first: int) -> None:
        @seed(first)
        @settings(quick, max_examples=BATCH, derandomize=False, database=None)
        @given(chances)
        def batch(chance: Random) -> None:
            nonlocal slowest
            start = time.process_time()
            text = each(chance)
            ran[each.__name__] += 1
            slowest = max(slowest, (time.process_time() - start, each.__name__, text))

        batch()

    first = int(time.time()) if "NETC_FUZZ_SEED" not in os.environ else int(os.environ["NETC_FUZZ_SEED"])
    ran, slowest, told = Counter[str](), (0.0, "", ""), time.monotonic()
    end = told + SECONDS
    batch = 0
    while time.monotonic() < end:
        for each in properties:
            run(each, first + batch)
            batch += 1
        if time.monotonic() - told > 60:
            told = time.monotonic()
            with capsys.disabled():
                _tell(f"seed {first}: {_figures(ran, slowest, end)}")
    assert ran.total() > 0
    _tell(f"seed {first}: {_figures(ran, slowest, end)}\nthe slowest text:\n{slowest[2]}")


def _figures(ran: Counter[str], slowest: tuple[float, str, str], end: float) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in ran.items())
    used = SECONDS + time.monotonic() - end
    return f"{ran.total():,} examples in {used:.0f} s ({counts}); the slowest {slowest[0]:.2f} s ({slowest[1]})"


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
