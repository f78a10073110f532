"""What lies around the application, as the options ask: who may ask, and what is told of each request."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from starlette.middleware.cors import CORSMiddleware

from netc_runtime.errors import EnvironmentFault
from netc_runtime.serving.bearer import with_token
from netc_runtime.serving.options import Options
from netc_runtime.serving.requests import Application, with_ids

ASKED = (
    "authorization",
    "content-encoding",
    "content-type",
    "inference-header-content-length",
    "traceparent",
    "x-request-id",
)
TOLD = ("inference-header-content-length", "retry-after", "server-timing", "x-request-id")
Layer = Callable[[Application], Application]


def around(app: Application, options: Options, token: str | None, traced: Layer) -> Application:
    """Give the application as the outside sees it. A page's preflight bears no token, so CORS is before it."""
    if token is not None:
        app = with_token(app, token)
    if options.cors_origin:
        app = CORSMiddleware(
            app,
            allow_origins=options.cors_origin,
            allow_methods=("GET", "POST"),
            allow_headers=ASKED,
            expose_headers=TOLD,
        )
    return with_ids(traced(app), access=options.access_log)


@contextmanager
def tracing(options: Options) -> Generator[Layer]:
    """Give the layer that traces where the options ask for it; at the end what waits is sent.

    Raises: EnvironmentFault R406.
    """
    if not options.trace:
        yield lambda app: app
        return
    try:
        from netc_runtime.serving import tracing
    except ImportError as error:
        help = 'python -m pip install "netc-runtime[otel]"'
        raise EnvironmentFault("R406", f"a package of --trace cannot be imported: {error}", help) from error
    provider = tracing.provider()
    try:
        yield lambda app: tracing.with_spans(app, provider)
    finally:
        provider.shutdown()
