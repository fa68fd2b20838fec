"""One key of one kind. Values have kube-apiserver's form: the prefix `k8s:enc:<kind>:v1:<name>:`, and then

    aesgcm      nonce (12), ciphertext, tag (16); the path of the key is authenticated, so that a value that
                somebody has copied to another key is refused
    aescbc      IV (16), ciphertext padded by PKCS #7; not authenticated
    secretbox   nonce (24), tag (16), ciphertext: XSalsa20 and Poly1305
    identity    the value as it is

AES is of `cryptography`, which is there anyway; no OpenSSL has XSalsa20, so secretbox is of PyNaCl (libsodium).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from control_plane.apiserver.storage.encryption.errors import CannotDecrypt

ENCRYPTED = b"k8s:enc:"  # what every encrypted value begins with
NONCE_BYTES, BLOCK_BYTES = 12, 16
AES_KEY_BYTES, SECRETBOX_KEY_BYTES = (16, 24, 32), (32,)

_WRONG_KEY = "the stored value is not of this key"
_TOO_SHORT = "the stored data was shorter than the required size"


class Provider(ABC):
    """Values are without their prefix; `path` is the key in the store."""

    prefix: bytes

    @abstractmethod
    def encrypt(self, value: bytes, path: bytes) -> bytes:
        """Raises StoreError where it cannot be done now."""

    @abstractmethod
    def decrypt(self, value: bytes, path: bytes) -> bytes:
        """Raises CannotDecrypt."""

    def is_stale(self, value: bytes) -> bool:
        """Whether it would be written differently now, with the same key."""
        return False

    async def prepare(self, value: bytes) -> None:  # noqa: B027 - most need nothing
        """Fetch what `decrypt` needs. Raises StoreError."""


class AesGcm(Provider):
    def __init__(self, name: str, secret: bytes) -> None:
        self.prefix = _prefix("aesgcm", name)
        self._cipher = AESGCM(secret)

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, path)

    def decrypt(self, value: bytes, path: bytes) -> bytes:
        if len(value) < NONCE_BYTES:
            raise CannotDecrypt(_TOO_SHORT)
        try:
            return self._cipher.decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], path)
        except InvalidTag as error:
            raise CannotDecrypt(_WRONG_KEY) from error


class AesCbc(Provider):
    def __init__(self, name: str, secret: bytes) -> None:
        self.prefix = _prefix("aescbc", name)
        self._algorithm = AES(secret)

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        iv = os.urandom(BLOCK_BYTES)
        padder = PKCS7(BLOCK_BYTES * 8).padder()
        encryptor = Cipher(self._algorithm, CBC(iv)).encryptor()
        return iv + encryptor.update(padder.update(value) + padder.finalize()) + encryptor.finalize()

    def decrypt(self, value: bytes, path: bytes) -> bytes:
        if len(value) < 2 * BLOCK_BYTES or len(value) % BLOCK_BYTES:
            raise CannotDecrypt(_TOO_SHORT)
        decryptor = Cipher(self._algorithm, CBC(value[:BLOCK_BYTES])).decryptor()
        unpadder = PKCS7(BLOCK_BYTES * 8).unpadder()
        try:
            padded = decryptor.update(value[BLOCK_BYTES:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise CannotDecrypt(_WRONG_KEY) from error


class Secretbox(Provider):
    def __init__(self, name: str, secret: bytes) -> None:
        self.prefix = _prefix("secretbox", name)
        self._box = SecretBox(secret)

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        return bytes(self._box.encrypt(value))

    def decrypt(self, value: bytes, path: bytes) -> bytes:
        try:
            return self._box.decrypt(value)
        except (CryptoError, ValueError) as error:
            raise CannotDecrypt(_WRONG_KEY) from error


class Identity(Provider):
    prefix = b""

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        return value

    def decrypt(self, value: bytes, path: bytes) -> bytes:
        if value.startswith(ENCRYPTED):
            raise CannotDecrypt("identity transformer tried to read encrypted data")
        return value


def _prefix(kind: str, name: str) -> bytes:
    return ENCRYPTED + f"{kind}:v1:{name}:".encode()
