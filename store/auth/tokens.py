"""Tokens that a member accepts, by the clock that the caller reads. Pure.

Every member keeps its own: which tokens there are comes through the log, how long each lives does not. A
token that is used lives on. Only digests are kept.
"""

from __future__ import annotations

import hashlib
import secrets

TOKEN_TTL_S = 300.0  # etcd's, of simple tokens
MAX_TOKENS = 100_000


class TokenTable:
    def __init__(self) -> None:
        self._tokens: dict[bytes, tuple[str, float]] = {}  # digest → (user, deadline), oldest first

    def __len__(self) -> int:
        return len(self._tokens)

    def assign(self, user: str, token_digest: bytes, now: float) -> None:
        self._drop_expired(now)
        while len(self._tokens) >= MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[token_digest] = user, now + TOKEN_TTL_S

    def user(self, token: str, now: float) -> str | None:
        """Whose token it is, if it still counts; its time begins again."""
        key = digest(token)
        found = self._tokens.pop(key, None)
        if found is None or found[1] <= now:
            return None
        self._tokens[key] = found[0], now + TOKEN_TTL_S
        return found[0]

    def drop_user(self, user: str) -> None:
        self._tokens = {key: each for key, each in self._tokens.items() if each[0] != user}

    def clear(self) -> None:
        self._tokens.clear()

    def _drop_expired(self, now: float) -> None:
        """The oldest come first, since using a token moves it to the end."""
        for key in list(self._tokens):
            if self._tokens[key][1] > now:
                return
            del self._tokens[key]


def new_token() -> str:
    return secrets.token_urlsafe(24)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
