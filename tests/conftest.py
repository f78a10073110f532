"""Fixtures that any test may take."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests import tried

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
IN_CI = "CI" in os.environ

# No deadlines: on a shared machine they measure the neighbours.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As for what a script starts in its background; the processes that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker a core already: a thread pool in each would only take turns. Read when torch is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test leaves anything in the folder of whoever runs it.
os.environ["NETC_CACHE_DIR"] = "off"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the files of tests/golden/ anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Holds a text to a file of tests/golden/, by its name there; with --update the text becomes the file."""

    def hold(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if request.config.getoption("--update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        assert text == kept, f"{path} differs: look at it, and run pytest --update {request.node.nodeid}"

    return hold


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def oracle_folder() -> Path:
    """The folder that holds torchvision and timm; without it the test is skipped, or in CI fails."""
    folder = ROOT / ".oracle"
    if not (folder / "torchvision").is_dir():
        reason = "no .oracle folder with torchvision and timm: run `make oracle`"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def oracle(oracle_folder: Path) -> Iterator[ModuleType]:
    """The torchvision module; `timm` can be imported while it is in use."""
    import torch

    library: Any = torch.library  # torch types register_fake in part only
    register = library.register_fake

    def register_ours(op: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(op, str) and op.startswith("torchvision::"):
            return identity
        return register(op, *args, **kwargs)

    sys.path.append(str(oracle_folder))  # last: nothing there may stand in for what the environment has
    try:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # Beside a CPU-only torch its compiled operators do not load, and registering fakes for them fails.
            patch.setattr(library, "register_fake", register_ours)
            warnings.simplefilter("ignore")  # it says the same in words
            torchvision = import_module("torchvision")
        yield torchvision
    finally:
        sys.path.remove(str(oracle_folder))


def identity(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def pytest_sessionfinish(session: pytest.Session) -> None:
    # A worker of pytest-xdist has a dictionary to hand to the process that started it.
    sent: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if sent is not None:
        sent["tried"] = tried.to_send()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tried.receive(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if told := tried.summary():
        terminalreporter.write_line(told)


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """Debian's Chromium, without a window; in CI it must be there."""
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        reason = f"no {CHROMIUM}: apt-get install chromium"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()
