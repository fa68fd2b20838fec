"""Passwords as salted hashes.

hash = version:u8 salt:16 scrypt
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

VERSION = b"\x01"
SALT_BYTES = 16
COST, BLOCK, PARALLEL = 2**14, 8, 1  # 16 MiB and some 50 ms: run it in a thread
MEMORY_BYTES = 64 * 1024 * 1024


def hash_password(password: str) -> bytes:
    salt = secrets.token_bytes(SALT_BYTES)
    return VERSION + salt + _scrypt(password, salt)


def matches(password: str, password_hash: bytes) -> bool:
    if password_hash[:1] != VERSION:
        return False
    salt, expected = password_hash[1 : 1 + SALT_BYTES], password_hash[1 + SALT_BYTES :]
    return hmac.compare_digest(_scrypt(password, salt), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=COST, r=BLOCK, p=PARALLEL, maxmem=MEMORY_BYTES, dklen=32
    )
