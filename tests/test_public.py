"""What `import netc` offers is a list that only grows on purpose."""

import json
import sys
from pathlib import Path
from typing import Any

import netc
from tests.processes import run

PUBLIC = [
    "Diagnostic",
    "Fault",
    "Graph",
    "SpecError",
    "__version__",
    "build",
    "check",
    "compile",
    "load",
]

LOOK = """
import json, sys
before = set(sys.modules)
import netc
new = set(sys.modules) - before
print(json.dumps({
    "names": [name for name in vars(netc) if not name.startswith("_")],
    "listed": dir(netc),
    "packages": sorted({name.partition(".")[0] for name in new}),
    "values": {name: type(getattr(netc, name)).__name__ for name in netc.__all__},
}))
"""


def look(root: Path) -> dict[str, Any]:
    done = run(sys.executable, "-c", LOOK, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_public_names_are_these(root: Path) -> None:
    found = look(root)
    assert netc.__all__ == PUBLIC
    assert found["listed"] == PUBLIC
    assert found["names"] == []  # all are loaded on first use; nothing else is to be seen
    assert found["values"] == {
        "Diagnostic": "type",
        "Fault": "type",
        "Graph": "type",
        "SpecError": "type",
        "__version__": "str",
        "build": "function",
        "check": "function",
        "compile": "function",
        "load": "function",
    }


def test_import_netc_loads_nothing_of_what_it_stands_on(root: Path) -> None:
    packages: list[str] = look(root)["packages"]
    strange = {name for name in packages if name not in sys.stdlib_module_names}
    assert strange == {"netc"}


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    assert not hasattr(netc, "comfile")
    assert not hasattr(netc, "TYPE_CHECKING")


def test_star_import_gives_the_public_names(root: Path) -> None:
    code = "from netc import *; print(sorted(name for name in dir() if not name.startswith('__')))"
    done = run(sys.executable, "-c", code, cwd=root)
    assert done.stdout.strip() == str([name for name in PUBLIC if name != "__version__"])
