"""A coverage-guided fuzzer: bytes are given to a target, and every claim is kept.

    python -m tests.fuzz.atheris_check TARGET FOLDER [SECONDS [SEED]]

TARGET is a name of `tests.fuzz.targets`. FOLDER keeps the corpus (`corpus/`, with the seeds at first), the dictionary,
and the input of a failure (`crash-...`, `timeout-...` or `oom-...`). The exit code is 0 where none was found. `python
-m tests.fuzz.atheris_check TARGET --once FILE` runs the claims on one input.
"""

# atheris is an extra that not every machine can build.
# pyright: reportMissingModuleSource=false

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS

LONGEST_BYTES = 4096
TIMEOUT_S = 20
"""For an input in libFuzzer's own, wall-clock time, which counts all claims and a busy machine; a check of a text alone
may take `HANG_S` of processor time."""
MEMORY_MIB = 2048


def main(arguments: list[str]) -> None:
    """Run. libFuzzer ends the process itself."""
    target = TARGETS[arguments[0]]
    if arguments[1] == "--once":
        target.run_one(Path(arguments[2]).read_bytes())
        return
    import atheris

    fuzzer: Any = atheris  # untyped
    # What is imported from here on counts the branches that an input takes.
    with fuzzer.instrument_imports(include=list(target.packages)):
        target.load()
    folder = Path(arguments[1])
    seconds = float(arguments[2]) if len(arguments) > 2 else 3600
    seed = int(arguments[3]) if len(arguments) > 3 else int(time.time()) % 2**31
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    (folder / "fuzz.dict").write_text(dictionary(target.words()), "ascii")
    for number, content in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(content)
    options = [
        f"-dict={folder / 'fuzz.dict'}",
        f"-max_total_time={max(int(seconds), 1)}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST_BYTES}",
        f"-artifact_prefix={folder}/",
        f"-seed={seed}",
        "-print_final_stats=1",
    ]
    fuzzer.Setup([sys.argv[0], *options, str(corpus)], target.run_one, enable_python_coverage=True)
    fuzzer.Fuzz()


def dictionary(words: Iterable[str]) -> str:
    """libFuzzer's dictionary of these words."""
    lines = sorted({_entry(word) for word in words if 0 < len(word) <= 60})
    return "".join(f"{line}\n" for line in lines)


def _entry(word: str) -> str:
    shown = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in word.encode(errors="surrogatepass")
    )
    return f'"{shown}"'


if __name__ == "__main__":
    main(sys.argv[1:])
