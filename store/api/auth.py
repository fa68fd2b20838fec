"""Authentication and authorization as the doors see it: users, roles, tokens, and on whose behalf a request
comes.

Passwords are checked here, against the replicated table, and only hashes and digests are proposed. The table
itself decides again when a command is applied, in the name it was proposed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from store.api.machine import StoreMachine
from store.auth import errors as e
from store.auth import messages as m
from store.auth import passwords
from store.auth.messages import Permission
from store.auth.table import AuthTable
from store.auth.tokens import TokenTable, digest, new_token

MAX_PASSWORD_CHECKS = 2  # at a time: each takes 16 MiB and 50 ms of a core
MAX_PASSWORD_BYTES = 1024

T = TypeVar("T")


class TokenKeeper:
    """The state machine's observer: this member's tokens and their time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._table = TokenTable()

    def assigned(self, user: str, token_digest: bytes) -> None:
        self._table.assign(user, token_digest, self._now())

    def revoked(self, user: str) -> None:
        self._table.drop_user(user)

    def disabled(self) -> None:
        self._table.clear()

    def user(self, token: str) -> str:
        user = self._table.user(token, self._now())
        if user is None:
            raise e.InvalidToken
        return user


class Proposer(Protocol):
    """What is needed of the service; it adds in whose name."""

    machine: StoreMachine
    caller: str | None
    password_checks: asyncio.Semaphore

    async def propose(self, command: Any) -> Any: ...

    async def linearize(self) -> None: ...


class AuthService:
    def __init__(self, service: Proposer) -> None:
        self._service = service

    @property
    def _table(self) -> AuthTable:
        return self._service.machine.auth

    def require_admin(self) -> None:
        if self._service.caller is not None:
            self._table.check_admin(self._service.caller)

    # -- on and off --

    async def change(self, command: m.AuthCommand) -> m.AuthResult:
        """Whatever needs no more than to be proposed."""
        result: m.AuthResult = await self._service.propose(command)
        return result

    def status(self) -> tuple[bool, int]:
        return self._table.enabled, self._table.revision

    async def authenticate(self, name: str, password: str) -> str:
        """A token for whoever knows the password."""
        await self._service.linearize()
        table = self._table
        if not table.enabled:
            raise e.NotEnabled
        revision = table.revision
        try:
            password_hash = table.user(name).password_hash
        except e.UserNotFound:
            raise e.AuthFailed from None
        if not password_hash:
            raise e.NoPassword
        if not await self._hashing(passwords.matches, password, password_hash):
            raise e.AuthFailed
        token = new_token()
        await self._service.propose(m.AssignToken(name, digest(token), revision))
        return token

    # -- users and roles --

    async def add_user(self, name: str, password: str, no_password: bool) -> m.AuthResult:
        if not name:
            raise e.UserEmpty
        password_hash = b"" if no_password else await self._hashing(passwords.hash_password, password)
        return await self.change(m.UserAdd(name, password_hash))

    async def change_password(self, name: str, password: str) -> m.AuthResult:
        self._table.user(name)
        password_hash = await self._hashing(passwords.hash_password, password)
        return await self.change(m.UserChangePassword(name, password_hash))

    async def user_roles(self, name: str) -> list[str]:
        await self._service.linearize()
        if self._service.caller != name:
            self.require_admin()
        return list(self._table.user(name).roles)

    async def role_permissions(self, name: str) -> list[Permission]:
        await self._service.linearize()
        caller, table = self._service.caller, self._table
        granted = table.user(caller).roles if caller and table.has_user(caller) else []
        if name not in granted:
            self.require_admin()
        return table.permissions(name)

    async def user_names(self) -> list[str]:
        await self._service.linearize()
        self.require_admin()
        return self._table.user_names()

    async def role_names(self) -> list[str]:
        await self._service.linearize()
        self.require_admin()
        return self._table.role_names()

    async def grant_permission(self, name: str, permission: Permission | None) -> m.AuthResult:
        if permission is None:
            raise e.PermissionNotGiven
        return await self.change(m.RoleGrantPermission(name, permission))

    async def _hashing(self, work: Callable[..., T], password: str, *more: bytes) -> T:
        """In a thread: it would hold up the loop. Few at a time; who tries passwords waits in line."""
        if len(password.encode()) > MAX_PASSWORD_BYTES:
            raise e.AuthFailed
        async with self._service.password_checks:
            return await asyncio.to_thread(work, password, *more)
