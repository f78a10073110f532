"""The page at `/`: a picture in, the answer beside it; one document that asks nobody but this server."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response


@cache
def document() -> tuple[bytes, dict[str, str]]:
    """Give the page and its headers: its own style and script, known by their hashes, are all that a browser takes."""
    here = files(__name__)
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    text = here.joinpath("page.html").read_text("utf-8")
    text = text.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }


async def page(_: Request) -> Response:
    """Answer with the page."""
    body, headers = document()
    return Response(body, media_type="text/html", headers=headers)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
