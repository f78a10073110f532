"""A coverage-guided fuzzer: bytes, read as a file is, are checked and every claim is kept.

    python -m tests.fuzz.atheris_check FOLDER [SECONDS [SEED]]

FOLDER keeps the corpus (`corpus/`, with the seeds at first), the dictionary, and the input of a failure
(`crash-...`, `timeout-...` or `oom-...`). The exit code is 0 where none was found. `python -m tests.fuzz.atheris_check
--once FILE` runs the claims on one input.
"""

# atheris is an extra that not every machine can build.
# pyright: reportMissingModuleSource=false

from __future__ import annotations

import re
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

LONGEST_BYTES = 4096
TIMEOUT_S = 20
"""For an input in libFuzzer's own, wall-clock time, which counts the claims' five checks and a busy machine; a check
alone may take `HANG_S` of processor time."""
MEMORY_MIB = 2048


def main(arguments: list[str]) -> None:
    """Run. libFuzzer ends the process itself."""
    if arguments[0] == "--once":
        run_one(Path(arguments[1]).read_bytes())
        return
    import atheris

    fuzzer: Any = atheris  # untyped
    # What is imported from here on counts the branches that an input takes.
    with fuzzer.instrument_imports(include=["netc", "lark"]):
        for name in ("netc.api", "netc.render", *_modules("netc.elaborate"), *_modules("netc.syntax")):
            import_module(name)
        from netc.ops import find, kinds

        for kind in kinds():
            find(kind)
    folder = Path(arguments[0])
    seconds = float(arguments[1]) if len(arguments) > 1 else 3600
    seed = int(arguments[2]) if len(arguments) > 2 else int(time.time()) % 2**31
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    (folder / "netc.dict").write_text(dictionary(), "ascii")
    from tests.fuzz.seeds import seeds

    for number, text in enumerate(seeds()):
        (corpus / f"seed-{number:03}.cnn").write_text(text, "utf-8")
    options = [
        f"-dict={folder / 'netc.dict'}",
        f"-max_total_time={max(int(seconds), 1)}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST_BYTES}",
        f"-artifact_prefix={folder}/",
        f"-seed={seed}",
        "-print_final_stats=1",
    ]
    fuzzer.Setup([sys.argv[0], *options, str(corpus)], run_one, enable_python_coverage=True)
    fuzzer.Fuzz()


def _modules(package: str) -> list[str]:
    # Some are loaded on the first error only, which is too late to be instrumented.
    return [f"{package}.{module.name}" for module in iter_modules(import_module(package).__path__)]


def run_one(data: bytes) -> None:
    """What a file of these bytes is promised. Raises where it is not kept."""
    from netc.diagnostic import Source
    from netc.syntax.parse import decode
    from tests.fuzz.claims import claims, well_formed

    source = decode("fuzz.cnn", data)
    if isinstance(source, Source):
        claims(source.text)
    else:
        well_formed(source)


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


if __name__ == "__main__":
    main(sys.argv[1:])
