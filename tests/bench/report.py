"""Makes docs/benchmarks.md: runs the benchmarks, keeps their tables in docs/benchmarks.json, and writes the page.

Run `make bench`, or `make bench ONLY=inference` for one section; the others stay as they were measured. With --quick a
few small cases are run, for those who work on a benchmark, and the page goes to build/ instead. --page writes the page
from what is kept, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from netc.atomic import replacing
from tests.bench.tables import BARS

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent


class Section(NamedTuple):
    """A script of this folder and what it measures."""

    title: str
    about: str
    asked: bool = False
    """Whether it is measured only where --only names it."""


SECTIONS: Mapping[str, Section] = {
    "build": Section(
        "Building",
        "From a spec and its weights to an ONNX file, beside `torch.onnx.export` and beside writing the same bytes.",
    ),
    "inference": Section(
        "Inference",
        "What `netc build` wrote, in ONNX Runtime, beside other roads to the same answers. A ratio is netc's time as a "
        "share of theirs: below 1, netc's file is faster.",
    ),
    "precision": Section("Fewer bits", "The same nets in f16, bf16 and int8, beside float32."),
    "check": Section("Checking", "`netc check`, beside what it is built on and what it saves."),
    "train_step": Section(
        "Training", "A step of the module that `netc build --emit torch` writes, beside torchvision's."
    ),
    "runtime": Section(
        "The runtime", "`netc-runtime` on the CPU, beside a bare loop of ONNX Runtime and beside scripts without it."
    ),
    "runtime_images": Section(
        "Pictures", "From JPEG files to labels: `predict_images` beside the loop that one writes by hand."
    ),
    "server": Section(
        "The server",
        "`netc-runtime serve`, beside a bare loop of ONNX Runtime and beside LitServe, MLServer and Triton.",
    ),
    "gpu": Section(
        "On a GPU",
        "`netc-runtime` with `device=cuda`, beside ONNX Runtime on the CPU and beside bare sessions on the GPU; "
        "training beside torchvision's modules, and `netc train` beside a loop written by hand.",
        asked=True,
    ),
}

LIBRARIES = ("torch", "onnx", "onnxruntime-gpu", "onnxruntime", "onnxscript", "openvino", "numpy")
EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")

TOP = """\
# Benchmarks

Made by `make bench` from [tests/bench/](../tests/bench/), which takes half an hour; `make bench ONLY=inference`
measures one section again. Seconds drift from day to day and from machine to machine, ratios hold: two sides run in
turns, and a figure is the median of the ratios pair by pair, with the middle half of them in brackets.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the benchmarks and write docs/benchmarks.md.")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), help="these sections")
    parser.add_argument("--quick", action="store_true", help="a few small cases, into build/")
    parser.add_argument("--page", action="store_true", help="write the page from what is kept")
    given = parser.parse_args()
    folder = ROOT / ("build" if given.quick else "docs")
    folder.mkdir(exist_ok=True)
    kept, page = folder / "benchmarks.json", folder / "benchmarks.md"
    usual = [name for name, section in SECTIONS.items() if not section.asked]
    measured: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in () if given.page else given.only or usual:
        if (HERE / f"{name}.py").exists():
            measured[name] = run(name, given.quick)
            with replacing(kept) as file:
                file.write((json.dumps(measured, indent=1, ensure_ascii=False) + "\n").encode())
    with replacing(page) as file:
        file.write(rendered(measured).encode())
    print(page)


def run(name: str, quick: bool) -> dict[str, Any]:
    """Run a section's script; its tables, when and where they were measured."""
    print(f"{name}: {SECTIONS[name].about}", file=sys.stderr, flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(file), *(["--quick"] if quick else [])]
        subprocess.run(command, cwd=ROOT, check=True)
        tables = json.loads(file.read_text(encoding="utf-8"))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "machine": machine(),
        "versions": versions(),
        "tables": tables if isinstance(tables, list) else [tables],
    }


def machine() -> str:
    """The processor, the cores that this process may use, and the memory."""
    said = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.*)", said, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)", said, re.MULTILINE)
    has = [each for each in EXTENSIONS if flags and each in flags[1].split()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = model[1] if model else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    known = f" ({', '.join(has)})" if has else ""
    return f"{name}{known}, {cores} cores, {memory:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Python and the libraries, as far as they are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


# --- the page


def rendered(measured: Mapping[str, Any]) -> str:
    """The text of docs/benchmarks.md."""
    rows = [TOP, "## Bars", ""]
    for name, (title, *_) in SECTIONS.items():
        tables: list[dict[str, Any]] = measured[name]["tables"] if name in measured else []
        rows += [f"- {title}. {note}" for table in tables for note in table["notes"] if bar(note)]
    for name in SECTIONS:
        rows += ["", *section(name, measured.get(name))]
    return "\n".join(rows) + "\n"


def bar(note: str) -> bool:
    """Whether a note says that a bar is met or missed."""
    return note.startswith(BARS)


def section(name: str, found: Mapping[str, Any] | None) -> list[str]:
    """A section's heading, its tables, and when and where they were measured; None where they were not."""
    rows = [f"## {SECTIONS[name].title}", "", SECTIONS[name].about, ""]
    if found is None:
        return [*rows, f"Not measured yet: `make bench ONLY={name}`."]
    rows += [f"{found['date']}, {found['minutes']} minutes: {found['machine']}; {found['versions']}."]
    for each in found["tables"]:
        rows += ["", f"### {each['title']}", "", *table(each["columns"], each["rows"]), ""]
        rows += [f"- {note}" for note in each["notes"]]
    return rows


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown: words to the left, and what starts with a digit to the right."""
    sides = [
        "---:" if rows and all(row[at][:1].isdigit() or row[at] == "-" for row in rows) else "---"
        for at in range(len(columns))
    ]
    lines = [columns, sides, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


if __name__ == "__main__":
    main()
