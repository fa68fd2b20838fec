"""Passwords as salted hashes: bcrypt, as in etcd, so that users move with a snapshot, there and back."""

from __future__ import annotations

import bcrypt

COST = 10  # etcd's; some 50 ms: run it in a thread
MAX_BYTES = 72  # what bcrypt looks at


def hash_password(password: str) -> bytes:
    return bcrypt.hashpw(_bytes(password), bcrypt.gensalt(COST, b"2a"))


def matches(password: str, password_hash: bytes) -> bool:
    try:
        return bcrypt.checkpw(_bytes(password), password_hash)
    except ValueError:  # no hash at all: authenticates by certificate only
        return False


def _bytes(password: str) -> bytes:
    return password.encode()[:MAX_BYTES]
