"""`netc explain CODE`: the page of an error code."""

from __future__ import annotations

from netc import errors
from netc.cli.codes import UsageFault
from netc.cli.terminal import out
from netc.elaborate.names import nearest
from netc.render import as_json


def show(code: str | None, form: str) -> None:
    """Print a code's page, or every code with its title. Raises UsageFault where there is no such page."""
    known = errors.codes()
    if not known:
        raise UsageFault("the pages of the error codes are not there: install netc again")
    if code is None:
        if form == "json":
            out(as_json({"codes": {each: errors.title(each) for each in known}}))
            return
        for each in known:
            out(f"{each}: {errors.title(each)}")
        return
    page = errors.page(code.upper())
    if page is None:
        near = nearest(code.upper(), known)
        raise UsageFault(f"there is no page for {code}; {f'{near} ' if near else ''}`netc explain` lists all")
    if form == "json":
        out(as_json({"code": code.upper(), "title": errors.title(code.upper()), "page": page}))
        return
    out(page.rstrip())
