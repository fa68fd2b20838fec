"""Requests of etcd's Auth, Lock and Election services, for either door, and what each asks of the service.

`AUTH` and `CONCURRENCY` are tables: method → (request, handler). A handler returns what the doors encode.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from store.api.concurrency import Concurrency, LeaderKey
from store.api.messages import EmptyRequest
from store.api.service import StoreService
from store.auth import messages as auth
from store.auth.messages import Permission
from store.mvcc.messages import Int64, Record, Request


class AuthenticateRequest(Request):
    name: str = ""
    password: str = ""


class UserAddOptions(Request):
    no_password: bool = False


class UserAddRequest(Request):
    name: str = ""
    password: str = ""
    options: UserAddOptions | None = None
    hashed_password: str = msgspec.field(default="", name="hashedPassword")  # etcd's own, between members


class NameRequest(Request):
    name: str = ""


class RoleRequest(Request):
    role: str = ""


class ChangePasswordRequest(Request):
    name: str = ""
    password: str = ""
    hashed_password: str = msgspec.field(default="", name="hashedPassword")


class GrantRoleRequest(Request):
    user: str = ""
    role: str = ""


class RevokeRoleRequest(Request):
    name: str = ""
    role: str = ""


class GrantPermissionRequest(Request):
    name: str = ""
    perm: Permission | None = None


class RevokePermissionRequest(Request):
    role: str = ""
    key: bytes = b""
    range_end: bytes = b""


class TokenResponse(msgspec.Struct):
    token: str


class NamesResponse(msgspec.Struct):
    """Users, roles, or the roles of a user."""

    names: list[str]


class PermissionsResponse(msgspec.Struct):
    permissions: list[Permission]


class AuthStatusResponse(msgspec.Struct):
    enabled: bool
    auth_revision: int


class LockRequest(Request):
    name: bytes = b""
    lease: Int64 = 0


class UnlockRequest(Request):
    key: bytes = b""


class CampaignRequest(Request):
    name: bytes = b""
    lease: Int64 = 0
    value: bytes = b""


class LeaderKeyMessage(Request):
    name: bytes = b""
    key: bytes = b""
    rev: Int64 = 0
    lease: Int64 = 0

    def unwrap(self) -> LeaderKey:
        return LeaderKey(self.name, self.key, self.rev, self.lease)


class ProclaimRequest(Request):
    leader: LeaderKeyMessage = msgspec.field(default_factory=LeaderKeyMessage)
    value: bytes = b""


class LeaderRequest(Request):
    name: bytes = b""


class ResignRequest(Request):
    leader: LeaderKeyMessage = msgspec.field(default_factory=LeaderKeyMessage)


Handler = Callable[[StoreService, Any], Awaitable[Any]]


async def _authenticate(service: StoreService, request: AuthenticateRequest) -> TokenResponse:
    return TokenResponse(await service.auth.authenticate(request.name, request.password))


async def _status(service: StoreService, request: EmptyRequest) -> AuthStatusResponse:
    return AuthStatusResponse(*service.auth.status())


async def _user_add(service: StoreService, request: UserAddRequest) -> auth.AuthResult:
    no_password = request.options is not None and request.options.no_password
    return await service.auth.add_user(request.name, request.password, no_password)


async def _user_get(service: StoreService, request: NameRequest) -> NamesResponse:
    return NamesResponse(await service.auth.user_roles(request.name))


async def _user_list(service: StoreService, request: EmptyRequest) -> NamesResponse:
    return NamesResponse(await service.auth.user_names())


async def _role_list(service: StoreService, request: EmptyRequest) -> NamesResponse:
    return NamesResponse(await service.auth.role_names())


async def _role_get(service: StoreService, request: RoleRequest) -> PermissionsResponse:
    return PermissionsResponse(await service.auth.role_permissions(request.role))


AUTH: dict[str, tuple[type[Request], Handler]] = {
    "AuthEnable": (EmptyRequest, lambda s, r: s.auth.change(auth.Enable())),
    "AuthDisable": (EmptyRequest, lambda s, r: s.auth.change(auth.Disable())),
    "AuthStatus": (EmptyRequest, _status),
    "Authenticate": (AuthenticateRequest, _authenticate),
    "UserAdd": (UserAddRequest, _user_add),
    "UserGet": (NameRequest, _user_get),
    "UserList": (EmptyRequest, _user_list),
    "UserDelete": (NameRequest, lambda s, r: s.auth.change(auth.UserDelete(r.name))),
    "UserChangePassword": (
        ChangePasswordRequest,
        lambda s, r: s.auth.change_password(r.name, r.password),
    ),
    "UserGrantRole": (GrantRoleRequest, lambda s, r: s.auth.change(auth.UserGrantRole(r.user, r.role))),
    "UserRevokeRole": (RevokeRoleRequest, lambda s, r: s.auth.change(auth.UserRevokeRole(r.name, r.role))),
    "RoleAdd": (NameRequest, lambda s, r: s.auth.change(auth.RoleAdd(r.name))),
    "RoleGet": (RoleRequest, _role_get),
    "RoleList": (EmptyRequest, _role_list),
    "RoleDelete": (RoleRequest, lambda s, r: s.auth.change(auth.RoleDelete(r.role))),
    "RoleGrantPermission": (GrantPermissionRequest, lambda s, r: s.auth.grant_permission(r.name, r.perm)),
    "RoleRevokePermission": (
        RevokePermissionRequest,
        lambda s, r: s.auth.change(auth.RoleRevokePermission(r.role, r.key, r.range_end)),
    ),
}


async def _lock(service: StoreService, request: LockRequest) -> bytes:
    return await Concurrency(service).lock(request.name, request.lease)


async def _campaign(service: StoreService, request: CampaignRequest) -> LeaderKey:
    return await Concurrency(service).campaign(request.name, request.lease, request.value)


async def _leader(service: StoreService, request: LeaderRequest) -> Record:
    return await Concurrency(service).leader(request.name)


CONCURRENCY: dict[str, tuple[type[Request], Handler]] = {
    "Lock": (LockRequest, _lock),
    "Unlock": (UnlockRequest, lambda s, r: Concurrency(s).unlock(r.key)),
    "Campaign": (CampaignRequest, _campaign),
    "Proclaim": (ProclaimRequest, lambda s, r: Concurrency(s).proclaim(r.leader.unwrap(), r.value)),
    "Leader": (LeaderRequest, _leader),
    "Resign": (ResignRequest, lambda s, r: Concurrency(s).resign(r.leader.unwrap())),
}
