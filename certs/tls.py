"""TLS contexts, and reading renewed certificates without a restart."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

from certs.errors import Unreadable

RELOAD_INTERVAL_S = 30.0

StrPath = str | os.PathLike[str]


def server_context(
    cert_file: StrPath,
    key_file: StrPath,
    client_ca_file: StrPath | None = None,
    require_client_cert: bool = True,
    min_tls13: bool = True,
) -> ssl.SSLContext:
    """A server's context. With a client CA, certificates are verified; `require_client_cert=False` lets those
    without one through (they authenticate otherwise, or not at all). Raises Unreadable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if min_tls13 else ssl.TLSVersion.TLSv1_2
    load_chain(context, cert_file, key_file)
    if client_ca_file is not None:
        _load_ca(context, client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_cert else ssl.CERT_OPTIONAL
    return context


def client_context(
    ca_file: StrPath,
    cert_file: StrPath | None = None,
    key_file: StrPath | None = None,
    min_tls13: bool = False,
) -> ssl.SSLContext:
    """A client's context: trusts `ca_file` alone, checks the server's name. Raises Unreadable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if min_tls13 else ssl.TLSVersion.TLSv1_2
    _load_ca(context, ca_file)
    if cert_file is not None:
        load_chain(context, cert_file, key_file or cert_file)
    return context


class Reloader:
    """Loads the certificate into the context again when its file has changed; new connections then use it."""

    def __init__(self, context: ssl.SSLContext, cert_file: StrPath, key_file: StrPath) -> None:
        self._context = context
        self._cert_file = Path(cert_file)
        self._key_file = Path(key_file)
        self._seen = self._version()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            self.check()

    def check(self) -> bool:
        """Reload if the file is another one; say whether it was. A damaged file keeps the old certificate."""
        version = self._version()
        if version == self._seen or version is None:
            return False
        try:
            load_chain(self._context, self._cert_file, self._key_file)
        except Unreadable:
            return False
        self._seen = version
        return True

    def _version(self) -> tuple[int, int] | None:
        try:
            status = self._cert_file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def load_chain(context: ssl.SSLContext, cert_file: StrPath, key_file: StrPath) -> None:
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise Unreadable(f"cannot use the certificate {cert_file}: {error}") from error


def _load_ca(context: ssl.SSLContext, ca_file: StrPath) -> None:
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unreadable(f"cannot read the CA {ca_file}: {error}") from error
