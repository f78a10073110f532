"""Requests that nobody meant to send: what the codec makes of them is what a second, plain reader makes of them."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, note, settings

from netc_runtime.contract import DTYPES
from netc_runtime.manifest import Input, Output
from netc_runtime.oip import Wanted, Writer
from netc_runtime.oip.classes import Classes
from netc_runtime.oip.datatypes import NAMES
from tests.fuzz import forms, v2_oracle, v2_requests
from tests.fuzz.runs import SECONDS, chances, quick
from tests.fuzz.v2_claims import Body, claims, written
from tests.fuzz.v2_requests import MODELS, Model

Written = tuple[str | None, dict[str, npt.NDArray[np.generic]], list[Wanted]]


def changed(chance: Random) -> tuple[Model, Body, Body]:
    """A request after up to three changes, and the right one that it was."""
    model = chance.choice(MODELS)
    sent = v2_requests.right(model, chance)
    before = sent.written(chance)
    v2_requests.changed(sent, chance)
    return model, sent.written(chance), before


def outputs(chance: Random) -> Written:
    """Any outputs, and what is asked of them."""
    made: dict[str, npt.NDArray[np.generic]] = {}
    wanted: list[Wanted] = []
    for number in range(chance.randint(1, 3)):
        dtype, name = chance.choice(list(DTYPES)), f'y"é:{number}'
        shape = [chance.choice((0, 1, 2, 3)) for _ in range(chance.randint(0, 3))]
        data = np.frombuffer(chance.randbytes(math.prod(shape) * DTYPES[dtype].itemsize), np.uint8)
        array = (data % 2 == 1 if dtype == "bool" else data.view(DTYPES[dtype])).reshape(shape)
        if chance.randrange(2) and array.ndim > 1:
            array = np.asfortranarray(array)
        classes = None
        if chance.randrange(3) == 0 and dtype != "bool" and array.ndim > 0:
            classes = Classes(chance.choice((1, 2, 9)), None, array.ndim > 1)
        # JSON has no word for some: these are asked for as bytes.
        said = classes is not None or (dtype != "f16" and bool(np.isfinite(array).all()))
        made[name] = array
        wanted.append(Wanted(name, chance.randrange(2) == 1 or not said, classes))
    return chance.choice((None, None, "", 'a"\r\n\u2028é')), made, wanted


@settings(quick, max_examples=800)
@given(chances)
def test_a_changed_request_is_refused_or_read_as_the_plain_reader_reads_it(chance: Random) -> None:
    case = changed(chance)
    note(f"{case}")
    claims(*case)


@settings(quick, max_examples=200)
@given(chances)
def test_an_answer_is_read_back_by_the_plain_reader(chance: Random) -> None:
    case = outputs(chance)
    note(f"{case}")
    written(Writer("m", "1"), *case)


@settings(quick, max_examples=500)
@given(chances)
def test_a_changed_form_is_refused_or_read_as_by_the_book(chance: Random) -> None:
    content_type, body = forms.right(chance)
    forms.claims(content_type, body)
    body = forms.changed(body, chance)
    note(f"{content_type!r} {body!r}")
    forms.claims(content_type, body)


def test_a_right_form_is_one_and_many_changed_ones_are() -> None:
    cases = [(number, forms.right(Random(number))) for number in range(300)]
    assert sum(forms.claims(*case) for _, case in cases) >= 150
    assert sum(forms.claims(case[0], forms.changed(case[1], Random(number))) for number, case in cases) >= 50


def test_a_right_request_is_one_and_many_changed_ones_are() -> None:
    # A maker whose requests are all refused would try nothing but the first lines of the codec.
    for number in range(300):
        chance = Random(number)
        model = chance.choice(MODELS)
        sent = v2_requests.right(model, chance)
        odd = any(name == "id" and value in REFUSED for name, value in sent.top)
        assert claims(model, sent.written(chance)) != odd, sent
    assert 50 <= sum(claims(*changed(Random(number))) for number in range(300)) <= 200


REFUSED = [text for text in v2_requests.TEXTS if "\ud800" <= max(text, default="") <= "\udfff" or len(text) > 512]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_plain_reader_knows_the_types(dtype: str) -> None:
    # Sizes and names from the protocol's table; by hand, since all else is held to this reader.
    datatype, _ = v2_oracle.TYPES[dtype]
    assert datatype == NAMES[dtype]
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"%s","parameters":{"binary_data_size":%d}}]}'
    size = int("".join(c for c in datatype if c.isdigit()) or "8") // 8
    head = body % (datatype.encode(), size)
    model = Model((Input("x", dtype, ("N",)),), (Output("y", "f32", ()),))
    assert claims(model, (head + bytes(size), str(len(head))))


@pytest.mark.long
@pytest.mark.timeout(SECONDS * 1.2 + 600)
def test_no_changed_request_breaks_a_claim_in_an_hour() -> None:
    # One number a request: Random(number) makes a failing one again.
    first = int(os.environ.get("NETC_FUZZ_SEED", time.time())) * 1_000_000
    end, number, ran = time.monotonic() + SECONDS, first, Counter[str]()
    while time.monotonic() < end:
        try:
            ran["requests" if claims(*changed(Random(number))) else "refused"] += 1
            if number % 8 == 0:
                written(Writer("m", "1"), *outputs(Random(number)))
                ran["answers"] += 1
        except BaseException:
            sys.stdout.write(f"changed and outputs of Random({number})\n")
            raise
        number += 1
    assert ran["requests"] > 0
    sys.stdout.write(f"from {first}: {', '.join(f'{name} {count:,}' for name, count in ran.items())}\n")
