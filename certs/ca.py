"""Certificate authorities and the leaves they issue.

A cluster has three: one for the cluster (servers, users, nodes), one for the store (members and their clients
only: a certificate that the cluster signs for a user must never open the store) and one for front proxies.
Keys are ECDSA P-256. A CA lives ten years; a leaf a short time, after which it is renewed in place and the
processes that use it read it again (`certs.tls.Reloader`).
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import BadRequest, Unreadable
from certs.files import PUBLIC_MODE, write_atomic

CA_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=7)
CLOCK_SKEW = datetime.timedelta(minutes=5)

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, PEM."""

    cert_pem: bytes
    key_pem: bytes

    def write(self, cert_path: Path, key_path: Path) -> None:
        """Key first: a reader that finds the new certificate finds its key."""
        write_atomic(key_path, self.key_pem)
        write_atomic(cert_path, self.cert_pem, PUBLIC_MODE)


class CertificateAuthority:
    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self.cert_pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, common_name: str) -> CertificateAuthority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _builder(name, name, key.public_key(), CA_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(ca=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, cert_path: Path, key_path: Path) -> CertificateAuthority:
        """Raises Unreadable."""
        try:
            certificate = x509.load_pem_x509_certificate(cert_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot read the CA {cert_path}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Unreadable(f"{key_path} does not hold an ECDSA key")
        return cls(certificate, key)

    def write(self, cert_path: Path, key_path: Path) -> None:
        KeyPair(self.cert_pem, private_pem(self._key)).write(cert_path, key_path)

    def issue_server(self, common_name: str, sans: Sequence[str]) -> KeyPair:
        """`sans`: DNS names and IP addresses, told apart by their form."""
        return self._issue(common_name, (), sans, (SERVER,))

    def issue_client(self, common_name: str, organizations: Sequence[str] = ()) -> KeyPair:
        """The common name is the user, the organizations are the groups."""
        return self._issue(common_name, organizations, (), (CLIENT,))

    def issue_peer(self, common_name: str, sans: Sequence[str], organizations: Sequence[str] = ()) -> KeyPair:
        """For a process that both serves and dials: a store member, a node agent."""
        return self._issue(common_name, organizations, sans, (SERVER, CLIENT))

    def sign_request(
        self,
        request_pem: bytes,
        usages: Sequence[x509.ObjectIdentifier],
        lifetime: datetime.timedelta = LEAF_LIFETIME,
    ) -> bytes:
        """Sign a PKCS#10 request as it stands; return the certificate, PEM. Raises BadRequest."""
        try:
            request = x509.load_pem_x509_csr(request_pem)
        except ValueError as error:
            raise BadRequest(f"not a PEM certificate request: {error}") from error
        if not request.is_signature_valid:
            raise BadRequest("the request's signature does not match its key")
        builder = _builder(request.subject, self._certificate.subject, request.public_key(), lifetime)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = None
        return self._sign_leaf(builder, names, usages)

    def _issue(
        self,
        common_name: str,
        organizations: Sequence[str],
        sans: Sequence[str],
        usages: Sequence[x509.ObjectIdentifier],
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _builder(subject, self._certificate.subject, key.public_key(), LEAF_LIFETIME)
        names = x509.SubjectAlternativeName([_general_name(each) for each in sans]) if sans else None
        return KeyPair(self._sign_leaf(builder, names, usages), private_pem(key))

    def _sign_leaf(
        self,
        builder: x509.CertificateBuilder,
        names: x509.SubjectAlternativeName | None,
        usages: Sequence[x509.ObjectIdentifier],
    ) -> bytes:
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificateIssuerPublicKeyTypes | object,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)  # type: ignore[arg-type]  # a request's key may be of a kind no CA uses
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        return x509.DNSName(san)
