"""What schemathesis makes of the protocol's OpenAPI text, good and bad: no 5xx, and every answer as the text has it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import Served, as_json
from tests.serve.openapi import document
from tests.serve.test_server import X

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method"
)


@pytest.mark.parametrize("most", [pytest.param(8, marks=pytest.mark.slow), pytest.param(3000, marks=pytest.mark.long)])
def test_the_server_does_as_the_protocols_text_says(server: Served, tmp_path: Path, most: int) -> None:
    text = tmp_path / "openapi.json"
    text.write_text(json.dumps(document()))
    line = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(text), "--url", server.url, "--checks", CHECKS),
        *("--max-examples", str(most), "--seed", "1", "--continue-on-failure", "--no-color"),
        *("--phases", "examples,coverage,fuzzing"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=3000, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "Tested: 10" in done.stdout, done.stdout[-3000:]
    response = server.infer(X)
    assert as_json(response)["outputs"][0]["shape"] == [3, 3]
