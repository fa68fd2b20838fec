"""The JSON gateway's rows of the Auth, Lock and Election services, and on whose behalf a request comes.

As with etcd's gateway a user shows a token (`Authorization: TOKEN`); a certificate alone names nobody here.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any

import orjson

from store.api import json_encode as encode
from store.api.auth import TokenKeeper
from store.api.auth_messages import (
    AUTH,
    CONCURRENCY,
    AuthStatusResponse,
    Handler,
    NamesResponse,
    PermissionsResponse,
    TokenResponse,
)
from store.api.concurrency import LeaderKey
from store.api.service import StoreService
from store.auth.messages import Permission
from store.mvcc.messages import Record, Request

PATHS = {
    "AuthEnable": "auth/enable",
    "AuthDisable": "auth/disable",
    "AuthStatus": "auth/status",
    "Authenticate": "auth/authenticate",
    "UserAdd": "auth/user/add",
    "UserGet": "auth/user/get",
    "UserList": "auth/user/list",
    "UserDelete": "auth/user/delete",
    "UserChangePassword": "auth/user/changepw",
    "UserGrantRole": "auth/user/grant",
    "UserRevokeRole": "auth/user/revoke",
    "RoleAdd": "auth/role/add",
    "RoleGet": "auth/role/get",
    "RoleList": "auth/role/list",
    "RoleDelete": "auth/role/delete",
    "RoleGrantPermission": "auth/role/grant",
    "RoleRevokePermission": "auth/role/revoke",
    "Lock": "lock/lock",
    "Unlock": "lock/unlock",
    "Campaign": "election/campaign",
    "Proclaim": "election/proclaim",
    "Leader": "election/leader",
    "Resign": "election/resign",
}
NAMES = {"UserGet": "roles", "UserList": "users", "RoleList": "roles"}


def rows() -> dict[bytes, tuple[type[Request], Handler, Any]]:
    table = {}
    for name, (kind, handler) in (AUTH | CONCURRENCY).items():
        table[f"/v3/{PATHS[name]}".encode()] = (kind, handler, _encoder(NAMES.get(name, "")))
    return table


def caller(service: StoreService, tokens: TokenKeeper, headers: Mapping[bytes, bytes]) -> StoreService:
    """The service in the name of whose token it is."""
    if not service.machine.auth.enabled:
        return service
    token = headers.get(b"authorization") or headers.get(b"grpc-metadata-token")
    return service.on_behalf_of(tokens.user(token.decode("latin-1")) if token else "")


def _encoder(names: str) -> Any:
    def encoder(header: bytes, response: Any) -> bytes:
        if isinstance(response, Record):
            return b'{"header":%b,"kv":%b}' % (header, encode.encode_record(response))
        fields = {name: value for name, value in _fields(names, response).items() if value}
        return b'{"header":' + header + (b"," + orjson.dumps(fields)[1:] if fields else b"}")

    return encoder


def _fields(names: str, response: Any) -> dict[str, Any]:
    match response:
        case TokenResponse():
            return {"token": response.token}
        case NamesResponse():
            return {names: response.names}
        case PermissionsResponse():
            return {"perm": [_permission(each) for each in response.permissions]}
        case AuthStatusResponse():
            return {"enabled": response.enabled, "authRevision": str(response.auth_revision)}
        case bytes():
            return {"key": _base64(response)}
        case LeaderKey():
            return {"leader": _leader(response)}
        case _:
            return {}


def _permission(permission: Permission) -> dict[str, str]:
    fields = {
        "permType": "" if permission.type == "READ" else permission.type,  # the zero of the enumeration
        "key": _base64(permission.key),
        "range_end": _base64(permission.range_end),
    }
    return {name: value for name, value in fields.items() if value}


def _leader(leader: LeaderKey) -> dict[str, str]:
    return {
        "name": _base64(leader.name),
        "key": _base64(leader.key),
        "rev": str(leader.rev),
        "lease": str(leader.lease),
    }


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
