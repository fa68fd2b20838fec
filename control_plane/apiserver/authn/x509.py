"""Client certificates: the common name is the user, the organizations are the groups.

TLS has verified the chain to one of the authorities that the server trusts; which one decides what the
certificate is good for, so it is checked here again against the authority that signs users (the front
proxy's own never names a user). The answer is kept with the connection; only its end of validity is checked
on each request, since a connection can outlive its certificate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.messages import Connection, Request

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_MEMO = "authn.x509"


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What is read from a verified certificate, once per connection."""

    common_name: str
    organizations: tuple[str, ...]
    uid: str
    not_after_s: float
    fingerprint: str
    issuer_index: int  # of the trusted authorities; -1 if none of them issued it directly


class X509Authenticator:
    """`authorities` are those that sign users; they may be intermediates, but must have issued the leaf."""

    def __init__(
        self, authorities: Sequence[x509.Certificate], clock: Callable[[], float] = time.time
    ) -> None:
        self._authorities = list(authorities)
        self._clock = clock

    async def authenticate(self, request: Request) -> UserInfo | None:
        peer = self._peer(request.connection)
        if peer is None or peer.issuer_index < 0 or not peer.common_name:
            return None
        if self._clock() > peer.not_after_s:
            raise Unauthenticated(f"the client certificate of {peer.common_name!r} has expired")
        extra = {CREDENTIAL_ID: (f"X509SHA256={peer.fingerprint}",)}
        return UserInfo(peer.common_name, peer.uid, peer.organizations, extra)

    def _peer(self, connection: Connection) -> PeerCertificate | None:
        if _MEMO not in connection.memo:
            der = connection.certificate_der()
            connection.memo[_MEMO] = None if der is None else read_certificate(der, self._authorities)
        memo: PeerCertificate | None = connection.memo[_MEMO]
        return memo


def read_certificate(der: bytes, authorities: Sequence[x509.Certificate]) -> PeerCertificate:
    certificate = x509.load_der_x509_certificate(der)
    return PeerCertificate(
        common_name=_first(certificate, NameOID.COMMON_NAME),
        organizations=_all(certificate, NameOID.ORGANIZATION_NAME),
        uid=_first(certificate, x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")),
        not_after_s=certificate.not_valid_after_utc.timestamp(),
        fingerprint=_fingerprint(certificate),
        issuer_index=issuer_index(certificate, authorities),
    )


def issuer_index(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> int:
    """Which of the authorities issued the certificate, or -1."""
    for index, authority in enumerate(authorities):
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return index
    return -1


def load_authorities(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def _all(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid))


def _first(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    values = _all(certificate, oid)
    return values[0] if values else ""


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
