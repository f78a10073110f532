"""The token that a request must bear, and the answer to one that does not."""

import hmac
import ipaddress

import orjson

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving.options import Options, read_token
from netc_runtime.serving.requests import Application, Receive, Scope, Send
from netc_runtime.serving.settings import read_text

# Who watches over the process has no token, and the page asks for it.
OPEN = frozenset({"/", "/v2/health/live", "/v2/health/ready"})
_BODY = orjson.dumps({"error": "this server asks for a token; send the header Authorization: Bearer TOKEN"})
_REFUSAL = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"www-authenticate", b"Bearer"),
]


def token_of(options: Options) -> str | None:
    """Give the token of a server's options, from its file where it has one.

    Raises: EnvironmentFault R410 where the file cannot be read, or holds no token.
    """
    if options.token_file is None:
        return options.token
    text = read_text(options.token_file, "the token").removesuffix("\n").removesuffix("\r")
    try:
        return read_token(text)
    except ValueError as error:
        help = "write one line, such as openssl rand -hex 32 makes"
        raise EnvironmentFault("R410", f"{options.token_file}: {error}", help) from error


def reaches_others(host: str) -> bool:
    """Say whether other machines may reach a server that listens at this address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def with_token(app: Application, token: str) -> Application:
    """Give an application that answers those who bear the token; others are told 401, but for the server's health."""
    expected = token.encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or _bears(scope, expected):
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 401, "headers": _REFUSAL})
        await send({"type": "http.response.body", "body": _BODY})

    return answer


def _bears(scope: Scope, expected: bytes) -> bool:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, token = given[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), expected)
