"""The JSON gateway's routes of the Auth, Lock and Election services, and on whose behalf a request comes.

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
    AuthStatusResponse,
    NamesResponse,
    PermissionsResponse,
    TokenResponse,
)
from store.api.concurrency import LeaderKey
from store.api.methods import Encoder
from store.api.service import StoreService
from store.auth.messages import Permission
from store.mvcc.messages import Record


def _routes() -> dict[str, tuple[str, Encoder]]:
    names = {"Auth/UserGet": "roles", "Auth/UserList": "users", "Auth/RoleList": "roles"}
    return {name: (path, _encoder(names.get(name, ""))) for name, path in PATHS.items()}


PATHS = {
    "Auth/AuthEnable": "auth/enable",
    "Auth/AuthDisable": "auth/disable",
    "Auth/AuthStatus": "auth/status",
    "Auth/Authenticate": "auth/authenticate",
    "Auth/UserAdd": "auth/user/add",
    "Auth/UserGet": "auth/user/get",
    "Auth/UserList": "auth/user/list",
    "Auth/UserDelete": "auth/user/delete",
    "Auth/UserChangePassword": "auth/user/changepw",
    "Auth/UserGrantRole": "auth/user/grant",
    "Auth/UserRevokeRole": "auth/user/revoke",
    "Auth/RoleAdd": "auth/role/add",
    "Auth/RoleGet": "auth/role/get",
    "Auth/RoleList": "auth/role/list",
    "Auth/RoleDelete": "auth/role/delete",
    "Auth/RoleGrantPermission": "auth/role/grant",
    "Auth/RoleRevokePermission": "auth/role/revoke",
    "Lock/Lock": "lock/lock",
    "Lock/Unlock": "lock/unlock",
    "Election/Campaign": "election/campaign",
    "Election/Proclaim": "election/proclaim",
    "Election/Leader": "election/leader",
    "Election/Resign": "election/resign",
}


def caller(service: StoreService, tokens: TokenKeeper, headers: Mapping[bytes, bytes]) -> StoreService:
    """The service in the name of whose token it is."""
    if not service.machine.auth.enabled:
        return service
    token = headers.get(b"authorization") or headers.get(b"grpc-metadata-token")
    return service.on_behalf_of(tokens.user(token.decode("latin-1")) if token else "")


def _encoder(names: str) -> Encoder:
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


ROUTES = _routes()
