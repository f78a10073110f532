"""The public surface, and what may be imported without what."""

import ast
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import netc_runtime
from netc_runtime.errors import CODES, RequestFault

FOLDER = Path(netc_runtime.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))

PUBLIC = {
    "netc_runtime": ["Model", "RuntimeFault", "__version__", "load"],
    "netc_runtime.manifest": [
        "KEY",
        "SCHEMA",
        "Expr",
        "Golden",
        "ImageRecipe",
        "Input",
        "Manifest",
        "ManifestError",
        "Output",
        "Parity",
        "Requirement",
        "evaluate",
    ],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_these_and_every_one_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name])
    assert all(hasattr(module, each) for each in PUBLIC[name])


def test_names_that_netc_relies_on_are_there() -> None:
    for module, names in {
        "image": ["decode", "fit", "normalise", "prepare"],
        "golden": ["golden_input", "golden_feed"],
        "cli": ["main"],
        "session": ["load", "Model"],
    }.items():
        loaded = importlib.import_module(f"netc_runtime.{module}")
        assert all(callable(getattr(loaded, name)) for name in names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'serve'"):
        netc_runtime.serve  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # the claim
    assert dir(netc_runtime) == sorted(PUBLIC["netc_runtime"])


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("netc_runtime", ["numpy", "PIL", "onnxruntime"]),
        ("netc_runtime.errors", ["numpy", "PIL", "onnxruntime"]),
        ("netc_runtime.manifest", ["numpy", "PIL", "onnxruntime"]),
        ("netc_runtime.providers", ["numpy", "PIL", "onnxruntime"]),
        ("netc_runtime.cli", ["numpy", "PIL", "onnxruntime"]),
        ("netc_runtime.golden", ["PIL", "onnxruntime"]),
        ("netc_runtime.image", ["onnxruntime"]),
        ("netc_runtime.session", ["torch", "lark", "onnx", "netc", "orjson", "uvicorn", "starlette"]),
    ],
)
def test_importing_a_module_loads_no_more_than_it_needs(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print(sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_broken_onnx_runtime_fails_at_load_and_not_before() -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
import netc_runtime, netc_runtime.image, netc_runtime.manifest
try:
    netc_runtime.load
except netc_runtime.RuntimeFault as fault:
    print(fault.code)
from netc_runtime.cli import main
print(main(["check", "m.onnx"]))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["R401", "3"]
    assert done.stderr.startswith("error[R401]")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_only_numpy_pillow_onnx_runtime_and_the_standard_library_are_imported(path: Path) -> None:
    allowed = {"netc_runtime", "numpy", "PIL", *sys.stdlib_module_names}
    if {"oip", "serving"} & set(path.relative_to(FOLDER).parts):
        allowed |= {
            "httptools",
            "orjson",
            "prometheus_client",
            "python_multipart",
            "starlette",
            "uvicorn",
            "uvloop",
        }  # the extra [serve]
    if path.name == "tracing.py":
        allowed |= {"opentelemetry"}  # the extra [otel]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        assert {name.split(".")[0] for name in names} <= allowed


def test_every_code_of_the_table_is_raised_and_tested() -> None:
    code = re.compile('"(R[0-9]{3})"')
    raised = {found for path in SOURCES if path.name != "errors.py" for found in code.findall(path.read_text("utf-8"))}
    tested = {
        found
        for path in Path(__file__).parents[1].rglob("test_*.py")  # a model is built by netc's tests
        for found in re.findall("R[0-9]{3}", path.read_text("utf-8"))
    }
    assert raised == set(CODES)
    assert set(CODES) - tested == set()


def test_a_fault_survives_another_process() -> None:
    fault = RequestFault("R203", "m.onnx: (1,), expected (N, 3)", "reshape it")
    copy = pickle.loads(pickle.dumps(fault))
    assert (type(copy), copy.code, copy.message, copy.help) == (RequestFault, fault.code, fault.message, fault.help)
    assert str(copy) == "m.onnx: (1,), expected (N, 3) [R203]; reshape it"


def test_the_version_is_the_distribution_s() -> None:
    text = (FOLDER.parent / "pyproject.toml").read_text("utf-8")
    assert f'version = "{netc_runtime.__version__}"' in text
