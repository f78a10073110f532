"""The codec of the Open Inference Protocol beside a plain reader: what either takes the other takes, bit for bit."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings

from netc_runtime.oip import InferRequest, Reader, request, strict, values
from tests.fuzz import oip
from tests.fuzz.test_fuzz import chances, quick

SECONDS = float(os.environ.get("NETC_FUZZ_SECONDS", "3600"))


def asked(chance: Random) -> bool:
    """A request of any kind; every reader agrees on it."""
    return oip.claims(*oip.request(chance))


@settings(quick, max_examples=300)
@given(chances)
def test_requests_with_slips_are_read_as_the_oracle_reads_them(chance: Random) -> None:
    body, header, which = oip.request(chance)
    note(f"{header!r} {which} {body!r}")
    oip.claims(body, header, which)


def test_many_requests_are_right_and_many_are_not() -> None:
    taken = sum(asked(Random(number)) for number in range(10_000))
    assert 2000 < taken < 6000


def test_what_is_right_is_taken() -> None:
    for number in range(500):
        chance = Random(number)
        which = chance.randrange(len(oip.MODELS))
        made = oip.right(chance, oip.MODELS[which])
        head = oip.text(chance, made.top, 0.0).encode()
        header = None if made.header is None else str(len(head))
        assert oip.claims(head + b"".join(made.blobs), header, which)


def _as_any(*_: Any) -> None:
    return None


def _no(*_: Any) -> bool:
    return False


def _loose_array(_at: str, flat: list[Any], dtype: np.dtype[Any]) -> Any:
    return np.array(flat, dtype)


_keep = Reader._keep  # pyright: ignore[reportPrivateUsage] -- to plant a fault there


def _keep_reversed(self: Reader, head: bytes, size_bytes: int, asked: InferRequest) -> None:
    _keep(self, head, size_bytes, replace(asked, feed=dict(reversed(asked.feed.items()))))


PLANTED: dict[str, tuple[Any, str, Any]] = {
    "a key that stands twice": (strict, "_may_repeat", _no),
    "an unknown key": (request, "_known", _as_any),
    "values of another kind": (values, "_array", _loose_array),
    "a long id": (request, "LONGEST_ID", 10**6),
    "a head remembered with its tensors in another order": (Reader, "_keep", _keep_reversed),
}


def _holds(chance: Random) -> bool:
    try:
        asked(chance)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    where, what, other = PLANTED[name]
    monkeypatch.setattr(where, what, other)
    monkeypatch.setattr(oip, "READERS", [Reader(model.inputs, model.outputs) for model in oip.MODELS])
    assert not all(_holds(Random(number)) for number in range(20_000))


@pytest.mark.long
@pytest.mark.timeout(SECONDS * 1.2 + 600)
def test_no_request_is_read_otherwise_in_an_hour() -> None:
    first = int(time.time()) if "NETC_FUZZ_SEED" not in os.environ else int(os.environ["NETC_FUZZ_SEED"])
    end, number, taken = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        chance = Random(f"{first} {number}")
        body, header, which = oip.request(chance, most_slips=5)
        try:
            taken += oip.claims(body, header, which)
        except BaseException:
            sys.stdout.write(f"request {number} of seed {first}: {header!r} {which} {body!r}\n")
            raise
        number += 1
    sys.stdout.write(f"seed {first}: {number:,} requests, {taken:,} of them right\n")
    assert number > 1000
