"""Client certificates that are renewed while the process runs.

Who renews them writes the kubeconfig file anew; here it is looked at from time to time and its certificate
loaded into the TLS context that the client uses. Connections made from then on present it; those that exist
live on: a server checks a certificate when a connection begins.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from certs import tls
from certs.errors import CertsError
from certs.kubeconfig import KubeConfig
from control_plane.client.client import Client
from control_plane.client.transport import HttpTransport
from store.component import logs

CHECK_INTERVAL_S = 30.0

log = logs.get("client")


async def keep_renewed(client: Client, path: str) -> None:
    """Until cancelled. A damaged file keeps the certificate that is in use."""
    seen = _version(path)
    while True:
        await client.clock.sleep(CHECK_INTERVAL_S)
        version = _version(path)
        if version is None or version == seen:
            continue
        try:
            reload(client, path)
        except CertsError as error:
            log.warning("kubeconfig not read again", file=path, error=str(error))
        else:
            seen = version
            log.info("client certificate renewed", file=path)


def reload(client: Client, path: str) -> None:
    """Raises CertsError."""
    config = KubeConfig.load(path)
    transport = client.transport
    if isinstance(transport, HttpTransport) and transport.ssl_context is not None and config.cert_data:
        _load_chain(transport.ssl_context, config)


def _load_chain(context: ssl.SSLContext, config: KubeConfig) -> None:
    with tempfile.NamedTemporaryFile() as pem:  # OpenSSL takes the key from a file only; mode 0600
        pem.write(config.cert_data + b"\n" + config.key_data)
        pem.flush()
        tls.load_chain(context, pem.name, pem.name)


def _version(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
