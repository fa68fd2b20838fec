"""The key pair that signs service-account tokens (ES256), and the key ids that name it in a JWT."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.ca import private_pem, public_pem
from certs.errors import Unreadable
from certs.files import PUBLIC_MODE, write_atomic


def create_key(private_path: Path, public_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    write_atomic(private_path, private_pem(key))
    write_atomic(public_path, public_pem(key.public_key()), PUBLIC_MODE)


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises Unreadable."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot read the signing key {path}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Unreadable(f"{path} does not hold an ECDSA key")
    return key


def load_public_keys(path: Path) -> list[ec.EllipticCurvePublicKey]:
    """Every public key of a PEM file (several while a key is being rotated). Raises Unreadable."""
    try:
        blocks = path.read_bytes().split(b"-----END PUBLIC KEY-----")
        keys = [
            serialization.load_pem_public_key(block.strip() + b"\n-----END PUBLIC KEY-----\n")
            for block in blocks
            if b"BEGIN PUBLIC KEY" in block
        ]
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot read the public keys {path}: {error}") from error
    found = [key for key in keys if isinstance(key, ec.EllipticCurvePublicKey)]
    if not found:
        raise Unreadable(f"{path} holds no ECDSA public key")
    return found


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """As kube-apiserver derives it: unpadded base64url of the SHA-256 of the DER public key."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
