"""Users, roles and permissions, and the commands that change them: what is in the log and in snapshots.

A password never is: whoever proposes replaces it by a salted hash (`store.auth.passwords`); likewise a
token by its digest.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from store.mvcc.messages import Request

PermissionType = Literal["READ", "WRITE", "READWRITE"]


class Permission(Request):
    """`range_end` as in a range request: none is one key, a zero byte is everything from the key on."""

    type: PermissionType = msgspec.field(default="READ", name="permType")
    key: bytes = b""
    range_end: bytes = b""


class User(msgspec.Struct):
    name: str
    password_hash: bytes  # empty: no password, authenticates by certificate only
    roles: list[str] = msgspec.field(default_factory=list)  # sorted


class Role(msgspec.Struct):
    name: str
    permissions: list[Permission] = msgspec.field(default_factory=list)  # sorted by key


class AuthState(msgspec.Struct):
    """All of it, as in a snapshot."""

    enabled: bool = False
    revision: int = 1
    users: list[User] = msgspec.field(default_factory=list)
    roles: list[Role] = msgspec.field(default_factory=list)


# -- commands --


class Enable(Request):
    pass


class Disable(Request):
    pass


class UserAdd(Request):
    name: str
    password_hash: bytes


class UserDelete(Request):
    name: str


class UserChangePassword(Request):
    name: str
    password_hash: bytes


class UserGrantRole(Request):
    user: str
    role: str


class UserRevokeRole(Request):
    user: str
    role: str


class RoleAdd(Request):
    name: str


class RoleDelete(Request):
    name: str


class RoleGrantPermission(Request):
    name: str
    permission: Permission


class RoleRevokePermission(Request):
    name: str
    key: bytes
    range_end: bytes


class AssignToken(Request):
    """A user has shown the password; every member accepts the token from now on."""

    user: str
    token_digest: bytes
    auth_revision: int


class As(Request):
    """A command in the name of a user, who needs the permissions when it is applied."""

    user: str
    auth_revision: int
    command: bytes


ManagementCommand = (
    Enable
    | Disable
    | UserAdd
    | UserDelete
    | UserChangePassword
    | UserGrantRole
    | UserRevokeRole
    | RoleAdd
    | RoleDelete
    | RoleGrantPermission
    | RoleRevokePermission
)
"""For administrators only."""

AuthCommand = ManagementCommand | AssignToken


class AuthResult(msgspec.Struct):
    revision: int
