"""A coverage-guided fuzzer: bytes, read as a file or as a request is, are checked and every claim is kept.

    python -m tests.fuzz.atheris_check [--target TARGET] FOLDER [SECONDS [SEED]]

The target is `cnn`, a spec; `oip`, an inference request; or `form`, a form of pictures. FOLDER keeps the corpus
(`corpus/`, with the seeds at first), the dictionary, and the input of a failure (`crash-...`, `timeout-...` or
`oom-...`). The exit code is 0 where none was found. With `--once`, FOLDER is a file: the claims run on it alone.
"""

# atheris is an extra that not every machine can build.
# pyright: reportMissingModuleSource=false

from __future__ import annotations

import re
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from random import Random
from typing import Any, NamedTuple

LONGEST_BYTES = 4096
TIMEOUT_S = 20
"""For an input in libFuzzer's own, wall-clock time, which counts the claims' five checks and a busy machine; a check
alone may take `HANG_S` of processor time."""
MEMORY_MIB = 2048


class Target(NamedTuple):
    """What is fuzzed: what it imports, whose branches count, its claims, its seeds by name, and its dictionary."""

    packages: list[str]
    load: Callable[[], None]
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[tuple[str, bytes]]]
    dictionary: Callable[[], str]


def main(arguments: list[str]) -> None:
    """Run. libFuzzer ends the process itself."""
    parser = ArgumentParser(prog="atheris_check")
    parser.add_argument("--target", choices=list(TARGETS), default="cnn")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float, nargs="?", default=3600.0)
    parser.add_argument("seed", type=int, nargs="?", default=int(time.time()) % 2**31)
    told = parser.parse_args(arguments)
    target, folder = TARGETS[told.target], told.folder
    if told.once:
        target.run(folder.read_bytes())
        return
    import atheris

    fuzzer: Any = atheris  # untyped
    # What is imported from here on counts the branches that an input takes.
    with fuzzer.instrument_imports(include=target.packages):
        target.load()
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    (folder / "dictionary").write_text(target.dictionary(), "ascii")
    for name, data in target.seeds():
        (corpus / name).write_bytes(data)
    options = [
        f"-dict={folder / 'dictionary'}",
        f"-max_total_time={max(int(told.seconds), 1)}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST_BYTES}",
        f"-artifact_prefix={folder}/",
        f"-seed={told.seed}",
        "-print_final_stats=1",
    ]
    fuzzer.Setup([sys.argv[0], *options, str(corpus)], target.run, enable_python_coverage=True)
    fuzzer.Fuzz()


# --- specs


def _load_checker() -> None:
    for name in ("netc.api", "netc.render", *_modules("netc.elaborate"), *_modules("netc.syntax")):
        import_module(name)
    from netc.ops import find, kinds

    for kind in kinds():
        find(kind)


def _modules(package: str) -> list[str]:
    # Some are loaded on the first error only, which is too late to be instrumented.
    return [f"{package}.{module.name}" for module in iter_modules(import_module(package).__path__)]


def run_spec(data: bytes) -> None:
    """What a file of these bytes is promised. Raises where it is not kept."""
    from netc.diagnostic import Source
    from netc.syntax.parse import decode
    from tests.fuzz.claims import claims, well_formed

    source = decode("fuzz.cnn", data)
    if isinstance(source, Source):
        claims(source.text)
    else:
        well_formed(source)


def _spec_seeds() -> Iterable[tuple[str, bytes]]:
    from tests.fuzz.seeds import seeds

    return ((f"seed-{number:03}.cnn", text.encode()) for number, text in enumerate(seeds()))


def dictionary() -> str:
    """libFuzzer's dictionary: the grammar's words, the layers, their arguments, and what the seeds are made of."""
    from netc.ops import find, kinds
    from tests.conftest import ROOT
    from tests.fuzz.mutate import NUMBERS, STRANGE
    from tests.fuzz.seeds import words

    grammar = (ROOT / "netc" / "syntax" / "grammar.lark").read_text("utf-8")
    found = set(re.findall(r'"([^"\n]+)"', grammar)) | set(words()) | set(kinds()) | set(NUMBERS) | set(STRANGE)
    for kind in kinds():
        cls = find(kind)
        found |= {f"{name}=" for name in cls.model_fields} if cls is not None else set()
    lines = sorted({_entry(word) for word in found if 0 < len(word) <= 60})
    return "".join(f"{line}\n" for line in lines)


def _entry(word: str) -> str:
    shown = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in word.encode(errors="surrogatepass")
    )
    return f'"{shown}"'


# --- requests


def _load_codec() -> None:
    import_module("netc_runtime.oip")


def run_request(data: bytes) -> None:
    """A request: whose it is and whether it has a header, in a byte; the header, in two; and the body."""
    from tests.fuzz.oip import MODELS, claims

    first = data[0] if data else 0
    claims(data[3:], str(int.from_bytes(data[1:3])) if first & 1 else None, (first >> 1) % len(MODELS))


def _request_seeds() -> Iterable[tuple[str, bytes]]:
    from tests.fuzz.oip import request

    for number in range(400):
        body, header, which = request(Random(number), most_slips=number % 2)
        if header is None or (header.isascii() and header.isdigit() and int(header) < 2**16):
            head = bytes([which << 1 | (header is not None)]) + int(header or 0).to_bytes(2)
            yield f"seed-{number:03}", head + body


def _request_dictionary() -> str:
    from tests.fuzz.oip import DATATYPES, KEYS, MODELS

    names = [each.name for model in MODELS for each in (*model.inputs, *model.outputs)]
    words = {f'"{word}"' for word in (*KEYS, *DATATYPES.values(), *names)}
    words |= {"true", "false", "null", "1e999", "-0", "[[", "]]", '":', "\\u0061", "\\ud800"}
    return "".join(f"{_entry(word)}\n" for word in sorted(words))


# --- forms

BOUNDARY = b"x"


def _load_form() -> None:
    import_module("netc_runtime.serving.form")


def run_form(data: bytes) -> None:
    """A form: refused with 4xx, or a few files, each a part of the body as it came."""
    from netc_runtime.errors import ServeFault
    from netc_runtime.serving import form

    try:
        found = form.read_form(data, BOUNDARY, ("top",))
    except ServeFault as fault:
        assert 400 <= fault.status < 500, fault  # noqa: PT017 -- a claim about it, where there is one
        return
    assert 1 <= len(found.files) <= form.MOST_PARTS
    assert set(found.fields) <= {"top"}
    at = 0
    for file in found.files:
        at = data.index(file.content, at) + len(file.content)
    assert form.read_form(bytearray(data), BOUNDARY, ("top",)) == found


def _form_seeds() -> Iterable[tuple[str, bytes]]:
    part = b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n%b\r\n%b\r\n'
    file, png = b'; filename="a.png"', b"Content-Type: image/png\r\n"
    one = part % (b"image", file, png, b"\x89PNG\r\n--x")
    top = part % (b"top", b"", b"", b"3")
    for number, parts in enumerate(([one], [one, top], [top, one, one], [one] * 70, [top], [])):
        yield f"seed-{number}", b"".join(parts) + b"--x--\r\n"


def _form_dictionary() -> str:
    words = ("--x", "--x--", "\r\n", "Content-Disposition: form-data", 'name="', 'filename="', "; ", "top", "\r\n\r\n")
    return "".join(f"{_entry(word)}\n" for word in words)


TARGETS = {
    "cnn": Target(["netc", "lark"], _load_checker, run_spec, _spec_seeds, dictionary),
    "oip": Target(["netc_runtime.oip"], _load_codec, run_request, _request_seeds, _request_dictionary),
    "form": Target(["netc_runtime.serving.form"], _load_form, run_form, _form_seeds, _form_dictionary),
}

if __name__ == "__main__":
    main(sys.argv[1:])
