"""Users and roles: a pure state machine, replicated, whose every change is one auth revision.

The role `root` may do everything, whether or not it was added; the user `root` with that role must exist
before authentication can be enabled, and while it is enabled neither can be taken away. What is answered
and refused is etcd's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from store.auth import errors as e
from store.auth import messages as m
from store.auth.messages import AuthState, Permission, Role, User
from store.auth.ranges import Range, covers, key_range, merge

ROOT = "root"


class AuthTable:
    def __init__(self, state: AuthState | None = None) -> None:
        state = state or AuthState()
        self.enabled = state.enabled
        self.revision = state.revision
        self._users = {user.name: user for user in state.users}
        self._roles = {role.name: role for role in state.roles}
        self._ranges: dict[tuple[str, bool], list[Range]] = {}  # (user, write) → what it covers

    def dump(self) -> AuthState:
        """A copy, since a snapshot is written while requests go on."""
        users = [User(user.name, user.password_hash, list(user.roles)) for user in self._users.values()]
        roles = [Role(role.name, list(role.permissions)) for role in self._roles.values()]
        return AuthState(self.enabled, self.revision, users, roles)

    @property
    def is_pristine(self) -> bool:
        return self.revision == 1 and not self.enabled

    # -- reading --

    def user_names(self) -> list[str]:
        return sorted(self._users)

    def role_names(self) -> list[str]:
        return sorted(self._roles)

    def has_user(self, name: str) -> bool:
        return name in self._users

    def user(self, name: str) -> User:
        if name not in self._users:
            raise e.UserNotFound
        return self._users[name]

    def role(self, name: str) -> Role:
        if name not in self._roles:
            raise e.RoleNotFound
        return self._roles[name]

    def permissions(self, role: str) -> list[Permission]:
        if self.role(role).name == ROOT:
            return [Permission("READWRITE", b"", b"\x00")]
        return list(self._roles[role].permissions)

    def is_root(self, user: str) -> bool:
        return user in self._users and ROOT in self._users[user].roles

    def check_admin(self, user: str) -> None:
        if not self.enabled:
            return
        if not user:
            raise e.UserEmpty
        if ROOT not in self.user(user).roles:
            raise e.PermissionDenied

    def check_range(self, user: str, key: bytes, range_end: bytes, write: bool) -> None:
        """May this user read or write all of this range?"""
        if not self.enabled:
            return
        if not user:
            raise e.UserEmpty
        if user not in self._users:
            raise e.PermissionDenied
        if not self.is_root(user) and not covers(self._covered(user, write), key_range(key, range_end)):
            raise e.PermissionDenied

    def _covered(self, user: str, write: bool) -> list[Range]:
        cached = self._ranges.get((user, write))
        if cached is None:
            wanted = ("WRITE" if write else "READ", "READWRITE")
            roles = [self._roles[name] for name in self._users[user].roles if name in self._roles]
            cached = merge(
                key_range(permission.key, permission.range_end)
                for role in roles
                for permission in role.permissions
                if permission.type in wanted
            )
            self._ranges[user, write] = cached
        return cached

    # -- changing --

    def apply(self, command: m.AuthCommand) -> None:
        """Raises AuthError; nothing is then changed."""
        changed = _CHANGES[type(command)](self, command)
        if changed:
            self.revision += 1
            self._ranges.clear()

    def _enable(self, command: m.Enable) -> bool:
        if self.enabled:
            return False
        if ROOT not in self._users:
            raise e.RootUserMissing
        if not self.is_root(ROOT):
            raise e.RootRoleMissing
        self.enabled = True
        return True

    def _disable(self, command: m.Disable) -> bool:
        was, self.enabled = self.enabled, False
        return was

    def _add_user(self, command: m.UserAdd) -> bool:
        if not command.name:
            raise e.UserEmpty
        if command.name in self._users:
            raise e.UserExists
        self._users[command.name] = User(command.name, command.password_hash)
        return True

    def _delete_user(self, command: m.UserDelete) -> bool:
        if self.enabled and command.name == ROOT:
            raise e.InvalidManagement
        del self._users[self.user(command.name).name]
        return True

    def _change_password(self, command: m.UserChangePassword) -> bool:
        self.user(command.name).password_hash = command.password_hash
        return True

    def _grant_role(self, command: m.UserGrantRole) -> bool:
        user = self.user(command.user)
        if command.role != ROOT:
            self.role(command.role)
        if command.role in user.roles:
            return False
        user.roles = sorted([*user.roles, command.role])
        return True

    def _revoke_role(self, command: m.UserRevokeRole) -> bool:
        if self.enabled and command.user == ROOT and command.role == ROOT:
            raise e.InvalidManagement
        user = self.user(command.user)
        if command.role not in user.roles:
            raise e.RoleNotGranted
        user.roles.remove(command.role)
        return True

    def _add_role(self, command: m.RoleAdd) -> bool:
        if not command.name:
            raise e.RoleEmpty
        if command.name in self._roles:
            raise e.RoleExists
        self._roles[command.name] = Role(command.name)
        return True

    def _delete_role(self, command: m.RoleDelete) -> bool:
        if self.enabled and command.name == ROOT:
            raise e.InvalidManagement
        del self._roles[self.role(command.name).name]
        for user in self._users.values():
            user.roles = [role for role in user.roles if role != command.name]
        return True

    def _grant_permission(self, command: m.RoleGrantPermission) -> bool:
        role, new = self.role(command.name), command.permission
        start, end = key_range(new.key, new.range_end)
        if end is not None and start >= end:
            raise e.InvalidManagement  # an empty range
        role.permissions = sorted([*_without(role.permissions, new.key, new.range_end), new], key=_order)
        return True

    def _revoke_permission(self, command: m.RoleRevokePermission) -> bool:
        role = self.role(command.name)
        kept = _without(role.permissions, command.key, command.range_end)
        if len(kept) == len(role.permissions):
            raise e.PermissionNotGranted
        role.permissions = kept
        return True

    def _assign_token(self, command: m.AssignToken) -> bool:
        """Tokens are each member's own; here it is only settled whether this one is good."""
        if not self.enabled:
            raise e.NotEnabled
        if command.auth_revision != self.revision:
            raise e.OldRevision  # the password may have been changed meanwhile
        self.user(command.user)
        return False


def _without(permissions: Iterable[Permission], key: bytes, range_end: bytes) -> list[Permission]:
    return [each for each in permissions if (each.key, each.range_end) != (key, range_end)]


def _order(permission: Permission) -> tuple[bytes, bytes]:
    return permission.key, permission.range_end


_CHANGES: dict[type, Callable[[AuthTable, Any], bool]] = {
    m.Enable: AuthTable._enable,
    m.Disable: AuthTable._disable,
    m.UserAdd: AuthTable._add_user,
    m.UserDelete: AuthTable._delete_user,
    m.UserChangePassword: AuthTable._change_password,
    m.UserGrantRole: AuthTable._grant_role,
    m.UserRevokeRole: AuthTable._revoke_role,
    m.RoleAdd: AuthTable._add_role,
    m.RoleDelete: AuthTable._delete_role,
    m.RoleGrantPermission: AuthTable._grant_permission,
    m.RoleRevokePermission: AuthTable._revoke_permission,
    m.AssignToken: AuthTable._assign_token,
}
