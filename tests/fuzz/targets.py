"""What the coverage-guided fuzzer is pointed at: the checker of texts, the server's codec, and its reader of forms.

A target imports what it tries when it is loaded, and not before: only then are branches counted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from pkgutil import iter_modules
from random import Random
from typing import NamedTuple


class Target(NamedTuple):
    """How one is loaded and tried."""

    packages: tuple[str, ...]
    """Whose branches are counted."""
    load: Callable[[], None]
    seeds: Callable[[], Iterable[bytes]]
    words: Callable[[], Iterable[str]]
    run_one: Callable[[bytes], None]
    """What an input of these bytes is promised. Raises where it is not kept."""


# --- texts of the language


def _load_language() -> None:
    for name in ("netc.api", "netc.render", *_modules("netc.elaborate"), *_modules("netc.syntax")):
        import_module(name)
    from netc.ops import find, kinds

    for kind in kinds():
        find(kind)


def _modules(package: str) -> list[str]:
    # Some are loaded on the first error only, which is too late to be instrumented.
    return [f"{package}.{module.name}" for module in iter_modules(import_module(package).__path__)]


def _texts() -> Iterable[bytes]:
    from tests.fuzz.seeds import seeds

    return (text.encode() for text in seeds())


def _language_words() -> set[str]:
    """The grammar's words, the layers, their arguments, and what the seeds are made of."""
    from netc.ops import find, kinds
    from tests.conftest import ROOT
    from tests.fuzz.mutate import NUMBERS, STRANGE
    from tests.fuzz.seeds import words

    grammar = (ROOT / "netc" / "syntax" / "grammar.lark").read_text("utf-8")
    found = set(re.findall(r'"([^"\n]+)"', grammar)) | set(words()) | set(kinds()) | set(NUMBERS) | set(STRANGE)
    for kind in kinds():
        cls = find(kind)
        found |= {f"{name}=" for name in cls.model_fields} if cls is not None else set()
    return found


def _run_text(data: bytes) -> None:
    from netc.diagnostic import Source
    from netc.syntax.parse import decode
    from tests.fuzz.claims import claims, well_formed

    source = decode("fuzz.cnn", data)
    if isinstance(source, Source):
        claims(source.text)
    else:
        well_formed(source)


# --- requests of the Open Inference Protocol: a line that says the model and the header, then the body


def _load_codec() -> None:
    for name in (*_modules("netc_runtime.oip"), "tests.fuzz.v2_claims", "tests.fuzz.v2_requests"):
        import_module(name)


def _requests() -> Iterable[bytes]:
    from tests.fuzz.v2_requests import MODELS, changed, right

    for number in range(120):
        chance = Random(number)
        sent = right(MODELS[number % len(MODELS)], chance)
        if number >= 60:
            changed(sent, chance, 1)
        body, header = sent.written(chance)
        size = len(body) - sum(map(len, sent.blobs))
        if header == str(size):
            body, header = body[:size] + b"\0" + body[size:], ""
        yield f"{number % len(MODELS)}{'none' if header is None else header}\n".encode() + body


def _codec_words() -> set[str]:
    from tests.fuzz.v2_oracle import TYPES
    from tests.fuzz.v2_requests import KEYS, MODELS, NUMBERS, TEXTS

    keys = {f'"{key}":' for key in KEYS} | {f'"{name}"' for name, _ in TYPES.values()}
    names = {f'"{each.name}"' for model in MODELS for side in model for each in side}
    return keys | names | {str(number) for number in NUMBERS} | set(TEXTS) | {"none", "[[", "]]", "{}", "\\u0041", "\0"}


def _run_request(data: bytes) -> None:
    """The header is the first line's, or is left out; where it says nothing, the JSON ends at the first NUL, which
    JSON does not have.
    """
    from tests.fuzz.v2_claims import claims
    from tests.fuzz.v2_requests import MODELS

    line, _, body = data.partition(b"\n")
    said = line[1:].decode("latin-1")
    if not said:
        head, _, rest = body.partition(b"\0")
        body, said = head + rest, str(len(head))
    claims(MODELS[line[0] % len(MODELS) if line else 0], (body, None if said == "none" else said))


# --- multipart forms: a line that is the content-type, then the body


def _load_form() -> None:
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every form that is none
    for name in ("netc_runtime.serving.form", "tests.fuzz.forms"):
        import_module(name)


def _forms() -> Iterable[bytes]:
    from tests.fuzz.forms import changed, right

    for number in range(60):
        chance = Random(number)
        content_type, body = right(chance)
        yield content_type + b"\n" + (body if number < 30 else changed(body, chance))


def _form_words() -> set[str]:
    from tests.fuzz.forms import WORDS

    return {word.decode("latin-1") for word in WORDS if word.isascii()}


def _run_form(data: bytes) -> None:
    from tests.fuzz.forms import claims

    content_type, _, body = data.partition(b"\n")
    claims(content_type, body)


TARGETS = {
    "language": Target(("netc", "lark"), _load_language, _texts, _language_words, _run_text),
    "codec": Target(("netc_runtime.oip", "tests.fuzz.v2_oracle"), _load_codec, _requests, _codec_words, _run_request),
    "form": Target(
        ("netc_runtime.serving.form", "python_multipart", "tests.fuzz.forms"),
        _load_form,
        _forms,
        _form_words,
        _run_form,
    ),
}
