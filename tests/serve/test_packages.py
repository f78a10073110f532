"""What `pip install './runtime[serve]'` adds to a bare runtime, by the metadata of what is installed here."""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MOST = 12


def needed(requirements: list[str]) -> set[str]:
    """Every distribution that these need, they themselves included."""
    found: set[str] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker is not None and not requirement.marker.evaluate({"extra": extra})) or name in found:
            continue
        found.add(name)
        told = [Requirement(each) for each in metadata.requires(name) or []]
        waiting += [(each, extra) for each in told for extra in (requirement.extras or {""})]
    return found


def test_the_server_adds_few_packages(root: Path) -> None:
    project = tomllib.loads((root / "runtime" / "pyproject.toml").read_text())["project"]
    bare = needed(project["dependencies"])
    assert "numpy" in bare
    added = needed([*project["dependencies"], *project["optional-dependencies"]["serve"]]) - bare
    assert {"starlette", "uvicorn", "anyio", "h11"} <= added
    assert len(added) <= MOST, sorted(added)
