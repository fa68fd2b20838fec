"""A static file of tokens: CSV lines `token,user,uid,"group1,group2"`."""

from __future__ import annotations

import csv
import hmac
from collections.abc import Sequence

from control_plane.apiserver.authn.interface import TokenResult
from control_plane.apiserver.authn.user import UserInfo


class MalformedTokenFile(ValueError):
    """A line of the token file cannot be used."""


class TokenFileAuthenticator:
    def __init__(self, users: Sequence[tuple[str, UserInfo]]) -> None:
        self._users = [(token.encode(), user) for token, user in users]

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        shown = token.encode()
        found = [user for known, user in self._users if hmac.compare_digest(known, shown)]
        return TokenResult(found[0], tuple(audiences)) if found else None


def parse_token_file(text: str) -> list[tuple[str, UserInfo]]:
    """The users of the file. Raises MalformedTokenFile."""
    users: dict[str, UserInfo] = {}
    for number, columns in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), start=1):
        if not columns or columns[0].startswith("#"):
            continue
        if len(columns) < 3:
            raise MalformedTokenFile(f"token file, line {number}: need token, user name, user uid")
        token, name, uid = (column.strip() for column in columns[:3])
        if not token:
            raise MalformedTokenFile(f"token file, line {number}: empty token")
        groups = tuple(g.strip() for g in columns[3].split(",") if g.strip()) if len(columns) > 3 else ()
        users[token] = UserInfo(name, uid, groups)
    return list(users.items())
