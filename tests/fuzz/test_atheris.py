"""The coverage-guided fuzzer as a process of its own: it finds nothing, within bounds of time and memory."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz.atheris_check import dictionary
from tests.fuzz.runs import SECONDS
from tests.fuzz.targets import TARGETS
from tests.processes import environment


def test_the_dictionary_is_one_that_the_fuzzer_reads() -> None:
    # libFuzzer ends at the first line that it cannot read: https://llvm.org/docs/LibFuzzer.html#dictionaries
    for target in TARGETS.values():
        for line in dictionary(target.words()).splitlines():
            assert re.fullmatch(r'"(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})+"', line), line
    lines = dictionary(TARGETS["language"].words()).splitlines()
    assert {'"conv"', '"=>"', '"language"', '"groups="', '"\\xef\\xbb\\xbf"'} <= set(lines)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "language"])
def test_the_seeds_keep_the_claims(target: str) -> None:
    for content in TARGETS[target].seeds():
        TARGETS[target].run_one(content)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.timeout(SECONDS * 1.2 + 600)
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: pip install -e '.[fuzz]'")
def test_no_bytes_break_a_claim_in_an_hour(tmp_path: Path, target: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz.atheris_check", target, str(tmp_path), str(SECONDS)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    found = sorted(path for path in tmp_path.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-")))
    inputs = "".join(f"\n{path.name}: {path.read_bytes()!r}" for path in found)
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}{ran.stderr[-3000:]}{inputs}"
    assert not found, inputs
    stats = dict(re.findall(r"^stat::(\w+):\s+(\d+)", ran.stderr, re.MULTILINE))
    sys.stdout.write(f"{stats['number_of_executed_units']} inputs; the slowest {stats['slowest_unit_time_sec']} s\n")
    assert int(stats["number_of_executed_units"]) > 100
