"""The pages of `netc explain`: a `CODE.md` for each code, with a mistake that gives it and the fix."""

from pathlib import Path

FOLDER = Path(__file__).parent


def page(code: str) -> str | None:
    """A code's page as Markdown, None where it has none."""
    if not code.isalnum():
        return None  # a code is no path
    try:
        return (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    except OSError:
        return None


def title(code: str) -> str:
    """What a code stands for: its page's first line, without the code."""
    return (page(code) or "").partition("\n")[0].removeprefix("# ").removeprefix(f"{code}: ")


def codes() -> list[str]:
    """Every code that has a page, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))
