"""The certificate by which a server answers https."""

import ssl
from pathlib import Path

from netc_runtime.errors import EnvironmentFault


def context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """Read a certificate with its chain and its key, both PEM, where they are named; TLS 1.2 and later are spoken.

    Raises: EnvironmentFault R410 where a file cannot be read, R411 where they are no pair.
    """
    if certificate is None or key is None:
        return None
    for path, what in ((certificate, "the certificate"), (key, "its key")):
        try:
            with Path(path).open("rb") as file:
                file.read(1)
        except OSError as error:
            message = f"{path}: {what} cannot be read: {error.strerror or error}"
            raise EnvironmentFault("R410", message, "name one that is there") from error
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password here, one that is needed would be asked for at the terminal.
        made.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        help = "give a certificate and its own key as PEM, the key without a password"
        raise EnvironmentFault("R411", f"{certificate} and {key} are no pair: {reason}", help) from error
    return made
