"""From an approved request to its certificate: how long it lives, for what it is good."""

from __future__ import annotations

import base64
from datetime import timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.ca import CertificateAuthority
from control_plane.api.meta import Object
from control_plane.controllers.certificates import request as requests

MIN_LIFETIME_S = 600
EXTENDED_USAGES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


def lifetime_s(request: Object, longest_s: float) -> float:
    wanted = request["spec"].get("expirationSeconds")
    return longest_s if wanted is None else min(max(float(wanted), MIN_LIFETIME_S), longest_s)


def sign(request: Object, authority: CertificateAuthority, longest_s: float) -> str:
    """The certificate, as `status.certificate` holds it. Raises ValueError, certs.errors.BadRequest."""
    usages = [
        EXTENDED_USAGES[each] for each in request["spec"].get("usages") or () if each in EXTENDED_USAGES
    ]
    lifetime = timedelta(seconds=lifetime_s(request, longest_s))
    pem = authority.sign_request(requests.pem_of(request), usages, lifetime)
    return base64.b64encode(pem).decode("ascii")
